# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# bench_host: make bench BENCH_HOST=1 on a machine with devices: what is in use, and what has
# something on it, is refused and left as it is; a blank disk is measured, and is blank again
# and with its driver afterwards, also of a run that was interrupted. The machine is L1, so guests are emulated, as everywhere here:
# it is the way that counts, and no figure.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

NVME=$(bed_bdf nvme) NIC=$(bed_bdf e1000e)
TREE=/tmp/bench
DISK=/dev/nvme0n1
# as large as what is written there
SIZE=$(stat -c %s "$BED_TOP/build/bench/disk.raw")

# overlay NAME LOWER: a writable view at $TREE/NAME
overlay() {
	mkdir -p "$TREE/of-$1"/{upper,work} "$TREE/$1"
	mount -t overlay -o "lowerdir=$2,upperdir=$TREE/of-$1/upper,workdir=$TREE/of-$1/work" overlay "$TREE/$1"
}

# A checkout, and the bed's cache, of which nothing has to be fetched or made. This host has
# neither gnuplot nor mkfs.ext4, which the bed makes images with.
checkout() {
	mkdir -p "$TREE/lower" "$TREE/bin"
	mount -t tmpfs tmpfs "$TREE"
	mkdir -p "$TREE/lower" "$TREE/bin"
	mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,ro,cache=loose cache "$TREE/lower"
	overlay cache "$TREE/lower"
	overlay top "$BED_TOP"
	printf '#!/bin/sh\ntouch "$(dirname "$1")/bench-rates.svg"\n' > "$TREE/bin/gnuplot"
	printf '#!/bin/sh\nexit 1\n' > "$TREE/bin/mkfs.ext4"
	chmod 755 "$TREE"/bin/*
	modprobe -a nvme e1000e
	eventually 30 "a disk" test -b $DISK
	same "the disk's driver" "$(bdf_driver "$NVME")" nvme
	# as an operator may have set it, and must find it
	echo nvme > "/sys/bus/pci/devices/$NVME/driver_override"
}

# bench DEVICE...: its status; what it says is in $E2E_RUN/bench
bench() {
	local status=0

	(
		cd "$TREE/top"
		env -i PATH="$TREE/bin:$PATH" HOME=/root PVDMA_CACHE="$TREE/cache" BENCH_HOST=1 DEVICE="$*" \
			BENCH_ONLY='vfio pvdma-100' BENCH_REPETITIONS=1 BENCH_SIZES='' BENCH_LIMIT=1200 \
			tests/bench/peers/run measure
	) > "$E2E_RUN/bench" 2>&1 || status=$?
	# its verdicts are not ours
	sed 's/^/| /' "$E2E_RUN/bench"
	echo $status > "$E2E_RUN/bench.status"
	rm -rf "$BED_OUT/bench"
	[[ ! -e $TREE/top/build/bench/peers ]] || cp -r "$TREE/top/build/bench/peers" "$BED_OUT/bench"
}

# refused WHAT REGEX
refused() {
	expect "the status of $1" "$(< "$E2E_RUN/bench.status") > 0"
	contains "$1" "$E2E_RUN/bench" "$2"
}

in_use() {
	local nic open

	nic=$(ls "/sys/bus/pci/devices/$NIC/net")
	ip link set "$nic" up
	ip addr add 192.0.2.7/24 dev "$nic"
	bench "$NIC"
	refused "a NIC with an address" "$NIC is the network interface $nic, which is up and has an address"
	same "the NIC's driver" "$(bdf_driver "$NIC")" e1000e
	ip addr del 192.0.2.7/24 dev "$nic"
	ip link set "$nic" down
	bench "$NIC"
	refused "a NIC with nobody to talk to" 'FAIL peer: .*BENCH_PEER='
	same "the NIC's driver" "$(bdf_driver "$NIC")" e1000e
	exec {open}< $DISK
	bench "$NVME"
	refused "a disk that a process has" "$NVME: the process [0-9]+ \\(.*\\) has its disk nvme0n1 open"
	exec {open}<&-
	bench 0000:00:10.0
	refused "a bridge" '0000:00:10.0 is a bridge'
}

# What the bed's disk is full of is nobody's file system, but somebody's.
not_blank() {
	local sum

	sum=$(head -c 64M $DISK | sha256sum)
	bench "$NVME"
	refused "a disk with something on it" "FAIL disk: $DISK is not blank"
	same "the disk's driver" "$(bdf_driver "$NVME")" nvme
	eventually 30 "the disk" test -b $DISK
	same "the disk" "$(head -c 64M $DISK | sha256sum)" "$sum"
}

measured() {
	local report=$TREE/top/build/bench/report.json

	dd if=/dev/zero of=$DISK bs=1M count=$((SIZE >> 20)) oflag=direct status=none
	bench "${NVME#0000:}"
	same "the status" "$(< "$E2E_RUN/bench.status")" 0
	jq .ratios "$report"
	jq -e '.wrong == [] and .repetitions == 1 and (.ratios | .nvme_rand_ws > 0 and .nvme_seq_ws > 0 and
		.mmio_exits_per_op_ws != null and .map_hit_over_direct > 0 and .tcp_rr_ws == null) and
		([.runs[] | .name] | sort == ["pvdma-100", "pvdma-set", "vfio"])' "$report"
	jq -e '.reasons.tcp_rr_ws | test("TCP request and response")' "$report"
}

as_before() {
	same "the disk's driver" "$(bdf_driver "$NVME")" nvme
	eventually 30 "the disk" test -b $DISK
	cmp -n "$SIZE" $DISK /dev/zero
	same "what is to drive the disk" "$(< "/sys/bus/pci/devices/$NVME/driver_override")" nvme
	same "links that are left" "$(ip -br link | grep -c pvdma || true)" 0
	same "triggers that are left" \
		"$(grep -c ^hist /sys/kernel/tracing/events/intel_iommu/qi_submit/trigger || true)" 0
	same "processes that are left" "$(pgrep -c 'pvdma-agent|qemu-system' || true)" 0
	same "mounts that are left" "$(grep -c /bench/peers /proc/mounts || true)" 0
}

guest_runs() {
	pgrep qemu-system > /dev/null
}

# In the middle of a guest's work.
interrupted() {
	local pid

	bench "$NVME" > "$E2E_RUN/interrupted" &
	pid=$!
	eventually 300 "a guest" guest_runs
	sleep 5
	kill -TERM "$(pgrep -f 'bedlib host')"
	wait $pid
	cat "$E2E_RUN/interrupted"
	refused "what was interrupted" 'the script tidies up'
}

step checkout checkout
step in-use in_use
step not-blank not_blank
step measured measured
step as-before as_before
step interrupted interrupted
step as-before-that as_before
