# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# devices.sh: the devices in the hands of the host's own drivers, between and beside
# guests. On a machine of somebody's these are things that others have, too: a disk is
# known by what it says of itself, and links by names that nobody else uses.
#
#   devices_take BDF...     the host's own drivers have them
#   device_disk BDF         /dev/... of a controller's only disk
#   device_nic BDF          the interface of a NIC
#   links_make, links_end   a tap, and a bridge on which it meets the NIC
#   width                   bits of an address that the IOMMU translates, 48 at most
#
# Traps call these, in which a "return" alone returns what was before the trap.

DEVICES_BRIDGE=pvdma-br
# shellcheck disable=SC2034 # peers.sh reads it
DEVICES_TAP=pvdma-tap
# What is asynchronous is found when nothing has changed for so long. In the bed there is one of each.
DEVICES_STABLE=$((${BED_HOST:+5} + 0))
DEVICES_SECONDS=120

devices_take()
{
	local bdf driver

	for bdf in "$@"; do
		driver=$(bed_driver "$bdf")
		modprobe "$driver" || return 1
		[[ $(bdf_driver "$bdf") == "$driver" ]] || _bdf_rebind "$bdf" "$driver"
		# a module may be called otherwise than its driver
		[[ $(bdf_driver "$bdf") != @(vfio-pci|none) ]] || _bdf_rebind "$bdf" ''
		if [[ $(bdf_driver "$bdf") == @(vfio-pci|none) ]]; then
			echo "$bdf: no driver of the host's takes it, vfio-pci has its ID perhaps (ids=)" >&2
			return 1
		fi
	done
}

# _device_children BDF PATTERN: the names of all that there are now, but for those of multipath's
# that are no devices
_device_children()
{
	local path hidden

	# a pattern is to be one here
	# shellcheck disable=SC2086
	for path in $2; do
		hidden=0
		[[ ! -e $path/hidden ]] || hidden=$(< "$path/hidden")
		[[ $(readlink -f "$path") != */$1/* || $hidden == 1 ]] || echo "${path##*/}"
	done
}

# _device_settled BDF PATTERN: the same, once there is one, and they have stayed as they are
_device_settled()
{
	local end=$((SECONDS + DEVICES_SECONDS)) since=$SECONDS names='' now

	while ((SECONDS < end)); do
		now=$(_device_children "$1" "$2" | xargs)
		[[ $now == "$names" ]] || names=$now since=$SECONDS
		if [[ -n $names ]] && ((SECONDS - since >= DEVICES_STABLE)); then
			echo "$names"
			return 0
		fi
		bed_pause
	done
	echo "no $2 of $1" >&2
	return 1
}

# device_disk BDF: the controller's only disk; the same one as the first time, by its size and
# what it says of itself.
device_disk()
{
	local names file=$WORK_RUN/disk.known known

	names=$(_device_settled "$1" '/sys/block/*') || return 1
	if [[ $names == *' '* ]]; then
		echo "$1 has more than one disk ($names): which would the guest take?" >&2
		return 1
	fi
	known=$(cd "/sys/block/$names" &&
		{ cat size wwid device/wwid device/serial device/model 2> /dev/null || true; } | tr '\n' ' ')
	[[ -e $file ]] || echo "$known" > "$file"
	if [[ $known != "$(< "$file")" ]]; then
		echo "the disk of $1 is another one now: $known" >&2
		return 1
	fi
	[[ -b /dev/$names ]] || sleep 5
	[[ -b /dev/$names ]] || return 1
	echo "/dev/$names"
}

# device_nic BDF: by the name that it has in the end.
device_nic()
{
	_device_settled "$1" '/sys/class/net/*'
}

# links_make INTERFACE
links_make()
{
	modprobe -a tun bridge || return 1
	links_end
	ip link add "$DEVICES_BRIDGE" type bridge || return 1
	ip tuntap add "$DEVICES_TAP" mode tap || return 1
	ip link set "$DEVICES_TAP" master "$DEVICES_BRIDGE" || return 1
	ip link set "$1" master "$DEVICES_BRIDGE" || return 1
	ip link set "$1" up || return 1
	ip link set "$DEVICES_TAP" up || return 1
	ip link set "$DEVICES_BRIDGE" up
}

links_end()
{
	local name

	for name in "$DEVICES_TAP" "$DEVICES_BRIDGE"; do
		[[ ! -e /sys/class/net/$name ]] || ip link del "$name"
	done
}

# VT-d's capability register has the maximum guest address width in bits 21:16, less one. What
# it calls 39 bits is three levels of tables, and 48 four: emulated IOMMUs know these two.
width()
{
	local file cap

	for file in /sys/class/iommu/*/intel-iommu/cap; do
		[[ -e $file ]] || continue
		cap=$(< "$file")
		cap=$((16#${cap#0x}))
		if (((cap >> 16 & 63) + 1 < 48)); then
			echo 39
			return 0
		fi
	done
	echo 48
}
