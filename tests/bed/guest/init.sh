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

. /bed/channel.sh
channel_open

# a prompt on the serial console, for a person
(while :; do
	setsid -c sh -c 'ENV=/bed/lib.sh exec sh -i' < /dev/ttyS0 > /dev/ttyS0 2>&1
	sleep 1
done) &

channel_serve
