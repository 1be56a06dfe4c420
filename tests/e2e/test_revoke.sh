# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# revoke: a quota that is lowered below what a device holds and never gives up, with
# enforce=revoke.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

NIC=$(bed_bdf e1000e)
AT=$(guest_bdf 0)
LOW=$((256 << 10))

begin() {
	agent_start r "$NIC" -- --quota 64M --enforce revoke
	vm_start revoke r --mem 384M
	load_pvdma revoke 1
	g revoke "drive $AT; work $AT 2M" 400
}

# The NIC receives into buffers that it holds (DEV-QUOTA-4): the kernel counts no
# more than the quota; the NIC faults, and the guest lives.
taken() {
	local before

	g revoke "(pvdma-work get \$(cat /run/peer.*) \$BED_PORT_WORK 1073741824 > /tmp/get 2>&1) &"
	before=$(vtd_faults "$NIC")
	expect "bytes that the NIC holds" "$(stat_of r vm.mapped_bytes) > $LOW"
	agent_query r quota $LOW 300ms
	within r $LOW
	expect "bytes revoked" "$(stat_of r vm.revoked_bytes) > 0"
	contains "the agent's log" "$(agent_log r)" \
		'are taken from it to keep the quota of 256 KiB.*endpoint 1'
	eventually 60 "DMA faults of the NIC" eval '(($(vtd_faults "$NIC") > '"$before"'))'
	result revoke.bytes "$(stat_of r vm.revoked_bytes)"
	result revoke.faults $(($(vtd_faults "$NIC") - before))
	g revoke 'echo alive'
}

# With a quota again, a driver that is bound anew makes the NIC work as before; what the
# old one held is dropped and mapped again (DEV-QUOTA-5).
works_again() {
	local before

	agent_query r quota 64M
	g revoke "killall pvdma-work || true; undrive $AT; rm -f /run/peer.*"
	before=$(vtd_faults "$NIC")
	g revoke "drive $AT; work $AT 2M" 400
	same "DMA faults of the NIC" "$(vtd_faults "$NIC")" "$before"
	same "the state of the NIC" "$(g revoke "endpoint_state $AT")" attached
	guest_stop revoke
	agent_stop r
}

# the kernel's word on a NIC that has stopped, which is what is provoked here
bed_allow guest 'NETDEV WATCHDOG|transmit queue [0-9]+ timed out|WARNING: .* dev_watchdog' \
	"the NIC cannot reach its rings any more"
step begin begin
step taken taken
step works-again works_again
