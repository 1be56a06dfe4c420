# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# hotplug: an endpoint comes and goes while the guest runs. It is one without
# MSI-X: QEMU does not survive that those go (docs/limits.md).
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

NIC=$(guest_bdf 0)

# Where the device behind the root port is, once it is there.
plugged() {
	# (stderr comes with stdout)
	g hotplug "ls -d /sys/bus/pci/devices/0000:00:08.0/0000:??:??.? 2> /dev/null || true" |
		sed 's,.*/,,'
}

is_plugged() {
	[[ -n $(plugged) ]]
}

is_unplugged() {
	! is_plugged
}

plug() {
	guest_qmp hotplug "{\"execute\": \"device_add\", \"arguments\": {
		\"driver\": \"vfio-user-pci\", \"id\": \"hot\", \"bus\": \"hp\", \"x-msg-timeout\": 600000,
		\"socket\": {\"type\": \"unix\", \"path\": \"$(agent_dir a)/dev1\"}}}"
	eventually 60 "the device in the guest" is_plugged
	moves_data hotplug "$(plugged)" 4M
}

# The guest gives the device up in its own time (five seconds after the button).
unplug() {
	guest_qmp hotplug '{"execute": "device_del", "arguments": {"id": "hot"}}'
	eventually 120 "the device gone" is_unplugged
	same "endpoints" "$(g hotplug 'attribute endpoints | wc -l')" 1
	g hotplug "work $NIC 1M"
}

# A device that goes while it works: the work fails, all else goes on.
unplug_busy() {
	g hotplug "disk=\$(disk_of $(plugged)); (disk_work \$disk 4M 4K 1000 > /dev/null 2>&1) &"
	unplug
}

agent_start a "$(bed_bdf e1000)" "$(bed_bdf ahci)" -- --quota 64M
vm_start_with hotplug --mem 1G --mode vfio-user --sock "$(agent_dir a)/dev0" --vhost-sock "$(agent_dir a)/vhost" \
	--qemu-arg "-device pcie-root-port,id=hp,bus=pcie.0,addr=0x8,chassis=8,slot=8"
step load load_pvdma hotplug 1
step nic moves_data hotplug "$NIC" 1M
step plug plug
step unplug unplug
step plug-again plug
step unplug-busy unplug_busy
