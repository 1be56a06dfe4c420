# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# quota: verified I/O on a working set twice the quota, and a device that nobody
# looks after: what is not mapped is out of its reach.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

NVME=$(guest_bdf 0) EDU=$(bed_bdf edu)
QUOTA=$((32 << 20))
SET=64M

# DEV-MAP-4 by the kernel's own count, and DEV-EVICT-1 by the data: a granule that
# was unmapped under a transfer would lose what the device wrote.
half() {
	local peak

	load_pvdma quota 1
	g quota "drive $NVME; disk=\$(disk_of $NVME); disk_fill \$disk $SET"
	g quota "disk_work \$(disk_of $NVME) $SET 64K 2" 400
	peak=$(pins_peak)
	result quota.pinned_peak_bytes "$peak"
	expect "bytes pinned" "$QUOTA / 2 < $peak && $peak <= $QUOTA"
	expect "evictions" "$(stat_of a vm.evictions) > 0"
	same "failures" "$(g quota "counter failures $NVME")" 0
}

# A quota that is lowered takes effect at once on what is idle, and the guest hears of
# it (DEV-CONF-1).
lowered() {
	agent_query a quota 8M
	eventually 30 "the quota in the guest" eval \
		'[[ $(g quota "attribute quota") == $((8 << 20)) ]]'
	g quota "disk_work \$(disk_of $NVME) $SET 64K 1" 400
	expect "bytes pinned" "$(pinned_bytes) <= 8 << 20"
	agent_query a quota $QUOTA
	g quota "disk_work \$(disk_of $NVME) $SET 64K 1" 400
}

# A device without driver, in a VM where nothing is mapped: the IOMMU stops its read
# and its write.
blocked() {
	local before after

	guest_stop quota
	agent_stop a
	agent_start e "$EDU" -- --quota $QUOTA
	vm_start blocked e --mem 384M
	load_pvdma blocked 1
	before=$(vtd_faults "$EDU")
	same "the write of a device that nobody looks after" "$(g blocked "edu $(guest_bdf 0)")" blocked
	after=$(vtd_faults "$EDU")
	expect "DMA faults of the device" "$after - $before >= 2"
	guest_stop blocked
	agent_stop e
}

# The same program on the same device does reach memory that is mapped: with all of
# the guest mapped it says so, and no fault is seen.
reached() {
	local before

	agent_start d "$EDU" -- --quota 400M --fallback direct
	vm_start direct d --mem 384M
	eventually 60 "all of the guest mapped" eval '(($(stat_of d vm.mapped_bytes) >= 384 << 20))'
	before=$(vtd_faults "$EDU")
	same "the write of the device" "$(g direct "edu $(guest_bdf 0)")" reached
	same "DMA faults of the device" "$(vtd_faults "$EDU")" "$before"
}

agent_start a "$(bed_bdf nvme)" -- --quota $QUOTA
pins_begin
vm_start quota a --mem 512M
step half half || exit 1
step lowered lowered
step blocked blocked
step reached reached
