# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# crash: the agent is killed again and again while a disk and a NIC move verified data.
# It goes on where it stood: no error, no wrong byte, no DMA fault; the guest waits for
# what it misses, and for nothing else. E2E_KILLS: how often.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"
# shellcheck source=tests/e2e/kept.sh
. "$E2E_DIR/kept.sh"

KILLS=${E2E_KILLS:-10}
QUOTA=$((48 << 20))
SET=96M
NVME=$(guest_bdf 0) NIC=$(guest_bdf 1)

killed() {
	local i evictions served down worst=0

	work_begin crash "$NVME" "$NIC" $SET
	for ((i = 0; i < KILLS; i++)); do
		bed_pause
		served=$(stat_of a vm.map_requests)
		down=$(date +%s%3N)
		kill_agent a
		down=$(($(date +%s%3N) - down))
		((down <= worst)) || worst=$down
		# the guest goes on asking, and is answered
		eventually 60 "requests after kill $i" eval "((\$(stat_of a vm.map_requests) > $served + 20))"
		same "VMs that gave up" "$(g crash "counter timeouts")" 0
	done
	work_end crash
	result crash.longest_read_ms "$(worst_read_ms crash)"
	result crash.kills "$KILLS"
	result crash.longest_absence_ms "$worst"
	evictions=$(stat_of a vm.evictions)
	expect "evictions" "$evictions > 0"
	same "failures of the disk" "$(g crash "counter failures $NVME")" 0
	same "failures of the NIC" "$(g crash "counter failures $NIC")" 0
}

# The books, the kernel's own count and the quota agree.
balanced() {
	expect "what is mapped" "$(stat_of a vm.mapped_bytes) <= $QUOTA"
	same "bytes pinned" "$(pinned_bytes)" "$(stat_of a vm.mapped_bytes)"
}

# Configuration, interrupts and resets go on, too: drivers that come and go.
driver_again() {
	g crash "undrive $NVME"
	kill_agent a
	g crash "drive $NVME; work $NVME 8M" 600
	kill_agent a
	g crash "undrive $NIC; drive $NIC"
	g crash "work $NVME 8M; work $NIC 2M" 600
}

keep a
agent_start a "$(bed_bdf nvme)" "$(bed_bdf e1000e)" -- --quota $QUOTA
vm_start crash a --mem 512M
step load load_pvdma crash 2
step nvme moves_data crash "$NVME" 8M
step nic moves_data crash "$NIC" 2M
step killed no_faults "the kills" "$(bed_bdf nvme)" killed
step balanced balanced
step driver-again driver_again
