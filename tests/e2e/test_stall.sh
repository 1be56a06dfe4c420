# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# stall: the agent stops to answer for a while (DRV-QUEUE-1): what is not mapped
# cannot be mapped, the guest lives, and when the agent is back all goes on with data
# that is right.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

NVME=$(guest_bdf 0)

setup() {
	load_pvdma stall 1
	g stall "drive $NVME; disk=\$(disk_of $NVME); disk_fill \$disk 48M"
	# a small quota: much of the next work is misses
	g stall "(disk_work \$(disk_of $NVME) 48M 64K 2 > /tmp/io 2>&1; echo done=\$? >> /tmp/io) &"
}

# What is not mapped fails after one bounded wait; all else in the guest goes on.
stopped() {
	local began

	kill -STOP "$(agent_pid a)"
	eventually 60 "the module's word" g_says stall 'the host does not answer'
	same "stalled" "$(g stall 'attribute stalled')" 1
	expect "requests given up" "$(g stall 'counter timeouts') > 0"
	began=$SECONDS
	g stall 'dd if=/dev/zero of=/tmp/x bs=1M count=16 2> /dev/null; sha256sum /tmp/x'
	expect "seconds for work without the device" "$((SECONDS - began)) < 60"
	! g stall 'grep -q ^error=file /tmp/io' || fail "data is wrong"
}

continued() {
	kill -CONT "$(agent_pid a)"
	g stall 'wait_for 200 grep -q ^done= /tmp/io; cat /tmp/io'
	! g stall 'grep -q "^error=file.*is wrong" /tmp/io' || fail "data is wrong"
	# the work may have met an I/O error on its way; from now on there is none
	g stall "disk_fill \$(disk_of $NVME) 16M; disk_work \$(disk_of $NVME) 16M 64K 2"
	g_says stall 'the host answers again'
	same "stalled" "$(g stall 'attribute stalled')" 0
	expect "late answers" "$(g stall 'counter late_answers') > 0"
}

agent_start a "$(bed_bdf nvme)" -- --quota 16M
vm_start stall a
step setup setup
step stopped stopped
step continued continued
