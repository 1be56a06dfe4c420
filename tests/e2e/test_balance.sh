# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# balance: two domains want more than the host's budget; who works has it, before and
# after the work moves from the one to the other.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

BUDGET=$((40 << 20))
MIN=$((4 << 20))
declare -A DISK=([one]=$(bed_bdf nvme) [two]=$(bed_bdf nvme.1))
export DEBIAN_FRONTEND=noninteractive

install_packages() {
	local -a files

	mapfile -t files < <(ls "$E2E_BIN"/pvdma-{host,tools}_*.deb)
	apt-get -q install -y --allow-downgrades "${files[@]}"
	printf '%s\n' budget=40M balance-interval=1s > /etc/pvdma/pvdmad.conf
	systemctl restart pvdmad.service
	systemctl start libvirtd.service
	same "the budget" "$(pvdmactl budget --json | jq .budget)" $BUDGET
}

# start_one NAME: a domain with its disk, whose driver runs.
start_one() {
	virt_xml "$1" --mem 768M --file "$E2E_BIN/pvdma-6.12.ko:extra/pvdma.ko" \
		--file "$E2E_BIN/pvdma-work:bin/pvdma-work" --file "$E2E_DIR/guest.sh:e2e.sh" \
		> "$E2E_RUN/$1.xml"
	virt define "$E2E_RUN/$1.xml"
	pvdmactl attach "$1" "${DISK[$1]}" --quota 16M --min 4M --max 36M --yes
	virt start "$1"
	virt_follow "$1"
	guest_up "$1"
	load_pvdma "$1" 1
	moves_data "$1" "$(disk_in "$1")" 8M
}

disk_in() {
	g "$1" "for d in /sys/bus/pci/devices/*; do
		[ \$(cat \$d/class) != 0x010802 ] || basename \$d; done"
}

quota_of() {
	pvdmactl show "$1" --json | jq .quota
}

# works NAME: reads and writes 24 MiB of buffers again and again, until rests NAME.
works() {
	# shellcheck disable=SC2016 # expanded in the guest
	g "$1" "disk=\$(disk_of $(disk_in "$1")); disk_fill \$disk 24M; touch /tmp/on
		export PVDMA_WORK_MEMORY=/tmp/buffers
		round=0; echo 0 > /tmp/round
		(while [ -e /tmp/on ]; do
			disk_work \$disk 24M 64K 1 || echo wrong > /tmp/wrong
			round=\$((round + 1)); echo \$round > /tmp/round.new; mv /tmp/round.new /tmp/round
		done) < /dev/null > /dev/null 2>&1 &" 300
}

rests() {
	g "$1" "rm /tmp/on; [ ! -e /tmp/wrong ]"
}

requests_of() {
	"$E2E_BIN/pvdma-agent" --query "/run/pvdma/vm/$1/control" stats | jq -e .vm.requests
}

# has_enough NAME: it works on 24 MiB, and a whole round of that asks for nothing.
has_enough() {
	local requests

	(($(quota_of "$1") >= 24 << 20)) || return 1
	requests=$(requests_of "$1")
	g "$1" "done_with() { [ \$(cat /tmp/round) -gt \$1 ]; }
		round=\$(cat /tmp/round); wait_for 300 done_with \$((round + 1))" 400
	(($(requests_of "$1") == requests))
}

# The one that works gets what the other does not use.
division() {
	local busy=$1 idle=$2 before

	before="$(quota_of "$busy") $(quota_of "$idle")"
	pins_begin
	works "$busy"
	eventually 120 "$busy has what it needs" has_enough "$busy"
	expect "the quotas together" "$(quota_of "$busy") + $(quota_of "$idle") <= $BUDGET"
	expect "what $idle is sure of" "$(quota_of "$idle") >= $MIN"
	rests "$busy"
	expect "bytes pinned" "$(pins_peak) <= $BUDGET"
	result "balance.$busy" "quotas of $busy and $idle: $before; then $(quota_of "$busy") $(quota_of "$idle")"
	pvdmactl list
}

stop_them() {
	local name

	for name in one two; do
		pvdmactl detach "$name" "${DISK[$name]}" --yes
		virt_stop "$name"
	done
	eventually 30 "nothing is pinned" test "$(pinned_bytes)" = 0
}

step install install_packages
step start-one start_one one
step start-two start_one two
step one-works division one two
step two-works division two one
step stop stop_them
