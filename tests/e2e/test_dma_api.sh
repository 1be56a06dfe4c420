#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# dma-api: a driver that uses the DMA API in every way (tests/modules/dmacheck),
# bound to an endpoint: hits cost no request, what it leaks is not lost sight of.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

NIC=$(guest_bdf 0)
ROUNDS=200000
QUOTA=$((64 << 20))

# Rings of 4 MiB (dmacheck allocates them until there are no more) are had up to the quota,
# and not beyond it.
rings() {
	local n

	n=$(sed -n 's/.*dmacheck: \([0-9]*\) rings of 4 MiB/\1/p' "$E2E_RUN/dmacheck")
	expect "rings" "12 <= $n && $n <= 16"
	expect "bytes mapped at the peak" "$n << 22 <= $(stat_of a vm.mapped_peak)"
	expect "bytes mapped at the peak" "$(stat_of a vm.mapped_peak) <= $QUOTA"
	expect "requests refused" "$(stat_of a vm.failed_quota) > 0"
}

# A mapping that hits leaves the guest in no way: it makes no request, no MMIO exit,
# and no message to the agent. (The few there are attach, detach, prepare copies, and
# hint at what was copied before.)
hits() {
	local requests messages

	g hits "load dmacheck stay=1; dmacheck_bind $NIC"
	requests=$(g hits 'counter requests')
	messages=$(agent_messages a)
	g hits "dmacheck_bench $ROUNDS $NIC" | tee /dev/stderr | grep -q 'ok bench' ||
		fail "the bench did not end well"
	expect "requests for $ROUNDS mappings that hit" \
		"$(g hits 'counter requests') - $requests <= 16"
	expect "messages for them" "$(agent_messages a) - $messages <= 16"
}

# DRV-DETACH-1: a driver that goes and leaves its device free to do DMA; it is cut
# off from the bus before it is detached.
cut_off() {
	g hits "bus_master_on $NIC; bus_master $NIC" || fail "bus mastering was not to be had"
	g hits "undrive $NIC"
	! g hits "bus_master $NIC" || fail "the device may still do DMA"
	same "bytes mapped" "$(stat_of a vm.mapped_bytes)" 0
	g hits 'rmmod dmacheck'
}

# What a driver has left mapped stays mapped, the device attached, the module
# loaded; and the log says whose fault that is.
leaked() {
	g hits "load dmacheck stay=1 leak=1; dmacheck_bind $NIC; undrive $NIC"
	g_says hits "$NIC: pvdma: its driver left 1 DMA mappings behind"
	same "the state of $NIC" "$(g hits "endpoint_state $NIC")" attached
	expect "bytes mapped" "$(stat_of a vm.mapped_bytes) > 0"
	! g hits 'rmmod pvdma' || fail "the module went under a mapping"
}

# The host wants back what is in use, which is the leak here: memory for copies that
# is idle is freed (DRV-QUOTA-1), and is there again when it is needed.
shrinks() {
	local log=$E2E_RUN/dmacheck

	expect "memory for copies" "$(g hits 'counter bounce_pool_bytes') > 0"
	same "copies in use" "$(g hits 'counter bounce_used_bytes')" 0
	agent_query a quota 0 50ms
	eventually 30 "an end of the memory for copies" eval \
		'(($(g hits "counter bounce_pool_bytes") == 0))'
	g_says hits 'the memory for copies shrinks by [1-9][0-9]* KiB'
	expect "bytes that the host wants" "$(g hits 'attribute excess') > 0"
	g hits "echo 0 > /sys/module/pvdma/parameters/bounce_kb"
	agent_query a quota 64M
	eventually 30 "the quota in the guest" eval '(($(g hits "attribute excess") == 0))'
	g hits "cd /sys/module/dmacheck/parameters; echo 0 > leak; echo 0 > stay; dmesg -c > /dev/null
		dmacheck_bind $NIC || true; dmesg | grep dmacheck:" > "$log"
	contains "dmacheck" "$log" 'dmacheck: [0-9]{2} checks, 0 failed'
	expect "memory for copies" "$(g hits 'counter bounce_pool_bytes') > 0"
}

agent_start a "$(bed_bdf e1000e)" -- --quota $QUOTA
vm_start hits a --mem 512M
step load load_pvdma hits 1
step every-way dma_api hits "$NIC"
step rings rings
step hits hits
step cut-off cut_off
step leak leaked
step shrinks shrinks
