# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# operator: what an operator does, on a host with systemd, apt and libvirtd: installs
# the packages, gives a domain a disk and a network card, runs it, changes its quota,
# and takes all of it back.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

DISK=$(bed_bdf nvme)
NIC=$(bed_bdf e1000e)
QUOTA=$((64 << 20))
UNIT=pvdma-agent@op.service
COLLECTOR=/var/lib/prometheus/node-exporter
export DEBIAN_FRONTEND=noninteractive

install_packages() {
	local -a files

	mapfile -t files < <(ls "$E2E_BIN"/pvdma-{host,tools}_*.deb)
	apt-get -q install -y "${files[@]}"
	systemctl is-active pvdmad.service
	systemctl start libvirtd.service
}

# The host's own drivers have the devices, as on any host before the first VM.
host_drives() {
	modprobe nvme
	modprobe e1000e
	eventually 30 "nvme drives $DISK" has_driver "$DISK" nvme
	eventually 30 "e1000e drives $NIC" has_driver "$NIC" e1000e
}

has_driver() {
	[[ $(bdf_driver "$1") == "$2" ]]
}

doctor() {
	pvdmactl doctor --json > "$E2E_RUN/doctor.json" || true
	jq -r '.checks[] | "\(.state) \(.name): \(.detail)"' "$E2E_RUN/doctor.json"
	same "what doctor finds wrong" \
		"$(jq '[.checks[] | select(.state == "error")] | length' "$E2E_RUN/doctor.json")" 0
	pvdmactl doctor
}

define_domain() {
	mkdir -p "$BED_RUN/guests"
	virt_xml op --mem 1G --file "$E2E_BIN/pvdma-dkms-6.12.ko:extra/pvdma.ko" \
		--file "$E2E_BIN/pvdma-work:bin/pvdma-work" --file "$E2E_DIR/guest.sh:e2e.sh" \
		> "$E2E_RUN/op.xml"
	virt define "$E2E_RUN/op.xml"
	virt dumpxml --inactive op > "$E2E_RUN/before.xml"
}

# Shown first, and then done.
attach_disk() {
	pvdmactl attach op "$DISK" --quota 64M --dry-run > "$E2E_RUN/diff"
	contains "the difference" "$E2E_RUN/diff" '^\+.*vfio-user-pci'
	virt dumpxml --inactive op | cmp - "$E2E_RUN/before.xml"
	pvdmactl attach op "$DISK" --quota 64M --yes
	virt dumpxml --inactive op
	pvdmactl doctor op
}

start_domain() {
	virt start op
	virt_follow op
	guest_up op
	same "the driver of $DISK" "$(bdf_driver "$DISK")" vfio-pci
	same "the agent's unit" "$(systemctl is-active "$UNIT")" active
	pvdmactl status
	pvdmactl list --json | jq -e '.vms[] | select(.name == "op")'
}

main_pid() {
	systemctl show --property MainPID --value "$UNIT"
}

# The kernel's own limit for the agent is the quota, and it is nobody in particular.
agent_is_caged() {
	local pid

	pid=$(main_pid)
	same "the agent's limit" "$(awk '/^Max locked memory/ { print $4 }' "/proc/$pid/limits")" "$1"
	same "the agent's capabilities" "$(awk '/^CapEff:/ { print $2 }' "/proc/$pid/status")" \
		0000000000000000
	expect "the agent's user" "$(awk '/^Uid:/ { print $2 }' "/proc/$pid/status") > 60000"
}

# in_guest CLASS [GUEST]: the device of this class, in the guest.
in_guest() {
	g "${2:-op}" "for d in /sys/bus/pci/devices/*; do
		[ \$(cat \$d/class) != $1 ] || basename \$d; done"
}

works() {
	agent_is_caged $QUOTA
	load_pvdma op 1
	pins_begin
	moves_data op "$(in_guest 0x010802)" 32M
	expect "bytes pinned" "$(pins_peak) <= $QUOTA"
}

# A device more while the domain runs; and for the next time, too.
live() {
	pvdmactl attach op "$NIC" --live --yes
	same "the driver of $NIC" "$(bdf_driver "$NIC")" vfio-pci
	eventually 60 "the guest sees the NIC" guest_has 0x020000
	moves_data op "$(in_guest 0x020000)" 4M
	expect "bytes pinned" "$(pinned_bytes) <= $QUOTA"
	virt dumpxml --inactive op > "$E2E_RUN/inactive.xml"
	contains "the domain" "$E2E_RUN/inactive.xml" "address=.$NIC"
	virt metadata op https://pvdma.org/xmlns/libvirt/domain/1.0 > "$E2E_RUN/running.xml"
	contains "the metadata of what runs" "$E2E_RUN/running.xml" "address=.$NIC"
	if pvdmactl detach op "$NIC" --live --yes > "$E2E_RUN/refused" 2>&1; then
		fail "a device with MSI-X was unplugged, which ends QEMU"
	fi
	contains "pvdmactl detach" "$E2E_RUN/refused" 'MSI-X'
}

guest_has() {
	[[ -n $(in_guest "$1") ]]
}

# Live: the agent, the kernel's limit and what is pinned all follow.
quota() {
	pvdmactl quota op 24M
	eventually 30 "pins follow" pinned_at_most $((24 << 20))
	agent_is_caged $((24 << 20))
	g op "work $(in_guest 0x010802) 16M" 600
	expect "bytes pinned" "$(pinned_bytes) <= $((24 << 20))"
	pvdmactl quota op 64M
	agent_is_caged $QUOTA
	same "the quota" "$(pvdmactl show op --json | jq .quota)" $QUOTA
}

pinned_at_most() {
	(($(pinned_bytes) <= $1))
}

# another_agent PID: the unit serves again, by another process.
another_agent() {
	[[ $(systemctl is-active "$UNIT") == active && $(main_pid) != "$1" ]]
}

# kill_agent: at once, by force; systemd's store has what the next one goes on with.
kill_agent() {
	local pid

	pid=$(main_pid)
	kill -KILL "$pid"
	eventually 30 "the next agent" another_agent "$pid"
}

books_agree() {
	(($(pinned_bytes) == $(pvdmactl show op --json | jq .stats.vm.mapped_bytes)))
}

# Under I/O that keeps asking, for it works on more than the quota, again and again.
killed() {
	local nvme quota=$((24 << 20)) i

	nvme=$(in_guest 0x010802)
	pvdmactl quota op $quota
	g op "disk_fill \$(disk_of $nvme) 32M" 300
	eventually 30 "pins follow" pinned_at_most $quota
	pins_begin
	io_begin op "$nvme" 32M
	for ((i = 0; i < 5; i++)); do
		kill_agent
		io_goes_on op
	done
	io_end op
	expect "bytes pinned" "$(pins_peak) <= $quota"
	same "restarts" "$(systemctl show --property NRestarts --value "$UNIT")" 5
	same "the VM's state" "$(pvdmactl show op --json | jq -r .state)" running
	agent_is_caged $quota
	same "failures" "$(g op "counter failures $nvme")" 0
	eventually 30 "the books and the kernel's agree" books_agree
	pvdmactl quota op 64M
	agent_is_caged $QUOTA
}

watch() {
	pvdmactl top --once
	pvdmactl metrics > "$E2E_RUN/metrics"
	contains "the metrics" "$E2E_RUN/metrics" '^pvdma_.*vm="op"'
	same "their end" "$(tail -n 1 "$E2E_RUN/metrics")" '# EOF'
}

# Prometheus asks systemd's socket, and is told what pvdmactl says, by nobody's process.
# scrape_from ADDRESS: what Prometheus gets; of what fails, the journal of the instance.
scrape_from() {
	if ! python3 "$E2E_DIR/scrape.py" scrape "$1" 9754 'pvdma-metrics@*.service'; then
		journalctl --sync
		journalctl --boot --unit 'pvdma-metrics@*' --output cat >&2
		return 1
	fi
}

scrape() {
	local address

	systemctl start pvdma-metrics.socket
	for address in 127.0.0.1 ::1; do
		scrape_from $address > "$E2E_RUN/scraped"
		same "the families at $address" "$(grep '^# TYPE' "$E2E_RUN/scraped" | sort | md5sum)" \
			"$(grep '^# TYPE' "$E2E_RUN/metrics" | sort | md5sum)"
		contains "the metrics at $address" "$E2E_RUN/scraped" "^pvdma_vm_quota_bytes.*vm=\"op\".* $QUOTA\$"
	done
	systemctl stop pvdma-metrics.socket
	# a failed instance is forgotten at once, but for the journal
	eventually 30 "two instances ended" instances_ended 2
	! grep -q 'Failed with result' "$E2E_RUN/instances" ||
		fail "an instance failed: $(grep -m 1 'Failed with result' "$E2E_RUN/instances")"
}

instances_ended() {
	journalctl --sync
	journalctl --boot --unit 'pvdma-metrics@*' --output cat > "$E2E_RUN/instances"
	(($(grep -cE 'Deactivated successfully|Failed with result' "$E2E_RUN/instances") >= $1))
}

textfile_there() {
	[[ -e $COLLECTOR/pvdma.prom ]]
}

# node_exporter's directory is of another user's; who reads a file there while the next one
# comes has a whole one.
textfile() {
	local before old now

	mkdir -p $COLLECTOR
	chown stranger $COLLECTOR
	systemctl start pvdma-metrics-textfile.timer
	eventually 90 "the timer's file" textfile_there
	systemctl stop pvdma-metrics-textfile.timer
	eventually 30 "the timer's run ended" textfile_idle
	same "the service's capabilities" "$(systemctl show --property CapabilityBoundingSet --value \
		pvdma-metrics-textfile.service)" cap_dac_override
	before=$(stat -c %i $COLLECTOR/pvdma.prom)
	old=$(md5sum < $COLLECTOR/pvdma.prom)
	exec 5< $COLLECTOR/pvdma.prom
	systemctl start pvdma-metrics-textfile.service
	now=$(stat -c %i $COLLECTOR/pvdma.prom)
	[[ $now != "$before" ]] || fail "the file was written in its place"
	same "what is read of the file before" "$(md5sum <&5)" "$old"
	exec 5<&-
	python3 "$E2E_DIR/scrape.py" check $COLLECTOR/pvdma.prom
	contains "the file" $COLLECTOR/pvdma.prom "^pvdma_vm_quota_bytes.*vm=\"op\".* $QUOTA\$"
	same "what is in the directory" "$(ls -A $COLLECTOR)" pvdma.prom
	same "the file's mode" "$(stat -c %a $COLLECTOR/pvdma.prom)" 644
	as stranger cat $COLLECTOR/pvdma.prom > /dev/null
}

textfile_idle() {
	[[ $(systemctl show --property ActiveState --value pvdma-metrics-textfile.service) == inactive ]]
}

# Somebody else may look, and change nothing.
somebody_else() {
	local word

	as operator pvdmactl list
	for word in "quota op 1M" "stop op" "budget 1G"; do
		# shellcheck disable=SC2086 # words
		if as operator pvdmactl $word > "$E2E_RUN/refused" 2>&1; then
			fail "operator may: $word"
		fi
		contains "pvdmactl $word" "$E2E_RUN/refused" 'not allowed'
	done
	same "the quota" "$(pvdmactl show op --json | jq .quota)" $QUOTA
}

# The domain goes on while what runs it is upgraded and restarted.
restarts() {
	local pid

	pid=$(main_pid)
	newer "$E2E_BIN"/pvdma-host_*.deb
	systemctl start pvdma-metrics.socket
	apt-get -q install -y "$E2E_RUN/newer.deb"
	[[ $(dpkg-query -W -f '${Version}' pvdma-host) == *+1 ]] || fail "it is not the newer version"
	systemctl is-active pvdma-metrics.socket
	systemctl stop pvdma-metrics.socket
	same "the agent" "$(main_pid)" "$pid"
	systemctl restart pvdmad.service
	pvdmactl show op
	systemctl restart libvirtd.service
	virt domstate op
	g op "work $(in_guest 0x010802) 8M" 600
	same "the agent" "$(main_pid)" "$pid"
	pvdmactl quota op 32M
	pvdmactl quota op 64M
	# the agent of the newer package takes over
	kill_agent
	g op "work $(in_guest 0x010802) 8M" 600
	agent_is_caged $QUOTA
}

knows_op() {
	pvdmactl show op > /dev/null 2>&1
}

op_runs() {
	[[ $(virt domstate op 2> /dev/null) == running ]]
}

is_caged() {
	(agent_is_caged $QUOTA) > /dev/null 2>&1
}

# Both are killed while the domain runs; and the agent is, while nobody is there to raise
# its limit, which comes with who is.
all_killed() {
	systemctl kill --signal=KILL pvdmad.service
	eventually 30 "pvdmad knows the VM" knows_op
	systemctl kill --signal=KILL libvirtd.service
	eventually 60 "libvirtd knows the domain" op_runs
	g op "work $(in_guest 0x010802) 8M" 600
	systemctl mask --runtime --now pvdmad.service
	kill_agent
	systemctl unmask --runtime pvdmad.service
	systemctl start pvdmad.service
	eventually 30 "the limit" is_caged
	g op "work $(in_guest 0x010802) 8M" 600
	same "failures" "$(g op "counter failures $(in_guest 0x010802)")" 0
}

stop_domain() {
	guest_sh op dmesg 20 > "$E2E_RUN/dmesg.op" || true
	virt destroy op
	eventually 30 "nothing is pinned" pinned_at_most 0
	eventually 30 "nvme has $DISK back" has_driver "$DISK" nvme
	eventually 30 "e1000e has $NIC back" has_driver "$NIC" e1000e
	same "the agent's unit" "$(systemctl is-active "$UNIT" || true)" inactive
	same "what pvdmad knows" "$(pvdmactl list --json | jq -c .vms)" '[]'
	same "what is left" "$(find /run/pvdma/vm /run/pvdma/state -mindepth 1 | wc -l)" 0
}

# cannot_start NAME REGEX: the domain does not start, and virsh says why.
cannot_start() {
	if virt start "$1" > "$E2E_RUN/start" 2>&1; then
		fail "$1 started"
	fi
	cat "$E2E_RUN/start"
	contains "virsh" "$E2E_RUN/start" "$2"
}

# Who starts a domain that cannot start is told why, by libvirt.
failures() {
	local disk

	disk=$(basename "$(ls -d "/sys/bus/pci/devices/$DISK"/nvme/nvme*/nvme*n1)")
	mkswap "/dev/$disk"
	swapon "/dev/$disk"
	cannot_start op "$DISK.*swap"
	swapoff "/dev/$disk"
	virt dumpxml --inactive op > "$E2E_RUN/shared.xml"
	sed "s/<access mode='shared'/<access mode='private'/" "$E2E_RUN/shared.xml" > "$E2E_RUN/private.xml"
	virt define "$E2E_RUN/private.xml"
	cannot_start op 'its memory is not shared'
	virt define "$E2E_RUN/shared.xml"
	# Of the chipset, in one group with what ahci drives.
	pvdmactl attach op 0000:00:1f.3 --yes
	cannot_start op '0000:00:1f.3.*0000:00:1f.2.*same IOMMU group'
	pvdmactl detach op 0000:00:1f.3 --yes
	systemctl mask --runtime --now pvdmad.service
	cannot_start op 'pvdmad'
	systemctl unmask --runtime pvdmad.service
	systemctl start pvdmad.service
	same "the driver of $DISK" "$(bdf_driver "$DISK")" nvme
	# Nothing of that stays: it starts when nothing is in the way.
	virt start op --paused
	virt destroy op
	eventually 30 "nvme has $DISK back" has_driver "$DISK" nvme
}

# Too old a QEMU is found before anybody tries.
old_qemu() {
	local old=$E2E_RUN/qemu-old

	printf '%s\n' '#!/bin/sh' 'case $1 in' \
		'--version) echo "QEMU emulator version 10.0.2 (Debian 1:10.0.2)" ;;' \
		'*) qemu-system-x86_64 "$@" | grep -v vfio-user ;;' 'esac' > "$old"
	chmod 755 "$old"
	if pvdmactl doctor --qemu "$old" --json > "$E2E_RUN/doctor.json"; then
		fail "doctor likes QEMU 10.0"
	fi
	jq -e '.checks[] | select(.name == "qemu" and .state == "error") |
		(.detail | test("10.0")) and (.fix | length > 0)' "$E2E_RUN/doctor.json"
}

# Everything is as it was.
detach_devices() {
	pvdmactl detach op "$NIC" --yes
	pvdmactl detach op "$DISK" --yes
	virt dumpxml --inactive op | diff "$E2E_RUN/before.xml" -
	virt_stop op
}

# A domain that was started without any of this, but with shared memory and two ports to
# spare: what it lacks is plugged in, too.
plugged() {
	local ports="<controller type='pci' model='pcie-root-port'/>"

	virt_xml fresh --mem 512M --file "$E2E_BIN/pvdma-dkms-6.12.ko:extra/pvdma.ko" \
		--file "$E2E_BIN/pvdma-work:bin/pvdma-work" --file "$E2E_DIR/guest.sh:e2e.sh" \
		--devices "<controller type='pci' index='0' model='pcie-root'/>$ports$ports$ports$ports" \
		> "$E2E_RUN/fresh.xml"
	virt define "$E2E_RUN/fresh.xml"
	virt start fresh
	virt_follow fresh
	guest_up fresh
	pvdmactl attach fresh "$DISK" --quota 32M --live --yes
	same "the agent's unit" "$(systemctl is-active pvdma-agent@fresh.service)" active
	virt metadata fresh https://pvdma.org/xmlns/libvirt/domain/1.0 > "$E2E_RUN/running.xml"
	contains "the metadata of what runs" "$E2E_RUN/running.xml" "address=.$DISK"
	# it is in the definition, too
	virt dumpxml --inactive fresh > "$E2E_RUN/fresh.xml"
	contains "the domain" "$E2E_RUN/fresh.xml" "address=.$DISK"
	eventually 60 "the guest sees both" fresh_has_both
	load_pvdma fresh 1
	moves_data fresh "$(in_guest 0x010802 fresh)" 16M
	expect "bytes pinned" "$(pinned_bytes) <= $((32 << 20))"
	virt_stop fresh
	eventually 30 "nothing is pinned" pinned_at_most 0
	eventually 60 "nvme has $DISK back" has_driver "$DISK" nvme
}

fresh_has_both() {
	[[ -n $(in_guest 0x010802 fresh) && -n $(g fresh 'ls /sys/bus/virtio/devices | xargs -I{} grep -l 0x0027 /sys/bus/virtio/devices/{}/device') ]]
}

step install install_packages
step host-drives host_drives
step doctor doctor
step define define_domain
step attach attach_disk
step start start_domain
step works works
step live live
step quota quota
step killed killed
step watch watch
step scrape scrape
step textfile textfile
step somebody-else somebody_else
step restarts restarts
step all-killed all_killed
step stop stop_domain
step failures failures
step old-qemu old_qemu
step detach detach_devices
step plugged plugged
