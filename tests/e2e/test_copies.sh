# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# copies: what finds no room in the quota is copied to memory that is mapped for good,
# as long as that lasts, and devices see and write the right data: by edu's own DMA,
# and by a disk and a NIC whose rings take nearly all of the quota.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

EDU=$(bed_bdf edu) NVME=$(guest_bdf 0) NIC=$(guest_bdf 1)
SAID=$E2E_RUN/edudma
QUOTA=$((512 << 10))
STARVED=$((20 << 20)) SCARCE=$((4 << 20))

said() {
	sed -n "s/^copies-$1: //p" "$SAID"
}

# all_at_once "PVDMA PARAMETERS": 256 pages, of which the quota has room for half.
all_at_once() {
	g edu "pvdma_load $1; dmesg -c > /dev/null; load edudma what=copies
		dmesg | sed -n 's/.*edudma: //p'
		echo pool \$(counter bounce_pool_bytes); rmmod edudma; wait_for 30 rmmod pvdma" > "$SAID"
	cat "$SAID"
	grep -qx end "$SAID" || fail "edudma did not reach its end"
	same "pages with wrong data" "$(said wrong)" 0
	expect "bytes mapped at most" "$(stat_of e vm.mapped_peak) <= $QUOTA"
	same "bytes mapped in the end" "$(stat_of e vm.mapped_bytes)" 0
}

# DRV-MAP-1: the memory for copies is mapped and held as any other, and in the quota.
# What is received into gets the half of it.
copied() {
	all_at_once bounce_kb=64
	same "pages that were copied" "$(said copied)" 8
	expect "pages mapped" "$(said direct) + 16 <= $QUOTA >> 12 && $(said direct) > 64"
	expect "pages that found no room" "$(said failed) > 0"
}

# ... and there need not be any.
not_copied() {
	all_at_once bounce_kb=0
	same "pages that were copied" "$(said copied)" 0
	expect "pages mapped" "$(said direct) <= $QUOTA >> 12 && $(said direct) > 64"
}

# Ten pieces of 2 MiB: the NIC's rings hold them for as long as no packet comes, so the
# disk and what is sent depend on what is left.
starved() {
	load_pvdma starved 2
	g starved "drive $NVME; drive $NIC"
	g starved "work $NVME 16M" 600
	g starved "work $NIC 2M" 600
	result copies.starved "$(g starved 'for n in maps bounces bounced_bytes misses failures; do
		echo $n $(counter $n); done' | tr '\n' ' ')"
	expect "bytes pinned" "$(pinned_bytes) <= $STARVED"
	expect "bytes copied" "$(g starved 'counter bounced_bytes') > 0"
}

agent_start e "$EDU" -- --quota $QUOTA --granule 4K --ahead off
vm_start edu e
step copied copied
step not-copied not_copied
guest_stop edu
agent_stop e

agent_start s "$(bed_bdf nvme)" "$(bed_bdf e1000e)" -- --quota $STARVED --granule 2M --ahead off
vm_start starved s
step starved no_faults "the work" "$(bed_bdf nvme)" starved
guest_stop starved
agent_stop s

# A quota of a quarter of what a disk's I/O uses, in no order: most of it is copied, hardly
# anybody waits, and the memory for that grows, and shrinks again when nobody needs it.
scarce() {
	local before after maps requests copied pool

	load_pvdma scarce 1
	g scarce "drive $NVME
		disk_fill \$(disk_of $NVME) 16M" 600
	random
	before=$(random_counters)
	no_faults "the work" "$(bed_bdf nvme)" random
	after=$(random_counters)
	result copies.scarce "before: $before; after: $after"
	maps=$(grown maps) requests=$(grown map_requests) copied=$(grown bounces)
	# neighbours may go as one
	expect "mappings" "$maps >= 3 * 4000"
	expect "mappings that were copied" "2 * $copied > $maps"
	expect "requests" "4 * $requests < $maps"
	same "mappings that failed" "$(grown failures)" 0
	pool=$(awk '{ for (i = 1; i < NF; i++) if ($i == "bounce_pool_bytes") print $(i + 1) }' <<< "$after")
	expect "memory for copies" "$pool > $SCARCE / 128 && $pool <= $SCARCE / 8"
	expect "bytes mapped at most" "$(stat_of t vm.mapped_peak) <= $SCARCE"
	eventually 60 "less memory for copies" pool_is $((SCARCE / 128))
}

random() {
	g scarce "PVDMA_WORK_MEMORY=/tmp/buffers pvdma-work random /tmp/set.* 1 16M 32" 600
}

random_counters() {
	g scarce 'for n in maps bounces map_requests failures bounce_pool_bytes; do echo $n $(counter $n); done' | tr '\n' ' '
}

# grown COUNTER: by so much
grown() {
	awk -v n="$1" '{ for (i = 1; i < NF; i += 2) if ($i == n) { d = $(i + 1) - d } } END { print d }' \
		<<< "$before
$after"
}

pool_is() {
	(($(g scarce 'counter bounce_pool_bytes') == $1))
}

agent_start t "$(bed_bdf nvme)" -- --quota $SCARCE --granule 4K --ahead off
vm_start scarce t
step scarce scarce
