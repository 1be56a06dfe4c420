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

trap 'kill $(jobs -p) 2> /dev/null' EXIT
bin=$BED_TOP/build/bin
run=/run/demo
nvme=$(bed_bdf nvme) nic=$(bed_bdf e1000e)
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

mkdir -p $run
bind_vfio "$nvme" "$nic" || exit

bytes() { numfmt --from=iec "$1"; }

# value FILE KEY [DEFAULT]: of the key=value lines that pvdma-work prints
value()
{
	local v

	v=$(sed -n "s/^$2=//p" "$1" | tail -n 1)
	echo "${v:-${3:-}}"
}

agent_start()
{
	"$bin/pvdma-agent" --name demo --quota "$1" --granule $granule --iommu type1 \
		--device "$nvme,socket=$run/nvme.sock" \
		--device "$nic,socket=$run/nic.sock" \
		--vhost-socket $run/vhost.sock --control $run/control \
		2>> "$BED_OUT/agent.log" &
	agent=$!
	until [[ -S $run/control && -S $run/nvme.sock && -S $run/nic.sock && -S $run/vhost.sock ]]; do
		kill -0 $agent || return
		bed_pause
	done
}

agent_stop()
{
	kill $agent && wait $agent
}

ask() { "$bin/pvdma-agent" --query $run/control "$@"; }

stat() { ask stats | jq ".vm.$1"; }

# prepare NAME MODULE...: disk mounted, network up. Socket buffers are bounded: what
# waits in them is memory that the NIC uses, and grows with how late a reader is.
prepare()
{
	local module

	shift
	for module in "$@"; do
		guest_sh demo "load $module" 60 || return
	done
	guest_sh demo "echo 4096 65536 131072 | tee /proc/sys/net/ipv4/tcp_[rw]mem > /dev/null" || return
	guest_sh demo "mount -t ext4 -o noatime \$(disk_of $(guest_bdf 0)) /mnt && net_up \$(net_of $(guest_bdf 1))" 120
}

# half NAME NUMBER: one half of the work; its lines go to a file
half()
{
	local name=$1 file=$run/$1.half$2 before after ok=0 i

	: > "$file"
	for ((i = 0; i < rounds && !ok; i++)); do
		before=$(kvm_exits demo)
		guest_sh demo "PVDMA_WORK_MEMORY=/tmp/buffers pvdma-work disk /mnt $FILES $FILE_SIZE $chunk 1" 300 >> "$file" || ok=1
		after=$(kvm_exits demo)
		echo "exits=$((after - before))" >> "$file"
		guest_sh demo "pvdma-work get \$(cat /run/peer.*) \$BED_PORT_WORK $net_bytes &&
			pvdma-work put \$(cat /run/peer.*) \$BED_PORT_WORK $net_bytes" 300 >> "$file" || ok=1
	done
	grep ^error= "$file" >&2
	return $ok
}

# total KEY FILE...: the sum of a key over files
total()
{
	local key=$1

	shift
	cat "$@" | awk -F= -v k="$key" '$1 == k { n += $2 } END { printf "%.3f\n", n }'
}

# all_true KEY FILE...: every round of both halves says so
all_true()
{
	[[ $(cat "${@:2}" | grep -c "^$1=true") == $((2 * rounds)) ]] && echo true || echo false
}

# report NAME: the figures of the work and of the samples
report()
{
	local name=$1 one=$run/$1.half1 two=$run/$1.half2 moved seconds ios

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
	result "$name.guest_alive" "$(guest_sh demo 'echo true')"
	result "$name.pinned_peak_bytes" "$(value $run/pins pinned_peak_bytes)"
	result "$name.pin_samples" "$(value $run/pins pin_samples)"
	result "$name.dmar_faults" $(($(vtd_faults) - faults))
}

pins_start()
{
	"$bin/pvdma-work" pins 50 $run/pins &
	pins=$!
	faults=$(vtd_faults)
}

pins_stop()
{
	kill $pins
	wait $pins
}

# start NAME OPTION...: a guest; every run has the same kind of memory
start()
{
	local name=$1 before=$EPOCHREALTIME after

	shift
	guest_start demo --mem-backend shmem --file "$bin/pvdma-work:bin/pvdma-work" "$@" || return
	after=$EPOCHREALTIME
	result "$name.start_seconds" "$(awk -v a="$before" -v b="$after" 'BEGIN { printf "%.2f", b - a }')"
}

start_pvdma()
{
	start "$1" --mode vfio-user --sock $run/nvme.sock $run/nic.sock \
		--vhost-sock $run/vhost.sock
}

run_direct()
{
	progress "(a) plain vfio-pci"
	pins_start
	start vfio-direct --mode vfio --device "$nvme" "$nic" || return
	prepare vfio-direct nvme e1000e ext4 || return
	half vfio-direct 1 && half vfio-direct 2
	pins_stop
	report vfio-direct
	result vfio-direct.quota_bytes "$(bytes "$BED_GUEST_MEM")"
	result vfio-direct.map_requests 0
	result vfio-direct.map_requests_second_half 0
	result vfio-direct.evictions 0
	guest_stop demo
}

# pvdma NAME QUOTA: the quota becomes the working set after the first half where
# QUOTA is ample: what the work turned out to need, and an eighth, because an
# allocator is no clockwork.
run_pvdma()
{
	local name=$1 quota=$2 requests

	pins_start
	agent_start "$quota" || return
	start_pvdma "$name" || return
	prepare "$name" pvdma nvme e1000e ext4 || return
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
	guest_sh demo 'cat /sys/kernel/debug/pvdma/* 2> /dev/null' > "$BED_OUT/$name.guest"
	guest_stop demo
	agent_stop
}

run_none()
{
	progress "(d) pvdma with nothing granted"
	pins_start
	agent_start 0 || return
	start_pvdma pvdma-none || return
	# Each of these may fail, and should: what counts is what was read.
	prepare pvdma-none pvdma nvme e1000e ext4
	half pvdma-none 1
	: > $run/pvdma-none.half2
	pins_stop
	result pvdma-none.map_requests "$(stat map_requests)"
	result pvdma-none.map_requests_second_half 0
	result pvdma-none.evictions "$(stat evictions)"
	result pvdma-none.quota_bytes "$(stat quota)"
	report pvdma-none
	guest_stop demo
	agent_stop
}

run_direct || exit
progress "(b) pvdma, quota = working set"
run_pvdma pvdma-ws $ample || exit
progress "(c) pvdma, half of that"
run_pvdma pvdma-half $((working_set / 2)) || exit
run_none
