# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# steps.sh: steps that several tests take. Each names its guest, and what it
# needs to know of its agent; run them with "step".

# load_pvdma GUEST ENDPOINTS: the module drives its device and sees the endpoints.
load_pvdma() {
	g "$1" "pvdma_load"
	g_says "$1" 'pvdma.*granule [0-9]+ KiB, quota [0-9]+ KiB'
	same "the number of endpoints" \
		"$(g "$1" 'attribute endpoints | wc -l')" "$2"
}

# moves_data GUEST BDF SIZE: the device's driver is loaded; its disk, or its
# network, moves data that is verified, with mappings made by the module.
moves_data() {
	local failures

	failures=$(g "$1" "counter failures $2 2> /dev/null || echo 0")
	g "$1" "drive $2"
	same "the state of $2" "$(g "$1" "endpoint_state $2")" attached
	g "$1" "work $2 $3" 600
	expect "mappings of $2" "$(g "$1" "counter maps $2") + $(g "$1" "counter sg_maps $2") > 0"
	same "the failures of $2" "$(g "$1" "counter failures $2")" "${failures:-0}"
}

# direct_io GUEST AGENT BDF DISK-SIZE: N disk I/Os raise N interrupts, and neither KVM nor
# the agent has to do with any of them (facts, not speed): no MMIO exit and no
# message, up to a few of other causes.
direct_io() {
	local guest=$1 agent=$2 bdf=$3 size=$4 ios exits messages irqs
	local memory='export PVDMA_WORK_MEMORY=/tmp/buffers'

	# what is to be mapped is mapped by the first round, and is the second's memory, too
	g "$guest" "$memory; disk_work \$(disk_of $bdf) $size 4K 1"
	exits=$(kvm_exits "$guest" mmio_exits)
	messages=$(agent_messages "$agent")
	irqs=$(g "$guest" "interrupts $bdf")
	ios=$(g "$guest" "$memory; disk_work \$(disk_of $bdf) $size 4K 1" |
		awk -F = '/^disk_(reads|writes)=/ { n += $2 } END { print n }')
	exits=$(($(kvm_exits "$guest" mmio_exits) - exits))
	messages=$(($(agent_messages "$agent") - messages))
	irqs=$(($(g "$guest" "interrupts $bdf") - irqs))
	echo "$ios I/Os: $irqs interrupts, $exits MMIO exits, $messages messages"
	result "$E2E_TEST.direct" "$ios I/Os, $irqs interrupts, $exits exits, $messages messages"
	expect "I/Os" "$ios >= 1000"
	expect "interrupts that the guest got" "$irqs >= $ios / 2"
	expect "MMIO exits" "$exits <= $ios / 50"
	expect "messages to the agent" "$messages <= $ios / 50"
}

# traced GUEST BDF SIZE: over a whole life of the driver, from its binding to its
# unbinding, the kernel's tracepoints and the module's counters count the same.
traced() {
	local guest=$1 bdf=$2 name events seen counted

	g "$guest" 'has_traces' || skip "this kernel has no events/dma"
	! g "$guest" "[ \$(driver_of $bdf) != none ]" || g "$guest" "undrive $bdf"
	g "$guest" "for n in maps unmaps sg_maps sg_unmaps allocs frees; do
		counter \$n $bdf; done" > "$E2E_RUN/before"
	g "$guest" "trace_on; drive $bdf; work $bdf $3; undrive $bdf" 600
	g "$guest" trace_off
	g "$guest" "for n in maps unmaps sg_maps sg_unmaps allocs frees; do
		counter \$n $bdf; done" > "$E2E_RUN/after"
	paste <(printf '%s\n' maps:dma_map_page,dma_map_phys unmaps:dma_unmap_page,dma_unmap_phys \
		sg_maps:dma_map_sg sg_unmaps:dma_unmap_sg allocs:dma_alloc,dma_alloc_pages \
		frees:dma_free,dma_free_pages) "$E2E_RUN/before" "$E2E_RUN/after" > "$E2E_RUN/table"
	while read -r name before after; do
		events=${name#*:}
		seen=$(g "$guest" "trace_count $bdf ${events//,/ }")
		counted=$((after - before))
		echo "${name%%:*}: traced $seen, counted $counted"
		same "${name%%:*} that the module counted" "$counted" "$seen"
	done < "$E2E_RUN/table"
	expect "mappings seen" "$(awk '{ n += $3 - $2 } END { print n }' "$E2E_RUN/table") > 100"
}

# capability_added GUEST BDF L1-BDF: DEV-CAP-1: the capability is in the list, has the
# VM's tag, ignores writes, and what the device itself has is all there.
capability_added() {
	local guest=$1 bdf=$2 at tag

	at=$(g "$guest" "capability $bdf")
	tag=$(g "$guest" 'attribute vm_tag')
	same "the tag in the capability" "$(printf '%#x' "$(g "$guest" \
		"hexdump -s $((at + 8)) -n 4 -e '1/4 \"%u\"' /sys/bus/pci/devices/$bdf/config")")" "$tag"
	g "$guest" "cd /sys/bus/pci/devices/$bdf; hexdump -s $at -n 16 -C config > /tmp/a
		printf '\\377\\377\\377\\377' | dd of=config bs=1 seek=$((at + 8)) conv=notrunc 2> /dev/null
		hexdump -s $at -n 16 -C config > /tmp/b; cmp /tmp/a /tmp/b"
	g "$guest" "hexdump -v -n 256 -e '1/1 \"%02x\"' /sys/bus/pci/devices/$bdf/config" \
		> "$E2E_RUN/guest.config"
	python3 "$E2E_DIR/capabilities.py" "$E2E_RUN/guest.config" \
		"/sys/bus/pci/devices/$3/config"
}

# no_faults WHAT BDF COMMAND...: runs the command; the IOMMU stops no DMA of the device meanwhile.
no_faults() {
	local what=$1 bdf=$2 before

	shift 2
	before=$(vtd_faults "$bdf")
	"$@"
	same "DMA faults of $bdf during $what" "$(vtd_faults "$bdf")" "$before"
}

# strict_driver GUEST AGENT BDF L1-BDF STRATEGY: a life of the module. The driver of a disk,
# which unmaps in interrupts and maps many pages at once, moves data that is right,
# and when it is idle little more than its queues is mapped.
strict_driver() {
	g "$1" "pvdma_load strategy=$5"
	no_faults "the work" "$4" moves_data "$1" "$3" 8M
	same "the strategy of $3" "$(g "$1" "attribute endpoints | awk '\$1 == \"$3\" { print \$4 }'")" "$5"
	g "$1" 'for n in unmap_failures unmap_requests map_requests; do echo $n $(counter $n); done'
	expect "UNMAP requests" "$(g "$1" 'counter unmap_requests') > 0"
	same "unmaps that failed" "$(g "$1" 'counter unmap_failures')" 0
	eventually 10 "an end of mappings" eval "((\$(stat_of $2 vm.mapped_bytes) < 4 << 20))"
	g "$1" "undrive $3; wait_for 30 rmmod pvdma"
}

# dma_api GUEST BDF: every way to use the DMA API works on an endpoint without
# driver; dmacheck says what does not.
dma_api() {
	local log=$E2E_RUN/dmacheck

	# it looks at addresses, too: nothing is copied that can be mapped
	g "$1" "cd /sys/module/pvdma/parameters; echo 0 > bounce_kb
		load dmacheck; dmacheck_bind $2 || true; dmesg | grep dmacheck: ; rmmod dmacheck
		echo -1 > bounce_kb" > "$log"
	cat "$log"
	! grep -q 'dmacheck: FAIL' "$log" || fail "$(grep -m 1 'dmacheck: FAIL' "$log")"
	grep -qE 'dmacheck: [0-9]{2} checks, 0 failed' "$log" || fail "dmacheck did not reach its end"
	same "the state of $2" "$(g "$1" "endpoint_state $2")" detached
}

# io_begin GUEST BDF SIZE [FILE], io_end GUEST: verified work on a disk that was filled, from the
# one to the other; always with the same memory, that of FILE, if one is named.
io_begin() {
	g "$1" "rm -f /tmp/stop /tmp/io; disk=\$(disk_of $2)
		${4:+export PVDMA_WORK_MEMORY=$4}
		(until [ -e /tmp/stop ]; do disk_work \$disk $3 64K 1 || break; done > /tmp/io 2>&1
		[ -e /tmp/stop ] && echo ended well >> /tmp/io || echo ended badly >> /tmp/io) &"
}

io_end() {
	g "$1" "touch /tmp/stop; wait_for 600 grep -q ended /tmp/io
		grep '^error=' /tmp/io || tail -n 1 /tmp/io" 700 > "$E2E_RUN/io"
	same "the work on the disk of $1" "$(< "$E2E_RUN/io")" "ended well"
}

# io_rounds GUEST: that are done.
io_rounds() {
	g "$1" 'grep -c ^disk_verified=true /tmp/io || true'
}

io_past() {
	(($(io_rounds "$1") > $2))
}

# io_goes_on GUEST: two rounds more, of which one began after this was called.
io_goes_on() {
	eventually 120 "rounds of I/O" io_past "$1" $(($(io_rounds "$1") + 1))
	g "$1" '! grep ended /tmp/io'
}

settled() {
	(($(stat_of "$1" vm.over_quota_bytes) == 0))
}

# within AGENT BYTES: once what was lowered has settled, the kernel's own count stays
# within that, for three seconds.
within() {
	local peak

	eventually 60 "a quota of $2 bytes" settled "$1"
	pins_begin
	sleep 3
	peak=$(pins_total)
	expect "bytes pinned under a quota of $2" "0 < $peak && $peak <= $2"
}

# qmp GUEST COMMAND [ARGUMENTS]: what QEMU's monitor returns.
qmp() {
	guest_qmp "$1" "{\"execute\": \"$2\", \"arguments\": {${3:-}}}"
}

# memory_online GUEST MIB: that much of what lies above 4 GiB is online, in blocks of 128 MiB.
memory_online() {
	(($(g "$1" "n=0; for m in /sys/devices/system/memory/memory*; do
		[ \${m##*/memory} -lt 32 ] || ! grep -q online \$m/state || n=\$((n + 128))
		done; echo \$n") == $2))
}

# plug_memory GUEST BYTES, unplug_memory GUEST: one DIMM, in a guest that has none of its own
# memory above 4 GiB, slots, and memhp_default_state= in its command line. The guest gives it
# up in its own time, if it can.
plug_memory() {
	qmp "$1" object-add "\"qom-type\": \"memory-backend-memfd\", \"id\": \"hot\", \"size\": $2, \"share\": true"
	qmp "$1" device_add '"driver": "pc-dimm", "id": "dimm", "memdev": "hot"'
	eventually 60 "the new memory online" memory_online "$1" $(($2 >> 20))
}

memory_unplugged() {
	local devices

	devices=$(qmp "$1" query-memory-devices) || return
	[[ $devices != *'"dimm"'* ]]
}

unplug_memory() {
	qmp "$1" device_del '"id": "dimm"'
	eventually 120 "the DIMM's end" memory_unplugged "$1"
	qmp "$1" object-del '"id": "hot"'
	eventually 60 "the DIMM gone from the guest" memory_online "$1" 0
}

# clock_by SECONDS: the host's wall clock jumps. Bash counts its SECONDS by it, so that nothing
# that waits by them runs before it has jumped back.
clock_by() {
	python3 -c "import time; time.clock_settime(time.CLOCK_REALTIME, time.time() + $1)"
}

# newer PACKAGE: the same as a later version, in $E2E_RUN/newer.deb.
newer() {
	local dir=$E2E_RUN/newer

	rm -rf "$dir"
	dpkg-deb -R "$1" "$dir"
	sed -i 's/^Version: .*/&+1/' "$dir/DEBIAN/control"
	dpkg-deb -Znone --root-owner-group -b "$dir" "$E2E_RUN/newer.deb" > /dev/null
}
