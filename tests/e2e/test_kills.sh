# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# kills: all of crash, more often (E2E_KILLS); then the agent is killed at each of its
# labelled steps in turn (host/lib/crash.h), under the same work. Steps that work does not
# pass get drivers that come and go, then a guest that comes and goes.
AGENT=pvdma-agent-killed
# shellcheck source=tests/e2e/test_crash.sh
. "$(dirname "$0")/test_crash.sh"

# What only an agent does that starts its VM, or gets and loses a device while it runs.
# It is killed there by tests/wire/test_crash.py.
ONLY_AT_START=(device device-forgotten device-noted state state-kept)

DIR=$(agent_dir a)

# arm LABEL: the agent is killed, and the next one kills itself at LABEL.
arm() {
	echo "$1" > "$DIR/crash.new"
	mv "$DIR/crash.new" "$DIR/crash"
	armed=$(($(< "$DIR/starts") + 1))
	kill -9 "$(< "$DIR/agent")"
	eventually 30 "the next agent" agent_was a starts $armed
}

# came_by TRIES: did the armed one kill itself? Some moments are enough for most.
came_by() {
	local i

	for ((i = 0; i < $1; i++)); do
		! agent_was a starts $((armed + 1)) || return 0
		bed_pause
	done
	return 1
}

# sort_out LABEL TRIES: whether it came by, or is for later.
sort_out() {
	if came_by "$2"; then
		echo "$1" >> "$DIR/passed"
	fi
	eventually 60 "an answer after $1" agent_answers a
}

# The labels that have not been passed.
remaining() {
	PVDMA_CRASH=list "$E2E_BIN/$AGENT" | sort -u | grep -vxFf "$DIR/passed"
}

labels_at_work() {
	local label

	: > "$DIR/passed"
	work_begin crash "$NVME" "$NIC" $SET
	for label in $(remaining); do
		arm "$label"
		sort_out "$label" 40
		same "VMs that gave up" "$(g crash "counter timeouts")" 0
	done
	work_end crash
	same "failures of the disk" "$(g crash "counter failures $NVME")" 0
	same "failures of the NIC" "$(g crash "counter failures $NIC")" 0
}

labels_of_drivers() {
	local label

	for label in $(remaining); do
		arm "$label"
		g crash "undrive $NVME; drive $NVME; undrive $NIC; drive $NIC
			work $NVME 4M; work $NIC 1M" 600
		sort_out "$label" 1
	done
}

labels_of_guests() {
	local label guest=crash i=0

	for label in $(remaining); do
		guest_stop $guest
		guest=crash$((++i))
		arm "$label"
		vm_start $guest a --mem 512M
		load_pvdma $guest 2
		moves_data $guest "$NVME" 4M
		sort_out "$label" 1
	done
	# the last one may be armed still
	kill_agent a
	moves_data $guest "$NIC" 1M
	balanced
	result crash.labels_passed "$(wc -l < "$DIR/passed")"
	same "labels that were not passed" "$(remaining | xargs)" "${ONLY_AT_START[*]}"
}

step at-work no_faults "kills at each step" "$(bed_bdf nvme)" labels_at_work
step balanced-then balanced
step of-drivers labels_of_drivers
step of-guests labels_of_guests
