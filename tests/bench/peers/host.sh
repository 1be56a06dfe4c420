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
image=$BED_TOP/build/bench/disk.raw
files=$WORK_RUN/files tools=$WORK_RUN/tools
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

# blank DISK BYTES: whether nobody has written anything where files will be
blank()
{
	local found=0

	blkid -p "$1" > "$WORK_RUN/found" || found=$?
	# 2: nothing is known that looks like this
	if ((found != 2)); then
		echo "$1 has something on it: $(< "$WORK_RUN/found")"
	elif [[ $(lsblk -nro NAME "$1" | wc -l) != 1 ]]; then
		echo "$1 has parts: $(lsblk -nro NAME "$1" | xargs)"
	elif (($(blockdev --getsize64 "$1") < $2)); then
		echo "$1 has less than $2 bytes"
	elif ! cmp -s -n "$2" "$1" /dev/zero; then
		echo "$1 is not blank: something other than zeros is in its first $2 bytes"
	else
		return 0
	fi
	return 1
}

uuid_of()
{
	blkid -p -o value -s UUID "$1"
}

# As the machine was: nothing is traced or mounted, no link is left, and a disk that was written
# to is blank, if it is that disk. One thing that fails keeps none of the others from being done.
at_end()
{
	local status=$? disk

	set +e
	iotlb_unwatch
	links_end
	! mountpoint -q "$tools" || sh "$BED_SCRIPT_DIR/database.sh" end "$tools"
	! mountpoint -q "$tools" || umount "$tools"
	! mountpoint -q "$files" || umount "$files"
	if ((written)); then
		devices_take "$WORK_DISK"
		disk=$(device_disk "$WORK_DISK")
		if [[ -n $disk && $(uuid_of "$disk") == "$(uuid_of "$image")" ]]; then
			dd if=/dev/zero of="$disk" bs=1M count=$((written >> 20)) oflag=direct conv=fsync,nocreat status=none
		else
			verdict fail disk "the benchmark's files are not on ${disk:-any disk} of $WORK_DISK, which is left as it is"
			status=1
		fi
	fi
	exit $status
}

# What VFIO's and KVM's figures are read from must be readable.
readable()
{
	local file=/sys/kernel/security/lockdown

	if [[ -e $file && $(< "$file") != *'[none]'* ]]; then
		verdict fail lockdown "this kernel is locked down (Secure Boot), and keeps KVM's counters to itself: boot without"
		exit 1
	fi
}

# The files onto a disk of the machine itself.
host_disk()
{
	local why size disk

	devices_take "$WORK_DISK" || exit 1
	size=$(command stat -c %s "$image")
	if ! disk=$(device_disk "$WORK_DISK" 2> "$WORK_RUN/why"); then
		verdict fail disk "$(< "$WORK_RUN/why")"
		exit 1
	fi
	if ! why=$(blank "$disk" "$size"); then
		verdict fail disk "$why. The benchmark writes there: name a disk with nothing on it (blkdiscard \
empties one whose data nobody wants)"
		exit 1
	fi
	written=$size
	dd if="$image" of="$disk" bs=1M oflag=direct conv=fsync,nocreat status=none
}

# A database on the disk, by the host: a guest would take minutes for it.
make_database()
{
	local disk

	modprobe -a loop ext4
	devices_take "$WORK_DISK"
	mkdir -p "$files" "$tools"
	disk=$(device_disk "$WORK_DISK")
	mount -t ext4 -o noatime "$disk" "$files"
	mount -o loop,ro "$BED_TOP/build/bench/database.ext4" "$tools"
	sh "$BED_SCRIPT_DIR/database.sh" make "$tools" "$files/pg"
	umount "$tools" "$files"
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
readable
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
# mapped ahead: what the network's and the disk's direct I/O has touched. A guest of its own
# finds it, before the others.
if [[ -n ${first:-} ]]; then
	one "$first" 0
	[[ -e $runs/$first/complete ]] || exit
	working_set=$(value "$runs/$first/run" working_set)
	((working_set > 0)) || { echo "bench: FAIL: the working set is not known" >&2; exit 1; }
	progress "working set: $working_set bytes"
fi

for ((rep = 1; rep <= REPETITIONS; rep++)); do
	turn=$(((rep - 1) * n / REPETITIONS))
	for ((i = 0; i < n; i++)); do
		one "$rep.${planned[(i + turn) % n]}" "$working_set"
	done
done
exit $((failed ? 1 : 0))
