#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# one.sh: one guest of tests/bench/peers, from its start to its end (run by
# host.sh): one.sh REPETITION.NAME[@SIZE] WORKING-SET
#
# With a SIZE the guest has so much memory, and its start is all that is measured.
# What is left in the folder REPETITION.NAME, for report.py:
#
#   run                    key=value: what it was, what was done, and figures of the whole
#   start.pins             what was pinned until the guest was ready for work
#   KIND.work              what a kind of work says, between two readings of the guest's CPU
#                          time (/proc/timer_list)
#   KIND.before .after     key=value: counters around the command, the host's side
#   KIND.agent.before .after, end.agent   the agent's (JSON)
#   KIND.pins              what was pinned meanwhile
#   mapN.work              what map_benchmark says of mappings of N pages, between two
#                          readings of the module's counters
#   latency.work           the histogram of map_latency
#   end.guest              the module's counters
#   complete               all of that is there
#
# Without a disk, or without a NIC, there is no work of that kind. What a NIC exchanges
# messages with is the bed's service, or who listens at BENCH_PEER (ADDRESS:PORT).
#
# "price" and "idle" are kinds of work that do nothing: their counters are what a
# command costs, and what the guest and its kernel do on their own.
set -euo pipefail
# shellcheck source=/dev/null
. "$BED_LIB"
# shellcheck source=tests/work/l1.sh
. "$BED_TOP/tests/work/l1.sh"
# shellcheck source=tests/bench/peers/peers.sh
. "$BED_SCRIPT_DIR/peers.sh"

folder=$1 set=$2
name=${folder#*.} size=
[[ $name != *@* ]] || size=${name#*@}
name=${name%@*}
# not on 9p: see tests/work/l1.sh
left=$WORK_RUN/left
agent='' peer_quota='' peer_agent_seconds=''
# Before its firmware says a word, a guest's memory is pinned, several times over.
# shellcheck disable=SC2034 # both are the bed's
BED_STIR_SECONDS=300 BED_BOOT_SECONDS=600

idle_seconds=5
exchanges=1000 message=64
stream=8M
depth=32 chunk=64K
# at depth 1 a part of the files will do
few=3
map_seconds=5 map_pages='1 16'
# of map_latency: pages of the set, 4 MiB, and mappings
latency_pages=1024 latency_maps=8192
# files that come and go, and their size
tree_files=100 tree_size=8K
# the database's clients, and transactions of each
clients=8 transactions=50

# A guest ends before the agent that serves its devices.
end()
{
	local status=$? pid

	! guest_alive vm || guest_stop vm || true
	for pid in $(jobs -p); do
		kill "$pid" 2> /dev/null || true
	done
	peer_stop || true
	mkdir -p "$BED_OUT/runs/$folder"
	cp "$left"/* "$BED_OUT/runs/$folder/" || true
	cp "$WORK_RUN/agent.log" "$BED_OUT/runs/$folder/" 2> /dev/null || true
	exit $status
}
trap end EXIT

fact() { printf '%s=%s\n' "$1" "$2" >> "$left/run"; }

# watched NAME: the end of what pins_start began, in a file of its own
watched()
{
	pins_stop
	cp "$WORK_RUN/pins" "$left/$1.pins"
}

# ticks PID: of CPU time (USER_HZ), in user and kernel mode and as a guest
ticks()
{
	local stat

	stat=$(< "/proc/$1/stat")
	# shellcheck disable=SC2086 # into words
	set -- ${stat##*) }
	echo $((${12} + ${13}))
}

# counters KIND WHEN: of KVM, of processes
counters()
{
	local pid

	pid=$(guest_pid vm)
	{
		echo "time=$EPOCHREALTIME"
		(cd /sys/kernel/debug/kvm/"$pid"-* && grep . exits mmio_exits io_exits halt_exits) | tr : =
		# those that the bed makes, to keep clear of a fault of the emulated SVM
		echo "forced_exits=$(bed_injected exits)"
		echo "qemu_ticks=$(ticks "$pid")"
		[[ -z $agent ]] || echo "agent_ticks=$(ticks "$agent")"
		echo "iotlb_flushes=$(iotlb_flushes)"
	} > "$left/$1.$2"
	[[ -z $agent ]] || ask stats > "$left/$1.agent.$2"
}

# work KIND COMMAND: runs in the guest, between two readings of its own CPU time. A command that
# fails leaves its work unverified, and the run goes on, unless the guest is gone.
work()
{
	local kind=$1 status=0

	counters "$kind" before
	guest_sh vm "export PVDMA_WORK_MEMORY=/tmp/buffers
		cpu_time() { grep -E '^now at|_sleeptime' /proc/timer_list; }
		cpu_time; $2; status=\$?; cpu_time; exit \$status" 900 \
		> "$left/$kind.work" || status=$?
	counters "$kind" after
	if ((status)); then
		printf 'error=%s ended with status %s\n' "$kind" $status >> "$left/$kind.work"
	fi
	if (($(guest_boots vm) != 1)); then
		echo "one.sh: the guest rebooted by itself during the work $kind" >&2
		return 1
	fi
}

# measure KIND COMMAND: the same, and what is pinned meanwhile
measure()
{
	pins_start
	work "$@"
	watched "$1"
}

# since_start PID: seconds that a process has been running
since_start()
{
	local stat up

	stat=$(< "/proc/$1/stat")
	read -r up _ < /proc/uptime
	# shellcheck disable=SC2086 # into words
	set -- ${stat##*) }
	awk -v up="$up" -v began="${20}" -v hz="$(getconf CLK_TCK)" 'BEGIN { printf "%.2f\n", up - began / hz }'
}

# start OPTION...: until its init answers
start()
{
	faults=$(vtd_faults)
	peer_start "$name" "$set" "$@" --no-wait
	guest_stirs vm
	guest_up vm
	fact start_seconds "$(since_start "$(guest_pid vm)")"
	fact agent_seconds "${peer_agent_seconds:-0}"
	[[ -z $peer_quota ]] || fact quota "$peer_quota"
	# what firmware tries at an agent (a device's own ROM, say) is blocked, as it should be
	[[ -z $agent ]] || faults=$(vtd_faults)
}

prepare()
{
	local -a modules

	read -ra modules <<< "$(peer_modules "$name")"
	vm_prepare "${modules[@]}"
	# as the host's (peer_linear)
	[[ -z $WORK_NIC || $name == virtio || -n ${BED_HOST:-} ]] ||
		guest_sh vm "pvdma-work linear \$(net_of $WORK_GUEST_NIC)"
}

# The network comes first, so that what is pinned is the NIC's, and the disk's
# controller's, but not yet the disk's work. Each kind is measured when its like was
# done once: memory is touched then.
all_work()
{
	local kinds=()

	[[ -z $WORK_NIC ]] || warm_net
	watched start
	work price true
	work idle "sleep $idle_seconds"
	[[ -z $WORK_NIC ]] || net_work
	# with a disk there is more to it
	[[ -z $agent || -n $WORK_DISK ]] || fact working_set "$(stat mapped_peak)"
	[[ -z $WORK_DISK ]] || disk_work
	# so that the next guest finds it in order
	[[ -z $WORK_DISK ]] || guest_sh vm 'umount /mnt' 120
	fact kinds "${kinds[*]}"
}

# Where messages go, by words that the guest expands.
net_peer()
{
	# shellcheck disable=SC2016
	if [[ -n ${BENCH_PEER:-} ]]; then
		echo "${BENCH_PEER%:*} ${BENCH_PEER##*:}"
	else
		echo '$(cat /run/peer.*) $BED_PORT_WORK'
	fi
}

warm_net()
{
	local peer

	peer=$(net_peer)
	guest_sh vm "pvdma-work rr $peer 50 $message && pvdma-work get $peer 1M &&
		pvdma-work put $peer 1M" 300 > "$left/warm.net"
}

net_work()
{
	local peer

	peer=$(net_peer)
	measure rr "pvdma-work rr $peer $exchanges $message"
	measure get "pvdma-work get $peer $stream"
	measure put "pvdma-work put $peer $stream"
	kinds+=(rr get put)
}

disk_work()
{
	local files="/mnt $FILES $FILE_SIZE"

	guest_sh vm "PVDMA_WORK_MEMORY=/tmp/buffers pvdma-work random $files $depth" 900 > "$left/warm.disk"
	measure random1 "pvdma-work random /mnt $few $FILE_SIZE 1"
	measure "random$depth" "pvdma-work random $files $depth"
	measure seq "pvdma-work disk $files $chunk 4"
	[[ -z $agent ]] || fact working_set "$(stat mapped_peak)"
	kinds+=(random1 "random$depth" seq)
	cached_work
}

# What goes through the guest's page cache, whose pages come anew: not of the working set.
cached_work()
{
	guest_sh vm "pvdma-work tree /mnt $tree_files $tree_size 1" 300 > "$left/warm.tree"
	measure tree "pvdma-work tree /mnt $tree_files $tree_size 3"
	guest_sh vm "load virtio_blk && mkdir -p /tools && mount -t ext4 -o ro \$(disk_of $tools_bdf) /tools &&
		database start /tools /mnt/pg && database work /tools $clients 10" 900 > "$left/warm.db"
	measure db "database work /tools $clients $transactions"
	guest_sh vm 'database stop /tools && umount /tools' 300
	kinds+=(tree db)
}

# The kernel's own measurement of its DMA API, for mappings of some sizes: each is of memory that
# nothing else uses, time and again the same. It has the NIC, or else the disk, whose driver is not
# needed any more.
# The first second is for what is mapped, or asked for, once.
map_work()
{
	local device=$WORK_GUEST_NIC pages counters=true maps=()

	if ! peer_maps "$name"; then
		fact maps ''
		return
	fi
	guest_sh vm 'load mapbench'
	drive_by dma_map_benchmark "$device"
	[[ -z $agent ]] || counters="cat /sys/kernel/debug/pvdma/endpoints/$device"
	for pages in $map_pages; do
		work "map$pages" "map() { dma_map_benchmark -b 64 -g $pages -s \$1; }
			map 1 > /dev/null && $counters | sed s/^/before./ && map $map_seconds &&
			$counters | sed s/^/after./"
		maps+=("map$pages")
	done
	fact maps "${maps[*]}"
	guest_sh vm 'load map_latency'
	drive_by map_latency "$device"
	work latency "cd /sys/kernel/debug/map_latency && echo $latency_pages $latency_maps > run && cat histogram"
}

# drive_by DRIVER DEVICE: a driver that drives nothing by itself
drive_by()
{
	guest_sh vm "cd /sys/bus/pci && echo $2 > devices/$2/driver/unbind &&
		echo $1 > devices/$2/driver_override && echo $2 > drivers_probe &&
		test -e /sys/kernel/debug/$1"
}

at_end()
{
	[[ -z $agent ]] || {
		ask stats > "$left/end.agent"
		guest_sh vm 'cat /sys/kernel/debug/pvdma/stats' > "$left/end.guest"
	}
	fact dma_faults $(($(vtd_faults) - faults))
}

rm -rf "$left" "$WORK_RUN/agent.log"
mkdir -p "$left"
fact name "$name"
fact size "$size"
fact guest_bytes "$(bytes "${size:-$BED_GUEST_MEM}")"
cp "$BED_TOP"/build/bench/map_benchmark/{mapbench.ko,dma_map_benchmark} "$WORK_BIN/"
cp "$BED_TOP"/build/bench/map_latency/map_latency.ko "$WORK_BIN/"
# PostgreSQL's programs, on a disk that nothing maps for
tools_bdf=0000:00:1a.0
tools=()
[[ -z $WORK_DISK ]] || tools=(--file "$BED_SCRIPT_DIR/database.sh:bin/database"
	--qemu-arg "-drive if=none,id=tools,file=$BED_TOP/build/bench/database.ext4,format=raw,readonly=on"
	--qemu-arg '-device virtio-blk-pci,drive=tools,addr=0x1a')
pins_start
if [[ -n $size ]]; then
	start --mem "$size"
	watched start
else
	start "${tools[@]}" --file "$WORK_BIN/mapbench.ko" --file "$WORK_BIN/map_latency.ko" --file "$WORK_BIN/dma_map_benchmark:bin/dma_map_benchmark"
	prepare
	all_work
	map_work
	at_end
fi
guest_stop vm
peer_stop
agent=''
: > "$left/complete"
