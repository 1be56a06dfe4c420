# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# guest_package: the guest's package as its user has it: a Debian system in which apt
# installed pvdma-guest-dkms, DKMS built the module, and update-initramfs put it into
# the initramfs. The system is on the passthrough disk, which reaches nothing before
# pvdma is there, and a small quota's worth afterwards. What becomes of the
# installed files is checked, without a bed, by tests/packages/guest.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

NVME=$(guest_bdf 0) L1_NVME=$(bed_bdf nvme)
MEM=768M QUOTA=$((24 << 20))
LOG=$E2E_RUN/dmesg.system

# Nothing helps but what is in the guest: fallback is what it is by default, deny. That stops
# firmware, too (a device's own ROM, say): DMA faults count from the kernel's first words on.
# The boot is that of a whole system: its limit is for a machine that does much else.
booted() {
	local dir

	system_put "$L1_NVME" --file "$E2E_BIN/pvdma-work:usr/local/bin/pvdma-work" \
		--file "$E2E_DIR/guest.sh:e2e.sh"
	agent_start a "$L1_NVME" -- --quota $QUOTA
	dir=$(agent_dir a)
	pins_begin
	guest_start system --system --mode vfio-user --sock "$dir/dev0" --vhost-sock "$dir/vhost" \
		--mem $MEM --no-wait
	guest_stirs system
	vtd_faults "$L1_NVME" > "$E2E_RUN/faults"
	guest_up system 600
	g system dmesg > "$LOG"
	same "the root file system's disk" "$(g system 'findmnt -n -o SOURCE /')" \
		"$(g system "disk_of $NVME")"
	same "pid 1" "$(g system 'cat /proc/1/comm')" systemd
	same "units that failed" "$(g system 'systemctl --failed --no-legend --plain')" ''
}

# line_of REGEX: which line of the guest's kernel log is the first that matches.
line_of() {
	local line

	line=$(awk -v re="$1" '$0 ~ re { print NR; exit }' "$LOG")
	[[ -n $line ]] || fail "the guest's kernel log does not say '$1'" >&2
	echo "$line"
}

# precedes REGEX REGEX: both are in the guest's kernel log, in that order.
precedes() {
	local first second

	first=$(line_of "$1")
	second=$(line_of "$2")
	expect "the kernel log has '$1' (line $first) before '$2' (line $second)" "$first < $second"
}

# The endpoint is attached, in the initramfs, before its driver looks at the device; no
# DMA of it was ever stopped, none of its mappings failed.
in_time() {
	grep -E 'pvdma|nvme|Run /init' "$LOG"
	precedes 'Run /init as init process' "$NVME: pvdma: endpoint 1"
	precedes 'pvdma.*granule [0-9]+ KiB, quota' 'nvme nvme[0-9]+: pci function'
	precedes "$NVME: pvdma: endpoint 1" 'nvme nvme[0-9]+: pci function'
	precedes 'nvme nvme[0-9]+: pci function' 'EXT4-fs [(]nvme.*mounted filesystem'
	# the newest comes first
	same "modules in the order of loading" \
		"$(g system "awk '\$1 == \"nvme\" || \$1 == \"pvdma\" { print \$1 }' /proc/modules" | tac |
			paste -sd ' ')" 'pvdma nvme'
	same "the state of $NVME" "$(g system "endpoint_state $NVME")" attached
	same "failures of $NVME" "$(g system "counter failures $NVME")" 0
	! grep -qE "$NVME.*is in use" "$LOG" || fail "nvme was there before pvdma"
	same "DMA faults of the disk" "$(vtd_faults "$L1_NVME")" "$(< "$E2E_RUN/faults")"
}

# What runs is what DKMS built and installed here.
from_dkms() {
	local release status file

	release=$(g system 'uname -r')
	g system 'modinfo pvdma; dpkg -s pvdma-guest-dkms'
	status=$(g system 'dkms status')
	[[ $status == pvdma/*", $release, x86_64: installed" ]] ||
		fail "dkms says of the module: $status"
	file=$(g system 'modinfo -F filename pvdma')
	[[ $file == "/lib/modules/$release/updates/dkms/pvdma.ko"* ]] ||
		fail "modinfo finds $file, which is not what DKMS installs"
	# Debian's kernel has no pvdma of its own, and would mark one that it had otherwise.
	[[ $(g system 'cat /sys/module/pvdma/taint') == *O* ]] ||
		fail "the loaded module is not one from outside of the kernel"
}

# What the guest's owner has in /etc/modprobe.d counts, although the module was loaded in the
# initramfs.
parameters() {
	local name value

	while IFS='=' read -r name value; do
		same "parameter $name" "$(g system "cat /sys/module/pvdma/parameters/$name")" "$value"
	done < <(sed -n 's/^options pvdma //p' "$E2E_DIR/guest_package.conf" | tr ' ' '\n')
}

# Files on the disk that it came from, written, read and compared; more than fits into the
# quota at once, which the kernel's own count has not passed since before the boot.
worked() {
	local peak

	g system 'mkdir /var/tmp/data; cd /var/tmp; pvdma-work fill data 8 4M; sync
		pvdma-work disk data 8 4M 64K 2' 600
	same "failures of $NVME" "$(g system "counter failures $NVME")" 0
	expect "mappings" "$(g system "counter maps $NVME") + $(g system "counter sg_maps $NVME") > 0"
	same "DMA faults of the disk" "$(vtd_faults "$L1_NVME")" "$(< "$E2E_RUN/faults")"
	same "over the quota" "$(stat_of a vm.over_quota_bytes)" 0
	peak=$(pins_peak)
	expect "bytes pinned at the peak" "0 < $peak && $peak <= $QUOTA"
}

booted_again() {
	(($(guest_boots system) > $1))
}

# A new kernel takes the place of the old one, without a reset of the machine: what the
# device had mapped ends with the old module, and the new one begins with what it finds.
kernel_replaced() {
	local boots pid

	boots=$(guest_boots system) pid=$(guest_pid system)
	g system 'kexec --load --kexec-file-syscall "$(readlink -f /vmlinuz)" \
		--initrd="$(readlink -f /initrd.img)" --reuse-cmdline
		systemctl --no-block kexec'
	eventually 300 "the new kernel" booted_again "$boots"
	same "QEMU" "$(guest_pid system)" "$pid"
	g system dmesg > "$LOG"
	in_time
	g system 'cd /var/tmp; pvdma-work disk data 8 4M 64K 2' 600
	same "failures of $NVME" "$(g system "counter failures $NVME")" 0
	same "DMA faults of the disk" "$(vtd_faults "$L1_NVME")" "$(< "$E2E_RUN/faults")"
}

step boots booted
step in-time in_time
step dkms from_dkms
step parameters parameters
step works worked
step kexec kernel_replaced
