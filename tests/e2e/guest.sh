# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
#
# guest.sh: what the end-to-end tests have at hand in a guest (busybox sh), on
# top of the bed's tests/bed/guest/lib.sh. Sourced before each command, which runs
# under "set -e".
# shellcheck disable=SC2154 # BED_PORT_WORK comes from L1

PCI=/sys/bus/pci
DEBUG=/sys/kernel/debug/pvdma
TRACING=/sys/kernel/tracing

# --- the module ---------------------------------------------------------------------

# pvdma_dir: the directory of the pvdma device that is in use.
pvdma_dir() {
	for _dir in /sys/class/pvdma/pvdma*; do
		[ -e "$_dir" ] && echo "$_dir" && return
	done
	echo "no pvdma device is in use" >&2
	return 1
}

# pvdma_load [PARAMETER...]: load the module; fails unless a device is driven.
pvdma_load() {
	load pvdma "$@" && pvdma_dir > /dev/null
}

# attribute NAME: what the device's sysfs attribute says.
attribute() {
	cat "$(pvdma_dir)/$1"
}

# rebind BDF: ask the module to take a device over.
rebind() {
	echo "$1" > "$(pvdma_dir)/rebind"
}

# device_name: virtioN; device_unbind and device_bind NAME.
device_name() {
	basename "$(readlink "$(pvdma_dir)/device")"
}

device_unbind() {
	echo "$1" > /sys/bus/virtio/drivers/pvdma/unbind
}

device_bind() {
	echo "$1" > /sys/bus/virtio/drivers/pvdma/bind
}

# counter NAME [BDF]: a counter of the module, or of one endpoint.
counter() {
	awk -v n="$1" '$1 == n { print $2; found = 1 } END { exit !found }' \
		"$DEBUG/${2:+endpoints/}${2:-stats}"
}

# counter_above N NAME [BDF]: for wait_for
counter_above() {
	[ "$(counter "$2" "${3:-}")" -gt "$1" ]
}

# endpoint_state BDF: attached, detached, or "none".
endpoint_state() {
	attribute endpoints |
		awk -v b="$1" '$1 == b { s = $3 } END { print s ? s : "none" }'
}

# --- drivers ---------------------------------------------------------------------------

# driver_of BDF: the driver's name, or "none".
driver_of() {
	if [ -e "$PCI/devices/$1/driver" ]; then
		basename "$(readlink "$PCI/devices/$1/driver")"
	else
		echo none
	fi
}

# drive BDF: load the driver for a device, by its alias, and wait until it is bound.
# There is no udev to load that of the SCSI disks behind it.
drive() {
	case $(cat "$PCI/devices/$1/class") in
	0x0108*) ;;
	0x01*) load sd_mod ;;
	esac
	modprobe "$(cat "$PCI/devices/$1/modalias")" || return
	[ "$(driver_of "$1")" != none ] || echo "$1" > $PCI/drivers_probe
	wait_for 60 test -e "$PCI/devices/$1/driver" || { echo "no driver takes $1" >&2; return 1; }
}

undrive() {
	echo "$1" > "$PCI/devices/$1/driver/unbind"
}

# dmacheck_bind BDF: gives a device that has no driver to dmacheck, for good.
dmacheck_bind() {
	echo dmacheck > "$PCI/devices/$1/driver_override"
	[ "$(driver_of "$1")" = dmacheck ] || echo "$1" > $PCI/drivers/dmacheck/bind
}

# dmacheck_bench ROUNDS BDF: maps and unmaps one page that often; what it says of it.
dmacheck_bench() {
	undrive "$2"
	echo "$1" > /sys/module/dmacheck/parameters/bench
	dmesg -c > /dev/null
	echo "$2" > $PCI/drivers/dmacheck/bind
	dmesg | grep 'dmacheck:'
}

# edu BDF [at|above ADDRESS]: edu, whoever drives it, does DMA where nobody mapped anything for
# it. "at": it copies 64 bytes there to half a page behind them. Else it writes to and reads a
# page, "above" that address: says "reached" or "blocked". tests/modules/edudma/bare.c has more.
edu() {
	_edu=/sys/module/edudma/parameters
	[ -e $_edu ] || load edudma what=none || return
	if [ "${2:-above}" = at ]; then
		echo "$1 $3" > $_edu/copy
	else
		echo "$1 ${3:-0}" > $_edu/touch && cat $_edu/touch
	fi
}

# bus_master BDF: may the device do DMA? bus_master_on BDF: it may from now on.
bus_master() {
	_command=$(hexdump -s 4 -n 2 -e '1/2 "%u"' "$PCI/devices/$1/config")
	[ $((_command & 4)) != 0 ]
}

bus_master_on() {
	_command=$(hexdump -s 4 -n 1 -e '1/1 "%u"' "$PCI/devices/$1/config")
	# shellcheck disable=SC2059 # it makes an escape sequence
	printf "\\$(printf %o $((_command | 4)))" |
		dd of="$PCI/devices/$1/config" bs=1 seek=4 conv=notrunc 2> /dev/null
}

# interrupts BDF: how many came, of all its vectors.
interrupts() {
	_irqs=$(ls "$PCI/devices/$1/msi_irqs" 2> /dev/null || cat "$PCI/devices/$1/irq")
	awk -v list="$_irqs" '
		BEGIN { n = split(list, irq); for (i = 1; i <= n; i++) want[irq[i] ":"] = 1 }
		FNR == 1 { cpus = NF }
		$1 in want { for (i = 2; i <= cpus + 1; i++) sum += $i }
		END { print sum + 0 }' /proc/interrupts
}

# capability BDF: offset (decimal) of the pvdma capability in config space.
capability() {
	_at=$(hexdump -ve '1/1 "%02x"' -n 256 "$PCI/devices/$1/config" | awk '
		{ at = index($0, "5056444d"); print at % 2 ? (at - 1) / 2 - 4 : -1 }')
	[ "$_at" -gt 0 ] && echo "$_at"
}

# --- work whose data is verified ----------------------------------------------------------

# disk_fill DEVICE SIZE: what disk_work reads and rewrites.
disk_fill() {
	_set=/tmp/set.${1##*/}
	mkdir -p "$_set"
	ln -sfn "$1" "$_set/data000"
	pvdma-work fill "$_set" 1 "$2" && sync
}

# disk_work DEVICE SIZE CHUNK ROUNDS: fails unless every byte was right.
disk_work() {
	pvdma-work disk "/tmp/set.${1##*/}" 1 "$2" "$3" "$4"
}

# disk_all BDF SIZE CHUNK ROUNDS: both, on the disk behind a controller.
disk_all() {
	_disk=$(disk_of "$1") || return
	disk_fill "$_disk" "$2" && disk_work "$_disk" "$2" "$3" "$4"
}

# net_all BDF BYTES: fetches and sends that many, verified at both ends.
net_all() {
	_net=$(net_of "$1") || return
	if ! ip addr show dev "$_net" | grep -q 'inet '; then
		net_up "$_net" > /dev/null || return
		# a NIC whose packets are always linear has nothing to turn off
		pvdma-work linear "$_net" 2> /dev/null || true
	fi
	_peer=$(cat "/run/peer.$_net")
	pvdma-work get "$_peer" "$BED_PORT_WORK" "$2" && pvdma-work put "$_peer" "$BED_PORT_WORK" "$2"
}

# work BDF SIZE: the work that suits the device's class.
work() {
	case $(cat "$PCI/devices/$1/class") in
	0x01*) disk_all "$1" "$2" 64K 2 ;;
	0x02*) net_all "$1" "$2" ;;
	*)
		echo "$1 is neither a disk controller nor a NIC" >&2
		return 1
		;;
	esac
}

# --- the kernel's own view of DMA mappings (6.12 and later) ----------------------------------

TRACE_EVENTS="dma_map_page dma_map_phys dma_unmap_page dma_unmap_phys dma_map_sg dma_unmap_sg
	dma_alloc dma_free dma_alloc_pages dma_free_pages"

has_traces() {
	[ -e $TRACING/events/dma ]
}

# trace_on: start from an empty buffer that holds a lot.
trace_on() {
	echo 0 > $TRACING/tracing_on
	echo 49152 > $TRACING/buffer_size_kb || return
	: > $TRACING/trace
	for _event in $TRACE_EVENTS; do
		[ ! -e "$TRACING/events/dma/$_event" ] || echo 1 > "$TRACING/events/dma/$_event/enable"
	done
	echo 1 > $TRACING/tracing_on
}

# trace_off: stop; fails when events were lost.
trace_off() {
	echo 0 > $TRACING/tracing_on
	echo 0 > $TRACING/events/dma/enable
	! grep -h -E '^(overrun|dropped events): [1-9]' $TRACING/per_cpu/cpu*/stats
}

# trace_count BDF EVENT...: events of a device. A free of nothing, which the core
# traces before it looks, is none.
trace_count() {
	_bdf=$1
	shift
	_events=$(echo "$*" | tr ' ' '|')
	grep -E " ($_events): $_bdf " $TRACING/trace |
		grep -cvE 'virt_addr=(0+|\(null\)) ' || true
}
