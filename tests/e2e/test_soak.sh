# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# soak: for E2E_SOAK_SECONDS, at random, what else happens to a VM at work: its agent is
# killed or stopped, its quota and strategy change, its device is reset, its drivers come
# and go, the host moves its pages, the clock jumps, it reboots, its QEMU dies; and beside
# it is a guest that means harm. After each of these, verified work on the disk and the NIC
# has gone on, without a failure, and what is pinned is within the quotas. E2E_SOAK_SEED
# repeats a sequence (make soak HOURS=... SEED=...).
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"
# shellcheck source=tests/e2e/kept.sh
. "$E2E_DIR/kept.sh"
# shellcheck source=tests/e2e/attack.sh
. "$E2E_DIR/attack.sh"

NVME=$(guest_bdf 0) NIC=$(guest_bdf 1) L1_NVME=$(bed_bdf nvme)
QUOTA=$((64 << 20)) LEAST=$((24 << 20)) ATTACKER_QUOTA=$((4 << 20))
MEM=$((256 << 20))
SET=48M
ATTACKS=(types endpoints double all storm log scribble lies leaves root chains pieces flux
	queues status features notify resets layout config race msi)
DEEDS=(kill kill kill_twice stop quota quota strategy reset rebind move_pages clock
	attack attack kill_attacker reboot qemu_dies)

declare -A done_times=()

# draw N: DRAWN is one of N numbers, from 0. All are drawn beforehand: what else takes
# numbers from RANDOM (guest_sh does) would disturb the sequence.
draws=() drawn=0
draw() {
	DRAWN=$((draws[drawn++ % ${#draws[@]}] % $1))
}

draw_all() {
	local i

	RANDOM=$1
	for ((i = 0; i < 100000; i++)); do
		draws+=("$RANDOM")
	done
}

# --- the two VMs ---------------------------------------------------------------------------

good_vm() {
	vm_start good a --mem 512M
	load_pvdma good 2
	g good "drive $NVME; drive $NIC"
	work_begin good "$NVME" "$NIC" $SET
}

begin() {
	keep a
	agent_start a "$L1_NVME" "$(bed_bdf e1000e)" -- --quota $QUOTA
	keep b
	agent_start b "$(bed_bdf edu)" -- --quota $ATTACKER_QUOTA
	good_vm
	vm_start attacker b --mem $MEM --cpus 2 \
		--file "$E2E_BIN/hostile-${BED_GUEST_KERNEL:-6.12}.ko:extra/hostile.ko"
	take_device attacker $MEM
	work_goes_on good
}

# --- deeds ---------------------------------------------------------------------------------------

do_kill() {
	kill_agent a
}

do_kill_twice() {
	kill_agent a
	kill_agent a
}

do_kill_attacker() {
	kill_agent b
	do_attack
}

# Shorter than the guest's patience with a miss (timeout_ms).
do_stop() {
	kill -STOP "$(< "$(agent_dir a)/agent")"
	draw 3
	sleep $((DRAWN + 1))
	kill -CONT "$(< "$(agent_dir a)/agent")"
}

do_quota() {
	draw 40
	agent_query a quota $((LEAST + DRAWN * (1 << 20))) 2s
}

do_strategy() {
	local strategies=(on-demand shared single-use persistent)

	draw ${#strategies[@]}
	agent_query a strategy "${strategies[DRAWN]}"
}

do_reset() {
	g good "echo 1 > \$PCI/devices/$NVME/reset"
}

do_rebind() {
	work_end good
	g good "undrive $NVME; undrive $NIC; drive $NIC; drive $NVME" 300
	work_begin good "$NVME" "$NIC" $SET
}

# What is not pinned may be moved, and is.
do_move_pages() {
	echo 1 > /proc/sys/vm/compact_memory
	echo 3 > /proc/sys/vm/drop_caches
}

do_clock() {
	local by

	draw 20
	by=$(((DRAWN - 10) * 365 * 24 * 3600))
	clock_by $by
	sleep 1
	clock_by $((-by))
}

do_attack() {
	local name lines began=$SECONDS

	draw ${#ATTACKS[@]}
	name=${ATTACKS[DRAWN]}
	lines=$(lines_of b)
	g attacker "echo $name > /sys/kernel/debug/hostile/attack
		cat /sys/kernel/debug/hostile/report" 900 > "$E2E_RUN/report"
	log_bounded b "$lines" $((SECONDS - began))
	same "what the attack $name found wrong" "$(sed -n 's/^first_wrong //p' "$E2E_RUN/report")" ""
}

booted_again() {
	(($(guest_boots good) > $1))
}

do_reboot() {
	local boots

	work_end good
	boots=$(guest_boots good)
	qmp good system_reset
	eventually 150 "the guest's new life" booted_again "$boots"
	load_pvdma good 2
	g good "drive $NVME; drive $NIC"
	work_begin good "$NVME" "$NIC" $SET
}

do_qemu_dies() {
	guest_kill good
	guest_stop good
	good_vm
}

# --- what must be so after each of them ------------------------------------------------------

within_quotas() {
	local peak

	peak=$(pins_total)
	expect "bytes pinned" "$peak <= $QUOTA + $ATTACKER_QUOTA"
}

deed() {
	pins_begin
	"do_$1"
	work_goes_on good
	within_quotas
	same "mappings that failed" \
		"$(g good "echo \$((\$(counter failures $NVME) + \$(counter failures $NIC) + \$(counter timeouts)))")" 0
	kernel_well
	done_times[$1]=$((${done_times[$1]:-0} + 1))
}

soak() {
	local now end name seed=${E2E_SOAK_SEED:-$RANDOM} deeds=0

	draw_all "$seed"
	now=$(awk '{ printf "%d", $1 }' /proc/uptime)
	end=$((now + ${E2E_SOAK_SECONDS:-300}))
	while ((now < end)); do
		draw ${#DEEDS[@]}
		name=${DEEDS[DRAWN]}
		progress "deed $((++deeds)) (seed $seed): $name"
		deed "$name"
		now=$(awk '{ printf "%d", $1 }' /proc/uptime)
	done
	agent_query a quota $QUOTA
	work_goes_on good
	work_end good
	result soak.seed "$seed"
	result soak.longest_read_ms "$(worst_read_ms good)"
	result soak.rounds "$(work_rounds good)"
	for name in "${!done_times[@]}"; do
		result "soak.$name" "${done_times[$name]}"
	done
	expect "deeds" "$deeds > 0"
}

books_agree() {
	(($(pinned_bytes) == $(stat_of a vm.mapped_bytes) + $(stat_of b vm.mapped_bytes)))
}

balanced() {
	eventually 30 "the books and the kernel's agree" books_agree
}

step begin begin
step soak soak
step balanced balanced
