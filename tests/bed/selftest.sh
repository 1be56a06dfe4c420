#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# selftest.sh: the bed proves itself: tests/bed/bed run tests/bed/selftest.sh
#
# Plain VFIO, nothing of pvdma: what fails here is the bed or the machine. The
# checks that a bed in which nothing happened would pass are done both ways: the
# judge of kernel logs must see a planted BUG, the disk's sum must differ for
# other data, and a fault must be counted exactly when a DMA is blocked.
set -uo pipefail
# shellcheck source=tests/bed/lib/l1.sh
. "$BED_LIB"

MIB=$((1 << 20))
MEM=$((512 * MIB))

test_blocked_dma() {
	local edu before after

	edu=$(bed_bdf edu) || { verdict skip edu-blocked 'no edu device in this run'; return; }
	before=$(vtd_faults "$edu")
	python3 "$BED_LIB_DIR/edu.py" "$edu" write 0x100000 64
	python3 "$BED_LIB_DIR/edu.py" "$edu" read 0x100000 64
	after=$(vtd_faults "$edu")
	result edu_faults $((after - before))
	check_that edu-blocked "$after - $before >= 2"
	check_equal faults-by-requester "$(vtd_faults "$(bed_bdf nvme)")" 0
}

test_groups() {
	local bdf groups

	groups=$(for bdf in $(bed_bdfs); do bdf_group "$bdf"; done | sort -u | wc -l)
	check_equal a-group-each "$groups" "$(bed_bdfs | wc -l)"
}

test_disk() {
	local before

	check nvme-driver guest_sh g "load nvme && disk_of $(guest_bdf 0)"
	check nvme-verified guest_sh g "disk_sum \$(disk_of $(guest_bdf 0)) 8" 120
	check nvme-no-false-pass guest_sh g \
		"d=\$(disk_of $(guest_bdf 0)) && echo x | dd of=\$d bs=512 seek=9 conv=sync oflag=direct 2>&1 && ! disk_sum \$d 1" 120
	before=$(kvm_exits g)
	check nvme-reads guest_sh g \
		"dd if=\$(disk_of $(guest_bdf 0)) of=/dev/null bs=4k count=256 skip=4096 iflag=direct" 120
	result nvme_mmio_exits_per_256_reads $(($(kvm_exits g) - before))
	check_that nvme-direct-mmio "$(kvm_exits g) - $before < 128"
	check nvme-msix guest_sh g "grep -q nvme0q1 /proc/interrupts"
}

test_net() {
	check e1000e-driver guest_sh g \
		"load e1000e && net_up \$(net_of $(guest_bdf 1)) > /tmp/peer && cat /tmp/peer" 120
	check_equal e1000e-peer "$(guest_sh g 'cat /tmp/peer')" "$(bed_peer e1000e)"
	check e1000e-receives guest_sh g "net_get \$(cat /tmp/peer) $((4 * MIB)) 7" 180
	check e1000e-sends guest_sh g \
		"dd if=/dev/urandom of=/tmp/up bs=1M count=2 2> /dev/null; net_put \$(cat /tmp/peer) /tmp/up" 180
}

test_control() {
	local sum

	sum=$(seq 1 5000 | md5sum)
	check_equal guest-output "$(guest_sh g 'seq 1 5000' | md5sum)" "$sum"
	guest_sh g 'exit 42'
	check_equal guest-status $? 42
	guest_sh g 'sleep 30' 1 > /dev/null
	check_that guest-time-out "$? != 0"
	check_equal qmp "$(guest_qmp g '{"execute":"query-status"}' | jq -r .status)" running
	guest_sh g 'result figure "a b:c"'
	check_equal guest-result "$(guest_result g figure)" 'a b:c'
	check guest-reboot guest_reboot g soft
	check_equal guest-boots "$(guest_boots g)" 2
}

# A guest bears what the other CPUs do: interrupts are injected once, whatever kicks its CPU
# (l1/inject); the first CPU, whose flags are written, is not its own (FIRST_CPU in bedlib/l0.py).
test_disturbed() {
	local kind pid cpu before boots
	local -a pids

	taskset -apc 1 "$(guest_pid g)" > /dev/null
	before=$(< /sys/module/bed_inject/parameters/exits)
	boots=$(guest_boots g)
	for kind in kicks restores; do
		pids=()
		for cpu in 0 2; do
			taskset -c $cpu python3 "$BED_LIB_DIR/disturb.py" $kind 10 &
			pids+=($!)
		done
		# shellcheck disable=SC2016 # expanded in the guest
		check guest-$kind guest_sh g 'i=0; while [ $i -lt 10000 ]; do i=$((i + 1)); done' 120
		for pid in "${pids[@]}"; do
			wait "$pid"
			check_equal $kind $? 0
		done
		check guest-works guest_sh g true
	done
	taskset -apc 1,2 "$(guest_pid g)" > /dev/null
	check_that injections "$(< /sys/module/bed_inject/parameters/exits) - $before > 100"
	check_equal guest-boots-disturbed "$(guest_boots g)" "$boots"
}

test_judge() {
	echo '[    1.0] BUG: kernel NULL pointer dereference' > /tmp/planted
	bed_scan guest /tmp/planted > /dev/null
	check_equal judge-sees-bug $? 1
	bed_allow guest 'NULL pointer dereference' 'planted by this test'
	bed_scan guest /tmp/planted > /dev/null
	check_equal judge-allows $? 0
	rm -f "$BED_RUN/allow"
}

test_script() {
	cat > /tmp/in-guest.sh <<-'EOF'
		. /bed/lib.sh
		result greeting "hello from $WHO"
		cat /extra/data
		exit 3
	EOF
	echo payload > /tmp/data
	guest_start s --script /tmp/in-guest.sh --file /tmp/data --env WHO=us --mem 256M
	guest_wait s 60
	check_equal script-status $? 3
	check_equal script-result "$(guest_result s greeting)" 'hello from us'
	check_equal script-output "$(cat "$(guest_dir s)/script.log")" payload
	guest_stop s
}

pinned=$(pinned_pages)
test_judge
test_groups
test_blocked_dma

faults=$(vtd_faults)
if guest_start g --mode vfio --device "$(bed_bdf nvme)" "$(bed_bdf e1000e)" --mem "$MEM"; then
	verdict pass guest-starts
	result pinned_bytes $((($(pinned_pages) - pinned) * 4096))
	check_that all-pinned "($(pinned_pages) - $pinned) * 4096 >= $MEM"
	check_that memlock-charged "$(vmlck "$(guest_pid g)") >= $MEM"
	test_disk
	test_net
	test_disturbed
	test_control
	guest_stop g
	check_equal all-unpinned "$(pinned_pages)" "$pinned"
	check_equal no-faults "$(vtd_faults)" "$faults"
else
	verdict fail guest-starts
fi
test_script
