# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# share: two devices of a VM use the same page at once: it is mapped, pinned and charged
# once, both reach it, and it stays until the second of them has done with it.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

A=$(guest_bdf 0) B=$(guest_bdf 1)

# books: what is mapped by the agent's books, and pinned by the kernel's.
books() {
	echo "$(stat_of a vm.mapped_bytes) $(pinned_bytes)"
}

# copies BDF ADDRESS: the device copies within the page; FAULTS gets how many came of it.
copies() {
	local before

	before=$(vtd_faults)
	g share "edu $1 at $2"
	sleep 1
	FAULTS=$(($(vtd_faults) - before))
}

# said_well N: dmacheck found that so many devices have copied what they should.
said_well() {
	g share dmesg > "$E2E_RUN/dmacheck"
	! grep 'dmacheck: FAIL' "$E2E_RUN/dmacheck" || fail "a device did not reach the page"
	same "devices that reached the page" \
		"$(grep -c 'dmacheck: ok shared-copied' "$E2E_RUN/dmacheck")" "$1"
}

# DEV-MAP-3, under a strategy.
shared() {
	local at one

	g share "pvdma_load bounce_kb=0 strategy=$1; dmesg -c > /dev/null; load dmacheck share=1"
	same "bytes mapped and pinned" "$(books)" "0 0"
	g share "dmacheck_bind $A"
	at=$(g share "dmesg | sed -n 's/.*dmacheck: shared at //p'")
	one=$(books)
	same "bytes mapped and pinned for one device" "$one" "4096 4096"
	g share "dmacheck_bind $B"
	same "bytes mapped and pinned for two" "$(books)" "$one"
	copies "$A" "$at"
	same "faults of the one" "$FAULTS" 0
	copies "$B" "$at"
	same "faults of the other" "$FAULTS" 0
	g share "undrive $A"
	said_well 1
	same "bytes mapped and pinned for the one that is left" "$(books)" "$one"
	copies "$B" "$at"
	same "its faults" "$FAULTS" 0
	g share "undrive $B"
	said_well 2
	same "bytes mapped and pinned for none" "$(books)" "0 0"
	copies "$B" "$at"
	expect "faults of a device that was let go" "$FAULTS > 0"
	# or dmacheck takes both as soon as it is loaded again
	g share "for bdf in $A $B; do echo > /sys/bus/pci/devices/\$bdf/driver_override; done
		rmmod dmacheck; wait_for 30 rmmod pvdma"
}

agent_start a "$(bed_bdf edu)" "$(bed_bdf edu.1)" -- --quota 16M --granule 4K --ahead off
vm_start share a --mem 256M
for strategy in on-demand shared single-use; do
	step $strategy shared $strategy
done
