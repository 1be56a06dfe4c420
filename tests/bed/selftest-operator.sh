#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# selftest-operator.sh: the operator's host proves itself:
#   tests/bed/bed run --l1-root operator --device edu tests/bed/selftest-operator.sh
#
# Nothing of pvdma: what fails here is the bed, the machine or Debian. dpkg and
# apt work, polkit lets the right users in, AppArmor confines QEMU, and libvirt
# runs the bed's guest under KVM with its memory in a shared memfd.
set -uo pipefail
# shellcheck source=tests/bed/lib/l1.sh
. "$BED_LIB"

# make_deb NAME VERSION [FIELD...]: a package with a file of its own; its path.
make_deb() {
	local dir=/tmp/deb/$1

	rm -rf "$dir"
	mkdir -p "$dir/DEBIAN" "$dir/usr/share/$1"
	echo "$2" > "$dir/usr/share/$1/version"
	printf '%s\n' "Package: $1" "Version: $2" 'Architecture: all' 'Maintainer: bed <bed@localhost>' \
		'Description: a package of the self-test' "${@:3}" > "$dir/DEBIAN/control"
	dpkg-deb --root-owner-group -Znone -b "$dir" /tmp/deb > /dev/null &&
		echo "/tmp/deb/$1_$2_all.deb"
}

fails() {
	! "$@"
}

test_packages() {
	check dpkg-audit test -z "$(dpkg --audit)"
	check apt-check apt-get -qq check
	check apt-installs apt-get -qq install -y \
		"$(make_deb bed-one 1 'Depends: libvirt0, polkitd, bed-two')" "$(make_deb bed-two 1)"
	check_equal apt-installed "$(cat /usr/share/bed-one/version)" 1
	check apt-misses fails apt-get -qq install -y "$(make_deb bed-three 1 'Depends: nowhere')"
	check apt-upgrades apt-get -qq install -y "$(make_deb bed-two 2)"
	check_equal apt-upgraded "$(cat /usr/share/bed-two/version)" 2
	check apt-removes apt-get -qq purge -y bed-one bed-two
	check removed fails test -e /usr/share/bed-one
}

test_access() {
	check libvirt-root virt version
	check libvirt-operator as operator virsh -q -c "$VIRT_URI" list
	check libvirt-stranger fails as stranger virsh -q -c "$VIRT_URI" list
	check polkit pkcheck --action-id org.libvirt.unix.monitor --process $$
}

test_domain() {
	local pid began=$SECONDS

	virt_start d --mem 256M || { verdict fail domain-starts; return; }
	verdict pass domain-starts
	result domain_start_seconds $((SECONDS - began))
	pid=$(guest_pid d)
	check_equal domain-kvm "$(guest_qmp d '{"execute":"query-kvm"}' | jq .enabled)" true
	check_equal domain-user "$(stat -c %U "/proc/$pid")" libvirt-qemu
	check domain-confined grep -q '^libvirt-.*enforce' "/proc/$pid/attr/current"
	check domain-memfd grep -q 'rw-s.*memfd:' "/proc/$pid/maps"
	check_equal domain-answers "$(guest_sh d 'seq 1 3000' | md5sum)" "$(seq 1 3000 | md5sum)"
	guest_sh d 'exit 42'
	check_equal domain-status $? 42
	check domain-reboots guest_reboot d soft
	virt_stop d
	check domain-gone fails virt dominfo d
}

test_domain_of_operator() {
	if ! virt_start o --mem 256M; then
		verdict fail operator-domain-starts
		return
	fi
	verdict pass operator-domain-starts
	check_equal operator-domain-answers "$(guest_sh o 'echo hello')" hello
	virt_stop o
}

result boot_seconds "$(systemd-analyze time | sed -n 's/.*= \([0-9.]*\)s.*/\1/p')"
check no-failed-units test -z "$(systemctl list-units --failed --plain --no-legend)"
test_packages
test_access
test_domain
VIRT_USER=operator test_domain_of_operator
