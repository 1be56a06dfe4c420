# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# l1.sh: a guest with a disk and a NIC behind an agent, and the sampler of
# pins, in the bed's emulated host: what the demo and the benchmark of quotas share.
# For scripts that have sourced $BED_LIB; devices are the bed's nvme and e1000e,
# the disk holds tests/work/disk-image, and a service "work" is there.
#
#   agent_*, ask, stat    the agent
#   vm_*                  the guest, which is called "vm"
#   pins_*                what the kernel pins meanwhile
#   value, total          figures of pvdma-work, key=value lines

# Nothing on 9p while pins are watched: its reads and writes pin the buffers of
# whoever does them, and would count.
WORK_RUN=/run/work
WORK_BIN=$WORK_RUN/bin
WORK_NVME=$(bed_bdf nvme) WORK_NIC=$(bed_bdf e1000e)
mkdir -p "$WORK_BIN"
cp "$BED_TOP"/build/bin/pvdma-{agent,work} "$WORK_BIN/"

bytes() { numfmt --from=iec "$1"; }

# --- the agent --------------------------------------------------------------------

# agent_start QUOTA [OPTION...]: an agent for both devices, until it serves.
agent_start()
{
	local quota=$1

	shift
	"$WORK_BIN/pvdma-agent" --name work --quota "$quota" --iommu type1 \
		--device "$WORK_NVME,socket=$WORK_RUN/nvme.sock" \
		--device "$WORK_NIC,socket=$WORK_RUN/nic.sock" \
		--vhost-socket "$WORK_RUN/vhost.sock" --control "$WORK_RUN/control" "$@" \
		2>> "$WORK_RUN/agent.log" &
	agent=$!
	until [[ -S $WORK_RUN/control && -S $WORK_RUN/nvme.sock && -S $WORK_RUN/nic.sock &&
		-S $WORK_RUN/vhost.sock ]]; do
		kill -0 $agent || return
		bed_pause
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
	vm_start --mode vfio-user --sock "$WORK_RUN/nvme.sock" "$WORK_RUN/nic.sock" \
		--vhost-sock "$WORK_RUN/vhost.sock" "$@"
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
	guest_sh vm "mount -t ext4 -o noatime \$(disk_of $(guest_bdf 0)) /mnt && net_up \$(net_of $(guest_bdf 1))" 120
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
