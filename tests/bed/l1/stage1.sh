#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# stage1.sh: /init of L1's initramfs (busybox).
#
# Reaches the root file system (read-only, under a tmpfs overlay), puts the
# modules that came with this initramfs into it, mounts the shares under /bed,
# and hands over to bed.init= of the kernel command line. Any failure powers
# off, which the driver reports with the console's last lines.
export PATH=/bin

die() {
	echo "bed: stage 1: $*"
	poweroff -f
}

mount -t proc proc /proc || die "no /proc"
mount -t sysfs sysfs /sys || die "no /sys"
mount -t devtmpfs devtmpfs /dev || die "no /dev"

while read -r module; do
	modprobe "$module" || die "cannot load $module"
done < /boot-modules

init='' guests=''
for word in $(cat /proc/cmdline); do
	case $word in
	bed.init=*) init=${word#*=} ;;
	bed.guests=*) guests=$(echo "${word#*=}" | tr , ' ') ;;
	esac
done

tries=0
while [ ! -b /dev/vda ]; do
	tries=$((tries + 1))
	[ $tries -lt 200 ] || die "no root disk"
	sleep 0.1
done

mkdir -p /ro /rw /new
mount -t ext4 -o ro,noload /dev/vda /ro || die "cannot mount the root disk"
mount -t tmpfs -o size=50% tmpfs /rw || die "no tmpfs"
mkdir -p /rw/upper/usr/lib /rw/work
cp -r /lib/modules /rw/upper/usr/lib/ || die "cannot copy the modules"
mount -t overlay -o lowerdir=/ro,upperdir=/rw/upper,workdir=/rw/work \
	overlay /new || die "no overlay"

share() {
	mkdir -p "/new/bed/$2"
	mount -t 9p -o "trans=virtio,version=9p2000.L,msize=512000,$3" "$1" \
		"/new/bed/$2" || die "cannot mount the share $1"
}
share bedtop top ro,cache=loose
share bedcache disk ro,cache=loose
share bedout out rw,cache=none
for version in $guests; do
	share "bedg-$version" "guest/$version" ro,cache=loose
done
ln -s top/tests/bed/lib /new/bed/lib
ln -s disk/disk.sums /new/bed/disk.sums

mkdir -p /new/proc /new/sys /new/dev /new/run
mount --move /dev /new/dev
mount --move /proc /new/proc
mount --move /sys /new/sys
exec switch_root /new "$init"
