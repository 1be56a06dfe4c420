# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# order: pvdma is loaded after a device's driver was bound. It says so, leaves
# the device alone, and takes it over when the operator asks for it.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

NIC=$(guest_bdf 0)

# The NIC's driver does not need DMA to be bound; what it tries is blocked.
driver_first() {
	g order "drive $NIC"
	g order pvdma_load
	g_says order "$NIC .e1000e. is in use"
	same "the state of $NIC" "$(g order "endpoint_state $NIC")" none
	same "bytes mapped" "$(stat_of a vm.mapped_bytes)" 0
}

asked_for() {
	g order "rebind $NIC"
	g_says order "$NIC: pvdma: endpoint 1"
	moves_data order "$NIC" 4M
}

# Nothing happens to a device that is ours already.
asked_again() {
	! g order "rebind $NIC" || fail "it was rebound again"
	g order "work $NIC 1M"
}

agent_start a "$(bed_bdf e1000e)" -- --quota 64M
vm_start order a
step reported driver_first
step rebind no_faults "the work" "$(bed_bdf e1000e)" asked_for
step rebind-again asked_again
