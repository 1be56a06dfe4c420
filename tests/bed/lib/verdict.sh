# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# verdict.sh: what a script tells the driver, over a virtio-serial port of its
# own (bedlib/l0.py describes the lines), and the scan of kernel logs.

# bed_port NAME: the device of a virtio-serial port.
bed_port() {
	local dir

	for dir in /sys/class/virtio-ports/*; do
		if [[ $(< "$dir/name") == "$1" ]]; then
			echo "/dev/${dir##*/}"
			return 0
		fi
	done 2> /dev/null
	echo "bed: no port $1" >&2
	return 1
}

# bed_event FIELD...: one line to the driver; blanks replace tabs, newlines.
bed_event() {
	local line='' field

	for field in "$@"; do
		line+=${line:+$'\t'}${field//[$'\t\n\r']/ }
	done
	[[ -e $BED_RUN/events ]] || ln -sfn "$(bed_port bed.events)" "$BED_RUN/events"
	(
		flock 9
		# a port can be opened once at a time; on the machine itself it is a file
		printf '%s\n' "$line" >> "$BED_RUN/events"
	) 9> "$BED_RUN/events.lock"
}

# verdict pass|fail|skip NAME [REASON]: judge one test.
verdict() {
	case $1 in
	pass | fail | skip) ;;
	*)
		echo "verdict: pass, fail or skip, not $1" >&2
		return 2
		;;
	esac
	[[ $1 != fail ]] || : > "$BED_RUN/failed"
	bed_event V "$1" "${2//:/;}" "${3:-}"
}

# result KEY VALUE: record a figure.
result() {
	bed_event R "$1" "$2"
}

# progress TEXT...: a line for the person who waits.
progress() {
	bed_event P "$*"
}

# check NAME COMMAND...: run a command, judge by its status; returns it.
check() {
	local name=$1 output status=0

	shift
	output=$("$@" 2>&1) || status=$?
	if ((status == 0)); then
		verdict pass "$name"
	else
		[[ -z $output ]] || printf '%s\n' "$output" >&2
		verdict fail "$name" "status $status: $(tail -n 1 <<< "$output")"
	fi
	return "$status"
}

# check_equal NAME GOT WANTED: judge a value.
check_equal() {
	if [[ $2 == "$3" ]]; then
		verdict pass "$1"
	else
		verdict fail "$1" "got '$2', expected '$3'"
		return 1
	fi
}

# check_that NAME EXPRESSION: judge an arithmetic expression.
check_that() {
	if (($2)); then
		verdict pass "$1"
	else
		verdict fail "$1" "not so: $2"
		return 1
	fi
}

# bed_allow l1|guest REGEX REASON: kernel messages that are no failure here.
bed_allow() {
	printf '%s\t%s\t%s\n' "$1" "$2" "$3" >> "$BED_RUN/allow"
}

# bed_scan l1|guest FILE...: print kernel messages that mean a broken kernel;
# returns 1 if there are any. lib/splats lists the patterns, lib/allow and
# bed_allow the exceptions with their reasons.
bed_scan() {
	local where=$1 allowed=$BED_RUN/allowed.$BASHPID found

	shift
	cat "$BED_LIB_DIR/allow" "$BED_RUN/allow" 2> /dev/null |
		awk -F '\t' -v w="$where" '!/^#/ && $1 == w && $3 { print $2 }' > "$allowed"
	found=$(grep -hE -f <(grep -v '^#' "$BED_LIB_DIR/splats") -- "$@" 2> /dev/null |
		if [[ -s $allowed ]]; then grep -vE -f "$allowed"; else cat; fi)
	rm -f "$allowed"
	[[ -z $found ]] || { printf '%s\n' "$found"; return 1; }
}

# bed_mark: what the kernel said before is not this run's.
bed_mark() {
	echo "bed: a run begins: $(< /proc/sys/kernel/random/uuid)" | tee "$BED_RUN/mark" > /dev/kmsg
}

# bed_kernel_log: what the kernel said since the mark, if there is one.
bed_kernel_log() {
	dmesg | if [[ -e $BED_RUN/mark ]]; then
		awk -v mark="$(< "$BED_RUN/mark")" '
			index($0, mark) { text = ""; next }
			{ text = text $0 "\n" }
			END { printf "%s", text }'
	else
		cat
	fi
}

# bed_injected NAME: a figure of l1/inject's, which is in no other kernel than L1's.
bed_injected() {
	local file=/sys/module/bed_inject/parameters/$1

	if [[ -e $file ]]; then cat "$file"; else echo 0; fi
}

# bed_finish: the end of a run: stop guests, keep logs, judge L1's kernel.
# Returns 1 if any verdict of the run was a failure.
bed_finish() {
	local name found strays log=$BED_OUT/l1-dmesg.log

	for name in $(guest_names); do
		guest_stop "$name"
	done
	strays=$(bed_injected strays)
	if ((strays)); then
		verdict fail l1-first-cpu "guests ran on it, $strays times"
	fi
	bed_kernel_log > "$log"
	if ! found=$(bed_scan l1 "$log"); then
		verdict fail l1-kernel-log "$(head -n 1 <<< "$found")"
	fi
	[[ ! -e $BED_RUN/failed ]]
}
