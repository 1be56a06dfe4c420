# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
#
# channel.sh: a guest's end of the channel to L1, a virtio-serial port: sourced by
# whatever serves it, pid 1 (init.sh) or a service (system.sh). Runs in busybox and
# in Debian's own shell. What lines say: lib.sh.

# How many tenths of a second a port may take to appear.
CHANNEL_TRIES=600

port() {
	for dir in /sys/class/virtio-ports/*; do
		[ "$(cat "$dir/name" 2> /dev/null)" = "$1" ] && echo "/dev/${dir##*/}" && return
	done
	return 1
}

# channel_open: the port is descriptor 7, L1 knows of this boot, and the guest's script
# runs, if there is one.
channel_open() {
	tries=0
	until ctl=$(port bed.ctl) && [ -c "$ctl" ]; do
		tries=$((tries + 1))
		[ $tries -lt $CHANNEL_TRIES ] || { echo "bed: no control channel"; break; }
		sleep 0.1
	done
	# A port can be opened once: everything below inherits this descriptor.
	exec 7<> "$ctl"
	. /bed/lib.sh
	bed_send evt boot "$(uname -r)"

	if [ -e /bed/script ]; then
		(
			sh /bed/script > "$(port bed.log)" 2>&1 < /dev/null
			bed_send evt 'done' $?
		) &
	fi
}

answer() {
	id=$1
	# processes are dear here: shells do themselves what they can
	printf '%b\n' "$3" > "/tmp/cmd.$id"
	timeout -k 5 "$2" sh -c ". /bed/lib.sh; . /tmp/cmd.$id" > "/tmp/out.$id" 2>&1 < /dev/null
	status=$?
	# Lines are short, so that each is one write and cannot be torn.
	[ ! -s "/tmp/out.$id" ] || base64 -w 3000 "/tmp/out.$id" | while read -r line; do
		bed_send out "$id" "$line"
	done
	bed_send end "$id" "$status"
	rm -f "/tmp/cmd.$id" "/tmp/out.$id"
}

# channel_serve: answers L1's commands for ever, and reaps children.
channel_serve() {
	(while read -r verb id limit command <&7; do
		[ "$verb" = run ] && answer "$id" "$limit" "$command" &
	done) &

	while :; do
		wait
		sleep 1
	done
}
