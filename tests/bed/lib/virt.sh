# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# virt.sh: guests as libvirt domains, in an operator's host (bed run --l1-root
# operator). They are the guests of guest.sh, started by libvirt: what works on
# a guest by its name (guest_sh, guest_wait, guest_result, guest_boots, ...)
# works on them.
#
# A domain's directory, /run/bed/guests/NAME, is that of a guest. Its control
# channel is a virtio-serial port that libvirt puts on a socket of its own
# choosing; a relay per run of the domain joins that to ctl.in and ctl.out, and
# writes the status when QEMU is gone.
#
# VIRT_USER says who is at work: root, or another user such as "operator", whom
# polkit and the socket's group let in or not.

VIRT_USER=${VIRT_USER:-root}
VIRT_URI=${VIRT_URI:-qemu:///system}
VIRT_SECONDS=${VIRT_SECONDS:-300}

# as USER COMMAND...: run a command as another user, with that user's groups and
# nothing of root's environment.
as() {
	local user=$1

	shift
	if [[ $user == root ]]; then
		"$@"
		return
	fi
	setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups --reset-env \
		env PATH="$PATH" LC_ALL=C.UTF-8 XDG_RUNTIME_DIR="/run/user/$(id -u "$user")" "$@"
}

# virt COMMAND...: virsh, as $VIRT_USER on $VIRT_URI.
virt() {
	as "$VIRT_USER" virsh -q -c "$VIRT_URI" "$@"
}

# virt_xml NAME [OPTION...]: the XML of a domain that boots the bed's guest; its
# memory is a shared memfd, as a vhost-user or vfio-user server needs it.
#   --mem SIZE --cpus N --kernel V --append 'WORDS' --script FILE
#   --file SRC[:DST] --env K=V     as guest_start has them
#   --devices XML                  put among the devices
#   --extra XML                    put at the end, as <qemu:commandline>
# The domain's initramfs is made here: one call for each definition.
virt_xml() {
	local name=$1 mem=${BED_GUEST_MEM:-1G} cpus=1 version=${BED_GUEST_KERNEL:-6.12}
	local append='' script='' devices='' extra='' dir=$BED_RUN/guests/$1
	local -a files=() pairs=()

	shift
	while (($#)); do
		(($# > 1)) || { echo "virt_xml: $1 wants a value" >&2; return 2; }
		case $1 in
		--mem) mem=$2 ;;
		--cpus) cpus=$2 ;;
		--kernel) version=$2 ;;
		--append) append+=" $2" ;;
		--script) script=$2 ;;
		--file) files+=("$2") ;;
		--env) pairs+=("$2") ;;
		--devices) devices+=$2 ;;
		--extra) extra+=$2 ;;
		*) echo "virt_xml: unknown option $1" >&2; return 2 ;;
		esac
		shift 2
	done
	if [[ -e $dir/command ]]; then
		echo "virt_xml: $name is already there" >&2
		return 2
	fi
	rm -rf "$dir"
	mkdir -p "$dir"
	_guest_env "${pairs[@]}" > "$dir/env"
	_guest_initrd "$dir" "$version" "$script" "${files[@]}" >&2 || return
	_virt_domain
}

# uses virt_xml's variables
_virt_domain() {
	mem=$(numfmt --from=iec "$mem") || return
	cat <<-EOF
		<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
		 <name>$name</name>
		 <memory unit='KiB'>$((mem / 1024))</memory>
		 <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>
		 <vcpu>$cpus</vcpu>
		 <os>
		  <type arch='x86_64' machine='q35'>hvm</type>
		  <kernel>/bed/guest/$version/vmlinux</kernel>
		  <initrd>$dir/initrd</initrd>
		  <cmdline>$(_guest_append "$append")</cmdline>
		 </os>
		 <features><acpi/><apic/></features>
		 <cpu mode='host-passthrough' check='none' migratable='off'/>
		 <clock offset='utc'><timer name='hpet' present='no'/></clock>
		 <on_reboot>restart</on_reboot>
		 <on_crash>destroy</on_crash>
		 <devices>
		  <emulator>/usr/bin/qemu-system-x86_64</emulator>
		  <controller type='usb' model='none'/>
		  <memballoon model='none'/>
		  <controller type='virtio-serial' index='0' ports='3'/>
		  <serial type='pty'><log file='$dir/serial.log' append='on'/><target port='0'/></serial>
		  <channel type='unix'><target type='virtio' name='bed.ctl'/></channel>
		  <channel type='unix'><target type='virtio' name='bed.log'/></channel>
		  $devices
		 </devices>
		 $extra
		</domain>
	EOF
}

# virt_start NAME [OPTION...]: define a domain (virt_xml's options), start it and
# wait until the guest answers.
virt_start() {
	local name=$1 dir=$BED_RUN/guests/$1

	virt_xml "$@" > "$BED_RUN/$name.xml" || return
	mv "$BED_RUN/$name.xml" "$dir/domain.xml"
	virt define "$dir/domain.xml" && virt start "$name" || return
	virt_follow "$name" && guest_up "$name"
}

# virt_socket NAME PORT: the socket of a running domain's virtio-serial port.
virt_socket() {
	virt dumpxml "$1" | xmllint --xpath \
		"string(//channel[target/@name='$2']/source/@path)" - 2> /dev/null
}

# virt_follow NAME: take up the channels of a domain that was just started, by
# whomever.
virt_follow() {
	local name=$1 dir=$BED_RUN/guests/$1 ctl log

	ctl=$(virt_socket "$name" bed.ctl) && log=$(virt_socket "$name" bed.log) || return
	[[ -S $ctl ]] || { echo "virt_follow: $name has no control channel" >&2; return 1; }
	rm -f "$dir"/{status,pid,ctl.in}
	_virt_pid "$name" > "$dir/pid"
	tr '\0' '\n' < "/proc/$(< "$dir/pid")/cmdline" > "$dir/command" || return
	mkfifo "$dir/ctl.in"
	: > "$dir/ctl.out"
	: > "$dir/domain"
	# The open pipe keeps ctl.in from ever reading as ended.
	# shellcheck disable=SC2016 # expanded by the inner shell
	setsid bash -c '
		dir=$1
		exec 9<> "$dir/ctl.in"
		socat -u "UNIX-CONNECT:$3" "OPEN:$dir/script.log,creat,append" < /dev/null &
		socat "UNIX-CONNECT:$2" "OPEN:$dir/ctl.in!!OPEN:$dir/ctl.out,append"
		while [[ -e /proc/$(< "$dir/pid") ]]; do
			sleep 0.1
		done
		echo 0 > "$dir/status.new"
		mv "$dir/status.new" "$dir/status"
	' bash "$dir" "$ctl" "$log" < /dev/null > "$dir/relay.log" 2>&1 &
	disown
}

# The pid of a running domain's QEMU.
_virt_pid() {
	pgrep -f -- "-name guest=$1," || { echo "virt: $1 does not run" >&2; return 1; }
}

# virt_stop NAME: destroy and undefine a domain, keep and judge its logs. How
# QEMU ended is libvirt's word: anything but a destruction or a power-off fails.
virt_stop() {
	local name=$1 dir=$BED_RUN/guests/$1 state

	if guest_alive "$name"; then
		guest_sh "$name" dmesg 20 > "$dir/dmesg.log" 2> /dev/null || true
		virt destroy "$name"
	fi
	state=$(virt domstate --reason "$name" 2>&1)
	case $state in
	'shut off (destroyed)' | 'shut off (shutdown)' | *'failed to get domain'*) ;;
	*) verdict fail "guest-$name-qemu" "libvirt says: $state" ;;
	esac
	cp "/var/log/libvirt/qemu/$name.log" "$dir/qemu.log" 2> /dev/null
	virt undefine "$name"
	_guest_await "$name" 30 'its end' test -e "$dir/status" && guest_stop "$name"
}
