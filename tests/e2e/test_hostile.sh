# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# hostile: a guest that misuses the device in all ways that we can think of, beside one
# that works. tests/modules/hostile has the attacks; after each of them
#
#   - the host's kernel has said nothing bad, and the attacker's agent answers;
#   - the device serves a good life (the attack ends with one), and what the attack itself
#     expected of the answers was so;
#   - the other VM has gone on all the time with work whose data is verified, its agent
#     had nothing to say, and both hold no more than their quotas, by the kernel's count;
#   - no byte has changed of pages that a process on the host holds, and one in the
#     other VM;
#   - the attacker's agent has not flooded its log.
#
# In the end the product's module drives that device, and moves verified data.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"
# shellcheck source=tests/e2e/attack.sh
. "$E2E_DIR/attack.sh"

NIC=$(bed_bdf e1000e) EDU=$(bed_bdf edu) NVME=$(bed_bdf nvme)
MEM=$((256 << 20)) QUOTA=$((4 << 20))
SET=4M PAGES=8
CANARY=$E2E_RUN/canary

# --- the other VM ----------------------------------------------------------------------

# work_begin: verified work on the disk without end. Each round is told of: its number, the
# disk's I/Os so far, and whether the pages are intact.
work_begin() {
	g victim "canary /tmp/canary $PAGES > /tmp/canary.log 2>&1 & echo \$! > /tmp/canary.pid
		wait_for 30 grep -q . /tmp/canary"
	g victim "rm -f /tmp/stop; disk=\$(disk_of $(guest_bdf 0)); disk_fill \$disk $SET
		(n=0
		until [ -e /tmp/stop ]; do
			disk_work \$disk $SET 64K 1 > /tmp/io 2>&1 || break
			n=\$((n + 1)) state=
			kill -USR1 \$(cat /tmp/canary.pid)
			wait_for 60 grep -q \" \$n\\\$\" /tmp/canary && state=\$(tail -n 1 /tmp/canary)
			result round \"\$n \$(awk '{ print \$1 + \$5 }' /sys/block/\${disk##*/}/stat) \${state% *}\"
		done
		[ -e /tmp/stop ] && echo ended well >> /tmp/io || echo ended badly >> /tmp/io
		) > /dev/null 2>&1 &"
	eventually 60 "work of the other VM" work_goes_on 0
}

# ROUND, IOS and PAGES_ARE get the last word of it.
work_look() {
	read -r ROUND IOS PAGES_ARE <<< "$(guest_result victim round 2> /dev/null)" || true
	[[ -n $ROUND ]] || ROUND=0
}

# work_goes_on ROUND: it has come further than that.
work_goes_on() {
	work_look
	((ROUND > $1))
}

# work_rate IOS MICROSECONDS: what became of it since then, a second
work_rate() {
	echo $(((IOS - $1) * 1000000 / (${EPOCHREALTIME/[.,]/} - $2)))
}

work_end() {
	g victim "touch /tmp/stop; wait_for 300 grep ended /tmp/io
		grep '^error=' /tmp/io || tail -n 1 /tmp/io" 400 > "$E2E_RUN/io"
	contains "the work of the other VM" "$E2E_RUN/io" '^ended well$'
}

# --- pages that nobody may change -----------------------------------------------------------

canary_begin() {
	"$E2E_BIN/canary" "$CANARY" $PAGES < /dev/null > "$CANARY.log" 2>&1 &
	echo $! > "$CANARY.pid"
	disown
	eventually 30 "pages of the host's" test -s "$CANARY"
	echo 0 > "$CANARY.looks"
}

canary_intact() {
	local look

	look=$(($(< "$CANARY.looks") + 1))
	echo $look > "$CANARY.looks"
	kill -USR1 "$(< "$CANARY.pid")"
	eventually 30 "a look at the host's pages" grep -q " $look\$" "$CANARY"
	same "what the host's pages are" "$(tail -n 1 "$CANARY")" "intact $look"
}

# host_address PID GPA: where on the host the memory of a QEMU's guest is. It is one
# mapping, for there is less of it than goes below the hole.
host_address() {
	local start entry

	start=$(awk '/qemu_back_mem/ { sub("-.*", "", $1); print $1; exit }' "/proc/$1/maps")
	entry=$(dd if="/proc/$1/pagemap" bs=8 skip=$(((0x$start + $2) / 4096)) count=1 2> /dev/null |
		od -An -t x8)
	[[ -n $entry ]] || fail "the memory of QEMU at guest address $2 cannot be found"
	printf '%#x\n' $(((0x${entry// /} & (1 << 55) - 1) * 4096))
}

# What the attacker's device is aimed at: pages of the host's process, those of the other
# VM, the host's kernel, another device. None of these numbers is memory of its own VM.
targets() {
	local pid gpa start

	pid=$(guest_pid victim)
	{
		grep '^0x' "$CANARY"
		for gpa in $(g victim "grep ^0x /tmp/canary"); do
			host_address "$pid" "$gpa"
		done
		start=$(awk '/Kernel code/ { print $1; exit }' /proc/iomem)
		echo "0x${start%-*}"
		awk 'NR == 1 { print $1 }' "/sys/bus/pci/devices/$NVME/resource"
	} > "$E2E_RUN/targets.all"
	while read -r start; do
		((start < MEM)) || echo "$start"
	done < "$E2E_RUN/targets.all" > "$E2E_RUN/targets"
	cat "$E2E_RUN/targets"
	expect "addresses of the host's and of others" "$(wc -l < "$E2E_RUN/targets") >= $PAGES"
}

# --- an attack ---------------------------------------------------------------------------------

# held_within: by the kernel's count of all pins, by its account of each agent, by the books
held_within() {
	local peak agent

	peak=$(pins_total)
	echo "pinned at once: $peak bytes"
	expect "bytes pinned" "0 < $peak && $peak <= 2 * $QUOTA"
	for agent in a v; do
		expect "locked memory of agent $agent" "$(vmlck "$(agent_pid $agent)") <= $QUOTA"
		expect "the highest that agent $agent has charged" \
			"$(stat_of $agent vm.mapped_peak) <= $QUOTA"
	done
}

report() {
	awk -v n="$1" '$1 == n { print $2; found = 1 } END { exit !found }' "$E2E_RUN/report"
}

# attack NAME [WORD...]
attack() {
	local name=$1 lines others began=$SECONDS at=${EPOCHREALTIME/[.,]/} ios pid intervals=0 rate

	lines=$(lines_of a) others=$(lines_of v)
	work_look
	ios=$IOS
	pins_begin
	g attacker "echo '$*' > /sys/kernel/debug/hostile/attack
		cat /sys/kernel/debug/hostile/report" 900 > "$E2E_RUN/report" 2>&1 &
	pid=$!
	while :; do
		eventually 60 "work of the other VM during the attack" work_goes_on "$ROUND"
		intervals=$((intervals + 1))
		kill -0 $pid 2> /dev/null || break
	done
	rate=$(work_rate "$ios" "$at")
	wait $pid || {
		cat "$E2E_RUN/report"
		fail "the attack was not made: $(tail -n 1 "$E2E_RUN/report")"
	}
	cat "$E2E_RUN/report"
	held_within
	log_bounded a "$lines" $((SECONDS - began))
	same "lines in the log of the other agent" "$(lines_of v)" "$others"
	! agent_ended a || fail "the agent ended: $(tail -n 1 "$(agent_log a)")"
	agent_query a ping > /dev/null
	kernel_well
	# the round that runs now may have begun before
	eventually 60 "work of the other VM afterwards" work_goes_on $((ROUND + 1))
	same "what the pages of the other VM are" "$PAGES_ARE" intact
	canary_intact
	result "hostile.$name" "$(report sent) requests, $intervals rounds of the other VM, $rate I/Os/s ($(< "$E2E_RUN/rate") before)"
	expect "checks of the attack" "$(report checks) > 0"
	same "what the attack found wrong" "$(sed -n 's/^first_wrong //p' "$E2E_RUN/report")" ""
}

# attack_faults NAME N [WORD...]: the IOMMU stops at least so many accesses of the device.
attack_faults() {
	local least=$2 before

	before=$(vtd_faults "$EDU")
	attack "$1" "${@:3}"
	echo "DMA faults of edu: $(($(vtd_faults "$EDU") - before))"
	expect "DMA faults of edu" "$(vtd_faults "$EDU") - $before >= $least"
}

# attack_msi: what the device writes to where interrupts come from is none of the host's CPUs'.
attack_msi() {
	attack msi
	! grep 'No irq handler for' "$E2E_RUN/dmesg.l1" || fail "the device has interrupted the host"
}

# --- what the checks are worth -----------------------------------------------------------------

# Without the IOMMU before it, the same device does change such a page, and that is seen.
unguarded() {
	local group=/sys/bus/pci/devices/$EDU/iommu_group type page=$E2E_RUN/unguarded

	type=$(< "$group/type")
	echo identity > "$group/type"
	"$E2E_BIN/canary" "$page" 1 < /dev/null > "$page.log" 2>&1 &
	eventually 30 "a page of the host's" test -s "$page"
	python3 "$BED_LIB_DIR/edu.py" "$EDU" write "$(< "$page")" 64
	kill -USR1 $!
	eventually 30 "a look at the page" grep -q ' 1$' "$page"
	kill $!
	echo "$type" > "$group/type"
	same "what the page is" "$(tail -n 1 "$page")" "changed 1"
}

# --- from the first to the last ------------------------------------------------------------------

begin() {
	local at

	agent_start v "$NVME" -- --quota $QUOTA
	agent_start a "$NIC" "$EDU" -- --quota $QUOTA
	vm_start victim v --mem $MEM --file "$E2E_BIN/canary:bin/canary"
	vm_start attacker a --mem $MEM --cpus 2 \
		--file "$E2E_BIN/hostile-${BED_GUEST_KERNEL:-6.12}.ko:extra/hostile.ko"
	g victim "pvdma_load bounce_kb=0; drive $(guest_bdf 0)"
	canary_begin
	work_begin
	targets
	take_device attacker $MEM
	work_look
	at=${EPOCHREALTIME/[.,]/} ROUND_BEFORE=$ROUND IOS_BEFORE=$IOS
	eventually 60 "five rounds of work" work_goes_on $((ROUND_BEFORE + 5))
	work_rate "$IOS_BEFORE" "$at" > "$E2E_RUN/rate"
	result hostile.before "$(< "$E2E_RUN/rate") I/Os/s of the other VM"
}

# Nothing is lost: neither the device nor what its agent may map.
works_again() {
	give_device_back attacker
	load_pvdma attacker 2
	moves_data attacker "$(guest_bdf 0)" 2M
	g attacker "undrive $(guest_bdf 0); wait_for 30 rmmod pvdma"
	work_end
	canary_intact
	kill "$(< "$CANARY.pid")"
	guest_stop attacker
	guest_stop victim
	agent_stop a
	agent_stop v
}

step unguarded unguarded
step begin begin
for name in types endpoints double all storm log scribble lies leaves root \
	chains pieces flux queues status features notify resets layout config; do
	step $name attack $name
done
mapfile -t TARGETS < "$E2E_RUN/targets"
step addresses attack addresses "${TARGETS[@]}"
step dma attack_faults dma $((2 * ${#TARGETS[@]})) "${TARGETS[@]}"
step race attack_faults race 1
step msi attack_msi
step works-again works_again
