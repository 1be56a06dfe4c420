#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# guest.sh: /init of the guest whose DMA mappings are traced (busybox).
#
# /capture/jobs has a line for each trace: NAME DRIVERS WORKLOAD, drivers joined
# by "+". For each job the kernel's own events/dma tracepoints are recorded from
# before the drivers find their devices until the work is done; the text goes
# out by a virtio port, between a line "BEGIN NAME" and a line "END STATUS". Any
# other output is on the console.
export PATH=/bin

tracing=/sys/kernel/tracing
load=/capture/load
mnt=/mnt

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
mount -t tracefs tracefs $tracing

while read -r module; do
	modprobe "$module" || echo "capture: cannot load $module"
done < /boot-modules

port=
for name in /sys/class/virtio-ports/*/name; do
	[ "$(cat "$name")" = pvdma.trace ] &&
		port=/dev/$(basename "$(dirname "$name")")
done
[ -n "$port" ] || { echo "capture: no port for traces"; poweroff -f; }

say() {
	echo "capture: $(cut -d ' ' -f 1 /proc/uptime) $*"
}

# wait_for TEST...: up to 30 s
wait_for() {
	local tries=0

	until "$@" 2>/dev/null; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || return 1
		sleep 0.1
	done
}

drop_caches() {
	sync
	echo 3 > /proc/sys/vm/drop_caches
}

disk_of() {
	case $1 in
	nvme) echo /dev/nvme0n1 ;;
	ahci) echo /dev/sda ;;
	esac
}

up() {
	local disk

	case $1 in
	nvme | ahci)
		disk=$(disk_of "$1")
		[ "$1" != ahci ] || modprobe sd_mod
		modprobe "$1" && wait_for test -b "$disk" &&
			mount -t ext4 "$disk" $mnt
		;;
	e1000e | igb)
		modprobe "$1" && wait_for test -d /sys/class/net/eth0 &&
			ifconfig eth0 "$(net_of "$1").15" netmask 255.255.255.0 up &&
			wait_for grep -q 1 /sys/class/net/eth0/carrier
		;;
	esac
}

down() {
	case $1 in
	nvme | ahci) umount $mnt ;;
	e1000e | igb) ifconfig eth0 down ;;
	esac
	rmmod "$1"
}

net_of() {
	case $1 in
	e1000e) echo 10.0.10 ;;
	igb) echo 10.0.11 ;;
	esac
}

# the peer of the first NIC among DRIVERS, and the port that serves
peer() {
	local driver

	for driver in $(echo "$1" | tr + ' '); do
		case $driver in
		e1000e | igb) echo "$(net_of "$driver").2 $(cat /capture/port)" ;;
		esac
	done
}

work() {
	local drivers=$1 to

	to=$(peer "$drivers")
	cd / || return
	# shellcheck disable=SC2086 # $to is two words
	case $2 in
	seq-buffered)
		cat $mnt/big > /dev/null && drop_caches && cat $mnt/big > /dev/null
		;;
	seq-direct)
		$load direct $mnt/db 131072 8 1
		;;
	random-4k)
		$load random $mnt/random 8 550 128
		;;
	files)
		cp -a $mnt/tree $mnt/copy && drop_caches &&
			tar -cf $mnt/tree.tar -C $mnt tree && drop_caches &&
			find $mnt/copy -type f -exec sha256sum {} + > /dev/null &&
			rm -r $mnt/copy && sync
		;;
	database)
		$load db $mnt/db $mnt/db.log 700
		;;
	tcp-download)
		$load stream $to none 12582912
		;;
	tcp-upload)
		$load stream $to 10485760 none
		;;
	tcp-rr)
		$load rr $to 4 230
		;;
	web)
		for file in $mnt/tree/d0[0-3]/*; do
			$load sendfile $to "$file" || return
		done
		;;
	*)
		say "no workload $2"
		return 1
		;;
	esac
}

devices() {
	local driver path

	for driver in $(echo "$1" | tr + ' '); do
		for path in /sys/bus/pci/drivers/"$driver"/*:*:*.*; do
			echo "# device $(basename "$path") $driver"
		done
	done
}

job() {
	local name=$1 drivers=$2 workload=$3 driver status=0

	say "$name"
	drop_caches
	echo 0 > $tracing/tracing_on
	echo > $tracing/trace
	# these tell when a command ends, where the kernel leaves out its unmaps
	case $drivers in
	*nvme*)
		modprobe nvme_core
		for event in nvme_setup_cmd nvme_complete_rq; do
			echo 1 > $tracing/events/nvme/$event/enable
		done
		;;
	esac
	echo 1 > $tracing/tracing_on
	for driver in $(echo "$drivers" | tr + ' '); do
		up "$driver" || status=1
	done
	[ $status = 1 ] || work "$drivers" "$workload" || status=$?
	sync
	echo 0 > $tracing/tracing_on
	{
		echo "BEGIN $name"
		devices "$drivers"
		cat $tracing/trace
		# what was overwritten or dropped, by each CPU's own count
		grep -H -E '^(overrun|dropped events):' \
			$tracing/per_cpu/cpu*/stats | sed 's/^/# /'
		echo "END $status"
	} > "$port"
	for driver in $(echo "$drivers" | tr + ' '); do
		down "$driver"
	done
}

echo mono > $tracing/trace_clock
echo 40960 > $tracing/buffer_size_kb
echo 0 > $tracing/options/overwrite
echo 1 > $tracing/events/dma/enable
for event in "$tracing"/events/dma/dma_sync_*; do
	echo 0 > "$event/enable"
done

while read -r name drivers workload; do
	job "$name" "$drivers" "$workload" < /dev/null
done < /capture/jobs
say "done"
poweroff -f
