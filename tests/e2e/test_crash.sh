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

KILLS=${E2E_KILLS:-20}
QUOTA=$((48 << 20))
SET=96M
NVME=$(guest_bdf 0) NIC=$(guest_bdf 1)
DIR=$(agent_dir a)

ready() {
	(($(cat "$DIR/ready" 2> /dev/null || echo 0) >= $1))
}

answers() {
	agent_query a ping > /dev/null 2>&1
}

kill_agent() {
	local before

	before=$(< "$DIR/ready")
	kill -9 "$(< "$DIR/agent")"
	eventually 30 "the next agent" ready $((before + 1))
	eventually 30 "its answer" answers
}

# work_begin, work_end: in the guest, verified I/O on the disk and both ways over the
# NIC, and a reader that notes how long a read has taken at most.
work_begin() {
	g crash "rm -f /tmp/stop /tmp/*.end; disk=\$(disk_of $NVME); disk_fill \$disk $SET
		(while [ ! -e /tmp/stop ]; do disk_work \$disk $SET 64K 1 || exit; done
			echo well > /tmp/disk.end) > /tmp/disk.log 2>&1 &
		(while [ ! -e /tmp/stop ]; do net_all $NIC 4M || exit; done
			echo well > /tmp/net.end) > /tmp/net.log 2>&1 &
		(worst=0
		now() { awk '{ printf \"%d\", \$1 * 100 }' /proc/uptime; }
		while [ ! -e /tmp/stop ]; do
			was=\$(now); dd if=\$disk of=/dev/null bs=4k count=1 iflag=direct skip=\$((was % 16384)) || exit
			took=\$((\$(now) - was)); [ \$took -le \$worst ] || worst=\$took
		done
		echo \$worst > /tmp/read.end) > /tmp/read.log 2>&1 &" 600
}

work_end() {
	g crash 'touch /tmp/stop; for w in disk net read; do
		wait_for 300 test -e /tmp/$w.end || { tail -n 3 /tmp/$w.log; exit 1; }; done' 1200
	result crash.longest_read_ms "$(($(g crash 'cat /tmp/read.end') * 10))"
}

killed() {
	local i evictions served down worst=0

	work_begin
	for ((i = 0; i < KILLS; i++)); do
		bed_pause
		served=$(stat_of a vm.map_requests)
		down=$(date +%s%3N)
		kill_agent
		down=$(($(date +%s%3N) - down))
		((down <= worst)) || worst=$down
		# the guest goes on asking, and is answered
		eventually 60 "requests after kill $i" eval "((\$(stat_of a vm.map_requests) > $served + 20))"
		same "VMs that gave up" "$(g crash "counter timeouts")" 0
	done
	work_end
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
	kill_agent
	g crash "drive $NVME; work $NVME 8M" 600
	kill_agent
	g crash "undrive $NIC; drive $NIC"
	g crash "work $NVME 8M; work $NIC 2M" 600
}

AGENT_PREFIX=(python3 "$E2E_DIR/keeper.py" "$DIR")
agent_start a "$(bed_bdf nvme)" "$(bed_bdf e1000e)" -- --quota $QUOTA
vm_start crash a --mem 512M
step load load_pvdma crash 2
step nvme moves_data crash "$NVME" 8M
step nic moves_data crash "$NIC" 2M
step killed no_faults "the kills" "$(bed_bdf nvme)" killed
step balanced balanced
step driver-again driver_again
