# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# reboot: a guest that is reset, reboots, or is paused.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

NVME=$(guest_bdf 0) NIC=$(guest_bdf 1)
QUOTA=$((64 << 20))

both_work() {
	load_pvdma reboot 2
	moves_data reboot "$NVME" 4M
	moves_data reboot "$NIC" 1M
}

# The new kernel's memory is its own: nothing of the old mappings is left
# when it comes up (DEV-INIT-4 is for what a reset leaves).
rebooted() {
	local resets

	resets=$(stat_of a vm.resets)
	guest_reboot reboot "$1"
	same "bytes mapped" "$(stat_of a vm.mapped_bytes)" 0
	expect "resets seen" "$(stat_of a vm.resets) > $resets"
	both_work
}

# A reset in the middle of I/O: transfers on their way must not reach the new kernel.
rebooted_busy() {
	g reboot "disk=\$(disk_of $NVME); (disk_work \$disk 4M 4K 1000 > /dev/null 2>&1) &"
	rebooted hard
}

# DEV-RESET-2: a pause stops the queues, and so does a reset; but after a pause
# there is no INIT, and all goes on with the mappings that there were.
paused() {
	local before after resets i

	resets=$(stat_of a vm.resets)
	g reboot "disk=\$(disk_of $NVME); disk_fill \$disk 8M
		(disk_work \$disk 8M 16K 30 > /tmp/paused 2>&1; echo done=\$? >> /tmp/paused) &"
	for i in 1 2 3; do
		guest_qmp reboot '{"execute": "stop"}'
		before=$(stat_of a vm.mapped_bytes)
		sleep 1
		after=$(stat_of a vm.mapped_bytes)
		echo "pause $i: $before bytes mapped, then $after"
		guest_qmp reboot '{"execute": "cont"}'
		same "bytes mapped in a pause" "$after" "$before"
		expect "bytes mapped" "$before > 0"
		sleep 0.5
	done
	g reboot 'wait_for 200 grep -q ^done= /tmp/paused; cat /tmp/paused; grep -q ^done=0 /tmp/paused'
	same "resets seen" "$(stat_of a vm.resets)" "$resets"
	g reboot "work $NIC 1M"
}

agent_start a "$(bed_bdf nvme)" "$(bed_bdf e1000e)" -- --quota $QUOTA
vm_start reboot a
step first both_work
step pause paused
step hard rebooted hard
step soft rebooted soft
step hard-busy rebooted_busy
