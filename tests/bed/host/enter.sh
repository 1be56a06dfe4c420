#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# enter.sh TREE SCRATCH NAME=PATH...
#
# The job of `bed host`, inside the private mount namespace that the driver made: a root
# file system like L1's (TREE below a tmpfs, this machine's modules, each PATH at
# /bed/NAME), and the script in it. All of it vanishes with the namespace.
set -euo pipefail

tree=$1 scratch=$2
shift 2

mount -t tmpfs -o mode=755 bed "$scratch"
mkdir "$scratch"/{upper,work,root}
mount -t overlay -o "lowerdir=$tree,upperdir=$scratch/upper,workdir=$scratch/work" bed "$scratch/root"
cd "$scratch/root"
mkdir -p usr/lib/modules proc sys dev run tmp root bed/guest
mount --bind /lib/modules usr/lib/modules
for dir in proc sys dev; do
	mount --rbind /$dir $dir
done
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
for pair in "$@"; do
	mkdir -p "bed/${pair%%=*}"
	mount --bind "${pair#*=}" "bed/${pair%%=*}"
done
mount -o remount,bind,ro bed/top
ln -s top/tests/bed/lib bed/lib
ln -s disk/disk.sums bed/disk.sums

exec env -i PATH=/usr/sbin:/usr/bin HOME=/root TERM=linux LC_ALL=C.UTF-8 \
	chroot . bash /bed/top/tests/bed/host/run.sh
