# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# guest.sh: guests (L2): QEMU under KVM, driven over channels of their own.
#
# A guest's directory, /run/bed/guests/NAME, holds
#     serial.log serial.sock   the console (guest_console)
#     qmp.sock                 QEMU's monitor (guest_qmp)
#     ctl.in ctl.out           the control channel: commands in, lines out
#                              (guest/lib.sh describes them)
#     script.log               the output of the guest's script
#     registers.log            where its CPUs were when a wait for it was given up
#     qemu.log command pid status
# and is copied to the artifacts when the guest stops. The control channel is a
# virtio-serial port: no assigned device, and no DMA mapping, takes part in it.

BED_BOOT_SECONDS=${BED_BOOT_SECONDS:-150}
# A kernel's first words come after ten to twenty seconds. On a machine on which they take
# longer, a start is made in vain, once.
BED_STIR_SECONDS=${BED_STIR_SECONDS:-60}

guest_dir() {
	local dir=$BED_RUN/guests/$1

	[[ -e $dir/command ]] || { echo "bed: no guest $1" >&2; return 1; }
	echo "$dir"
}

# guest_names: guests that were started and not stopped.
guest_names() {
	local dir

	for dir in "$BED_RUN"/guests/*/; do
		[[ ! -e $dir/command ]] || basename "$dir"
	done
}

# guest_pid NAME: the process id of a guest's QEMU.
guest_pid() {
	local dir

	dir=$(guest_dir "$1") && cat "$dir/pid"
}

# guest_alive NAME: whether its QEMU runs.
guest_alive() {
	local dir

	dir=$(guest_dir "$1" 2> /dev/null) && [[ ! -e $dir/status ]]
}

# guest_bdf I: where the guest sees the I-th --device or --sock, from 0.
guest_bdf() {
	printf '0000:00:%02x.0\n' $((0x10 + $1))
}

# _guest_put TREE ENV SCRIPT FILE...: what is common to the bed's guests, and files.
_guest_put() {
	local tree=$1 env=$2 script=$3 file from to

	shift 3
	mkdir -p "$tree/bed" "$tree/extra"
	cp "$BED_LIB_DIR"/../guest/{channel,dhcp,lib,system}.sh "$tree/bed/" || return
	chmod 755 "$tree/bed/dhcp.sh"
	cp "$env" "$tree/bed/env"
	[[ -z $script ]] || cp "$script" "$tree/bed/script" || return
	for file in "$@"; do
		from=${file%%:*} to=extra/${file##*/}
		[[ $file != *:* ]] || to=${file#*:}
		mkdir -p "$tree/$(dirname "$to")"
		cp -r "$from" "$tree/$to" || return
	done
}

# The initramfs of one start: the kernel's base, then the files of this start. A system's own
# is as it is, unless there are files to put into it.
_guest_initrd() {
	local dir=$1 version=$2 script=$3 tree=$1/tree file

	shift 3
	if [[ $version == system ]] && ((!$#)); then
		ln -s /bed/guest/system/initrd "$dir/initrd"
		return
	fi
	_guest_put "$tree" "$dir/env" "$script" "$@" || return
	if [[ $version != system ]]; then
		cp "$BED_LIB_DIR/../guest/init.sh" "$tree/init"
		chmod 755 "$tree/init"
		for file in "$BED_TOP/build/guest/$version"/*.ko; do
			[[ ! -e $file || -e $tree/extra/${file##*/} ]] || cp "$file" "$tree/extra/"
		done
	fi
	(cd "$tree" && find . | busybox cpio -o -H newc 2> /dev/null) > "$dir/overlay" || return
	cat "/bed/guest/$version/initrd" "$dir/overlay" > "$dir/initrd"
	rm -rf "$tree" "$dir/overlay"
}

# guest_start NAME [OPTION...]: start a guest and wait until it answers.
#   --mode vfio|vfio-user|none   how --device or --sock reach it (none)
#   --device BDF...              mode vfio: given to QEMU (bound to vfio-pci here)
#   --sock PATH...               mode vfio-user: sockets of the devices' server
#   --vhost-sock PATH            a vhost-user virtio device (id 39)
#   --vhost-queues N             its number of queues (2)
#   --mem-backend ram|shmem|memfd|memfd-private   (ram; shmem in mode vfio-user)
#       shmem and memfd are the same kind of memory, shared with the devices'
#       server; but QEMU maps a memfd where huge pages do not fit, and its
#       e1000e and igb then lose frames: they drop one, and each time that it is
#       sent again, if a fragment is not contiguous behind the IOMMU
#   --mem-prealloc               QEMU touches all of it first
#   --mem SIZE --cpus N --kernel V --append 'WORDS' --qemu-arg 'WORDS'
#                                (SIZE: 512M, 2G, or bytes)
#   --system                     boot the Debian system of "bed run --guest-deb" (system_put)
#                                with its own kernel and initramfs; --file adds to the latter
#   --firmware                   boot from a disk that guest_install prepared, by the
#                                firmware's means; QEMU gets no kernel
#   --script FILE                run by the guest's init at every boot
#   --file SRC[:DST]             put into the guest (default DST: /extra/NAME)
#   --env K=V                    for the guest's scripts
#   --timeout SECONDS            for the boot
#   --no-wait                    return once QEMU runs
# Device number i appears in the guest at guest_bdf i. Modules in
# build/guest/V/ of the checkout are put into /extra, but for a --file of the same name.
guest_start() {
	# read and set by the functions that it calls
	local name=$1 mode=none mem=${BED_GUEST_MEM:-1G} cpus=1 backend='' script='' wait=1
	local version=${BED_GUEST_KERNEL:-6.12} append='' vhost='' queues=2 seconds=$BED_BOOT_SECONDS
	local firmware=0 prealloc=''
	local -a bdfs=() socks=() files=() extra=() pairs=()
	local dir=$BED_RUN/guests/$name

	shift
	_guest_options "$@" || return
	if [[ ! -e /bed/guest/$version/vmlinux ]]; then
		echo "guest_start: no kernel $version here: bed run $([[ $version == system ]] &&
			echo --guest-deb FILE || echo "--guest-kernel $version")" >&2
		return 2
	fi
	if [[ -e $dir/command ]]; then
		echo "guest_start: $name is already there" >&2
		return 2
	fi
	rm -rf "$dir"
	mkdir -p "$dir"
	_guest_env "${pairs[@]}" > "$dir/env"
	((firmware)) || _guest_initrd "$dir" "$version" "$script" "${files[@]}" || return
	_guest_command > "$dir/argv" || return
	[[ $mode != vfio ]] || bind_vfio "${bdfs[@]}" || return
	mv "$dir/argv" "$dir/command"
	_guest_launch "$dir" || return
	((wait)) || return 0
	guest_stirs "$name" || return
	guest_up "$name" "$seconds"
}

# guest_stirs NAME: wait for the first words of a guest that was started with --no-wait.
# Once in a hundred starts or so, the firmware never got anywhere: its code segment was that
# of its stack (registers.log; l1/inject may have ended that). Such a guest is started once
# more, and the run's results say so.
guest_stirs() {
	local name=$1 dir=$BED_RUN/guests/$1

	_guest_await "$name" "$BED_STIR_SECONDS" 'a sign of life' \
		_guest_printed "$dir" 2> "$dir/stirs" && return 0
	if ! guest_alive "$name"; then
		cat "$dir/stirs" >&2
		return 124
	fi
	progress "guest $name gives no sign of life: its QEMU is started again"
	result "bed.guest_starts_repeated.$name" 1
	kill -9 "$(guest_pid "$name")"
	until [[ -e $dir/status ]]; do
		bed_pause
	done
	rm -f "$dir"/{status,pid,ctl.in,serial.sock,qmp.sock}
	_guest_launch "$dir"
}

_guest_printed() {
	[[ -s $1/serial.log || -s $1/ctl.out ]]
}

# The options of guest_start, into its variables.
_guest_options() {
	local -a words

	while (($#)); do
		case $1 in
		--device | --sock)
			local -n list=bdfs
			[[ $1 != --sock ]] || local -n list=socks
			shift
			while (($#)) && [[ $1 != --* ]]; do
				list+=("$1")
				shift
			done
			unset -n list
			continue
			;;
		--no-wait | --firmware | --system | --mem-prealloc)
			[[ $1 != --no-wait ]] || wait=0
			[[ $1 != --mem-prealloc ]] || prealloc=,prealloc=on
			[[ $1 != --system ]] || {
				version=system
				append+=' root=LABEL=system rw systemd.show_status=0'
			}
			[[ $1 != --firmware ]] || firmware=1
			shift
			continue
			;;
		esac
		(($# > 1)) || { echo "guest_start: $1 wants a value" >&2; return 2; }
		case $1 in
		--mode) mode=$2 ;;
		--vhost-sock) vhost=$2 ;;
		--vhost-queues) queues=$2 ;;
		--mem-backend) backend=$2 ;;
		--mem) mem=$2 ;;
		--cpus) cpus=$2 ;;
		--kernel) version=$2 ;;
		--append) append+=" $2" ;;
		--qemu-arg) read -ra words <<< "$2" && extra+=("${words[@]}") ;;
		--script) script=$2 ;;
		--file) files+=("$2") ;;
		--env) pairs+=("$2") ;;
		--timeout) seconds=$2 ;;
		*)
			echo "guest_start: unknown option $1" >&2
			return 2
			;;
		esac
		shift 2
	done
	# QEMU's -m takes a bare number for MiB, its objects for bytes
	[[ $mem != *[0-9] ]] || mem+=B
	if [[ -z $backend ]]; then
		backend=ram
		[[ $mode != vfio-user ]] || backend=shmem
	fi
}

_guest_env() {
	local pair

	# there may be none
	env | sed -n '/^BED_PORT_/p' | while read -r pair; do
		printf 'export %s=%q\n' "${pair%%=*}" "${pair#*=}"
	done
	for pair in "$@"; do
		printf 'export %s=%q\n' "${pair%%=*}" "${pair#*=}"
	done
}

# The kernel's command line, with more words at its end. Each exit to QEMU is dear here:
# pci=lastbus=0 saves those of 8,192 reads, a look for host bridges that ACPI does not tell of.
_guest_append() {
	echo "console=ttyS0 loglevel=5 tsc=reliable no_timer_check mitigations=off random.trust_cpu=on net.ifnames=0 audit=0 pci=lastbus=0 cryptomgr.notests 8250.nr_uarts=1$1"
}

# QEMU's arguments, one a line; uses guest_start's variables.
_guest_command() {
	local i object path

	case $backend in
	ram) object=memory-backend-ram,id=mem,size=$mem ;;
	shmem) object=memory-backend-file,id=mem,size=$mem,mem-path=$BED_RUN/mem,align=2M,share=on ;;
	memfd) object=memory-backend-memfd,id=mem,size=$mem,share=on ;;
	memfd-private) object=memory-backend-memfd,id=mem,size=$mem,share=off ;;
	*)
		echo "guest_start: no such --mem-backend: $backend" >&2
		return 2
		;;
	esac
	printf '%s\n' qemu-system-x86_64 -name "$name" -nodefaults -no-user-config -display none \
		-accel kvm -cpu host -smp "$cpus" -machine q35,memory-backend=mem,sata=off,smbus=off,hpet=off,i8042=off,vmport=off \
		-object "$object$prealloc" -m "$mem" \
		-chardev "socket,id=serial,path=$dir/serial.sock,server=on,wait=off,logfile=$dir/serial.log" \
		-serial chardev:serial -qmp "unix:$dir/qmp.sock,server=on,wait=off" \
		-chardev "file,id=ctl,path=$dir/ctl.out,input-path=$dir/ctl.in" \
		-chardev "file,id=log,path=$dir/script.log" -device virtio-serial-pci,id=bed,max_ports=3 \
		-device virtserialport,bus=bed.0,chardev=ctl,name=bed.ctl \
		-device virtserialport,bus=bed.0,chardev=log,name=bed.log
	# strict, as libvirt has it: the firmware leaves alone what it is not to boot from
	((firmware)) || printf '%s\n' -kernel "/bed/guest/$version/vmlinux" \
		-initrd "$dir/initrd" -append "$(_guest_append "$append")" -boot strict=on
	case $mode in
	none) ;;
	vfio)
		for i in "${!bdfs[@]}"; do
			printf '%s\n' -device "vfio-pci,host=${bdfs[i]},id=dev$i,addr=0x$(printf %x $((0x10 + i)))"
		done
		;;
	vfio-user)
		for i in "${!socks[@]}"; do
			path=${socks[i]}
			printf '%s\n' -device "{\"driver\":\"vfio-user-pci\",\"id\":\"dev$i\",\"addr\":\"$(printf %x $((0x10 + i)))\",\"socket\":{\"type\":\"unix\",\"path\":\"$path\"},\"x-msg-timeout\":600000}"
		done
		;;
	*)
		echo "guest_start: no such --mode: $mode" >&2
		return 2
		;;
	esac
	[[ -z $vhost ]] || printf '%s\n' -chardev "socket,id=vhost,path=$vhost" -device \
		"vhost-user-test-device-pci,chardev=vhost,virtio-id=39,num_vqs=$queues,vq_size=256,config_size=${BED_VHOST_CONFIG_SIZE:-64}"
	((!${#extra[@]})) || printf '%s\n' "${extra[@]}"
}

_guest_launch() {
	local dir=$1 argv

	[[ -c /dev/kvm ]] || modprobe kvm_amd || return
	mapfile -t argv < "$dir/command"
	mkfifo "$dir/ctl.in"
	: > "$dir/ctl.out"
	# The open pipe keeps ctl.in from ever reading as ended. The watcher
	# is in a session of its own, so that it survives the script.
	# shellcheck disable=SC2016 # expanded by the inner shell
	setsid bash -c '
		dir=$1
		shift
		exec 9<> "$dir/ctl.in"
		"$@" > "$dir/qemu.log" 2>&1 < /dev/null &
		echo $! > "$dir/pid.new"
		mv "$dir/pid.new" "$dir/pid"
		wait $!
		echo $? > "$dir/status.new"
		mv "$dir/status.new" "$dir/status"
	' bash "$dir" "${argv[@]}" < /dev/null > /dev/null 2>&1 &
	disown
	until [[ -e $dir/pid ]]; do
		bed_pause
	done
}

# guest_boots NAME: how often its init came up.
guest_boots() {
	local dir

	dir=$(guest_dir "$1") || return
	grep -c '^evt boot .* \.$' "$dir/ctl.out"
	return 0
}

# _guest_booted FD BOOTS: takes what the channel has had since, as _guest_hear does. Into
# guest_up's variables.
_guest_booted() {
	local line

	while IFS= read -r line <&"$1"; do
		line=$part$line part=
		[[ $line != 'evt boot '*' .' ]] || boots=$((boots + 1))
	done
	part+=$line
	((boots >= $2))
}

# guest_up NAME [SECONDS] [BOOTS]: wait until the guest answers.
guest_up() {
	local dir fd part='' boots=0 status=0

	dir=$(guest_dir "$1") || return
	exec {fd}< "$dir/ctl.out"
	_guest_await "$1" "${2:-$BED_BOOT_SECONDS}" 'its init' _guest_booted "$fd" "${3:-1}" || status=$?
	exec {fd}<&-
	return $status
}

# The status of the guest's script since the last boot, when it has ended.
_guest_done() {
	local dir line

	dir=$(guest_dir "$1") || return
	line=$(grep -E '^evt (boot|done) .* \.$' "$dir/ctl.out" | tail -n 1)
	[[ $line == 'evt done '* ]] || return 1
	line=${line#evt done }
	echo "${line% .}" > "$dir/script.status"
}

# guest_wait NAME [SECONDS]: until the guest's script ended; its status.
guest_wait() {
	local dir

	dir=$(guest_dir "$1") || return
	_guest_await "$1" "${2:-300}" 'its script' _guest_done "$1" || return
	guest_drain "$1"
	return "$(< "$dir/script.status")"
}

# guest_drain NAME: pass on the verdicts and results that came since the last
# call.
guest_drain() {
	local dir kind a b c

	dir=$(guest_dir "$1") || return
	(
		flock 9
		seen=0
		[[ ! -e $dir/drained ]] || seen=$(< "$dir/drained")
		while read -r kind a b c; do
			seen=$((seen + 1))
			case $kind in
			res) result "$a" "$(base64 -d <<< "${b%.}")" ;;
			ver) verdict "$a" "$(base64 -d <<< "$b")" "$(base64 -d <<< "${c%.}")" ;;
			esac
		done < <(grep -E '^(res|ver) .* \.$' "$dir/ctl.out" | tail -n +$((seen + 1)))
		echo "$seen" > "$dir/drained"
	) 9> "$dir/drain.lock"
}

# guest_result NAME KEY: the last value that the guest gave a key.
guest_result() {
	local dir line

	dir=$(guest_dir "$1") || return
	line=$(grep -E "^res $2 .* ?\.$" "$dir/ctl.out" | tail -n 1)
	[[ -n $line ]] || { echo "bed: guest $1 gave no $2" >&2; return 1; }
	line=${line#res "$2" }
	base64 -d <<< "${line% .}"
}

# _guest_hear FD ID: takes what the channel has had since; whether it is time to stop. A poll
# is no process: L1 is emulated, and one costs it ten milliseconds. Into guest_sh's variables.
_guest_hear() {
	local line

	while :; do
		if ! IFS= read -r line <&"$1"; then
			part+=$line
			return 1
		fi
		line=$part$line part=
		case $line in
		"out $2 "*' .')
			line=${line#"out $2 "}
			output+=${line%' .'}
			;;
		"end $2 "*' .')
			line=${line#"end $2 "}
			status=${line%' .'}
			return 0
			;;
		'evt boot '*' .') return 0 ;; # who was asked is gone
		esac
	done
}

# guest_sh NAME COMMAND [SECONDS]: run a command in a live guest; its output
# (stdout and stderr) and status. Commands may run at the same time.
guest_sh() {
	local name=$1 limit=${3:-60} dir id fd waited=0 asked text=$2
	local part='' output='' status=''

	dir=$(guest_dir "$name") || return
	guest_alive "$name" || { echo "guest_sh: $name does not run" >&2; return 125; }
	asked=$(_guest_asked "$name")
	id=$BASHPID.$((BED_SERIAL += 1)).$RANDOM
	# one word, for the guest's printf %b
	text=${text//\\/\\\\} text=${text//$'\n'/\\n}
	text=${text//$'\t'/\\t} text=${text// /\\0040}
	exec {fd}< "$dir/ctl.out"
	cat <&"$fd" > /dev/null
	(
		flock 9
		printf 'run %s %s %s\n' "$id" "$limit" "$text" 1<> "$dir/ctl.in"
	) 9> "$dir/ctl.lock"
	_guest_await "$name" $((limit + 20)) "'${2:0:60}'" _guest_hear "$fd" "$id" || waited=$?
	exec {fd}<&-
	((!waited)) || return "$waited"
	if [[ -z $status ]]; then
		_guest_lost "$name" "${2:0:60}" "$asked" >&2
		return 124
	fi
	[[ -z $output ]] || base64 -d <<< "$output"
	return "$status"
}

# guest_qmp NAME JSON: one command to QEMU's monitor; prints its "return".
guest_qmp() {
	local dir

	dir=$(guest_dir "$1") || return
	[[ $2 != *system_reset* ]] || echo >> "$dir/resets"
	if [[ -e $dir/domain ]]; then
		virt qemu-monitor-command "$1" "$2" | jq -ec .return
		return
	fi
	python3 "$BED_LIB_DIR/qmp.py" "$dir/qmp.sock" "$2"
}

# guest_console NAME: the serial console for a person; Ctrl-] leaves it.
guest_console() {
	local dir

	dir=$(guest_dir "$1") || return
	echo "The console of $1; Ctrl-] leaves it, Return shows its prompt."
	socat -,raw,echo=0,escape=0x1d "UNIX-CONNECT:$dir/serial.sock"
}

# guest_reboot NAME [soft|hard] [SECONDS]: reboot from inside, or by reset, and
# wait until the guest answers again.
guest_reboot() {
	local name=$1 boots

	boots=$(guest_boots "$name") || return
	if [[ ${2:-soft} == hard ]]; then
		guest_qmp "$name" '{"execute":"system_reset"}' > /dev/null || return
	else
		echo >> "$(guest_dir "$name")/resets"
		guest_sh "$name" '(sleep 0.3; reboot -f) > /dev/null 2>&1 &' || return
	fi
	guest_up "$name" "${3:-$BED_BOOT_SECONDS}" $((boots + 1))
}

# guest_stop NAME: keep its logs, judge its kernel's, end its QEMU. A QEMU that
# died by itself, other than by the guest's power-off, is a failure.
guest_stop() {
	local name=$1 dir keep found tries file

	dir=$(guest_dir "$name") || return
	if guest_alive "$name"; then
		guest_sh "$name" dmesg 20 > "$dir/dmesg.log" 2> /dev/null ||
			echo "bed: guest $name: no answer, its console log has to do" >&2
		guest_drain "$name"
		kill "$(guest_pid "$name")"
		for ((tries = 0; tries < 100; tries++)); do
			[[ ! -e $dir/status ]] || break
			bed_pause
		done
		if [[ ! -e $dir/status ]]; then
			kill -9 "$(guest_pid "$name")"
			verdict fail "guest-$name-qemu" 'QEMU did not end within 10 s'
		fi
	else
		guest_drain "$name"
		if [[ $(< "$dir/status") != 0 && ! -e $dir/killed ]]; then
			verdict fail "guest-$name-qemu" "status $(< "$dir/status"): $(tail -n 1 "$dir/qemu.log")"
		fi
	fi
	if ! found=$(bed_scan guest "$dir/serial.log" "$dir/dmesg.log"); then
		verdict fail "guest-$name-kernel-log" "$(head -n 1 <<< "$found")"
	fi
	keep=$BED_OUT/guest-$name
	for ((tries = 1; ; tries++)); do
		[[ -e $keep ]] || break
		keep=$BED_OUT/guest-$name.$tries
	done
	mkdir "$keep"
	for file in serial.log dmesg.log script.log qemu.log command ctl.out registers.log; do
		[[ ! -e $dir/$file ]] || cp "$dir/$file" "$keep/"
	done
	rm -rf "$dir"
}

# guest_kill NAME: QEMU dies at once (SIGKILL), as a test wants it.
guest_kill() {
	local dir

	dir=$(guest_dir "$1") || return
	: > "$dir/killed"
	kill -9 "$(guest_pid "$1")"
	until [[ -e $dir/status ]]; do
		bed_pause
	done
}

# guest_ended NAME: its QEMU has died by itself, as a test wants it.
guest_ended() {
	local dir

	dir=$(guest_dir "$1") || return
	[[ -e $dir/status ]] || { echo "bed: the QEMU of $1 runs" >&2; return 1; }
	: > "$dir/killed"
}
