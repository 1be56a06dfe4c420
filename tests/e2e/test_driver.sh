#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# driver: what the specification asks of a driver, watched from the other side:
# a host that maps nothing, checks each request and each word (fake_host.py), and
# is nasty within the rules. The endpoints are devices that the guest's own QEMU
# emulates, which need no mapping; they are named by parameter endpoints=.
#
# It would say so if the module broke one of DRV-INIT-1, DRV-LEAF-1, DRV-MAP-1,
# DRV-TABLE-1, DRV-RESET-1, or sent what DEV-REQ-2 refuses.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

NVME=0000:00:08.0 NIC=0000:00:09.0
FAKE=$E2E_RUN/fake

fake() {
	python3 "$E2E_DIR/fake_host.py" --ask "$FAKE.control" "$@"
}

fake_stat() {
	fake stats | jq -c "$1"
}

no_violations() {
	same "what the driver did wrong" "$(fake_stat '.violations | join("; ")')" '""'
}

start_fake() {
	rm -f "$FAKE" "$FAKE.control"
	python3 "$E2E_DIR/fake_host.py" --socket "$FAKE" --control "$FAKE.control" --endpoints 2 \
		> "$BED_OUT/fake-host.log" 2>&1 < /dev/null &
	eventually 30 "the fake host" test -S "$FAKE.control"
	truncate -s 64M "$E2E_RUN/disk"
	vm_start_with driver --mem 512M --mem-backend shmem --vhost-sock "$FAKE" \
		--qemu-arg "-drive if=none,id=d,file=$E2E_RUN/disk,format=raw -device nvme,drive=d,serial=D,addr=8" \
		--qemu-arg "-device e1000e,addr=9,romfile="
}

load() {
	! g driver 'pvdma_load endpoints=0000:00:08/1' || fail "a parameter that is no address was taken"
	g_says driver 'parameter endpoints: "0000:00:08/1" is not ADDRESS/NUMBER'
	# what fails is to fail, not to be copied
	g driver "pvdma_load bounce_kb=0 endpoints=$NVME/7,$NIC/9"
	same "the number of endpoints" "$(g driver 'attribute endpoints | wc -l')" 2
	same "INIT accepted" "$(fake_stat .ready)" true
	no_violations
}

# Answers in another order than the requests: MAP before its LEAF.
swapped() {
	fake swap on
	g driver "drive $NVME; work $NVME 4M"
	fake swap off
	same "attached" "$(fake_stat .attached)" '[7]'
	expect "leaves" "$(fake_stat .leaves) > 0"
	no_violations
}

# Everything idle is evicted after each request: each use is a miss, but what is
# held stays (DRV-TABLE-2, by the data: an eviction under a transfer is counted as
# MAP-1's violation when it is asked for again unheld).
evicted() {
	local before

	fake evict on
	before=$(fake_stat .evictions)
	g driver "work $NVME 4M"
	expect "evictions" "$(fake_stat .evictions) - ${before/null/0} > 100"
	fake evict off
	no_violations
}

# DRV-REQ-2, DRV-REQ-1: a status that is no OK, known or not, is an error of the
# mapping. The NVMe driver tries such a request again until it works.
failed() {
	local status failures

	for status in 7 0x42; do
		fake evict on
		fake fail "$status"
		failures=$(g driver "counter failures $NVME")
		g driver "(work $NVME 2M > /tmp/io 2>&1; echo ended=\$? >> /tmp/io) &
			wait_for 60 counter_above $((failures + 3)) failures $NVME"
		! g driver 'grep -q ended= /tmp/io' || fail "I/O ended although nothing was mapped"
		fake fail off
		fake evict off
		g driver 'wait_for 120 grep -q ended= /tmp/io; grep -q ended=0 /tmp/io'
	done
	g_says driver 'request 0x5 of endpoint 7 failed: .*[Qq]uota'
	g_says driver 'request 0x5 of endpoint 7 failed: an unknown status'
	g driver "work $NVME 4M"
	no_violations
}

# DRV-QUEUE-1: an answer that does not come is waited for within bounds, its
# buffers stay the host's; and when it comes late all goes on.
silent() {
	fake evict on
	g driver "work $NVME 1M"
	fake silent on
	g driver "(dd if=\$(disk_of $NVME) of=/dev/null bs=1M count=8 iflag=direct > /tmp/dd 2>&1; echo ended >> /tmp/dd) &
		wait_for 120 counter_above 0 timeouts"
	fake silent off
	fake evict off
	g driver "wait_for 120 grep -q ended /tmp/dd; work $NVME 4M"
	expect "late answers" "$(g driver 'counter late_answers') > 0"
	no_violations
}

# DRV-CONF-2: the news of a changed quota arrives.
news() {
	fake quota $((48 << 20))
	eventually 30 "the quota in the guest" eval \
		'[[ $(g driver "attribute quota") == $((48 << 20)) ]]'
	no_violations
}

# The host wants back what is in use: the operator sees it, and the driver shows
# itself by a leaf that it registers again (DRV-QUOTA-2), until all is well.
asked() {
	local leaves

	leaves=$(fake_stat .type_2)
	fake excess $((3 << 20)) 700
	eventually 30 "the excess in the guest" eval \
		'[[ $(g driver "attribute excess; attribute deadline_ms" | xargs) == "$((3 << 20)) 700" ]]'
	g_says driver 'the host wants 3072 KiB that are in use, within 700 ms'
	expect "leaves registered again" "$(fake_stat .type_2) == $leaves + 1"
	fake excess 0 0
	eventually 30 "the end of the excess" eval '[[ $(g driver "attribute excess") == 0 ]]'
	g driver "work $NVME 1M"
	no_violations
}

# DETACH when a driver goes, and all of them before the reset (DRV-RESET-1).
detached() {
	g driver "drive $NIC; undrive $NVME"
	same "attached" "$(fake_stat .attached)" '[9]'
	g driver "undrive $NIC; drive $NVME; device_unbind \$(device_name)"
	same "attached" "$(fake_stat .attached)" '[]'
	same "INIT accepted" "$(fake_stat .ready)" false
	no_violations
}

step start start_fake
step load load
step swapped-answers swapped
step evict-all evicted
step failures failed
step silence silent
step news news
step asked asked
step detach detached
# QEMU does not survive that its backend goes first
guest_stop driver
fake quit
