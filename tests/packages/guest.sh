# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# guest.sh: what tests/packages/guest runs, as root, in a copy of a Debian system that is its
# root directory. One verdict a check; the first failure ends it, since what comes after
# builds on it.
set -euo pipefail

PACKAGE=pvdma-guest-dkms
DEB=/packages/$PACKAGE.deb
RELEASE=$(ls /usr/lib/modules)
INITRD=/boot/initrd.img-$RELEASE
SOFTDEPS=/usr/lib/modprobe.d/pvdma-guest.conf
WORK=/root/work
LOG=$WORK/log
# What programs keep of a file's coming and going, and what we put there.
MEMORY='/(proc|sys|dev|run|tmp|root|packages|var/(log|cache|backups)|var/lib/(dpkg|apt))'

fail() {
	printf '%s\n' "$*"
	exit 1
}

# check NAME COMMAND...: never a condition, so that "set -e" holds in the command.
check() {
	local name=$1 status=0

	shift
	set +e
	(set -e; "$@") > "$LOG" 2>&1
	status=$?
	set -e
	sed 's/^/     | /' "$LOG"
	if ((status)); then
		echo "FAIL guest-$RELEASE/$name: $(tail -n 1 "$LOG")"
		exit 1
	fi
	echo "PASS guest-$RELEASE/$name"
}

# system NAME: what there is, and what is in the initramfs.
system() {
	find / -xdev -regextype posix-extended -regex "$MEMORY" -prune \
		-o -printf '%y %m %U:%G %p\n' | sort > "$WORK/files.$1"
	lsinitramfs "$INITRD" | sort > "$WORK/initramfs.$1"
	[[ -s $WORK/initramfs.$1 ]] || fail "lsinitramfs lists nothing of $INITRD"
}

unpack_initramfs() {
	rm -rf "$WORK/initramfs"
	unmkinitramfs "$INITRD" "$WORK/initramfs"
}

# loads ROOT DRIVER: the modules that modprobe would load for a driver, in order, in a system
# whose root that is; nothing is loaded.
loads() {
	chroot "$1" modprobe -S "$RELEASE" -D "$2" |
		sed -n 's,^insmod .*/\([^/.]*\)\.ko.*,\1,p; s/^builtin //p' | tr - _
}

# before ROOT DRIVER: pvdma is loaded before DRIVER, and so is what the driver itself asks for
# softly, which a line of ours could hide.
before() {
	local order own

	loads "$1" "$2" > "$WORK/loads"
	order=$(grep -xE "pvdma|$2" "$WORK/loads" | paste -sd ' ')
	[[ $order == "pvdma $2" ]] ||
		fail "for $2, modprobe in $1 loads '$order', not 'pvdma $2': see $SOFTDEPS"
	for own in $(modinfo -k "$RELEASE" -F softdep "$2" | sed -n 's/^pre: //p' | tr - _); do
		grep -qx "$own" "$WORK/loads" ||
			fail "for $2, modprobe in $1 loads no $own, which $2 asks for: see $SOFTDEPS"
	done
}

# like WHAT TEXT PATTERN: the whole of it, a pattern of the shell's.
like() {
	# shellcheck disable=SC2053 # a pattern
	[[ $2 == $3 ]] || fail "$1 is '$2', not '$3'"
}

# present: built for this kernel by DKMS, and in the initramfs with what orders it.
present() {
	local file

	[[ -z $(dpkg --audit) ]] || fail "$(dpkg --audit)"
	like "dkms status" "$(dkms status)" "pvdma/*, $RELEASE, x86_64: installed"
	file=$(modinfo -k "$RELEASE" -F filename pvdma)
	like "the module's file" "$file" "/lib/modules/$RELEASE/updates/dkms/pvdma.ko*"
	like "the kernel that it is for" "$(modinfo -k "$RELEASE" -F vermagic pvdma)" "$RELEASE *"
	unpack_initramfs
	cmp "$file" "$WORK/initramfs$(readlink -f "$file")" ||
		fail "the initramfs has another pvdma than $file"
	cmp "$SOFTDEPS" "$WORK/initramfs$SOFTDEPS" || fail "the initramfs has not $SOFTDEPS"
}

installs() {
	apt-get -q install -y "$DEB"
	present
}

# For every driver of the list that this kernel has as a module: where the initramfs has it,
# there, too.
order() {
	local driver known=0 early=0

	while read -r driver; do
		modinfo -k "$RELEASE" -F filename "$driver" > "$WORK/file" 2> /dev/null ||
			{ echo "$driver: not in this kernel"; continue; }
		grep -q '^/' "$WORK/file" || { echo "$driver: built in"; continue; }
		before / "$driver"
		known=$((known + 1))
		[[ -e $WORK/initramfs$(< "$WORK/file") ]] || continue
		before "$WORK/initramfs" "$driver"
		early=$((early + 1))
	done < <(awk '$1 == "softdep" { print $2 }' "$SOFTDEPS")
	echo "$known drivers are ordered, $early of them in the initramfs"
	((known > 10 && early > 5)) || fail "only $known drivers were found, $early in the initramfs"
	before "$WORK/initramfs" nvme
}

# It is that file, and nothing else, that makes the order.
order_is_softdeps() {
	local order

	rm "$WORK/initramfs$SOFTDEPS"
	order=$(loads "$WORK/initramfs" nvme | grep -xE 'pvdma|nvme' | paste -sd ' ')
	like "what is loaded without $SOFTDEPS" "$order" nvme
}

# newer: the same package as version VERSION+1.
newer() {
	rm -rf "$WORK/newer"
	dpkg-deb -R "$DEB" "$WORK/newer"
	sed -i 's/^Version: .*/&+1/' "$WORK/newer/DEBIAN/control"
	dpkg-deb -Znone --root-owner-group -b "$WORK/newer" "$WORK/newer.deb"
}

upgrades() {
	newer
	apt-get -q install -y "$WORK/newer.deb"
	[[ $(dpkg-query -W -f '${Version}' "$PACKAGE") == *+1 ]] || fail "it is not the newer version"
	present
}

# gone: nothing of it is left, on the disk or in the initramfs.
gone() {
	local what

	! modinfo -k "$RELEASE" pvdma 2> /dev/null || fail "there is still a module"
	! dkms status | grep pvdma || fail "dkms still knows of it: $(dkms status)"
	system after
	for what in initramfs files; do
		diff "$WORK/$what.before" "$WORK/$what.after" ||
			fail "$what: not as before: $(diff "$WORK/$what.before" "$WORK/$what.after" | sed -n 2p)"
	done
}

removes() {
	apt-get -q remove -y "$PACKAGE"
	gone
}

purges() {
	dpkg --purge "$PACKAGE"
	[[ -z $(dpkg-query -W -f '${db:Status-Status}' "$PACKAGE" 2> /dev/null) ]] ||
		fail "dpkg still knows of it: $(dpkg-query -W "$PACKAGE")"
	gone
}

mkdir -p "$WORK"
check system system before
check installs installs
check order order
check order-is-softdeps order_is_softdeps
check upgrades upgrades
check removes removes
check purges purges
