#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# host.sh: the part of tests/bench/peers/run on the emulated host (run by
# tests/bed/bed): which guest is next.
#
# What a peer is measured against is its neighbour in time, for the machine below
# is now faster, now slower. So each repetition has all peers, and each begins with
# another one. A run that fails leaves a folder that is not complete, and the others
# go on; report.py counts it.
#
# All that remains of a run is in its folder, REPETITION.NAME: see one.sh. The file
# "planned" names all those that are to be.
set -euo pipefail
# shellcheck source=/dev/null
. "$BED_LIB"
# shellcheck source=tests/bench/peers/peers.sh
. "$BED_SCRIPT_DIR/peers.sh"

runs=$BED_OUT/runs
declare -i failed=0

# one NAME OPTION...: a run of its own, as far as it comes
one()
{
	local name=$1 began=$SECONDS status=0

	bash "$BED_SCRIPT_DIR/one.sh" "$@" || status=$?
	progress "$name took $((SECONDS - began)) s$( ((!status)) || echo ", and failed with status $status")"
	((!status)) || failed+=1
}

# The peers, and the guests whose start alone is measured.
plan()
{
	local name size

	for name in ${BENCH_ONLY:-$PEERS}; do
		echo "$name"
	done
	for size in $BENCH_SIZES; do
		for name in $PEERS_STARTED; do
			echo "$name@$size"
		done
	done
}

mkdir -p "$runs"
mapfile -t planned < <(plan)
n=${#planned[@]}
working_set=0
[[ " ${planned[*]}" != *" pvdma-"* ]] || first=0.pvdma-set
{
	[[ -z ${first:-} ]] || echo "$first"
	for ((rep = 1; rep <= REPETITIONS; rep++)); do
		printf "$rep.%s\n" "${planned[@]}"
	done
} > "$runs/planned"

# The working set is what is mapped at most where all is granted and nothing is
# mapped ahead: what was touched. A guest of its own finds it, before the others.
if [[ -n ${first:-} ]]; then
	one "$first" 0
	[[ -e $runs/$first/complete ]] || exit
	working_set=$(jq .vm.mapped_peak "$runs/$first/end.agent")
	progress "working set: $working_set bytes"
fi

for ((rep = 1; rep <= REPETITIONS; rep++)); do
	turn=$(((rep - 1) * n / REPETITIONS))
	for ((i = 0; i < n; i++)); do
		one "$rep.${planned[(i + turn) % n]}" "$working_set"
	done
done
exit $((failed ? 1 : 0))
