# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# kills: all of crash, more often (E2E_KILLS); then the agent is killed at each of its
# labelled steps in turn (host/lib/crash.h), under the same work. Steps that work does not
# pass get drivers that come and go, a strict one of them, a quota that is lowered below what
# is in use, an end in the middle of a recovery, and last guests that come and go.
AGENT=pvdma-agent-killed
# shellcheck source=tests/e2e/test_crash.sh
. "$(dirname "$0")/test_crash.sh"

# What only an agent does that starts its VM, gets and loses a device while it runs, or loses
# guest memory that is mapped. It is killed there by tests/wire/test_crash.py.
NOT_HERE=(device device-forgotten device-noted piece-unmapped state state-kept)

DIR=$(agent_dir a)

# next_ends_at LABEL: the next agent kills itself there.
next_ends_at() {
	echo "$1" > "$DIR/crash.new"
	mv "$DIR/crash.new" "$DIR/crash"
}

# arm LABEL: the agent is killed, and the next one kills itself at LABEL.
arm() {
	next_ends_at "$1"
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

# A module that keeps nothing mapped after its use.
labels_of_strict() {
	local label

	for label in $(remaining); do
		arm "$label"
		g crash "undrive $NVME; undrive $NIC; wait_for 30 rmmod pvdma; pvdma_load strategy=shared
			drive $NVME; drive $NIC; work $NVME 4M" 600
		sort_out "$label" 1
	done
	g crash "undrive $NVME; undrive $NIC; wait_for 30 rmmod pvdma"
	load_pvdma crash 2
	g crash "drive $NVME; drive $NIC; work $NVME 4M; work $NIC 1M"
}

# set_quota BYTES [DEADLINE]: the answer may be lost, what was set is not.
set_quota() {
	agent_query a quota "$@" || true
	eventually 60 "an answer after the quota" agent_answers a
}

# Less than what the NIC's rings hold, for a moment in which nothing is revoked.
labels_of_quotas() {
	local label

	for label in $(remaining); do
		arm "$label"
		set_quota $((256 << 10)) 600s
		# the guest is asked once what is idle has gone
		sleep 2
		set_quota $QUOTA
		sort_out "$label" 1
	done
	same "the quota" "$(stat_of a vm.quota)" $QUOTA
	same "bytes revoked" "$(stat_of a vm.revoked_bytes)" 0
	g crash "work $NVME 4M; work $NIC 1M" 600
}

# Killed while it unmaps, and again while it makes up for that.
recovery_killed() {
	work_begin crash "$NVME" "$NIC" $SET
	arm unmap-called
	next_ends_at resume-unmapped
	eventually 60 "two ends" agent_was a starts $((armed + 2))
	echo resume-unmapped >> "$DIR/passed"
	eventually 60 "an answer" agent_answers a
	work_end crash
	same "failures of the disk" "$(g crash "counter failures $NVME")" 0
}

labels_of_guests() {
	local label guest=crash i=0

	for label in $(remaining); do
		arm "$label"
		guest_stop $guest
		eventually 60 "an answer after the guest's end" agent_answers a
		guest=crash$((++i))
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
	same "labels that were not passed" "$(remaining | xargs)" "${NOT_HERE[*]}"
}

step at-work no_faults "kills at each step" "$(bed_bdf nvme)" labels_at_work
step balanced-then balanced
step of-drivers labels_of_drivers
step of-strict labels_of_strict
step of-quotas labels_of_quotas
step of-recovery no_faults "a kill of a recovery" "$(bed_bdf nvme)" recovery_killed
step of-guests labels_of_guests
