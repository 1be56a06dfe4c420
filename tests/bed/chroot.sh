#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# chroot.sh TREE COMMAND...
#
# Runs a command with TREE as its root, and writable, inside the private mount (and
# pid, and perhaps user) namespace that the driver made. What is mounted in TREE
# vanishes with the namespace; what the command changes stays.
set -euo pipefail

tree=$1
shift

mount --rbind /dev "$tree/dev"
mount -t proc proc "$tree/proc" 2> /dev/null || mount --rbind /proc "$tree/proc"
mount -t tmpfs -o mode=755 tmpfs "$tree/run"
mount -t tmpfs -o mode=1777 tmpfs "$tree/tmp"

exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LC_ALL=C.UTF-8 \
	DEBIAN_FRONTEND=noninteractive chroot "$tree" "$@" < /dev/null
