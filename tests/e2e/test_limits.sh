# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# limits: what the host's kernel, or a quota that is too small, does not let
# through is said in words that an operator can act on, and no data is wrong.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

NVME=$(guest_bdf 0)
DISK=$(bed_bdf nvme)
LOCK=$((16 << 20))
ENTRIES=/sys/module/vfio_iommu_type1/parameters/dma_entry_limit

# begin MODE...: an agent and a guest of that name.
begin() {
	agent_start "$1" "$DISK" -- "${@:2}"
	vm_start "$1" "$1" --mem 512M
}

end() {
	guest_stop "$1"
	agent_stop "$1"
}

# The agent may lock less than its quota: it says so, lives within that, and
# evicts what is idle instead of failing (DEV-MAP-6).
memlock() {
	local peak

	AGENT_PREFIX=(prlimit "--memlock=$LOCK:$LOCK" setpriv --bounding-set=-ipc_lock
		--inh-caps=-ipc_lock)
	pins_begin
	begin memlock --quota 128M
	AGENT_PREFIX=()
	contains "the agent's log" "$(agent_log memlock)" 'RLIMIT_MEMLOCK is 16777216 bytes, below the quota'
	load_pvdma memlock 1
	g memlock "drive $NVME; disk_all $NVME 32M 64K 2" 400
	peak=$(pins_peak)
	contains "the agent's log" "$(agent_log memlock)" 'RLIMIT_MEMLOCK \(16384 KiB\) stops a mapping.*raise it'
	expect "bytes pinned" "0 < $peak && $peak <= $LOCK"
	expect "evictions" "$(stat_of memlock vm.evictions) > 0"
	end memlock
}

# VFIO has fewer entries than the quota has granules. (Mapping ahead might do with
# them, by large mappings.)
entries() {
	local before

	before=$(< $ENTRIES)
	echo 96 > $ENTRIES
	begin entries --quota 64M --granule 4K --ahead off
	contains "the agent's log" "$(agent_log entries)" 'VFIO allows 96 mappings at once.*dma_entry_limit'
	echo "$before" > $ENTRIES
	load_pvdma entries 1
	g entries "drive $NVME; disk_all $NVME 16M 16K 2" 400
	contains "the agent's log" "$(agent_log entries)" 'out of VFIO mapping entries.*dma_entry_limit'
	expect "mappings" "$(stat_of entries vm.extents) <= 96"
	expect "evictions" "$(stat_of entries vm.evictions) > 0"
	end entries
}

# A quota that holds next to nothing: what does not fit fails, as the DMA API's
# users expect it, and the guest lives (DRV-REQ-2, DEV-MAP-4).
tiny() {
	begin tiny --quota 256K --granule 4K
	load_pvdma tiny 1
	g tiny "drive $NVME; (disk_all $NVME 2M 128K 1 > /tmp/io 2>&1; echo ended >> /tmp/io) &"
	sleep 10
	g tiny 'cat /tmp/io; ! grep ^error=file /tmp/io'
	expect "bytes mapped at the peak" "$(stat_of tiny vm.mapped_peak) <= 256 << 10"
	end tiny
}

# Nothing granted: the driver's probe fails, the device reaches nothing.
nothing() {
	begin nothing --quota 0
	load_pvdma nothing 1
	g nothing "modprobe nvme; wait_for 60 counter_above 0 failures; sleep 2"
	g nothing '! ls /sys/block/nvme* 2> /dev/null'
	g_says nothing 'request 0x5 of endpoint 1 failed: .*[Qq]uota'
	same "bytes mapped at the peak" "$(stat_of nothing vm.mapped_peak)" 0
	expect "requests refused" "$(stat_of nothing vm.failed_quota) > 0"
	g nothing 'echo alive'
	end nothing
}

step memlock memlock
step entries entries
step quota-tiny tiny
step quota-zero nothing
