# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# peers.sh: the ways to give a guest a disk and a NIC that are compared.
#
# In all of them the disk and the NIC are those of tests/work/l1.sh; the guest, its kernel and
# its memory (shared, on tmpfs with huge pages; but vfio-anonymous's) are the same. Behind
# paravirtual and emulated devices the host's own drivers use the
# hardware, without the host's page cache, and packets go over a bridge and a tap.
#
# Their devices in the host's own hands: devices.sh.
#
#   PEERS              their names, in their order
#   PEERS_STARTED      those whose start with guests of several sizes is measured; a guest without
#                      devices, and ones whose memory QEMU touches first, tell apart what
#                      zeroing and what pinning take of direct assignment's
#   peer_start NAME WORKING-SET [OPTION of guest_start...]
#   peer_modules NAME  what the guest loads for it, in that order
#   peer_maps NAME     whether the guest has a way of its own to map for the devices, that
#                      map_benchmark is to judge; direct assignment's stands for all others
#   peer_stop          whatever runs beside the guest; the guest is gone by then

# The reader of what is set here is host.sh, or one.sh.
# shellcheck disable=SC2034
# shellcheck source=tests/bench/peers/devices.sh
. "${BASH_SOURCE[0]%/*}/devices.sh"

PEERS='vfio vfio-anonymous virtio-iommu-strict virtio-iommu-lazy intel-iommu virtio emulated
	pvdma-100 pvdma-50 pvdma-25 pvdma-10 pvdma-shared pvdma-single-use'
PEERS_STARTED='none none-touched vfio-touched vfio pvdma-100'

# What is mapped beyond the working set when all is granted: the guest, and what the
# firmware has beside it.
PEERS_BESIDE=$((64 << 20))

peer_modules()
{
	local disk=${WORK_DISK:+1} nic=${WORK_NIC:+1}

	case $1 in
	virtio) echo ${disk:+virtio_blk ext4} ${nic:+virtio_net} ;;
	emulated) echo ${disk:+nvme ext4} ${nic:+e1000e} ;;
	pvdma-*) { echo pvdma; vm_modules; } | xargs ;;
	*) vm_modules | xargs ;;
	esac
}

# What is found by "set" is what the work needs, and no more.
peer_maps()
{
	case $1 in
	virtio | emulated | pvdma-set | vfio-anonymous) return 1 ;;
	esac
}

peer_start()
{
	local name=$1 set=$2

	shift 2
	case $name in
	vfio)
		vm_start --mode vfio --device "${WORK_DEVICES[@]}" "$@"
		;;
	vfio-anonymous)
		vm_start --mode vfio --device "${WORK_DEVICES[@]}" --mem-backend ram "$@"
		;;
	vfio-touched) vm_start --mode vfio --device "${WORK_DEVICES[@]}" --mem-prealloc "$@" ;;
	none) vm_start "$@" ;;
	none-touched) vm_start --mem-prealloc "$@" ;;
	virtio-iommu-strict)
		peer_virtio_iommu iommu.strict=1 "$@"
		;;
	virtio-iommu-lazy)
		peer_virtio_iommu iommu.strict=0 "$@"
		;;
	intel-iommu)
		peer_behind "intel-iommu,caching-mode=on,intremap=off,aw-bits=$(width)" \
			'iommu.strict=1 intel_iommu=on' "$@"
		;;
	virtio)
		peer_host_devices
		peer_beside virtio-blk-pci virtio-net-pci ,vhost=on "$@"
		;;
	emulated)
		peer_host_devices
		peer_beside nvme,serial=PEERS e1000e '' "$@"
		;;
	pvdma-*)
		peer_pvdma "${name#pvdma-}" "$set" "$@"
		;;
	*)
		echo "no such peer: $name (there are: $PEERS)" >&2
		return 2
		;;
	esac
}

# peer_behind IOMMU WORDS OPTION...: vfio-pci behind an IOMMU that QEMU emulates. It must
# be there before the devices behind it, so that these are arguments, too.
peer_behind()
{
	local iommu=$1 words=$2 i
	local -a devices=()

	shift 2
	bind_vfio "${WORK_DEVICES[@]}"
	for i in "${!WORK_DEVICES[@]}"; do
		devices+=(--qemu-arg "-device vfio-pci,host=${WORK_DEVICES[i]},id=dev$i,addr=0x1$i")
	done
	vm_start --append "iommu.passthrough=0 $words" --qemu-arg "-device $iommu" "${devices[@]}" "$@"
}

# peer_virtio_iommu WORDS OPTION...: Linux starts no device that is said to be behind a
# virtio-iommu before that has its driver, not even the bed's channel, which does not use it. So
# the driver is the first of the modules that the guest's init loads.
peer_virtio_iommu()
{
	local words=$1

	shift
	{
		echo virtio_iommu
		sed -n 's/^@boot //p' "$BED_TOP/tests/bed/modules.guest" | tr ' ' '\n'
	} > "$WORK_RUN/boot-modules"
	peer_behind "virtio-iommu-pci,aw-bits=$(width)" "$words" --file "$WORK_RUN/boot-modules:boot-modules" "$@"
}

# peer_host_devices: the host drives the hardware; $peer_disk is its disk, and whoever opens the tap
# is on the NIC's network.
peer_host_devices()
{
	local nic

	devices_take "${WORK_DEVICES[@]}"
	[[ -z $WORK_DISK ]] || peer_disk=$(device_disk "$WORK_DISK")
	[[ -n $WORK_NIC ]] || return 0
	modprobe vhost_net
	nic=$(device_nic "$WORK_NIC")
	peer_linear "$nic"
	links_make "$nic"
}

# peer_linear INTERFACE: the emulated e1000e loses packets of several pieces, and of
# segments (tests/work/linear.c); hardware does not.
peer_linear()
{
	[[ -n ${BED_HOST:-} ]] || "$WORK_BIN/pvdma-work" linear "$1"
}

# peer_beside DISK NIC NET-OPTIONS OPTION...: devices of QEMU's own on the host's
peer_beside()
{
	local disk=$1 nic=$2 net=$3 slot=0x10
	local -a devices=()

	shift 3
	if [[ -n $WORK_DISK ]]; then
		devices+=(--qemu-arg "-blockdev driver=host_device,node-name=disk,filename=$peer_disk,cache.direct=on,aio=io_uring"
			--qemu-arg "-device $disk,drive=disk,id=dev0,addr=$slot")
		slot=0x11
	fi
	[[ -z $WORK_NIC ]] || devices+=(
		--qemu-arg "-netdev tap,id=net,ifname=$DEVICES_TAP,script=no,downscript=no$net"
		--qemu-arg "-device $nic,romfile=,id=dev1,addr=$slot,netdev=net,mac=52:54:00:00:01:01")
	vm_start "${devices[@]}" "$@"
}

# peer_pvdma PERCENT|STRATEGY|set WORKING-SET OPTION...
peer_pvdma()
{
	local what=$1 set=$2
	local all=$(($(bytes "$BED_GUEST_MEM") + PEERS_BESIDE))

	shift 2
	bind_vfio "${WORK_DEVICES[@]}"
	case $what in
	set) peer_agent "$all" --ahead off ;;
	*[0-9]) peer_agent $((set * what / 100 / 4096 * 4096)) ;;
	*) peer_agent "$all" --strategy "$what" ;;
	esac
	vm_start_pvdma "$@"
}

# peer_agent QUOTA OPTION...: and how long its start takes, for it precedes QEMU's
peer_agent()
{
	local began=$EPOCHREALTIME

	agent_start "$@"
	peer_quota=$1
	peer_agent_seconds=$(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f", b - a }')
}

peer_stop()
{
	[[ -z ${agent:-} ]] || agent_stop
	links_end
}
