#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# run.sh: the job of an L1 boot, the same under both inits: run the script (or
# the prompt of `bed shell`), then end what it left, judge the kernel logs,
# report the status and power off.
set -uo pipefail
export PATH=/usr/sbin:/usr/bin HOME=/root LC_ALL=C.UTF-8
export TERM=${TERM:-linux}

set -a
# shellcheck source=/dev/null
. /bed/out/run/env.sh
set +a
# shellcheck source=tests/bed/lib/l1.sh
. "$BED_LIB"

# Where --mem-backend shmem puts guest memory: swappable, shared, in huge pages.
mkdir -p "$BED_RUN/mem"
mount -t tmpfs -o huge=always,size=100% tmpfs "$BED_RUN/mem"

# Whoever polls for a halted guest's next interrupt takes an emulated CPU from the others.
modprobe kvm halt_poll_ns=0
# Before a guest runs, and hangs: see l1/inject.
if ! modprobe kvm_amd || ! insmod "/lib/modules/$(uname -r)/bed_inject.ko"; then
	verdict fail l1-bed_inject 'not in KVM'
fi

# Whatever happens to this shell, the driver hears an end.
leave() {
	bed_event S "$1"
	sync
	echo o > /proc/sysrq-trigger
	sleep 10
}
trap 'leave 70' EXIT

finish() {
	local status=$1

	if ! bed_finish; then
		((status)) || status=1
	fi
	leave "$status"
}

prompt() {
	local setup=

	# shellcheck disable=SC2016 # for the prompt's own shell
	[[ $BED_SHELL != guest ]] ||
		setup='guest_start g --mode vfio $(bed_bdfs) && guest_console g'
	cat > /run/bed/bashrc <<-EOF
		. "$BED_LIB"
		PS1='l1:\w# '
		stty rows 40 cols 120 2>/dev/null
		printf '%s\n' "L1 is up. The library is loaded: bed_devices, guest_start, guest_sh, ..." \
			"See tests/bed/README.md. Leave with: exit"
		$setup
	EOF
	setsid -c bash --rcfile /run/bed/bashrc -i < /dev/ttyS0 > /dev/ttyS0 2>&1
}

# udev may still be at work on the devices
[[ $BED_L1_INIT != systemd ]] || udevadm settle --timeout=60
cd /root || exit 1
if [[ -n $BED_SHELL ]]; then
	prompt
	finish 0
fi

mapfile -d '' -t args < /bed/out/run/args
cp /bed/out/run/script /run/bed/script
# The driver counts from the start of the boot.
IFS=. read -r uptime _ < /proc/uptime
seconds=$((BED_SECONDS > uptime + 5 ? BED_SECONDS - uptime : 5))
began=$SECONDS
timeout -k 10 "$seconds" bash /run/bed/script "${args[@]}" \
	> "$(bed_port bed.output)" 2>&1 < /dev/null
status=$?
# a script may have a status of 124 of its own
if (((status == 124 || status == 137) && SECONDS - began >= seconds)); then
	verdict fail script "no end after $seconds s"
fi
finish "$status"
