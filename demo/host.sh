#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# host.sh: the demo's part on the emulated host (run by tests/bed/bed).
#
# Four guests, one after the other, with the same memory, disk, NIC and work.
# A figure is reported as RUN.FIGURE; what it means stands in report.py. What is
# pinned comes from the kernel's counters, MMIO exits from KVM's, faults from
# the emulated VT-d; requests and evictions are the agent's own.
set -uo pipefail
# shellcheck source=/dev/null
. "$BED_LIB"
# shellcheck source=tests/work/l1.sh
. "$BED_TOP/tests/work/l1.sh"

trap 'kill $(jobs -p) 2> /dev/null' EXIT
# What a half of the work is: so often once over the file set, with the same memory,
# and so many bytes each way by TCP. The guest's allocator hands out other pages
# at first; a working set is what it comes back to.
rounds=4 chunk=256K net_bytes=6M
# Enough for any working set, and 4.9 % of the guest.
ample=100M
# Memory is mapped in pieces as large as those in which Linux keeps its own memory
# together, so that a page which an allocator hands out for the first time is
# most probably mapped already.
granule=2M

bind_vfio "${WORK_DEVICES[@]}" || exit

# half NAME NUMBER: one half of the work; its lines go to a file
half()
{
	local name=$1 file=$WORK_RUN/$1.half$2 before after ok=0 i

	: > "$file"
	for ((i = 0; i < rounds && !ok; i++)); do
		before=$(kvm_exits vm)
		guest_sh vm "PVDMA_WORK_MEMORY=/tmp/buffers pvdma-work disk /mnt $FILES $FILE_SIZE $chunk 1" 300 >> "$file" || ok=1
		after=$(kvm_exits vm)
		echo "exits=$((after - before))" >> "$file"
		guest_sh vm "pvdma-work get \$(cat /run/peer.*) \$BED_PORT_WORK $net_bytes &&
			pvdma-work put \$(cat /run/peer.*) \$BED_PORT_WORK $net_bytes" 300 >> "$file" || ok=1
	done
	grep ^error= "$file" >&2
	return $ok
}

# all_true KEY FILE...: every round of both halves says so
all_true()
{
	[[ $(cat "${@:2}" | grep -c "^$1=true") == $((2 * rounds)) ]] && echo true || echo false
}

# report NAME: the figures of the work and of the samples
report()
{
	local name=$1 one=$WORK_RUN/$1.half1 two=$WORK_RUN/$1.half2 moved seconds ios

	moved=$(total disk_bytes "$one" "$two")
	seconds=$(total disk_seconds "$one" "$two")
	ios=$(awk -v a="$(total disk_reads "$one" "$two")" -v b="$(total disk_writes "$one" "$two")" 'BEGIN { print a + b }')
	result "$name.guest_bytes" "$(bytes "$BED_GUEST_MEM")"
	result "$name.disk_bytes" "${moved%.*}"
	result "$name.disk_mib_s" "$(awk -v b="$moved" -v s="$seconds" 'BEGIN { printf "%.3f", s ? b / 1048576 / s : 0 }')"
	result "$name.mmio_exits_per_io" "$(awk -v e="$(total exits "$one" "$two")" -v n="$ios" 'BEGIN { printf "%.4f", n ? e / n : 0 }')"
	result "$name.disk_verified" "$(all_true disk_verified "$one" "$two")"
	if [[ $(all_true net_get_verified "$one" "$two") == true ]]; then
		result "$name.net_verified" "$(all_true net_put_verified "$one" "$two")"
	else
		result "$name.net_verified" false
	fi
	result "$name.guest_alive" "$(guest_sh vm 'echo true')"
	result "$name.pinned_peak_bytes" "$(value $WORK_RUN/pins pinned_peak_bytes)"
	result "$name.pin_samples" "$(value $WORK_RUN/pins pin_samples)"
	result "$name.dmar_faults" $(($(vtd_faults) - faults))
}

# watch: from here on pins and faults are counted
watch()
{
	pins_start
	faults=$(vtd_faults)
}

# started NAME COMMAND...: starts a guest, and reports how long that took
started()
{
	local name=$1 before=$EPOCHREALTIME after

	shift
	"$@" || return
	after=$EPOCHREALTIME
	result "$name.start_seconds" "$(awk -v a="$before" -v b="$after" 'BEGIN { printf "%.2f", b - a }')"
}

run_direct()
{
	progress "(a) plain vfio-pci"
	watch
	started vfio-direct vm_start --mode vfio --device "${WORK_DEVICES[@]}" || return
	vm_prepare nvme e1000e ext4 || return
	half vfio-direct 1 && half vfio-direct 2
	pins_stop
	report vfio-direct
	result vfio-direct.quota_bytes "$(bytes "$BED_GUEST_MEM")"
	result vfio-direct.map_requests 0
	result vfio-direct.map_requests_second_half 0
	result vfio-direct.evictions 0
	guest_stop vm
}

# pvdma NAME QUOTA: the quota becomes the working set after the first half where
# QUOTA is ample: what the work turned out to need, and an eighth, because an
# allocator is no clockwork.
run_pvdma()
{
	local name=$1 quota=$2 requests

	watch
	agent_start "$quota" --granule $granule || return
	started "$name" vm_start_pvdma || return
	vm_prepare pvdma nvme e1000e ext4 || return
	half "$name" 1
	requests=$(stat map_requests)
	if [[ $quota == "$ample" ]]; then
		quota=$(stat mapped_peak)
		quota=$((quota + quota / 8))
		ask quota "$quota" > /dev/null || return
		working_set=$quota
	fi
	half "$name" 2
	result "$name.map_requests" "$(stat map_requests)"
	result "$name.map_requests_second_half" $(($(stat map_requests) - requests))
	result "$name.evictions" "$(stat evictions)"
	result "$name.quota_bytes" "$(stat quota)"
	pins_stop
	report "$name"
	ask stats > "$BED_OUT/$name.stats"
	guest_sh vm 'cat /sys/kernel/debug/pvdma/* 2> /dev/null' > "$BED_OUT/$name.guest"
	guest_stop vm
	agent_stop
}

run_none()
{
	progress "(d) pvdma with nothing granted"
	watch
	agent_start 0 --granule $granule || return
	started pvdma-none vm_start_pvdma || return
	# Each of these may fail, and should: what counts is what was read.
	vm_prepare pvdma nvme e1000e ext4
	half pvdma-none 1
	: > $WORK_RUN/pvdma-none.half2
	pins_stop
	result pvdma-none.map_requests "$(stat map_requests)"
	result pvdma-none.map_requests_second_half 0
	result pvdma-none.evictions "$(stat evictions)"
	result pvdma-none.quota_bytes "$(stat quota)"
	report pvdma-none
	guest_stop vm
	agent_stop
}

run_direct || exit
progress "(b) pvdma, quota = working set"
run_pvdma pvdma-ws $ample || exit
progress "(c) pvdma, half of that"
run_pvdma pvdma-half $((working_set / 2)) || exit
run_none
