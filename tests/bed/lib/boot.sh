# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# boot.sh: disks that guests boot from by themselves: firmware, boot loader, kernel.

# guest_install BDF [OPTION of guest_start...]: writes to the disk behind an NVMe
# controller, while this host drives it, what a guest boots from: GRUB, Debian's kernel, and
# the initramfs that guest_start would make of --kernel, --append, --script, --file and
# --env (it ignores the others). "guest_start --firmware" then boots it.
#
# The disk has two partitions. On the first, ext4, are vmlinuz, initrd, and sums with the
# checksums of both; the second, from boot.raw's end on, is left as it was.
guest_install() {
	local bdf=$1 script='' version=${BED_GUEST_KERNEL:-6.12} disk status=0
	# for the functions that are called, or for none of these here
	# shellcheck disable=SC2034
	local append='' mode=none mem=1G cpus=1 backend='' vhost='' queues=2 seconds=0 wait=1 \
		firmware=0
	# shellcheck disable=SC2034
	local -a bdfs=() socks=() files=() extra=() pairs=()
	local dir=$BED_RUN/install

	shift
	_guest_options "$@" || return
	rm -rf "$dir"
	mkdir -p "$dir/system"
	_guest_env "${pairs[@]}" > "$dir/env"
	_guest_initrd "$dir" "$version" "$script" "${files[@]}" || return
	disk=$(_boot_disk "$bdf") || return
	dd if="/bed/guest/$version/boot.raw" of="$disk" bs=4M conv=fsync status=none || return
	blockdev --rereadpt "$disk" || return
	mount -t ext4 "${disk}p1" "$dir/system" || return
	_boot_fill "$dir" || status=$?
	umount "$dir/system" || status=$?
	rm -rf "$dir"
	return $status
}

# system_put BDF [--file SRC:DST] [--env K=V] [--script FILE]: puts files into the Debian
# system of "bed run --guest-deb", on the disk behind an NVMe controller ("--device
# nvme,drive=system"), while this host drives it: those of the bed, by which guest_sh reaches
# it, and more. "guest_start --system" then boots it; what was --script runs at each boot.
system_put() {
	local bdf=$1 script='' version=system disk status=0 dir=$BED_RUN/system
	# for the function that is called
	# shellcheck disable=SC2034
	local append='' mode=none mem=1G cpus=1 backend='' vhost='' queues=2 seconds=0 wait=1 \
		firmware=0
	# shellcheck disable=SC2034
	local -a bdfs=() socks=() files=() extra=() pairs=()

	shift
	_guest_options "$@" || return
	disk=$(_boot_disk "$bdf") || return
	mkdir -p "$dir"
	mount -t ext4 "$disk" "$dir" || return
	_guest_env "${pairs[@]}" > "$BED_RUN/system.env"
	_guest_put "$dir" "$BED_RUN/system.env" "$script" "${files[@]}" || status=$?
	umount "$dir" || status=$?
	return $status
}

# The block device of a controller that this host drives.
_boot_disk() {
	local tries name

	modprobe nvme || return
	unbind_vfio "$1"
	for ((tries = 0; tries < 100; tries++)); do
		for name in "/sys/bus/pci/devices/$1"/nvme/nvme*/nvme*n1; do
			[[ ! -b /dev/${name##*/} ]] || { echo "/dev/${name##*/}"; return; }
		done
		bed_pause
	done
	echo "${FUNCNAME[1]}: no disk behind $1" >&2
	return 1
}

_boot_fill() {
	cp "$1/initrd" "$1/system/" || return
	cat > "$1/system/boot/grub/grub.cfg" <<-EOF || return
		serial --unit=0 --speed=115200
		terminal_output serial
		echo "GRUB loads a kernel and an initramfs"
		linux /vmlinuz $(_guest_append "$append")
		initrd /initrd
		boot
	EOF
	(cd "$1/system" && sha256sum vmlinuz initrd > sums)
}
