# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# l1.sh: the library for scripts that run in L1; source it as $BED_LIB.
#
#   verdict.sh   verdicts, results, progress; the kernel logs' judge
#   devices.sh   the devices that guests may get: finding, binding, VFs
#   guest.sh     guests: start, command, wait, stop
#   await.sh     waits for guests, and for those that are lost
#   virt.sh      guests as libvirt domains, in an operator's host
#   boot.sh      disks that guests boot from by themselves
#   counters.sh  what the kernel, KVM and the emulated VT-d counted
#
# State lives in files under /run/bed, so subshells and several shells agree.
# Functions return a status and print results; failures explain themselves on
# stderr.

BED_RUN=/run/bed
# of this shell's guest_sh commands
# shellcheck disable=SC2034
BED_SERIAL=0
mkdir -p "$BED_RUN/guests"

# bed_pause: a tenth of a second, without a process.
bed_pause() {
	[[ -p $BED_RUN/never ]] || mkfifo "$BED_RUN/never" 2> /dev/null
	read -rt 0.1 _ <> "$BED_RUN/never" || true
}

BED_LIB_DIR=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
for BED_PART in verdict devices guest await boot virt counters; do
	# shellcheck source=/dev/null
	. "$BED_LIB_DIR/$BED_PART.sh"
done
unset BED_PART
