# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# await.sh: waits for guests, and what is said of one that was waited for in vain.
#
# An emulation of an emulation has faults of its own, of which the bed keeps clear as far as
# they are known (README.md): they have reset guests without being asked, and left a CPU on an
# instruction for ever. What is said of such a guest begins with "bed: guest NAME was lost",
# for who wants to begin again (tests/e2e/run does). A guest whose kernel complains is never
# said to be lost.

# Samples of a CPU that does not move, and the exits to KVM that one makes meanwhile. One
# that waits for the answer to an access (of a device's server, say) makes none.
GUEST_SAMPLES=6
GUEST_STUCK_EXITS=50

# _guest_registers NAME: its CPUs' registers, so many times: a kernel that hangs says nothing.
_guest_registers() {
	local dir i

	dir=$(guest_dir "$1") || return
	for ((i = 0; i < GUEST_SAMPLES; i++)); do
		guest_qmp "$1" '{"execute": "human-monitor-command",
			"arguments": {"command-line": "info registers -a"}}' | jq -r . || break
		sleep 0.7
	done > "$dir/registers.log" 2>&1
}

# _guest_cpus FILE: a line for each CPU in samples of registers: "CPU 0 halts", "... stays at
# RIP" (each register is the same in all of them), "... runs at RIP RIP".
_guest_cpus() {
	tr -d '\r' < "$1" | awk -v wanted="$GUEST_SAMPLES" '
		function sample() {
			if (cpu == "")
				return
			n[cpu]++
			halted[cpu] += text ~ /HLT=1/
			if (!(cpu in first))
				first[cpu] = text
			same[cpu] += text == first[cpu]
			match(text, /RIP=[0-9a-f]+/)
			at[cpu] = at[cpu] " " substr(text, RSTART + 4, RLENGTH - 4)
			text = ""
		}
		/^CPU#/ { sample(); cpu = substr($1, 5) + 0; next }
		# of what follows, the FPU is of no interest
		/^(R|E|[C-G]S )/ { text = text $0 }
		END {
			sample()
			for (cpu in n) {
				split(at[cpu], rip, " ")
				if (halted[cpu] == n[cpu])
					print "CPU " cpu " halts at " rip[1]
				else if (n[cpu] == wanted && same[cpu] == wanted)
					print "CPU " cpu " stays at " rip[1]
				else
					print "CPU " cpu " runs at" at[cpu]
			}
		}' | sort
}

# A kernel that ends by itself, or is in a loop, says so.
_guest_complains() {
	grep -qsE 'Kernel panic|Oops|BUG:|WARNING:|blocked for more than' "$(guest_dir "$1")/serial.log"
}

# guest_stuck NAME WHAT: says how a guest is that was waited for in vain.
guest_stuck() {
	local exits cpus

	exits=$(kvm_exits "$1" exits 2> /dev/null) || exits=
	_guest_registers "$1" || true
	cpus=$(_guest_cpus "$(guest_dir "$1")/registers.log")
	if [[ -n $exits ]] && exits=$(($(kvm_exits "$1" exits) - exits)) &&
		((exits >= GUEST_STUCK_EXITS)) && [[ $cpus == *stays* ]] && ! _guest_complains "$1"; then
		echo "bed: guest $1 was lost while $2: ${cpus//$'\n'/, } through $exits exits"
	else
		echo "bed: guest $1: no end of: $2 (${cpus//$'\n'/, }; ${exits:-unknown} exits)"
	fi
}

# _guest_await NAME SECONDS WHAT COMMAND...: until the command succeeds; gives up
# on time, when QEMU ends, and when the guest's kernel panicked.
_guest_await() {
	local name=$1 end=$((SECONDS + $2)) what=$3 dir why='' polls=0

	shift 3
	dir=$(guest_dir "$name") || return
	until "$@"; do
		if [[ -e $dir/status ]]; then
			"$@" && return 0
			why="bed: guest $name: QEMU ended with status $(< "$dir/status") before $what"
		elif ((++polls % 10 == 0)) && grep -qs 'Kernel panic' "$dir/serial.log"; then
			why="bed: guest $name: its kernel panicked before $what"
		elif ((SECONDS >= end)); then
			why=$(guest_stuck "$name" "waiting for $what")
		fi
		if [[ -n $why ]]; then
			{
				tail -n 12 "$dir/qemu.log" "$dir/serial.log" 2> /dev/null
				printf '\n%s\n' "$why"
			} >&2
			return 124
		fi
		bed_pause
	done
}

# How often a reset or a reboot was asked for.
_guest_asked() {
	local file

	file=$(guest_dir "$1")/resets
	[[ -e $file ]] || { echo 0; return; }
	wc -l < "$file"
}

# A kernel that ends by itself says why. One that does not was reset by its machine.
_guest_lost() {
	local why='was lost: reset without a word'

	[[ $(_guest_asked "$1") == "$3" ]] || why='was reset, as somebody wanted it,'
	! _guest_complains "$1" || why='died'
	echo "bed: guest $1 $why while it did '$2'"
	dmesg | sed -n "/bed_inject: .* of the guest of $(guest_pid "$1") shut down/p" | tail -n 1
}

# guest_check NAME: says of a guest, of which a test failed, whether it was lost.
guest_check() {
	local dir

	dir=$(guest_dir "$1") && guest_alive "$1" || return 0
	if (($(guest_boots "$1") > $(_guest_asked "$1") + 1)); then
		_guest_lost "$1" 'what failed' "$(_guest_asked "$1")"
	else
		guest_sh "$1" true 20 || true
	fi
}
