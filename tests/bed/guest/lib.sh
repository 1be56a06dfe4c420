# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
#
# lib.sh: what guest scripts, guest_sh commands and the console's prompt have
# at hand (busybox sh). Descriptor 7 is the control channel; a line of it is
# one of
#     evt boot RELEASE .      evt done STATUS .
#     out ID OUTPUT .         end ID STATUS .     what a command gave
#     res KEY VALUE .         ver STATE NAME REASON .
# with base64 where a field is free text; the dot says that a line is whole. A
# line is less than 4 KiB and one write, so that writers need no lock.

[ ! -e /bed/env ] || . /bed/env

# bed_send WORD...: one line to L1.
bed_send() {
	printf '%s .\n' "$*" >&7
}

_b64() {
	printf '%s' "$1" | base64 -w 0
}

# result KEY VALUE: a figure, which L1 reads with guest_result.
result() {
	bed_send res "$1" "$(_b64 "$2")"
}

# verdict pass|fail|skip NAME [REASON]: judge one test.
verdict() {
	bed_send ver "$1" "$(_b64 "$2")" "$(_b64 "${3:-}")"
}

# load MODULE [PARAMETER...]: load a module and what it depends on; a path, or
# the name of a .ko in /extra, is a module built for this guest.
load() {
	_file=$1
	[ -e "$_file" ] || _file=/extra/$1.ko
	if [ ! -e "$_file" ]; then
		modprobe "$@"
		return
	fi
	# what is to outlast the loads of others is in the arguments
	shift
	set -- "$_file" "$@"
	for _dep in $(modinfo -F depends "$_file" | tr , ' '); do
		load "$_dep" || return
	done
	insmod "$@"
}

# wait_for SECONDS COMMAND...: until the command succeeds. Polls are dear: after the first
# ones they are half a second apart.
wait_for() {
	_tenths=0 _limit=$(($1 * 10))
	shift
	until "$@"; do
		[ $_tenths -lt $_limit ] || return 1
		if [ $_tenths -lt 10 ]; then
			_tenths=$((_tenths + 1))
			sleep 0.1
		else
			_tenths=$((_tenths + 5))
			sleep 0.5
		fi
	done
}

_has_disk() {
	ls -d "$1"/nvme/*/nvme*n1 "$1"/nvme*/nvme*n1 "$1"/ata*/host*/target*/*/block/* \
		"$1"/host*/target*/*/block/* "$1"/virtio*/block/* 2> /dev/null | head -n 1
}

# disk_of BDF: the block device (/dev/...) of a controller, once it is there.
disk_of() {
	_dir=/sys/bus/pci/devices/$1
	_left=300
	while [ $_left -gt 0 ]; do
		_disk=$(_has_disk "$_dir")
		if [ -n "$_disk" ] && [ -b "/dev/${_disk##*/}" ]; then
			echo "/dev/${_disk##*/}"
			return
		fi
		_left=$((_left - 1))
		sleep 0.1
	done
	echo "disk_of: no disk behind $1" >&2
	return 1
}

# disk_sum DEVICE MIB: judge the first MIB MiB (a size of /bed/disk.sums), read
# with direct I/O; the status says whether the bed's disk content is right.
disk_sum() {
	_want=$(awk -v m="$2" '$1 == m { print $2 }' /bed/disk.sums)
	[ -n "$_want" ] || { echo "disk_sum: no sum of $2 MiB" >&2; return 2; }
	_got=$(dd if="$1" bs=1M count="$2" iflag=direct 2> /dev/null | sha256sum)
	[ "${_got%% *}" = "$_want" ]
}

# net_of BDF: the interface of a NIC, once it is there.
net_of() {
	_left=300
	while [ $_left -gt 0 ]; do
		for _net in "/sys/bus/pci/devices/$1"/net/* "/sys/bus/pci/devices/$1"/virtio*/net/*; do
			[ -e "$_net" ] && echo "${_net##*/}" && return
		done
		_left=$((_left - 1))
		sleep 0.1
	done
	echo "net_of: no interface of $1" >&2
	return 1
}

# net_up INTERFACE: link, address and route by DHCP; prints the peer's address.
net_up() {
	ip link set "$1" up || return
	wait_for 30 grep -q 1 "/sys/class/net/$1/carrier" || { echo "net_up: no link" >&2; return 1; }
	udhcpc -q -n -t 8 -T 2 -i "$1" -s /bed/dhcp.sh > /tmp/dhcp.log 2>&1 ||
		{ cat /tmp/dhcp.log >&2; return 1; }
	cat "/run/peer.$1"
}

# net_get PEER BYTES [SEED]: fetch a stream from the bed's service and check it.
net_get() {
	_url=http://$1:$BED_PORT_HTTP
	_want=$(wget -q -T 60 -O - "$_url/sum?bytes=$2&seed=${3:-1}") || return
	_got=$(wget -q -T 60 -O - "$_url/stream?bytes=$2&seed=${3:-1}" | sha256sum)
	[ -n "$_want" ] && [ "${_got%% *}" = "$_want" ]
}

# net_put PEER FILE: send a file to the bed's service and check its sum there.
net_put() {
	_want=$(sha256sum < "$2")
	# busybox wget ends a posted file at its first NUL
	_got=$({
		printf 'POST /sum HTTP/1.0\r\nContent-Length: %s\r\n\r\n' "$(stat -c %s "$2")"
		cat "$2"
	} | nc "$1" "$BED_PORT_HTTP" | tail -n 1)
	[ "$_got" = "${_want%% *}" ]
}
