# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# l1.sh: a guest with a disk and a NIC behind an agent, and the sampler of
# pins: what the demo and the benchmarks share. For scripts that have sourced $BED_LIB; devices
# are the first disk (of a PCI class that is one) and the first NIC that the bed has, of which
# one may be missing. The disk holds tests/work/disk-image, and a service "work" is there.
#
#   agent_*, ask, stat    the agent
#   vm_*                  the guest, which is called "vm"
#   pins_*                what the kernel pins meanwhile
#   value, total          figures of pvdma-work, key=value lines

# Nothing on 9p while pins are watched: its reads and writes pin the buffers of
# whoever does them, and would count.
WORK_RUN=/run/work
WORK_BIN=$WORK_RUN/bin
WORK_DISK=$(bed_class 01) || WORK_DISK=''
WORK_NIC=$(bed_class 02) || WORK_NIC=''
# Those that there are, in the order of the guest's, with the agent's sockets for them.
WORK_DEVICES=(${WORK_DISK:+"$WORK_DISK"} ${WORK_NIC:+"$WORK_NIC"})
WORK_SOCKS=(${WORK_DISK:+"$WORK_RUN/disk.sock"} ${WORK_NIC:+"$WORK_RUN/nic.sock"})
WORK_GUEST_DISK=$(guest_bdf 0) WORK_GUEST_NIC=$(guest_bdf $((${#WORK_DEVICES[@]} - 1)))
mkdir -p "$WORK_BIN"
cp "$BED_TOP"/build/bin/pvdma-{agent,work} "$WORK_BIN/"

bytes() { numfmt --from=iec "$1"; }

# --- the agent --------------------------------------------------------------------

# agent_start QUOTA [OPTION...]: an agent for all devices, until it serves.
agent_start()
{
	local quota=$1 i socket
	local -a devices=()

	shift
	for i in "${!WORK_DEVICES[@]}"; do
		devices+=(--device "${WORK_DEVICES[i]},socket=${WORK_SOCKS[i]}")
	done
	"$WORK_BIN/pvdma-agent" --name work --quota "$quota" --iommu type1 "${devices[@]}" \
		--vhost-socket "$WORK_RUN/vhost.sock" --control "$WORK_RUN/control" "$@" \
		2>> "$WORK_RUN/agent.log" &
	agent=$!
	for socket in "$WORK_RUN"/{control,vhost.sock} "${WORK_SOCKS[@]}"; do
		until [[ -S $socket ]]; do
			kill -0 $agent || return
			bed_pause
		done
	done
}

agent_stop()
{
	kill "$agent" && wait "$agent" && cp "$WORK_RUN/agent.log" "$BED_OUT/"
}

ask() { "$WORK_BIN/pvdma-agent" --query "$WORK_RUN/control" "$@"; }

stat() { ask stats | jq ".vm.$1"; }

# --- the guest --------------------------------------------------------------------

# vm_start [OPTION of guest_start...]: every guest has the same kind of memory.
vm_start()
{
	guest_start vm --mem-backend shmem --file "$WORK_BIN/pvdma-work:bin/pvdma-work" "$@"
}

# vm_start_pvdma [OPTION...]: with all that the agent serves
vm_start_pvdma()
{
	vm_start --mode vfio-user --sock "${WORK_SOCKS[@]}" \
		--vhost-sock "$WORK_RUN/vhost.sock" "$@"
}

# vm_modules: of the drivers that a guest has for the devices
vm_modules()
{
	local bdf

	for bdf in "${WORK_DEVICES[@]}"; do
		bed_driver "$bdf"
	done
	[[ -z $WORK_DISK ]] || echo ext4
}

# vm_prepare MODULE...: modules loaded, disk on /mnt, network up. Socket buffers are
# bounded: what waits in them is memory that the NIC uses, and grows with how late a
# reader is.
vm_prepare()
{
	local module

	for module in "$@"; do
		guest_sh vm "load $module" 60 || return
	done
	guest_sh vm "echo 4096 65536 131072 | tee /proc/sys/net/ipv4/tcp_[rw]mem > /dev/null" || return
	[[ -z $WORK_DISK ]] ||
		guest_sh vm "mount -t ext4 -o noatime \$(disk_of $WORK_GUEST_DISK) /mnt" 60 || return
	[[ -z $WORK_NIC ]] || guest_sh vm "net_up \$(net_of $WORK_GUEST_NIC)" 60
}

# --- what is pinned ---------------------------------------------------------------

# pins_start, pins_stop: the figures are in $WORK_RUN/pins then.
pins_start()
{
	rm -f "$WORK_RUN/pins"
	"$WORK_BIN/pvdma-work" pins 50 "$WORK_RUN/pins" &
	pins=$!
}

pins_stop()
{
	kill "$pins"
	wait "$pins"
}

# --- figures ----------------------------------------------------------------------

# value FILE KEY [DEFAULT]: the last one
value()
{
	local v

	v=$(sed -n "s/^$2=//p" "$1" | tail -n 1)
	echo "${v:-${3:-}}"
}

# total KEY FILE...: the sum of a key over files
total()
{
	local key=$1

	shift
	cat "$@" | awk -F= -v k="$key" '$1 == k { n += $2 } END { printf "%.3f\n", n }'
}
