# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# devices: a disk and two NICs move verified data on demand, with a quota that
# is a small part of the guest's memory; MMIO and interrupts are direct; an
# idle guest costs the agent nothing.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

QUOTA=$((96 << 20))
NVME=$(guest_bdf 0) E1000E=$(guest_bdf 1) IGB=$(guest_bdf 2)

# The kernel's own count of pinned pages never passes the quota (DEV-MAP-4).
within_quota() {
	local peak

	peak=$(pins_peak)
	expect "bytes pinned" "0 < $peak && $peak <= $QUOTA"
	result "$E2E_TEST.pinned_peak_bytes" "$peak"
}

# The memory that is the agent's alone: not the guest's, which it maps shared.
own_bytes() {
	awk '/^[0-9a-f]+-/ { guest = /qemu_back_mem|vfio-device/ }
	     /^Private_(Clean|Dirty):/ && !guest { n += $2 }
	     END { print n * 1024 }' "/proc/$1/smaps"
}

# No system call and no tick in five seconds, and less than 8 MiB.
idle() {
	local pid before after own

	pid=$(agent_pid a)
	sleep 2
	before=$(awk '/ctxt_switches/ { n += $2 } END { print n }' "/proc/$pid/status")
	sleep 5
	after=$(awk '/ctxt_switches/ { n += $2 } END { print n }' "/proc/$pid/status")
	own=$(own_bytes "$pid")
	echo "switches $before -> $after, own memory $own bytes"
	result "$E2E_TEST.agent_bytes" "$own"
	same "the agent's context switches in five idle seconds" "$after" "$before"
	expect "the agent's own memory" "$own < 8 << 20"
}

agent_start a "$(bed_bdf nvme)" "$(bed_bdf e1000e)" "$(bed_bdf igb)" -- --quota $QUOTA
pins_begin
vm_start devices a
step load load_pvdma devices 3
step nvme no_faults "the work" "$(bed_bdf nvme)" moves_data devices "$NVME" 16M
step e1000e no_faults "the work" "$(bed_bdf e1000e)" moves_data devices "$E1000E" 4M
step igb no_faults "the work" "$(bed_bdf igb)" moves_data devices "$IGB" 4M
step capability capability_added devices "$NVME" "$(bed_bdf nvme)"
step direct-io direct_io devices a "$NVME" 4M
step idle idle
step tracepoints-nvme traced devices "$NVME" 4M
step tracepoints-e1000e traced devices "$E1000E" 1M
step quota within_quota
