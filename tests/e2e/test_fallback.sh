# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# fallback: fallback=direct, for guests that need their disk before pvdma: the
# guest's memory is mapped as VFIO does it, as long as the quota covers it;
# when the driver comes, mapping is on demand; and when it goes, as before.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

NVME=$(guest_bdf 0)
MEM=$((384 << 20))

all_mapped() {
	(($(stat_of a vm.mapped_bytes) >= MEM))
}

few_mapped() {
	(($(stat_of a vm.mapped_bytes) < MEM / 2))
}

works_directly() {
	eventually 60 "all of the guest mapped" all_mapped
	expect "bytes pinned" "$(pinned_bytes) >= $MEM"
	g fallback "drive $NVME; work $NVME 4M"
}

# The disk works without pvdma: what a firmware or an initramfs does. What is on
# it is judged before anything is written.
direct() {
	eventually 60 "all of the guest mapped" all_mapped
	g fallback "drive $NVME"
	g fallback "disk_sum \$(disk_of $NVME) 8" || fail "the disk's content is not right"
	works_directly
}

taken_over() {
	g fallback pvdma_load
	g_says fallback "$NVME .nvme. is in use"
	g fallback "work $NVME 4M"
	g fallback "rebind $NVME"
	moves_data fallback "$NVME" 4M
	eventually 60 "on-demand mapping" few_mapped
	expect "bytes pinned" "$(pinned_bytes) < $MEM / 2"
	g fallback "work $NVME 4M"
}

# fallback=direct after a reboot, too.
rebooted() {
	guest_reboot fallback soft
	works_directly
}

# A quota that does not cover the guest: the device reaches nothing, and the
# log says why.
refused() {
	agent_start small "$(bed_bdf nvme)" -- --quota $((MEM / 2)) --fallback direct
	vm_start small small --mem $((MEM >> 20))M
	contains "the agent's log" "$(agent_log small)" 'fallback=direct is refused.*quota'
	same "bytes mapped" "$(stat_of small vm.mapped_bytes)" 0
	load_pvdma small 1
	moves_data small "$NVME" 4M
}

agent_start a "$(bed_bdf nvme)" -- --quota $((MEM + (16 << 20))) --fallback direct
vm_start fallback a --mem $((MEM >> 20))M
step direct direct
step takeover taken_over
step reboot rebooted
guest_stop fallback
agent_stop a
step refused refused
