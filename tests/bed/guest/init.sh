#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# init.sh: pid 1 of a guest (busybox). Brings up the control channel, which is
# a virtio-serial port of its own, starts the guest's script if there is one,
# and answers L1's commands. Loads no device driver: the order in which they
# come is a test's business ("load NAME").
export PATH=/bin HOME=/root TERM=linux

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm /root
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
ip link set lo up

while read -r module; do
	modprobe "$module" || echo "bed: cannot load $module"
done < /boot-modules

port() {
	for dir in /sys/class/virtio-ports/*; do
		[ "$(cat "$dir/name" 2> /dev/null)" = "$1" ] && echo "/dev/${dir##*/}" && return
	done
	return 1
}

tries=0
until ctl=$(port bed.ctl) && [ -c "$ctl" ]; do
	tries=$((tries + 1))
	[ $tries -lt 100 ] || { echo "bed: no control channel"; break; }
	sleep 0.1
done
# A port can be opened once: everything below inherits this descriptor.
exec 7<> "$ctl"
. /bed/lib.sh

bed_send evt boot "$(uname -r)"

if [ -e /bed/script ]; then
	(
		sh /bed/script > "$(port bed.log)" 2>&1 < /dev/null
		bed_send evt 'done' $?
	) &
fi

# a prompt on the serial console, for a person
(while :; do
	setsid -c sh -c 'ENV=/bed/lib.sh exec sh -i' < /dev/ttyS0 > /dev/ttyS0 2>&1
	sleep 1
done) &

answer() {
	id=$1
	printf '%s' "$3" | base64 -d > "/tmp/cmd.$id"
	timeout -k 5 "$2" sh -c ". /bed/lib.sh; . /tmp/cmd.$id" > "/tmp/out.$id" 2>&1 < /dev/null
	status=$?
	# Lines are short, so that each is one write and cannot be torn.
	base64 -w 3000 "/tmp/out.$id" | while read -r line; do
		bed_send out "$id" "$line"
	done
	bed_send end "$id" "$status"
	rm -f "/tmp/cmd.$id" "/tmp/out.$id"
}

(while read -r verb id limit command <&7; do
	[ "$verb" = run ] && answer "$id" "$limit" "$command" &
done) &

while :; do
	wait
	sleep 1
done
