#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# quota-host.sh: the part of tests/bench/quota on the emulated host (run by
# tests/bed/bed).
#
# One guest after the other, with the same memory, disk, NIC and work; what
# differs is the strategy and the quota. Of each run NAME there are left, for
# quota_report.py:
#
#   NAME.run                     key=value: the quota, DMA faults, pins
#   NAME.work                    key=value: what pvdma-work says, all rounds
#   NAME.agent.{before,after}    the agent's counters (JSON) around the work
#   NAME.guest.{before,after}    the module's
set -euo pipefail
# shellcheck source=/dev/null
. "$BED_LIB"
# shellcheck source=tests/work/l1.sh
. "$BED_TOP/tests/work/l1.sh"

# A guest ends before the agent that serves its devices.
end()
{
	local pid

	cp "$WORK_RUN"/*.{log,work} "$BED_OUT/" || true
	! guest_alive vm || guest_stop vm || true
	for pid in $(jobs -p); do
		kill "$pid" 2> /dev/null || true
	done
}
trap end EXIT

net_bytes=6M depth=32 chunk=256K

# kind NAME KIND COMMAND: one kind of work; a command that fails or is never heard
# of again leaves the work unverified, and the run goes on, unless the guest is gone.
kind()
{
	local name=$1 kind=$2 status=0

	guest_sh vm "export PVDMA_WORK_MEMORY=/tmp/buffers; $3" 600 >> "$WORK_RUN/$name.work" || status=$?
	((status)) || return 0
	printf 'error=%s ended with status %s\n%s_verified=false\n' "$kind" $status "$kind" \
		>> "$WORK_RUN/$name.work"
	if (($(guest_boots vm) != 1)); then
		progress "$name: the guest rebooted by itself during the work $kind"
		exit 1
	fi
}

# work NAME ROUNDS FILES: so often all kinds of it, one after the other
work()
{
	local name=$1 rounds=$2 set="/mnt $3 $FILE_SIZE" peer i

	# shellcheck disable=SC2016 # expanded in the guest
	peer='$(cat /run/peer.*) $BED_PORT_WORK'
	for ((i = 0; i < rounds; i++)); do
		kind "$name" disk "pvdma-work disk $set $chunk 1"
		kind "$name" random "pvdma-work random $set $depth"
		kind "$name" files "pvdma-work files $set $chunk 1"
		kind "$name" net_get "pvdma-work get $peer $net_bytes"
		kind "$name" net_put "pvdma-work put $peer $net_bytes"
	done
}

# counters NAME WHEN
counters()
{
	ask stats > "$WORK_RUN/$1.agent.$2"
	guest_sh vm 'cat /sys/kernel/debug/pvdma/stats' > "$WORK_RUN/$1.guest.$2"
}

# A NIC's packets are sent in one piece each: the emulated one loses others
# (tests/work/linear.c).
linear()
{
	guest_sh vm "pvdma-work linear \$(net_of $(guest_bdf 1))"
}

# run NAME QUOTA ROUNDS FILES [OPTION of the agent...]
run()
{
	local name=$1 quota=$2 rounds=$3 files=$4 began=$SECONDS faults

	shift 4
	progress "$name: quota $quota"
	pins_start
	agent_start "$quota" "$@"
	vm_start_pvdma
	# from here on: what firmware tries (a device's own ROM, say) is blocked, as it should be
	faults=$(vtd_faults)
	vm_prepare pvdma nvme e1000e ext4
	linear
	[[ $name != direct* ]] || all_mapped
	counters "$name" before
	work "$name" "$rounds" "$files"
	counters "$name" after
	pins_stop
	faults=$(($(vtd_faults) - faults))
	{
		echo "quota=$quota"
		echo "rounds=$rounds"
		echo "dma_faults=$faults"
		cat "$WORK_RUN/pins"
	} > "$WORK_RUN/$name.run"
	cp "$WORK_RUN/$name".* "$BED_OUT/"
	guest_stop vm
	agent_stop
	progress "$name took $((SECONDS - began)) s"
}

# Strategy direct-map maps in the background.
all_mapped()
{
	local mapped=0 end=$((SECONDS + 120))

	until ((mapped >= memory)); do
		((SECONDS < end)) || { echo "direct-map: $mapped bytes mapped of $memory" >&2; return 1; }
		bed_pause
		mapped=$(stat mapped_bytes)
	done
}

# percent_of_set N: whole pages
percent_of_set()
{
	echo $((working_set * $1 / 100 / 4096 * 4096))
}

bind_vfio "${WORK_DEVICES[@]}"
memory=$(bytes "$BED_GUEST_MEM")
# All of the guest, and what the firmware has beside it.
all=$((memory + (64 << 20)))

run direct $all "$ROUNDS" "$FILES" --strategy direct-map
# What is mapped at most where all is granted and nothing is mapped ahead: what was touched.
run all $all "$ROUNDS" "$FILES" --ahead off
working_set=$(jq .vm.mapped_peak "$BED_OUT/all.agent.after")
for percent in 100 50 25 10; do
	run "quota-$percent" "$(percent_of_set $percent)" "$ROUNDS" "$FILES"
done
# Once more, to see how far times can be trusted.
run direct-again $all "$ROUNDS" "$FILES" --strategy direct-map
# What is mapped at most where nothing stays mapped after its use: what is in use at
# once. Each mapping is a request or two; a part of the files does, for what is
# under way at once is the same.
run in-use $all 1 $((FILES / 4)) --strategy shared
