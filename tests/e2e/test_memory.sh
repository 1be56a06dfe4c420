# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# memory: memory comes to a guest that runs, and goes again, under a disk that moves
# verified data: as a DIMM, and as virtio-mem, which comes and goes in small pieces.
# All that is plugged lies above 4 GiB, where these guests have none of their own.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

NVME=$(guest_bdf 0) EDU=$(guest_bdf 1) L1_NVME=$(bed_bdf nvme) L1_EDU=$(bed_bdf edu)
MEM=$((320 << 20)) PLUG=$((256 << 20)) QUOTA=$((128 << 20))
BASE=$((4 << 30))
# what is plugged is onlined so that it can be given up again
HOTPLUG=(--qemu-arg "-m slots=4,maxmem=4G" --append memhp_default_state=online_movable)

# busy, at_rest: verified work on one part of the disk from the one to the other.
busy() {
	g memory "disk_fill \$(disk_of $NVME) 16M"
	io_begin memory "$NVME" 16M
}

at_rest() {
	g memory '! grep ended /tmp/io'
	io_end memory
}

# The disk's DMA goes to memory above BASE; $E2E_RUN/high gets one of its addresses. That page
# stays with its owner, a file.
used_above() {
	g memory "rm -f /tmp/buffers; export PVDMA_WORK_MEMORY=/tmp/buffers
		trace_on; disk_work \$(disk_of $NVME) 16M 64K 1; trace_off
		sed -nE 's/.* dma_map_(page|phys|sg): $NVME .* dma_addrs?=\\{?([0-9a-fx,]+).*/\\2/p' \\
			/sys/kernel/tracing/trace | tr , '\\n' | sed 's/^0x//' | sort -u" > "$E2E_RUN/addresses"
	grep -xE '[0-9a-f]{9,}' "$E2E_RUN/addresses" > "$E2E_RUN/above" || true
	# of 256 buffers of 64 KiB, which the allocator may have made of one piece or of 16
	expect "pieces above 4 GiB that the disk did DMA to" "$(wc -l < "$E2E_RUN/above") >= 32"
	same "the agent's leaves" "$(stat_of a vm.leaves)" "$(g memory 'counter leaves')"
	echo $((0x$(head -n 1 "$E2E_RUN/above"))) > "$E2E_RUN/high"
}

# edu_at_high: edu copies there; FAULTS gets how often the IOMMU stops it.
edu_at_high() {
	local before

	before=$(vtd_faults "$L1_EDU")
	g memory "edu $EDU at $(< "$E2E_RUN/high")"
	sleep 1
	FAULTS=$(($(vtd_faults "$L1_EDU") - before))
}

# The books and the kernel agree while nothing is under way.
settled_books() {
	(($(pinned_bytes) == $(stat_of a vm.mapped_bytes)))
}

plugged_busy() {
	local messages leaves

	messages=$(stat_of a vhost.messages)
	leaves=$(g memory 'counter leaves')
	busy
	plug_memory memory $PLUG
	expect "messages of vhost-user's" "$(stat_of a vhost.messages) > $messages"
	at_rest
	used_above
	expect "new leaves" "$(g memory 'counter leaves') > $leaves"
	edu_at_high
	same "faults of edu in memory that is mapped" "$FAULTS" 0
	eventually 30 "books that the kernel agrees with" settled_books
}

# Pages in use move away, their old places are unmapped before they go: nothing
# reaches them any longer, and work that is under way is none the worse for it.
unplugged_busy() {
	local unmaps messages

	unmaps=$(stat_of a 'devices[0].vfio_user.dma_unmaps')
	messages=$(stat_of a vhost.messages)
	busy
	unplug_memory memory
	at_rest
	expect "DMA_UNMAPs" "$(stat_of a 'devices[0].vfio_user.dma_unmaps') > $unmaps"
	expect "messages of vhost-user's" "$(stat_of a vhost.messages) > $messages"
	edu_at_high
	expect "faults of edu in memory that is gone" "$FAULTS > 0"
	eventually 30 "books that the kernel agrees with" settled_books
	expect "bytes pinned" "0 < $(pinned_bytes) && $(pinned_bytes) <= $QUOTA"
}

# At the same place: what the table said of the old memory does not hold for the new.
plugged_again() {
	plug_memory memory $PLUG
	used_above
	edu_at_high
	same "faults of edu in memory that is mapped" "$FAULTS" 0
	unplug_memory memory
}

# resize MIB: virtio-mem's size
resize() {
	qmp memory qom-set "\"path\": \"/machine/peripheral/vmem\", \"property\": \"requested-size\", \"value\": $(($1 << 20))"
	eventually 120 "$1 MiB of virtio-mem" eval \
		"((\$(qmp memory qom-get '\"path\": \"/machine/peripheral/vmem\", \"property\": \"size\"') == $1 << 20))"
}

# Pieces of 2 MiB, each a region of its own for the agent.
pieces() {
	local before

	before=$(stat_of a 'devices[0].vfio_user.dma_maps')
	g memory 'load virtio_mem'
	busy
	resize 192
	at_rest
	expect "DMA_MAPs" "$(stat_of a 'devices[0].vfio_user.dma_maps') - $before >= 90"
	used_above
	busy
	resize 64
	resize 128
	resize 0
	at_rest
	edu_at_high
	expect "faults of edu in memory that is gone" "$FAULTS > 0"
	eventually 30 "books that the kernel agrees with" settled_books
	g memory "work $NVME 16M"
	same "messages that the agent refused" "$(stat_of a 'vhost.errors')" 0
}

# mapped_whole BYTES: all of so much memory is mapped, nothing beside it but the firmware's.
mapped_whole() {
	local mapped

	mapped=$(stat_of d vm.mapped_bytes)
	(($1 <= mapped && mapped < $1 + (16 << 20)))
}

# direct AGENT'S OPTIONS: memory that is plugged is mapped as all other is, for devices
# without driver; as long as the quota covers it.
direct() {
	local before

	agent_start d "$L1_NVME" "$L1_EDU" -- --quota $((MEM + PLUG + (16 << 20))) "$@"
	vm_start direct d --mem $((MEM >> 20))M "${HOTPLUG[@]}"
	eventually 60 "all of the guest mapped" mapped_whole $MEM
	plug_memory direct $PLUG
	eventually 60 "what was plugged mapped, too" mapped_whole $((MEM + PLUG))
	expect "bytes pinned" "$(pinned_bytes) >= $MEM + $PLUG"
	before=$(vtd_faults "$L1_EDU")
	same "edu's write to new memory" "$(g direct "edu $EDU above $BASE")" reached
	same "faults of edu" "$(vtd_faults "$L1_EDU")" "$before"
	g direct "drive $NVME; work $NVME 16M"
	unplug_memory direct
	eventually 60 "no more than the guest mapped" mapped_whole $MEM
	expect "bytes pinned" "$(pinned_bytes) < $MEM + (16 << 20)"
	g direct "work $NVME 4M"
	guest_stop direct
	agent_stop d
}

agent_start a "$L1_NVME" "$L1_EDU" -- --quota $QUOTA
vm_start memory a --mem $((MEM >> 20))M "${HOTPLUG[@]}" --qemu-arg \
	"-object memory-backend-memfd,id=vmem-mem,size=512M,share=on -device virtio-mem-pci,id=vmem,memdev=vmem-mem,requested-size=0"
step load load_pvdma memory 2
step work moves_data memory "$NVME" 16M
step plug no_faults "the work" "$L1_NVME" plugged_busy
step unplug no_faults "the work" "$L1_NVME" unplugged_busy
step plug-again no_faults "the work" "$L1_NVME" plugged_again
step virtio-mem no_faults "the work" "$L1_NVME" pieces
guest_stop memory
agent_stop a
step direct-map direct --strategy direct-map
step fallback-direct direct --fallback direct
