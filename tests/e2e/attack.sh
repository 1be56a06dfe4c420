# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# attack.sh: a guest whose kernel means harm (tests/modules/hostile), and what the host
# has to say of that afterwards. For tests that have sourced lib.sh.

# of log_ratelimited(), host/lib/log.h: lines of a place, seconds
LOG_BURST=5 LOG_INTERVAL=5

# take_device GUEST BYTES: hostile.ko drives the pvdma device of a guest with so much memory,
# and nothing else does.
take_device() {
	g "$1" "for d in /sys/bus/pci/devices/*; do
			[ \$(cat \$d/vendor):\$(cat \$d/device) != 0x1af4:0x1067 ] || bdf=\${d##*/}
		done
		echo \$bdf > /tmp/pvdma.bdf
		echo hostile > /sys/bus/pci/devices/\$bdf/driver_override
		echo \$bdf > /sys/bus/pci/devices/\$bdf/driver/unbind
		load hostile mem=$2
		test -e /sys/kernel/debug/hostile/attack"
}

give_device_back() {
	g "$1" "rmmod hostile
		bdf=\$(cat /tmp/pvdma.bdf)
		echo > /sys/bus/pci/devices/\$bdf/driver_override
		echo \$bdf > /sys/bus/pci/drivers_probe
		[ \$(driver_of \$bdf) = virtio-pci ]"
}

# lines_of AGENT: of its log
lines_of() {
	wc -l < "$(agent_log "$1")"
}

# log_bounded AGENT LINES SECONDS: of what it has said since there were LINES, nothing was said
# more often than a place's limit allows in that time. Messages differ in numbers.
log_bounded() {
	local most=$((LOG_BURST * ($3 / LOG_INTERVAL + 2))) worst

	worst=$(tail -n +$(($2 + 1)) "$(agent_log "$1")" |
		sed 's/0x[0-9a-f]*//g; s/[0-9]//g' | sort | uniq -c | sort -rn | sed -n 1p)
	echo "the agent's log: $(($(lines_of "$1") - $2)) lines, most often:$worst"
	[[ -z $worst ]] || expect "repetitions in the log of agent $1" \
		"$(awk '{ print $1 }' <<< "$worst") <= $most"
}

kernel_well() {
	local log=$E2E_RUN/dmesg.l1 found

	dmesg > "$log"
	if ! found=$(bed_scan l1 "$log"); then
		fail "the host's kernel says: $(sed -n 1p <<< "$found")"
	fi
}
