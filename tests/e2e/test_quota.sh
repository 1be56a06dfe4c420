# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# quota: verified I/O on a working set twice the quota, on one that fits, and under a
# quota that moves; and a device that nobody looks after: what is not mapped is out of
# its reach.
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
	# what is written back at once has to fit, too
	g quota "drive $NVME; disk=\$(disk_of $NVME)
		cd /sys/block/\$(basename \$disk)/queue; echo 16 > nr_requests; echo 256 > max_sectors_kb
		disk_fill \$disk $SET"
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

# Up and down under I/O whose data is verified: after each lowering the kernel pins no
# more than the quota, and what is granted again is used again (DEV-QUOTA-1).
moving() {
	local low

	io_begin quota "$NVME" $SET
	for low in 16 8 12 8; do
		agent_query a quota ${low}M
		within a $((low << 20))
		g quota '! grep ended /tmp/io'
		agent_query a quota 48M
		eventually 60 "use of the raised quota" eval \
			"((\$(stat_of a vm.mapped_bytes) > $low << 20))"
	done
	io_end quota
	same "failures" "$(g quota "counter failures $NVME")" 0
	same "bytes revoked" "$(stat_of a vm.revoked_bytes)" 0
}

# io_count: reads and writes of the disk that are done.
io_count() {
	g quota "awk '{ print \$1 + \$5 }' /sys/block/\$(basename \$(disk_of $NVME))/stat"
}

# With a quota above the working set, work that goes on makes no request at all: its
# second half is all hits.
steady() {
	local rounds=6 ios start half

	agent_query a quota 256M
	ios=$((rounds * 2 * (32 << 20) / (64 << 10)))
	g quota "disk=\$(disk_of $NVME); disk_fill \$disk 32M"
	start=$(io_count)
	g quota "disk=\$(disk_of $NVME); (disk_work \$disk 32M 64K $rounds > /tmp/io 2>&1
		echo ended=\$? >> /tmp/io) &"
	eventually 240 "the first half" eval "((\$(io_count) - $start >= $ios / 3))"
	half=$(stat_of a vm.map_requests)
	g quota '! grep ended= /tmp/io'
	g quota 'wait_for 300 grep ended= /tmp/io; grep ended=0 /tmp/io' 400
	expect "I/Os" "$(io_count) - $start >= $ios"
	result quota.steady_requests $(($(stat_of a vm.map_requests) - half))
	same "requests in the second half" "$(stat_of a vm.map_requests)" "$half"
}

# enforce=wait, the default: what the disk's queues hold stays, and both sides say so.
waited_for() {
	local over

	agent_query a quota 64K 200ms
	eventually 30 "a word about it in the log" grep -q 'they stay until it gives them up' \
		"$(agent_log a)"
	over=$(stat_of a vm.over_quota_bytes)
	expect "bytes above the quota" "$over > 0"
	expect "bytes pinned" "$(pinned_bytes) > 64 << 10"
	eventually 30 "the news in the guest" eval '(($(g quota "attribute excess") > 0))'
	same "the deadline in the guest" "$(g quota 'attribute deadline_ms')" 200
	g_says quota 'the host wants [0-9]+ KiB that are in use, within 200 ms'
	agent_query a quota $QUOTA
	eventually 30 "the end of it in the guest" eval '(($(g quota "attribute excess") == 0))'
	g quota "disk=\$(disk_of $NVME); disk_fill \$disk 16M; disk_work \$disk 16M 64K 1" 400
	same "bytes revoked" "$(stat_of a vm.revoked_bytes)" 0
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
	guest_stop direct
	agent_stop d
}

agent_start a "$(bed_bdf nvme)" -- --quota $QUOTA
pins_begin
vm_start quota a --mem 512M
step half half
step lowered lowered
step moving moving
step steady steady
step enforce-wait waited_for
step blocked blocked
step reached reached
