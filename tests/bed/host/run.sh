#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# run.sh: what l1/run.sh is in L1, on the machine itself: run the script, end the guests that
# it left, judge what the kernel said meanwhile, report the status.
set -uo pipefail

set -a
# shellcheck source=/dev/null
. /bed/out/run/env.sh
set +a
mkdir -p /run/bed
ln -s /bed/out/events /run/bed/events
# shellcheck source=tests/bed/lib/l1.sh
. "$BED_LIB"

trap 'bed_event S 70' EXIT

# Where --mem-backend shmem puts guest memory: swappable, shared, in huge pages.
mkdir -p "$BED_RUN/mem"
mount -t tmpfs -o huge=always,size=100% tmpfs "$BED_RUN/mem"
mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug
bed_mark
cd /root || exit

mapfile -d '' -t args < /bed/out/run/args
began=$SECONDS
# It is told of an end, by whoever wants one, and has time for what it does then.
timeout -k 120 "$BED_SECONDS" bash /bed/out/run/script "${args[@]}" > /bed/out/script.log 2>&1 < /dev/null &
script=$!
trap 'kill "$script"' TERM
wait $script
status=$?
while kill -0 $script 2> /dev/null; do
	wait $script
	status=$?
done
trap - TERM
# a script may have a status of 124 of its own
if (((status == 124 || status == 137) && SECONDS - began >= BED_SECONDS)); then
	verdict fail script "no end after $BED_SECONDS s"
fi
if ! bed_finish; then
	((status)) || status=1
fi
trap - EXIT
bed_event S "$status"
