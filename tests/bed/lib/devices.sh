# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# devices.sh: the devices that guests may get. /bed/out/run/devices names each
# one's slot; an express device is the child of the root port there. On the machine itself it
# names the device.

# bed_devices: index, role, driver name in QEMU, BDF, network peer (- for none).
bed_devices() {
	local index role driver slot place net dir bdf

	while read -r index role driver slot place net; do
		dir=/sys/bus/pci/devices/0000:00:$slot.0
		bdf=-
		case $place in
		direct) bdf=${dir##*/} ;;
		here) bdf=$slot ;;
		port)
			for dir in "$dir"/0000:*:00.0; do
				[[ ! -e $dir/vendor ]] || bdf=${dir##*/}
			done
			;;
		esac
		echo "$index $role $driver $bdf $net"
	done < /bed/out/run/devices
}

# bed_bdf ROLE|INDEX: a device's BDF. A second nvme is nvme.1, and so on.
bed_bdf() {
	bed_devices | awk -v want="$1" '
		($1 == want || $2 == want) && $4 != "-" { print $4; found = 1; exit }
		END { exit !found }' || { echo "bed: no device $1" >&2; return 1; }
}

# bed_bdfs: the BDFs of all devices that have drivers (edu has none).
bed_bdfs() {
	bed_devices | awk '$3 != "edu" && $4 != "-" { print $4 }'
}

# bed_class CLASS: the BDF of the first device of a PCI class (01: disks, 02: NICs).
bed_class() {
	local bdf

	for bdf in $(bed_devices | awk '$4 != "-" { print $4 }'); do
		[[ $(< "/sys/bus/pci/devices/$bdf/class") != "0x$1"* ]] || { echo "$bdf"; return; }
	done
	return 1
}

# bed_driver BDF: the Linux driver that a guest has for a device, by the name in the table.
bed_driver() {
	bed_devices | awk -v bdf="$1" '$4 == bdf { print $3; exit }'
}

# bed_peer ROLE|INDEX: the address at which a NIC's guest reaches the service.
bed_peer() {
	bed_devices | awk -v want="$1" '
		($1 == want || $2 == want) && $5 != "-" { print $5; found = 1; exit }
		END { exit !found }' || { echo "bed: $1 has no network" >&2; return 1; }
}

# bdf_driver BDF: the driver that a device is bound to, or "none".
bdf_driver() {
	if [[ -e /sys/bus/pci/devices/$1/driver ]]; then
		basename "$(readlink "/sys/bus/pci/devices/$1/driver")"
	else
		echo none
	fi
}

# bdf_group BDF: the number of a device's IOMMU group.
bdf_group() {
	basename "$(readlink "/sys/bus/pci/devices/$1/iommu_group")"
}

_bdf_rebind() {
	local bdf=$1 override=$2 dir=/sys/bus/pci/devices/$1 tries

	echo "$override" > "$dir/driver_override"
	# again where udev is still binding a driver of its own
	for ((tries = 0; tries < 20; tries++)); do
		[[ ! -e $dir/driver ]] || echo "$bdf" > "$dir/driver/unbind"
		echo "$bdf" > /sys/bus/pci/drivers_probe
		[[ -n $override && $(bdf_driver "$bdf") != "$override" ]] || return 0
		bed_pause
	done 2> /dev/null
}

# bind_vfio BDF...: give devices to vfio-pci (a no-op for those that have it).
bind_vfio() {
	local bdf

	modprobe -a vfio-pci vfio_iommu_type1 || return
	for bdf in "$@"; do
		[[ $(bdf_driver "$bdf") == vfio-pci ]] || _bdf_rebind "$bdf" vfio-pci
		if [[ $(bdf_driver "$bdf") != vfio-pci ]]; then
			echo "bind_vfio: $bdf has driver $(bdf_driver "$bdf")" >&2
			return 1
		fi
	done
}

# unbind_vfio BDF...: give devices back to the host's own driver, if one is
# loaded.
unbind_vfio() {
	local bdf

	for bdf in "$@"; do
		_bdf_rebind "$bdf" ''
	done
}

# igb_vfs COUNT [BDF]: make virtual functions of the igb; print their BDFs.
# The physical function stays with L1's igb driver, its link up.
igb_vfs() {
	local count=$1 bdf dir link net

	bdf=${2:-$(bed_bdf igb)} || return
	dir=/sys/bus/pci/devices/$bdf
	modprobe igb || return
	[[ $(bdf_driver "$bdf") == igb ]] || unbind_vfio "$bdf"
	echo 0 > "$dir/sriov_drivers_autoprobe"
	if [[ $(< "$dir/sriov_numvfs") != "$count" ]]; then
		echo 0 > "$dir/sriov_numvfs"
		echo "$count" > "$dir/sriov_numvfs" || return
	fi
	for net in "$dir"/net/*; do
		ip link set "${net##*/}" up
	done
	for link in "$dir"/virtfn*; do
		basename "$(readlink "$link")"
	done
}
