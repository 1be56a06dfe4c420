# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# counters.sh: figures that do not come from the software under test.

BED_TRACING=/sys/kernel/tracing

# pinned_pages: pages pinned now, by the kernel's own count. Each CPU counts for itself first.
pinned_pages() {
	cat /proc/sys/vm/stat_refresh > /dev/null
	awk '$1 == "nr_foll_pin_acquired" { n += $2 }
	     $1 == "nr_foll_pin_released" { n -= $2 }
	     END { printf "%d\n", n }' /proc/vmstat
}

# vmlck PID: bytes that a process has charged to its memlock limit.
vmlck() {
	awk '$1 == "VmLck:" { printf "%d\n", $2 * 1024 }' "/proc/$1/status"
}

# kvm_exits NAME [COUNTER]: a guest's KVM counter (default mmio_exits).
kvm_exits() {
	local pid dir

	pid=$(guest_pid "$1") || return
	mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug
	for dir in /sys/kernel/debug/kvm/"$pid"-*; do
		cat "$dir/${2:-mmio_exits}" && return
	done
	echo "bed: no KVM counters of $1" >&2
	return 1
}

# vtd_faults [BDF]: DMA remapping faults that the emulated VT-d raised since
# L1 started, all or those of one requester. This is QEMU's own trace: dmesg
# is rate-limited. Who reads a file of /bed/out pins its buffer meanwhile, which
# tests of what is pinned would see; this cat has none (sendfile(2)). On the machine itself
# there is nothing but dmesg: none is none there, and more are at least so many.
vtd_faults() {
	local file=/bed/out/l0/vtd_dmar_fault.log bdf=${1:-} bus dev fn sid

	# 1 is grep's for a count of 0, which is none of ours
	{
		if [[ -n ${BED_HOST:-} ]]; then
			bed_kernel_log | grep -E 'DMAR: \[.* fault|IO_PAGE_FAULT' | grep -cF -- "${bdf#0000:}"
		elif (($# == 0)); then
			busybox cat "$file" | grep -c '^vtd_dmar_fault'
		else
			IFS=:. read -r _ bus dev fn <<< "$1"
			printf -v sid '0x%x' $((0x$bus << 8 | 0x$dev << 3 | fn))
			busybox cat "$file" | grep -cE "^vtd_dmar_fault .*sid 0x0*${sid#0x}\b"
		fi
	} || (($? == 1))
}

# iotlb_watch: from here on, the kernel counts what it tells VT-d's units. iotlb_flushes: how many
# of these flushed an IOTLB, since then (VT-d 6.5.2: descriptors of type 2); nothing where there
# is no VT-d, or no such tracepoint. iotlb_unwatch: no more.
iotlb_watch() {
	mountpoint -q $BED_TRACING || mount -t tracefs tracefs $BED_TRACING
	_iotlb_trigger 'hist:keys=qw0:size=4096'
}

iotlb_unwatch() {
	_iotlb_trigger '!hist:keys=qw0:size=4096'
}

_iotlb_trigger() {
	local event=$BED_TRACING/events/intel_iommu/qi_submit

	[[ ! -e $event/hist ]] || echo "$1" > "$event/trigger"
}

iotlb_flushes() {
	local file=$BED_TRACING/events/intel_iommu/qi_submit/hist

	[[ -e $file ]] || return 0
	awk '$2 == "qw0:" && $3 % 16 == 2 { n += $NF } END { printf "%d\n", n }' "$file"
}
