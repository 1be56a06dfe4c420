# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# hotplug: an endpoint comes and goes while the guest runs. It is one without
# MSI-X: QEMU does not survive that those go (docs/limits.md). And memory comes that
# a NIC of 32 bits does not reach.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

NIC=$(guest_bdf 0)

# Where the device behind the root port is, once it is there.
plugged() {
	# (stderr comes with stdout)
	g hotplug "ls -d /sys/bus/pci/devices/0000:00:08.0/0000:??:??.? 2> /dev/null || true" |
		sed 's,.*/,,'
}

is_plugged() {
	[[ -n $(plugged) ]]
}

is_unplugged() {
	! is_plugged
}

plug() {
	guest_qmp hotplug "{\"execute\": \"device_add\", \"arguments\": {
		\"driver\": \"vfio-user-pci\", \"id\": \"hot\", \"bus\": \"hp\", \"x-msg-timeout\": 600000,
		\"socket\": {\"type\": \"unix\", \"path\": \"$(agent_dir a)/dev1\"}}}"
	eventually 60 "the device in the guest" is_plugged
	moves_data hotplug "$(plugged)" 4M
}

# The guest gives the device up in its own time (five seconds after the button).
unplug() {
	guest_qmp hotplug '{"execute": "device_del", "arguments": {"id": "hot"}}'
	eventually 120 "the device gone" is_unplugged
	same "endpoints" "$(g hotplug 'attribute endpoints | wc -l')" 1
	g hotplug "work $NIC 1M"
}

# A device that goes while it works: the work fails, all else goes on.
unplug_busy() {
	g hotplug "disk=\$(disk_of $(plugged)); (disk_work \$disk 4M 4K 1000 > /dev/null 2>&1) &"
	unplug
}

# What a driver has left to others, mapped as it was, ends long after the device has gone.
unplug_mapped() {
	local bdf

	plug
	bdf=$(plugged)
	g hotplug "undrive $bdf; load dmacheck late=1; dmacheck_bind $bdf; dmesg -c > /dev/null"
	unplug
	g hotplug "wait_for 30 sh -c 'dmesg | grep -q \"dmacheck: unmapped for $bdf\"'
		wait_for 30 sh -c 'dmesg | grep -q \"$bdf: pvdma: the last DMA mapping has ended\"'
		dmesg | grep -E 'dmacheck|pvdma'; rmmod dmacheck" > "$E2E_RUN/outlived"
	cat "$E2E_RUN/outlived"
	contains "the guest's kernel log" "$E2E_RUN/outlived" "$bdf: pvdma: 1 DMA mappings outlive the device"
	! grep -q 'BUG\|WARNING' "$E2E_RUN/outlived" || fail "the kernel complains"
	# the same device once more, by the same address
	plug
	unplug
}

# nic_works: and COPIES gets how much is copied because of the NIC's mask (nothing else is here).
nic_works() {
	local before

	before=$(g hotplug "counter bounces $NIC")
	g hotplug "work $NIC 1M"
	COPIES=$(($(g hotplug "counter bounces $NIC") - before))
}

# A guest that had no memory above 4 GiB when the NIC's driver was bound.
memory_above() {
	g hotplug "undrive $NIC; echo 0 > /sys/module/pvdma/parameters/bounce_kb
		rm -f /run/peer.*; drive $NIC"
	nic_works
	same "copies" "$COPIES" 0
	plug_memory hotplug $((256 << 20))
	nic_works
	expect "copies" "$COPIES > 0"
	same "failures" "$(g hotplug "counter failures $NIC")" 0
}

agent_start a "$(bed_bdf e1000)" "$(bed_bdf ahci)" -- --quota 64M
vm_start_with hotplug --mem 1G --mode vfio-user --sock "$(agent_dir a)/dev0" --vhost-sock "$(agent_dir a)/vhost" \
	--qemu-arg "-m slots=1,maxmem=2G" --append memhp_default_state=online_kernel \
	--qemu-arg "-device pcie-root-port,id=hp,bus=pcie.0,addr=0x8,chassis=8,slot=8"
step load load_pvdma hotplug 1
step nic moves_data hotplug "$NIC" 1M
step plug plug
step unplug unplug
step plug-again plug
step unplug-busy unplug_busy
step unplug-mapped unplug_mapped
step memory-above no_faults "the work" "$(bed_bdf e1000)" memory_above
