#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# group.sh TEST...: runs tests in L1, one after the other (the script that
# tests/e2e/run gives to the bed).
#
# After each test all its guests and agents are ended, whatever became of it,
# and the kernel must have given back every page that was pinned.
set -euo pipefail

E2E_TEST=group
# shellcheck source=tests/e2e/lib.sh
. "$BED_SCRIPT_DIR/lib.sh"

TEST_SECONDS=${E2E_TEST_SECONDS:-1500}

# Ends what a test left behind; what was not well is a verdict of its own.
clean_up() {
	local name dir status

	for name in $(guest_names); do
		guest_stop "$name" || verdict fail "$E2E_TEST/guest-$name" "could not be stopped"
	done
	for dir in "$E2E_RUN"/agents/*/; do
		[[ -e $dir/pid ]] || continue
		name=$(basename "$dir")
		[[ -e $dir/status ]] || kill -CONT "$(agent_pid "$name")" || true
		status=$(agent_stop "$name" 2>&1) || verdict fail "$E2E_TEST/agent-$name" "$status"
		[[ -e $dir/status ]] || kill -9 "$(agent_pid "$name")" 2> /dev/null || true
		rm -rf "$dir"
	done
	if [[ -e $E2E_RUN/pins.pid ]]; then
		kill "$(< "$E2E_RUN/pins.pid")" || true
		rm -f "$E2E_RUN/pins.pid"
	fi
	if grep -sqE 'Assertion|runtime error|Sanitizer' "$BED_OUT/$E2E_TEST"-agent-*.log; then
		verdict fail "$E2E_TEST/agent-log" "$(grep -hE -m 1 'Assertion|runtime error|Sanitizer' \
			"$BED_OUT/$E2E_TEST"-agent-*.log)"
	fi
}

nothing_pinned() {
	(($(pinned_bytes) == 0))
}

run_test() {
	local status=0 log=$E2E_RUN/test.log began=$SECONDS name

	progress "$E2E_TEST"
	echo "$E2E_TEST" | tee "$E2E_RUN/step" > "$E2E_RUN/step.log"
	timeout -k 10 "$TEST_SECONDS" bash "$E2E_DIR/test_$E2E_TEST.sh" > "$log" 2>&1 || status=$?
	cat "$log"
	# a wait for a guest that was in vain is 124, too
	((status != 124 && status != 137 || SECONDS - began >= TEST_SECONDS)) || status=1
	case $status in
	0) ;;
	77) verdict skip "$E2E_TEST" "$(tail -n 1 "$log")" ;;
	124 | 137)
		cat "$E2E_RUN/step.log"
		verdict fail "$E2E_TEST" "no end after $TEST_SECONDS s; the last step was $(< "$E2E_RUN/step")"
		;;
	*) verdict fail "$E2E_TEST/end" "status $status: $(tail -n 1 "$log")" ;;
	esac
	((!status || status == 77)) || for name in $(guest_names); do
		guest_check "$name" 2>&1
	done
	clean_up
	(eventually 30 "all pins given back" nothing_pinned) ||
		verdict fail "$E2E_TEST/pins" "$(pinned_bytes) bytes are still pinned"
	progress "$E2E_TEST took $((SECONDS - began)) s"
}

# What L1's CPUs did, in seconds: guests are what cannot be had for less.
cpu_time() {
	local user nice system idle iowait irq softirq steal guest

	read -r _ user nice system idle iowait irq softirq steal guest _ < /proc/stat
	progress "CPU seconds: guests $((guest / 100)), programs $(((user + nice - guest) / 100))," \
		"kernel $(((system + irq + softirq) / 100)), idle $(((idle + iowait + steal) / 100))"
}

mkdir -p "$E2E_BIN"
cp "$E2E_PAYLOAD"/* "$E2E_BIN/"
for E2E_TEST in "$@"; do
	export E2E_TEST
	run_test
done
cpu_time
