#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# enter.sh TREE HEADERS CWD COUNT PATH... COMMAND...
#
# Runs a command with TREE as its root, inside the private mount (and pid, and
# perhaps user) namespace that the driver made with unshare. A tmpfs, mounted
# beside TREE at mnt, becomes the root: TREE's directories are bound read-only,
# HEADERS (may be empty) at /usr/src, and each PATH at its own place, writable.
# All of it vanishes with the namespace.
set -euo pipefail

tree=$1 headers=$2 cwd=$3 count=$4
shift 4
paths=("${@:1:count}")
shift "$count"

new=${tree%/*}/mnt
mount -t tmpfs -o mode=755 bed "$new"

mkdir -p "$new"/{usr,etc,dev,proc,tmp}
chmod 1777 "$new/tmp"
for link in bin sbin lib lib64; do
	ln -s "usr/$link" "$new/$link"
done
mount --rbind "$tree/usr" "$new/usr"
mount --rbind "$tree/etc" "$new/etc"
if [[ -n $headers ]]; then
	mount --bind "$headers" "$new/usr/src"
fi
# nosuid and nodev: a user namespace may not clear what the file system has set
mount -o remount,bind,ro,nosuid,nodev "$new/usr"
mount -o remount,bind,ro,nosuid,nodev "$new/etc"
mount --rbind /dev "$new/dev"
mount -t proc proc "$new/proc" 2>/dev/null || mount --rbind /proc "$new/proc"
for path in "${paths[@]}"; do
	mkdir -p "$new$path"
	mount --rbind "$path" "$new$path"
done

export PATH=/usr/sbin:/usr/bin HOME=/tmp TMPDIR=/tmp LC_ALL=C.UTF-8
# shellcheck disable=SC2016 # expanded by the inner shell
exec chroot "$new" bash -c 'cd "$1" && shift && exec "$@"' bash "$cwd" "$@"
