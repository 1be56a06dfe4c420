# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# strategies: what a device still reaches after its driver's unmap, by its own DMA
# (tests/modules/edudma), under each strategy: chosen by the guest in a VM that
# allows it, by the host, and against the host.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

EDU=$(bed_bdf edu) GUEST_EDU=$(guest_bdf 0) GUEST_NVME=$(guest_bdf 0)
SAID=$E2E_RUN/edudma
# one mapping of 3 MiB that begins and ends within a page, and coherent memory of 4 MiB
HUGE=(huge-first huge-middle huge-end ring-first ring-last)

# life GUEST "PVDMA PARAMETERS" "EDUDMA PARAMETERS" [COMMAND]: a life of both modules; what
# edudma says goes to $SAID; what is "blocked" faults in the IOMMU. Nothing is
# copied: what is judged is where the memory itself is mapped. The
# command runs before the modules go.
life() {
	local before blocked faults

	before=$(vtd_faults "$EDU")
	g "$1" "pvdma_load bounce_kb=0 $2; dmesg -c > /dev/null; load edudma $3
		dmesg | sed -n 's/.*edudma: //p'; ${4:-:}
		rmmod edudma; wait_for 30 rmmod pvdma" > "$SAID"
	cat "$SAID"
	grep -qx end "$SAID" || fail "edudma did not reach its end"
	blocked=$(grep -c ': blocked$' "$SAID" || true)
	# the emulated IOMMU counts several for a write of 64 bytes
	eventually 10 "$blocked faults of the device" eval \
		'faults=$(($(vtd_faults "$EDU") - before)); ((faults >= blocked))'
	((blocked)) || same "the faults of the device" "$faults" 0
}

# says OUTCOME STAGE...: what the device's writes came to.
says() {
	local stage

	for stage in "${@:2}"; do
		same "the device's write at stage $stage" \
			"$(sed -n "s/^$stage: //p" "$SAID")" "$1"
	done
}

# DRV-STRICT-1: once the unmap has returned, the device is shut out, but for what
# another mapping uses. (DEV-STRICT-1: pages beside one that is still in use.)
strict() {
	life "$1" "$2" "what=basic wait_ms=1 ${3:-}"
	says blocked never one-unmapped one-later two-last two-later \
		large-before large-behind large-end large-last \
		list-first list-second list-last coherent-freed huge-later huge-end-later hardirq
	says reached one two-first large large-one list coherent "${HUGE[@]}"
}

# DRV-STRICT-3: shut out once time is up ...
deferred() {
	life v "strategy=deferred defer_ms=3000" "what=basic wait_ms=3200"
	says reached one one-unmapped two-first two-last large large-one list coherent "${HUGE[@]}"
	says blocked never one-later two-later large-before large-behind large-end \
		large-last list-first list-second list-last coherent-freed huge-later \
		huge-end-later hardirq
}

# ... or enough unmaps wait, whichever comes first.
deferred_batch() {
	life v "strategy=deferred defer_ms=10000 defer_unmaps=4" "what=batch"
	says reached batch-first
	says blocked batch-full batch-last
}

lax() {
	life v "strategy=$1" "what=basic wait_ms=100"
	says blocked never
	says reached one one-unmapped one-later two-first two-last two-later large large-one \
		large-before large-behind large-end large-last list list-first list-second \
		list-last coherent coherent-freed "${HUGE[@]}" huge-later huge-end-later hardirq
}

# A quota of 2048 pages and 3072 of them: on demand each gets its turn ...
stream_on_demand() {
	life v "strategy=on-demand" "what=stream"
	same "mapped" "$(sed -n 's/^stream-mapped: //p' "$SAID")" 3072
	says blocked stream-first
}

# ... and persistent ones stay, so that the last of them get none (DEV-PERSIST-1).
stream_persistent() {
	local mapped

	life v "strategy=persistent" "what=stream"
	mapped=$(sed -n 's/^stream-mapped: //p' "$SAID")
	expect "mapped" "1500 < $mapped && $mapped <= 2048"
	says reached stream-first
}

# requests STRATEGY: the MAPs and UNMAPs for two uses of a page at once.
requests() {
	life v "strategy=$1" "what=twice" \
		"echo maps=\$(counter map_requests) unmaps=\$(counter unmap_requests)"
	sed -n 's/^maps=//p' "$SAID"
}

# DRV-STRICT-2: a single use is told to the host, whoever else uses the page; a shared
# one by the first and the last user.
announced() {
	same "requests of single-use" "$(requests single-use | tail -n 1)" "2 unmaps=2"
	same "requests of shared" "$(requests shared | tail -n 1)" "1 unmaps=1"
}

# DRV-ATTACH-1: no more lax than the host, which says so.
host_wins() {
	life h "strategy=persistent,$GUEST_EDU/on-demand" "what=twice" \
		"attribute endpoints; dmesg"
	contains "the log" "$SAID" 'strategy on-demand is laxer than the host.s: it is single-use'
	contains "the endpoints" "$SAID" "^$GUEST_EDU 1 .* single-use$"
}

bad_parameter() {
	! g h "load pvdma strategy=lax" || fail "the module was loaded"
	g_says h 'parameter strategy: "lax" is not a strategy'
}

direct_map() {
	eventually 60 "all of the guest mapped" eval '(($(stat_of d vm.mapped_bytes) >= 256 << 20))'
	life d "" "what=basic wait_ms=1"
	says reached never one one-unmapped one-later two-last large-end list-last \
		coherent-freed "${HUGE[@]}" huge-later hardirq
}

agent_start a "$EDU" -- --quota 8M --granule 4K --strategy persistent
vm_start v a --mem 256M
for strategy in single-use shared; do
	step $strategy strict v strategy=$strategy
done
step one-device strict v "strategy=on-demand,$GUEST_EDU/shared"
step announced announced
step deferred deferred
step deferred-batch deferred_batch
step on-demand lax on-demand
step persistent lax persistent
step on-demand-quota stream_on_demand
step persistent-quota stream_persistent
guest_stop v
agent_stop a

agent_start h "$EDU" -- --quota 8M --strategy single-use
vm_start h h --mem 256M
step host-wins host_wins
step bad-parameter bad_parameter
guest_stop h
agent_stop h

agent_start d "$EDU" -- --quota 300M --granule 4K --strategy direct-map
vm_start d d --mem 256M
step direct-map direct_map
step direct-map-strict strict d strategy=shared settle_ms=3000
guest_stop d
agent_stop d

agent_start n "$(bed_bdf nvme)" -- --quota 64M --strategy deferred
vm_start n n --mem 384M
for strategy in single-use shared deferred; do
	step driver-$strategy strict_driver n n "$GUEST_NVME" "$(bed_bdf nvme)" $strategy
done
