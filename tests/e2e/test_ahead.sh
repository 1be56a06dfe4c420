# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# ahead: the same work with and without mapping ahead. What is mapped ahead stays
# within the quota, some of it is used, and the data is right.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

L1_NVME=$(bed_bdf nvme) NVME=$(guest_bdf 0)
QUOTA_MIB=16

# More memory than the quota passes through the guest's page cache, in order.
reads_the_disk() {
	g "$1" "echo 3 > /proc/sys/vm/drop_caches
		dd if=\$(disk_of $NVME) of=/dev/null bs=1M count=128" 600
}

work() {
	moves_data "$1" "$NVME" 32M
	reads_the_disk "$1"
}

one_life() {
	agent_start "$1" "$L1_NVME" -- --quota "${QUOTA_MIB}M" --granule 4K --ahead "$1"
	vm_start "vm$1" "$1"
	load_pvdma "vm$1" 1
	no_faults "the work" "$L1_NVME" work "vm$1"
	agent_query "$1" stats > "$E2E_RUN/stats.$1"
	jq -c .vm "$E2E_RUN/stats.$1"
	expect "the most that was mapped" \
		"$(jq .vm.mapped_peak "$E2E_RUN/stats.$1") <= $QUOTA_MIB << 20"
	guest_stop "vm$1"
	agent_stop "$1"
}

said() {
	jq ".vm.$2" "$E2E_RUN/stats.$1"
}

compared() {
	local name

	same "granules mapped ahead without it" "$(said off ahead_granules)" 0
	expect "granules mapped ahead" "$(said on ahead_granules) > 0"
	expect "granules of them that were used" "$(said on ahead_used) > 0"
	for name in map_requests evictions iommu_maps; do
		result "ahead.$name" "off: $(said off "$name"), on: $(said on "$name")"
	done
	contains "the agent's log" "$(agent_log on)" 'mapping costs [0-9]+ ns for 4 KiB'
}

step off one_life off
step on one_life on
step compared compared
