#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# init.sh: pid 1 of L1 with --l1-init minimal. Mounts what systemd would have
# mounted, runs the job, and stays to reap orphans until the machine is gone.
export PATH=/usr/sbin:/usr/bin HOME=/root TERM=linux LC_ALL=C.UTF-8

mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs tmpfs /tmp
mkdir -p /dev/pts /dev/shm /run/lock
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -sfn /proc/self/fd /dev/fd
hostname l1
ip link set lo up

setsid /bed/top/tests/bed/l1/run.sh < /dev/null &
# bash reaps every child, and every orphan that became one, while it waits
while :; do
	wait
	sleep 1
done
