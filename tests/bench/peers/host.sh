#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# host.sh: the part of tests/bench/peers/run on the emulated host, or on the machine
# itself (run by tests/bed/bed): which guest is next.
#
# What a peer is measured against is its neighbour in time, for the machine below
# is now faster, now slower. So each repetition has all peers, and each begins with
# another one. A run that fails leaves a folder that is not complete, and the others
# go on; report.py counts it.
#
# All that remains of a run is in its folder, REPETITION.NAME: see one.sh. The file
# "planned" names all those that are to be, "machine" says on what.
#
# A disk of the machine itself must be a blank one. It gets the files in its first blocks, and
# is blank again at the end.
set -euo pipefail
# shellcheck source=/dev/null
. "$BED_LIB"
# shellcheck source=tests/work/l1.sh
. "$BED_TOP/tests/work/l1.sh"
# shellcheck source=tests/bench/peers/peers.sh
. "$BED_SCRIPT_DIR/peers.sh"

runs=$BED_OUT/runs
declare -i failed=0 written=0

# one NAME OPTION...: a run of its own, as far as it comes
one()
{
	local name=$1 began=$SECONDS status=0

	bash "$BED_SCRIPT_DIR/one.sh" "$@" || status=$?
	progress "$name took $((SECONDS - began)) s$( ((!status)) || echo ", and failed with status $status")"
	((!status)) || failed+=1
}

# The peers, and the guests whose start alone is measured.
plan()
{
	local name size

	for name in ${BENCH_ONLY:-$PEERS}; do
		echo "$name"
	done
	for size in $BENCH_SIZES; do
		for name in $PEERS_STARTED; do
			echo "$name@$size"
		done
	done
}

# blank DISK BYTES: whether nobody has it, or has written anything where files will be
blank()
{
	local found=0 others

	# whose disks would the guest find, and which of them first?
	others=$(peer_children "$WORK_DISK" '/sys/block/*' | grep -vx "${1#/dev/}" | xargs)
	blkid -p "$1" > "$WORK_RUN/found" || found=$?
	if [[ -n $others ]]; then
		echo "$WORK_DISK has more than one disk: beside $1 also $others"
	# 2: nothing is known that looks like this
	elif ((found != 2)); then
		echo "$1 has something on it: $(< "$WORK_RUN/found")"
	elif [[ -n $(lsblk -nro MOUNTPOINTS "$1" | tr -d '\n') || $(lsblk -nro NAME "$1" | wc -l) != 1 ]]; then
		echo "$1 is in use: $(lsblk -nro NAME,MOUNTPOINTS "$1" | xargs)"
	elif (($(blockdev --getsize64 "$1") < $2)); then
		echo "$1 has less than $2 bytes"
	elif ! cmp -s -n "$2" "$1" /dev/zero; then
		echo "$1 is not blank: something other than zeros is in its first $2 bytes"
	else
		return 0
	fi
	return 1
}

# As the machine was: nothing is traced, and a disk that was written to is blank.
at_end()
{
	local status=$?

	iotlb_unwatch
	if ((written)); then
		unbind_vfio "$WORK_DISK"
		dd if=/dev/zero of="$(peer_disk_of "$WORK_DISK")" bs=1M count=$((written >> 20)) \
			oflag=direct conv=fsync status=none
	fi
	exit $status
}

# The files onto a disk of the machine itself.
host_disk()
{
	local image=$BED_TOP/build/bench/disk.raw why size disk

	modprobe "$(bed_driver "$WORK_DISK")"
	unbind_vfio "$WORK_DISK"
	size=$(command stat -c %s "$image")
	disk=$(peer_disk_of "$WORK_DISK")
	if ! why=$(blank "$disk" "$size"); then
		verdict fail disk "$why. The benchmark writes there: name a disk with nothing on it (blkdiscard \
empties one whose data nobody wants)"
		exit 1
	fi
	written=$size
	dd if="$image" of="$disk" bs=1M oflag=direct conv=fsync status=none
}

# A database on the disk, by the host: a guest would take minutes for it.
make_database()
{
	local disk=$WORK_RUN/disk tools=$WORK_RUN/tools

	modprobe -a loop ext4 "$(bed_driver "$WORK_DISK")"
	unbind_vfio "$WORK_DISK"
	mkdir -p "$disk" "$tools"
	mount -t ext4 -o noatime "$(peer_disk_of "$WORK_DISK")" "$disk"
	mount -o loop,ro "$BED_TOP/build/bench/database.ext4" "$tools"
	sh "$BED_SCRIPT_DIR/database.sh" make "$tools" "$disk/pg"
	umount "$tools" "$disk"
}

trap at_end EXIT
if ((!${#WORK_DEVICES[@]})); then
	verdict fail devices 'there is neither a disk nor a NIC among them'
	exit 1
fi
if [[ -n ${BED_HOST:-} && -n $WORK_NIC && -z ${BENCH_PEER:-} ]]; then
	verdict fail peer "with whom is $WORK_NIC to exchange messages? BENCH_PEER=ADDRESS:PORT, where \
'pvdma-work serve PORT' runs on another machine of its network, which has DHCP"
	exit 1
fi
[[ -z ${BED_HOST:-} || -z $WORK_DISK ]] || host_disk
if [[ -n $WORK_DISK ]]; then
	progress 'a database on the disk'
	make_database
fi
iotlb_watch
mkdir -p "$runs"
{
	[[ -n ${BED_HOST:-} ]] || echo 'the test bed, emulated'
	sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | sort | uniq -c | sed 's/^ *\([0-9]*\) /\1 x /'
	awk '$1 == "MemTotal:" { printf "%d MiB\n", $2 / 1024 }' /proc/meminfo
	echo "Linux $(uname -r)"
	for bdf in "${WORK_DEVICES[@]}"; do
		lspci -s "$bdf" | cut -d ' ' -f 2-
	done
} | paste -s -d ';' | sed 's/;/; /g' > "$runs/machine"
mapfile -t planned < <(plan)
n=${#planned[@]}
working_set=0
[[ " ${planned[*]}" != *" pvdma-"* ]] || first=0.pvdma-set
{
	[[ -z ${first:-} ]] || echo "$first"
	for ((rep = 1; rep <= REPETITIONS; rep++)); do
		printf "$rep.%s\n" "${planned[@]}"
	done
} > "$runs/planned"

# The working set is what is mapped at most where all is granted and nothing is
# mapped ahead: what the network's and the disk's direct I/O has touched. A guest of its own finds it, before the others.
if [[ -n ${first:-} ]]; then
	one "$first" 0
	[[ -e $runs/$first/complete ]] || exit
	working_set=$(value "$runs/$first/run" working_set)
	progress "working set: $working_set bytes"
fi

for ((rep = 1; rep <= REPETITIONS; rep++)); do
	turn=$(((rep - 1) * n / REPETITIONS))
	for ((i = 0; i < n; i++)); do
		one "$rep.${planned[(i + turn) % n]}" "$working_set"
	done
done
exit $((failed ? 1 : 0))
