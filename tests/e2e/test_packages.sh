# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# packages: the Debian packages on an operator's host: they are installed from files,
# upgraded under a running VM, removed and purged, and leave the system as it was.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

# Where programs keep what they remember of a file's coming and going.
MEMORY='/(proc|sys|dev|run|tmp|bed|root|usr/lib/modules|var/(log|cache|tmp|backups)|var/lib/(dpkg|apt|systemd/catalog)|etc/g?(passwd|group|shadow)-)'
UNIT=pvdma-agent@stays.service
export DEBIAN_FRONTEND=noninteractive

# system NAME: what there is: files with owners and modes, users, groups, units.
system() {
	find / -xdev -regextype posix-extended -regex "$MEMORY" -prune \
		-o -printf '%y %m %U:%G %p\n' | sort > "$E2E_RUN/files.$1"
	sort /etc/passwd /etc/group > "$E2E_RUN/users.$1"
	systemctl list-unit-files --no-legend | sort > "$E2E_RUN/units.$1"
}

# All packages but the guest's, which needs compilers.
packages() {
	ls "$E2E_BIN"/pvdma-{host,tools}_*.deb
}

service_or_skip() {
	[[ -e /usr/sbin/pvdmad ]] || skip "there is no pvdmad in these packages"
}

install_them() {
	local -a files

	mapfile -t files < <(packages)
	apt-get -q install -y "${files[@]}"
	[[ -z $(dpkg --audit) ]] || fail "$(dpkg --audit)"
	pvdma-agent --version
	pvdma-sim --help > /dev/null
}

units() {
	local unit

	service_or_skip
	for unit in pvdmad.service pvdma-agent@x.service pvdma.slice; do
		systemctl cat "$unit" > /dev/null
	done
	systemd-analyze verify --man=no pvdmad.service pvdma-agent@x.service
	systemctl is-enabled pvdmad.service
	systemctl is-active pvdmad.service
}

bus() {
	service_or_skip
	systemctl stop pvdmad.service
	as operator busctl call org.pvdma1 /org/pvdma1 org.freedesktop.DBus.Peer Ping
	systemctl is-active pvdmad.service
	! as operator busctl call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus \
		RequestName su org.pvdma1 0 || fail "somebody else than root can be org.pvdma1"
}

actions() {
	service_or_skip
	same "the default of inspect" "$(pkaction --verbose --action-id org.pvdma1.inspect |
		awk '/implicit any/ { print $3 }')" yes
	same "the default of manage-vms" "$(pkaction --verbose --action-id org.pvdma1.manage-vms |
		awk '/implicit active/ { print $3 }')" auth_admin_keep
}

catalog() {
	service_or_skip
	journalctl --dump-catalog 415c7f07d5f8425d89c9481c5c7f7c36 > "$E2E_RUN/catalog"
	contains "the journal's catalog" "$E2E_RUN/catalog" 'Defined-By: pvdma'
}

# libvirt's profiles are parsed with what we add to them.
apparmor() {
	service_or_skip
	printf '%s\n' '#include <tunables/global>' 'profile try {' '#include <abstractions/libvirt-qemu>' '}' \
		> "$E2E_RUN/profile"
	apparmor_parser -Q -K "$E2E_RUN/profile"
	apparmor_parser -p "$E2E_RUN/profile" > "$E2E_RUN/profile.all"
	contains "libvirt's profile of QEMU" "$E2E_RUN/profile.all" '/run/pvdma/vm/'
}

main_pid() {
	systemctl show --property MainPID --value "$1"
}

# An agent in its unit's sandbox, with a program in its place that needs nobody.
agent_stays() {
	mkdir -p "/run/systemd/system/$UNIT.d"
	printf '%s\n' '[Service]' Type=exec WatchdogSec=0 ExecStart= 'ExecStart=sleep infinity' \
		> "/run/systemd/system/$UNIT.d/test.conf"
	systemctl daemon-reload
	systemctl start "$UNIT"
}

upgrade() {
	local agent service

	newer "$E2E_BIN"/pvdma-host_*.deb
	if [[ -e /usr/sbin/pvdmad ]]; then
		echo 'budget=1G' >> /etc/pvdma/pvdmad.conf
		agent_stays
		agent=$(main_pid "$UNIT")
		service=$(main_pid pvdmad.service)
	fi
	apt-get -q install -y "$E2E_RUN/newer.deb"
	[[ $(dpkg-query -W -f '${Version}' pvdma-host) == *+1 ]] || fail "it is not the newer version"
	service_or_skip
	same "the agent's pid" "$(main_pid "$UNIT")" "$agent"
	expect "pvdmad runs" "$(main_pid pvdmad.service) > 0"
	expect "pvdmad is another process" "$(main_pid pvdmad.service) != $service"
	contains "what was configured" /etc/pvdma/pvdmad.conf '^budget=1G$'
}

remove() {
	[[ ! -e /usr/sbin/pvdmad ]] || systemctl start pvdma-metrics.socket
	apt-get -q remove -y pvdma-host pvdma-tools
	[[ ! -e /usr/sbin/pvdma-agent ]] || fail "pvdma-agent is still there"
	[[ -e /etc/modprobe.d/pvdma.conf ]] || fail "what was configured is gone already"
	! systemctl is-active pvdmad.service "$UNIT" pvdma-metrics.socket || fail "something still runs"
	[[ ! -e /run/pvdma ]] || fail "/run/pvdma is left: $(ls /run/pvdma)"
}

purge() {
	local what

	apt-get -q purge -y pvdma-host pvdma-tools
	rm -rf "/run/systemd/system/$UNIT.d"
	systemctl daemon-reload
	system after
	for what in files users units; do
		diff "$E2E_RUN/$what.before" "$E2E_RUN/$what.after" ||
			fail "$what are not as before: $(diff "$E2E_RUN/$what.before" "$E2E_RUN/$what.after" | sed -n 2p)"
	done
}

system before
step installs install_them
step units units
step bus bus
step polkit actions
step catalog catalog
step apparmor apparmor
step upgrades upgrade
step removes remove
step purges purge
