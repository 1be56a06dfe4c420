# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# overcommit: two guests, each with a disk of its own, whose memory together is more than
# the host has. Behind agents with quotas they work, verified, on all of it while
# the host swaps; with plain vfio-pci the same host cannot run them both.
#
# The host is set up as docs/operations.md says ("More guest memory than memory").
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

declare -A DISK=([one]=$(bed_bdf nvme) [two]=$(bed_bdf nvme.1))
NVME=$(guest_bdf 0)
MEM=$(numfmt --from=iec "$BED_GUEST_MEM")
TOUCHED=$((MEM * 3 / 4))
QUOTA=$((64 << 20))
SET=32M
# what of each guest's memory is walked at least while there is I/O
WALK=$((64 << 20))
HOST=$(awk '$1 == "MemTotal:" { printf "%d\n", $2 * 1024 }' /proc/meminfo)
# All of a guest is pinned, several times over, before its firmware says a word.
# shellcheck disable=SC2034 # both are the bed's
BED_STIR_SECONDS=900 BED_BOOT_SECONDS=900

mib() {
	echo "$(($1 >> 20)) MiB"
}

# figure NAME TEXT: shown, and kept
figure() {
	echo "$1: $2"
	result "overcommit.$1" "$2"
}

vmstat_of() {
	awk -v n="$1" '$1 == n { print $2 }' /proc/vmstat
}

# swapped GUEST: bytes of its QEMU's that are swapped. VmSwap in /proc/PID/status is without shared
# memory, which guests' memory is.
swapped() {
	awk '$1 == "Swap:" { printf "%d\n", $2 * 1024 }' "/proc/$(guest_pid "$1")/smaps_rollup"
}

# --- the host ---------------------------------------------------------------------------

swap_on() {
	modprobe zram
	echo lz4 > /sys/block/zram0/comp_algorithm
	# What is not guests' memory, QEMUs' own for one, is much on so small a host.
	echo $((2 * HOST)) > /sys/block/zram0/disksize
	mkswap /dev/zram0
	swapon -p 100 /dev/zram0
	sysctl vm.page-cluster=0
	cat /proc/swaps
	expect "swap that is there" "$(awk '/zram0/ { print $3 }' /proc/swaps) > 0"
	expect "memory of the guests" "2 * $MEM > $HOST"
	expect "what they touch" "2 * $TOUCHED > $HOST"
	figure host "$(mib "$HOST") of memory, 2 guests of $(mib "$MEM")"
}

# --- plain vfio-pci -----------------------------------------------------------------------

plain_ended() {
	! guest_alive one || ! guest_alive two
}

# All of the first guest is pinned; there is no memory to pin the second one in. Their memory
# is anonymous, in huge pages where the kernel has some: what is best for VFIO.
plain() {
	local name peak

	pins_begin
	guest_start one --mode vfio --device "${DISK[one]}" --mem "$MEM" --mem-backend ram
	# nearly: what the firmware's ROMs hide is not
	expect "bytes pinned of one guest" "$(pinned_bytes) > $MEM * 9 / 10"
	guest_start two --mode vfio --device "${DISK[two]}" --mem "$MEM" --mem-backend ram --no-wait
	eventually 120 "an end of one of them" plain_ended
	peak=$(pins_peak)
	figure plain.pinned_peak_bytes "$(mib "$peak")"
	for name in one two; do
		guest_alive "$name" || plain_end_of "$name"
	done
}

nothing_pinned() {
	(($(pinned_bytes) == 0))
}

# For want of memory, in the kernel's words or in QEMU's; nothing else counts.
plain_end_of() {
	local dir words

	dir=$(guest_dir "$1")
	words=$({ dmesg; cat "$dir/qemu.log"; } | grep -oE \
		"Out of memory: Killed process $(guest_pid "$1") \([^)]*\)|.*Cannot allocate memory.*" | tail -n 1)
	figure "plain.$1" "status $(< "$dir/status"): $words"
	guest_ended "$1"
}

plain_over() {
	local name

	for name in one two; do
		! guest_alive "$name" || guest_kill "$name"
		guest_stop "$name"
	done
	eventually 60 "nothing pinned" nothing_pinned
}

# --- with pvdma ----------------------------------------------------------------------------

start() {
	agent_start "$1" "${DISK[$1]}" -- --quota $QUOTA
	vm_start "$1" "$1" --mem "$MEM" --mem-backend memfd
	load_pvdma "$1" 1
	g "$1" "drive $NVME; disk=\$(disk_of $NVME); disk_fill \$disk $SET; disk_work \$disk $SET 64K 1" 600
}

# memory_begin GUEST: fills memory, then walks and verifies it, round after round.
memory_begin() {
	g "$1" "rm -f /tmp/walked; : > /tmp/memory
		(pvdma-work memory $TOUCHED /tmp/walked > /tmp/memory 2>&1
		echo ended=\$? >> /tmp/memory) &"
}

# right_of GUEST: bytes that were as they had been left, in all rounds; -1 before all of its
# memory is filled. Fails when the walk has ended.
right_of() {
	g "$1" "if grep -E '^(error|ended)=' /tmp/memory; then exit 1; fi
		awk -F = '/^memory_(rounds=0|right_bytes=)/ { n = \$2 + 1 } END { print n - 1 }' /tmp/memory"
}

# walked GUEST BYTES: so much and more was right.
walked() {
	local right

	right=$(right_of "$1") || fail "the memory of $1: $right"
	((right >= $2))
}

fill() {
	local name

	for name in one two; do
		memory_begin "$name"
	done
	for name in one two; do
		eventually $((120 + (MEM >> 20))) "memory of $name filled" walked "$name" 0
	done
	grep -E '^(MemFree|MemAvailable|SwapFree|Shmem):' /proc/meminfo
	expect "bytes of guest one that are swapped" "$(swapped one) > 0"
	expect "bytes of guest two that are swapped" "$(swapped two) > 0"
}

# Under I/O: what is walked was swapped, and comes back, while other memory goes.
swap_under_io() {
	local name in out swap

	in=$(vmstat_of pswpin) out=$(vmstat_of pswpout)
	for name in one two; do
		io_begin "$name" "$NVME" $SET
	done
	for name in one two; do
		eventually 600 "memory of $name verified" walked "$name" $(($(right_of "$name") + WALK))
		eventually 300 "I/O of $name" io_past "$name" 0
		g "$name" '! grep ended /tmp/io'
		swap=$(swapped "$name")
		figure "swapped.$name" "$(mib "$swap")"
		expect "bytes of guest $name that are swapped" "$swap > 0"
	done
	in=$(($(vmstat_of pswpin) - in)) out=$(($(vmstat_of pswpout) - out))
	figure swapped_in "$in pages"
	figure swapped_out "$out pages"
	expect "bytes swapped in under I/O" "$in * 4096 > $WALK"
	expect "bytes swapped out under I/O" "$out * 4096 > $WALK"
}

# All of their memory, while the I/O of both goes on: rounds end as whole ones.
verified() {
	local name

	for name in one two; do
		g "$name" 'touch /tmp/walked'
	done
	for name in one two; do
		g "$name" "wait_for $((300 + (MEM >> 20))) grep ended= /tmp/memory; cat /tmp/memory" \
			$((400 + (MEM >> 20))) > "$E2E_RUN/memory.$name"
		tail -n 4 "$E2E_RUN/memory.$name"
		contains "the memory's verdict" "$E2E_RUN/memory.$name" '^memory_verified=true$'
		contains "its end" "$E2E_RUN/memory.$name" '^ended=0$'
	done
}

right() {
	local name=$1

	io_end "$name"
	figure "verified.$name" "memory: $(mib $TOUCHED), $(sed -n 's/^memory_rounds=//p' "$E2E_RUN/memory.$name" |
		tail -n 1) rounds; I/O: $(io_rounds "$name") rounds of $SET"
	same "failures of the device's mappings" "$(g "$name" "counter failures $NVME")" 0
	g "$name" '! dmesg | grep -E "I/O error|nvme .*(timeout|abort|reset)"'
	figure "mapped_peak.$name" "$(mib "$(stat_of "$name" vm.mapped_peak)") of $(mib $QUOTA)"
	expect "bytes mapped of $name at the most" "$(stat_of "$name" vm.mapped_peak) <= $QUOTA"
}

pinned() {
	local peak

	peak=$(pins_peak)
	figure pinned_peak_bytes "$(mib "$peak")"
	expect "bytes pinned at the most" "0 < $peak && $peak <= 2 * $QUOTA"
}

step swap swap_on
step plain-vfio plain
step plain-vfio-over plain_over
pins_begin
step start-one start one
step start-two start two
step fill fill
step swap-under-io swap_under_io
step verified verified
step right-one right one
step right-two right two
step pinned pinned
