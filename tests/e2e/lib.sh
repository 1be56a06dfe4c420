# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# lib.sh: what the end-to-end tests have at hand in L1, on top of the bed's
# library (tests/bed/lib/l1.sh). A test sources it first.
#
#   step          one check of a test: its verdict is TEST/NAME
#   agent_*       agents: start, counters, log, end
#   vm_start, g   guests behind an agent, and commands in them
#
# State lives in files under /run/e2e, so that group.sh can clean up after a
# test however it ended. Waits poll, and their limits are generous: the bed is
# emulated and the machine may be busy.
set -euo pipefail

# shellcheck source=/dev/null
. "$BED_LIB"

E2E_RUN=/run/e2e
E2E_BIN=$E2E_RUN/bin
E2E_DIR=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
E2E_TEST=${E2E_TEST:-by-hand}
mkdir -p "$E2E_RUN/agents"

# Words in front of the next agents' command line (prlimit, setpriv, ...), and which agent.
AGENT_PREFIX=()
AGENT=${AGENT:-pvdma-agent}

# --- verdicts ------------------------------------------------------------------------

fail() {
	printf '%s\n' "$*"
	exit 1
}

skip() {
	printf '%s\n' "$*"
	exit 77
}

# expect WHAT EXPRESSION: fails unless the arithmetic expression holds.
expect() {
	(($2)) || fail "$1: not so: $2"
}

# same WHAT GOT WANTED
same() {
	[[ $2 == "$3" ]] || fail "$1 is '$2', not '$3'"
}

# contains WHAT FILE REGEX: fails unless a line of the file matches.
contains() {
	grep -qE -- "$3" "$2" || fail "$1 does not say '$3'"
}

# A machine that loses its cores to others for a while is no failure.
E2E_PATIENCE=5

# eventually SECONDS WHAT COMMAND...: until the command succeeds. An idle machine needs
# less than these seconds; so many times as long is waited.
eventually() {
	local end=$((SECONDS + $1 * E2E_PATIENCE)) what=$2 polls=0

	shift 2
	until "$@"; do
		((SECONDS < end)) || fail "$what: not so in time"
		bed_pause
		# to ask costs more than to wait
		((++polls < 5)) || { bed_pause; bed_pause; }
	done
}

# step NAME COMMAND...: runs a function under "set -e", in a shell of its own. The
# last line of output is the reason of a failure or a skip (status 77). A step that
# fails ends its test. Never call it as a condition, nor in front of "||": in those
# bash knows no "set -e", in subshells neither, and what fails would go unseen.
step() {
	local name=$E2E_TEST/$1 log=$E2E_RUN/step.log status=0 began=$SECONDS

	shift
	echo "$name" > "$E2E_RUN/step"
	set +e
	(set -e; "$@") > "$log" 2>&1
	status=$?
	set -e
	{
		printf -- '--- %s (%s), %s s, status %s\n' "$name" "$*" $((SECONDS - began)) "$status"
		cat "$log"
	}
	case $status in
	0) verdict pass "$name" ;;
	77) verdict skip "$name" "$(tail -n 1 "$log")" ;;
	*) verdict fail "$name" "$(tail -n 1 "$log")" ;;
	esac
	((status == 0 || status == 77))
}

# --- agents ----------------------------------------------------------------------------

agent_dir() {
	echo "$E2E_RUN/agents/$1"
}

agent_log() {
	echo "$BED_OUT/$E2E_TEST-agent-$1.log"
}

agent_pid() {
	cat "$(agent_dir "$1")/pid"
}

agent_ended() {
	[[ -e $(agent_dir "$1")/status ]]
}

# agent_launch NAME BDF... [-- OPTION...]: binds devices to vfio-pci and runs an agent
# for them; endpoint I+1 is the I-th one, its socket .../devI.
agent_launch() {
	local name=$1 dir i=0
	local -a argv

	dir=$(agent_dir "$name")
	rm -rf "$dir"
	mkdir -p "$dir"
	chmod 777 "$dir"
	argv=(--name "$name" --vhost-socket "$dir/vhost" --control "$dir/control")
	shift
	while (($#)) && [[ $1 != -- ]]; do
		bind_vfio "$1" || return
		argv+=(--device "$1,socket=$dir/dev$i,endpoint=$((i + 1))")
		i=$((i + 1))
		shift
	done
	((!$#)) || shift
	agent_run "$name" "${argv[@]}" "$@"
}

# agent_run NAME ARGUMENT...: runs an agent with just these arguments. Its log goes
# on where an earlier one of that name ended.
agent_run() {
	local name=$1 dir

	dir=$(agent_dir "$name")
	mkdir -p "$dir"
	rm -f "$dir/pid" "$dir/status"
	shift
	printf '%q ' "${AGENT_PREFIX[@]}" "$AGENT" "$@" > "$dir/command"
	# shellcheck disable=SC2016 # expanded by the inner shells
	setsid bash -c '
		dir=$1
		shift
		bash -c "echo \$\$ > \$0/pid; exec \"\$@\"" "$dir" "$@"
		echo $? > "$dir/status.new"
		mv "$dir/status.new" "$dir/status"
	' bash "$dir" "${AGENT_PREFIX[@]}" "$E2E_BIN/$AGENT" "$@" \
		>> "$(agent_log "$name")" 2>&1 < /dev/null &
	disown
	eventually 30 "agent $name: a process" test -s "$dir/pid"
}

_agent_listens() {
	local name=$1 dir

	dir=$(agent_dir "$name")
	agent_ended "$name" || { [[ -S $dir/control ]] && agent_query "$name" ping > /dev/null 2>&1; }
}

# agent_start: as agent_launch; waits until the agent serves.
agent_start() {
	agent_launch "$@"
	eventually 60 "agent $1: a socket" _agent_listens "$1"
	! agent_ended "$1" || fail "agent $1 ended: $(tail -n 1 "$(agent_log "$1")")"
}

# agent_query NAME COMMAND...: the answer, one JSON object.
agent_query() {
	"$E2E_BIN/pvdma-agent" --query "$(agent_dir "$1")/control" "${@:2}"
}

# stat_of NAME PATH: a counter, as in: stat_of a vm.evictions
stat_of() {
	agent_query "$1" stats | jq -e ".$2"
}

# agent_messages NAME: all messages that QEMU and the guest have sent it.
agent_messages() {
	agent_query "$1" stats |
		jq '.vhost.messages + .vhost.kicks + ([.devices[].vfio_user.messages] | add)'
}

# agent_stop NAME [STATUS]: ends an agent, and holds it to a clean end.
agent_stop() {
	local dir

	dir=$(agent_dir "$1")
	agent_ended "$1" || kill "$(agent_pid "$1")"
	eventually 60 "agent $1: an end" agent_ended "$1"
	same "the status of agent $1" "$(< "$dir/status")" "${2:-0}"
	rm -rf "$dir"
}

# --- guests ----------------------------------------------------------------------------

# vm_start NAME AGENT [OPTION of guest_start...]: a guest with all that the agent
# serves. The I-th device is at guest_bdf I.
vm_start() {
	local name=$1 dir
	local -a socks

	dir=$(agent_dir "$2")
	shift 2
	socks=("$dir"/dev[0-9]*)
	vm_start_with "$name" --mode vfio-user --sock "${socks[@]}" --vhost-sock "$dir/vhost" "$@"
}

# vm_start_with NAME [OPTION...]: guest_start, with the tests' own files.
vm_start_with() {
	with_files guest_start "$@"
}

# vm_install BDF [OPTION...]: guest_install, with the same files.
vm_install() {
	with_files guest_install "$@"
}

with_files() {
	local call=$1 name=$2 version=${BED_GUEST_KERNEL:-6.12} i

	shift 2
	for ((i = 1; i < $#; i++)); do
		[[ ${!i} != --kernel ]] || version=${*:i + 1:1}
	done
	"$call" "$name" --file "$E2E_BIN/pvdma-$version.ko:extra/pvdma.ko" \
		--file "$E2E_BIN/dmacheck-$version.ko:extra/dmacheck.ko" \
		--file "$E2E_BIN/edudma-$version.ko:extra/edudma.ko" \
		--file "$E2E_BIN/pvdma-work:bin/pvdma-work" \
		--file "$E2E_DIR/guest.sh:e2e.sh" "$@"
}

# g NAME COMMAND [SECONDS]: a command in a guest, under "set -e" and with guest.sh at
# hand.
g() {
	guest_sh "$1" ". /e2e.sh; set -e; $2" "${3:-240}"
}

# g_says NAME REGEX: fails unless the guest's kernel log has a line like that.
g_says() {
	local log=$E2E_RUN/dmesg.$1

	g "$1" dmesg > "$log" || true
	contains "the kernel log of guest $1" "$log" "$2"
}

# --- what the kernel pins -----------------------------------------------------------------

# pins_begin, pins_peak: watches the kernel's count of pinned pages from the one to
# the other; prints the highest number of bytes, in samples 10 ms apart.
pins_begin() {
	rm -f "$E2E_RUN/pins"
	"$E2E_BIN/pvdma-work" pins 10 "$E2E_RUN/pins" < /dev/null > "$E2E_RUN/pins.log" 2>&1 &
	echo $! > "$E2E_RUN/pins.pid"
}

pins_peak() {
	kill "$(< "$E2E_RUN/pins.pid")"
	eventually 30 "the sampler's report" test -s "$E2E_RUN/pins"
	rm -f "$E2E_RUN/pins.pid"
	cat "$E2E_RUN/pins" >&2
	expect "samples of pins" "$(sed -n 's/^pin_samples=//p' "$E2E_RUN/pins") > 0"
	sed -n 's/^pinned_peak_bytes=//p' "$E2E_RUN/pins"
}

# pins_total: ends it, too; with what was pinned when the watch began.
pins_total() {
	local peak

	peak=$(pins_peak)
	echo $((peak + $(sed -n 's/^pinned_base_bytes=//p' "$E2E_RUN/pins")))
}

pinned_bytes() {
	echo $(($(pinned_pages) * 4096))
}
