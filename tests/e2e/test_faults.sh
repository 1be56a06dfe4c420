# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# faults: what goes wrong around a VM at work (docs/reliability.md): the agent is stopped
# for a minute, clocks jump, the device is reset, the guest panics, QEMU is killed. The
# disk moves verified data all the while.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

NVME=$(guest_bdf 0) L1_NVME=$(bed_bdf nvme)
QUOTA=$((64 << 20))
SET=16M
STOPPED_SECONDS=60

# With the same memory in each round, so that all of it is mapped after the first.
busy() {
	g faults "disk_fill \$(disk_of $NVME) $SET"
	io_begin faults "$NVME" $SET /tmp/buffers
	io_goes_on faults
}

works_again() {
	g faults "disk=\$(disk_of $NVME); disk_fill \$disk $SET; disk_work \$disk $SET 64K 1"
	expect "bytes pinned" "0 < $(pinned_bytes) && $(pinned_bytes) <= $QUOTA"
}

# What is mapped needs no agent: not a minute, nor longer.
agent_stopped() {
	local rounds

	busy
	kill -STOP "$(agent_pid a)"
	sleep $STOPPED_SECONDS
	rounds=$(io_rounds faults)
	io_goes_on faults
	expect "rounds of I/O" "$(io_rounds faults) > $rounds"
	kill -CONT "$(agent_pid a)"
	io_end faults
	works_again
	same "requests given up" "$(g faults 'counter timeouts')" 0
}

# comes_in_time SECONDS COMMAND...: whatever the wall clock says.
comes_in_time() {
	local tries

	for ((tries = $1 * E2E_PATIENCE; tries > 0; tries--)); do
		! "${@:2}" || return 0
		sleep 1
	done
	return 1
}

told_of_deadline() {
	(($(grep -c 'they stay until it gives them up' "$(agent_log a)") > $1))
}

# The wall clock is nothing to the agent: its deadlines come when they should.
clock_jumps() {
	local years=$((10 * 365 * 24 * 3600)) jump told

	busy
	for jump in $years -$years; do
		told=$(grep -c 'they stay until it gives them up' "$(agent_log a)" || true)
		agent_query a quota 64K 2s
		clock_by "$jump"
		comes_in_time 30 told_of_deadline "$told"
		agent_query a quota $QUOTA
		clock_by $((-jump))
	done
	io_goes_on faults
	io_end faults
	same "requests given up" "$(g faults 'counter timeouts')" 0
}

# The function is reset under its driver, and so is the controller; I/O waits, and goes on.
device_reset() {
	local failures

	failures=$(g faults "counter failures $NVME")
	busy
	g faults "echo 1 > \$PCI/devices/$NVME/reset"
	io_goes_on faults
	g faults "echo 1 > \$(ls -d \$PCI/devices/$NVME/nvme/nvme*)/reset_controller"
	io_goes_on faults
	io_end faults
	works_again
	same "failures" "$(g faults "counter failures $NVME")" "$failures"
}

rebooted() {
	(($(guest_boots faults) > $1))
}

mapped_nothing() {
	(($(stat_of "$1" vm.mapped_bytes) == 0))
}

nothing_pinned() {
	(($(pinned_bytes) == 0))
}

# A kernel that panics leaves its device at work. It keeps to the quota, and the reset ends it.
panicked() {
	local boots

	boots=$(guest_boots faults)
	bed_allow guest 'Kernel panic - not syncing: sysrq triggered crash' 'the test wants it'
	busy
	g faults '(sleep 1; echo c > /proc/sysrq-trigger) < /dev/null > /dev/null 2>&1 &'
	eventually 30 "the panic" grep -q 'Kernel panic' "$(guest_dir faults)/serial.log"
	expect "bytes pinned" "0 < $(pinned_bytes) && $(pinned_bytes) <= $QUOTA"
	qmp faults system_reset
	eventually 60 "nothing mapped" mapped_nothing a
	eventually 60 "nothing pinned" nothing_pinned
	eventually 150 "the new kernel" rebooted "$boots"
	guest_stop faults
	agent_stop a
}

# QEMU dies at work: nothing stays pinned, and the agent serves the next one.
qemu_killed() {
	agent_start k "$L1_NVME" -- --quota $QUOTA
	vm_start faults k --mem 512M
	load_pvdma faults 1
	g faults "drive $NVME"
	busy
	expect "bytes pinned" "$(pinned_bytes) > 0"
	guest_kill faults
	eventually 60 "nothing pinned" nothing_pinned
	same "bytes mapped" "$(stat_of k vm.mapped_bytes)" 0
	guest_stop faults
	vm_start faults k --mem 512M
	load_pvdma faults 1
	moves_data faults "$NVME" $SET
	guest_stop faults
	agent_stop k
}

start() {
	load_pvdma faults 1
	moves_data faults "$NVME" $SET
}

agent_start a "$L1_NVME" -- --quota $QUOTA
vm_start faults a --mem 512M
step start start
step agent-stopped agent_stopped
step clock-jumps clock_jumps
step device-reset no_faults "resets" "$L1_NVME" device_reset
step panic panicked
step qemu-killed qemu_killed
