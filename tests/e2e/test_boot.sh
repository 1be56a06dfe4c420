# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# boot: a guest that boots from its passthrough disk, without help from its VMM: firmware
# and boot loader do DMA before there is a kernel. With fallback=deny that disk is dead, and
# the operator is told why; with fallback=direct the guest comes up, and once the module
# is loaded the same disk is used on demand, under a quota that is a part of its memory.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

NVME=$(guest_bdf 0) L1_NVME=$(bed_bdf nvme)
MEM=$((384 << 20)) QUOTA=$((400 << 20)) LOW=$((24 << 20))
BIOS=$BED_OUT/boot-firmware

# firmware_guest AGENT [OPTION...]: a guest that is left to its firmware, whose own messages go
# to $BIOS.AGENT.
firmware_guest() {
	local agent=$1

	shift
	vm_start boot "$agent" --mem $((MEM >> 20))M --firmware "$@" --qemu-arg \
		"-chardev file,id=bios,path=$BIOS.$agent -device isa-debugcon,iobase=0x402,chardev=bios"
}

gives_up() {
	eventually 150 "the firmware's end of its search" grep -sq 'No bootable device' "$BIOS.deny"
}

# The firmware sees a disk that does not answer; the IOMMU stopped what it tried. All are
# alive, and nothing was mapped.
denied() {
	local faults

	faults=$(vtd_faults "$L1_NVME")
	agent_start deny "$L1_NVME" -- --quota $QUOTA
	firmware_guest deny --no-wait
	gives_up
	expect "DMA faults" "$(vtd_faults "$L1_NVME") > $faults"
	same "bytes mapped at the peak" "$(stat_of deny vm.mapped_peak)" 0
	contains "the agent's log" "$(agent_log deny)" \
		"guest lets $L1_NVME do DMA, but no pvdma driver.*fallback=direct"
	guest_alive boot || fail "QEMU ended"
	guest_kill boot
	guest_stop boot
	agent_stop deny
}

all_mapped() {
	(($(stat_of a vm.mapped_bytes) >= MEM))
}

booted() {
	agent_start a "$L1_NVME" -- --quota $QUOTA --fallback direct
	pins_begin
	firmware_guest a --timeout 400
	g boot 'cat /proc/cmdline; grep -q BOOT_IMAGE=/vmlinuz /proc/cmdline'
	contains "GRUB's console" "$(guest_dir boot)/serial.log" 'GRUB loads a kernel'
	same "QEMU's kernel" "$(grep -c -- '^-kernel$' "$(guest_dir boot)/command" || true)" 0
	eventually 60 "all of the guest mapped" all_mapped
	same "DMA faults of the disk" "$(vtd_faults "$L1_NVME")" "$(< "$E2E_RUN/faults")"
	! grep -q 'lets .* do DMA' "$(agent_log a)" || fail "the agent takes it for denied"
}

few_mapped() {
	(($(stat_of a vm.mapped_bytes) < MEM / 4))
}

# From all of the memory to what is used. The quota was kept all the time by the
# kernel's own count (DEV-MAP-4).
shrunk() {
	local peak

	load_pvdma boot 1
	g boot "drive $NVME"
	same "the state of $NVME" "$(g boot "endpoint_state $NVME")" attached
	eventually 60 "on-demand mapping" few_mapped
	expect "bytes pinned" "0 < $(pinned_bytes) && $(pinned_bytes) < $MEM / 4"
	peak=$(pins_peak)
	expect "bytes pinned at the peak" "$MEM <= $peak && $peak <= $QUOTA"
}

# The disk that it came from is the guest's own now: a file system with what the firmware
# and GRUB read, and raw data beside it.
used() {
	agent_query a quota $LOW
	g boot "disk=\$(disk_of $NVME); mount -t ext4 \${disk}p1 /mnt; cd /mnt; sha256sum -c sums"
	g boot "disk=\$(disk_of $NVME); disk_fill \${disk}p2 32M
		(until [ -e /tmp/stop ]; do disk_work \${disk}p2 32M 64K 1 || break; done > /tmp/io 2>&1
		[ -e /tmp/stop ] && echo ended well >> /tmp/io || echo ended badly >> /tmp/io) &"
	within a $LOW
	g boot 'cd /mnt; mkdir data; pvdma-work fill data 4 2M; sync
		pvdma-work disk data 4 2M 64K 1' 400
	within a $LOW
	g boot 'touch /tmp/stop; wait_for 300 grep -q ended /tmp/io; cat /tmp/io
		grep -q "ended well" /tmp/io; umount /mnt' 400
	expect "bytes pinned" "$(pinned_bytes) <= $LOW"
	expect "evictions" "$(stat_of a vm.evictions) > 0"
	same "failures" "$(g boot "counter failures $NVME")" 0
	same "DMA faults of the disk" "$(vtd_faults "$L1_NVME")" "$(< "$E2E_RUN/faults")"
}

vm_install "$L1_NVME"
step deny denied
vtd_faults "$L1_NVME" > "$E2E_RUN/faults"
step direct booted
step shrink shrunk
step on-demand used
