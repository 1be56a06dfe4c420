# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# unload: every way in which the module, its device, or an endpoint goes and
# comes back.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

NVME=$(guest_bdf 0) NIC=$(guest_bdf 1)

both_work() {
	moves_data unload "$NVME" 4M
	moves_data unload "$NIC" 1M
}

# The module stays as long as a driver may map through it.
refused() {
	! g unload 'rmmod pvdma' || fail "rmmod succeeded under two drivers"
	g unload "undrive $NIC"
	! g unload 'rmmod pvdma' || fail "rmmod succeeded under a driver"
	g unload "work $NVME 4M"
}

# DEV-DETACH-1: with the last endpoint detached, nothing is mapped.
clean() {
	g unload "undrive $NVME"
	same "bytes mapped" "$(stat_of a vm.mapped_bytes)" 0
	same "bytes pinned" "$(pinned_bytes)" 0
	g unload 'rmmod pvdma'
	! g unload 'grep -q ^pvdma /proc/modules' || fail "it is still there"
}

reloaded() {
	local i

	for i in 1 2 3; do
		g unload 'load pvdma && rmmod pvdma'
	done
	load_pvdma unload 2
	both_work
}

# The pvdma device goes under its endpoints: their drivers go first
# (DRV-RESET-1), and nothing is left mapped.
device_unbound() {
	local device

	device=$(g unload device_name)
	g unload "device_unbind $device"
	same "nvme's driver" "$(g unload "driver_of $NVME")" none
	same "the NIC's driver" "$(g unload "driver_of $NIC")" none
	same "bytes mapped" "$(stat_of a vm.mapped_bytes)" 0
	g unload "device_bind $device"
	both_work
}

# With work under way, too: it fails, but nothing else does.
device_unbound_busy() {
	local device

	device=$(g unload device_name)
	g unload "disk=\$(disk_of $NVME); (disk_work \$disk 4M 4K 50 > /dev/null 2>&1) &
		sleep 1; device_unbind $device; wait"
	same "bytes mapped" "$(stat_of a vm.mapped_bytes)" 0
	g unload "device_bind $device"
	both_work
}

drivers_rebound() {
	local i

	for i in 1 2 3; do
		g unload "undrive $NVME; undrive $NIC"
		same "bytes mapped" "$(stat_of a vm.mapped_bytes)" 0
		g unload "drive $NVME; drive $NIC"
	done
	both_work
}

agent_start a "$(bed_bdf nvme)" "$(bed_bdf e1000e)" -- --quota 64M
vm_start unload a
step load load_pvdma unload 2
step work both_work
step refused refused
step clean clean
step reload reloaded
step device-unbind device_unbound
step device-unbind-busy device_unbound_busy
step driver-rebind drivers_rebound
