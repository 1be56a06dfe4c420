# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# device: whatever devices this L1 has, disks and NICs, one after the other in one
# guest. tests/e2e/run --device STRING runs it for any PCI device that QEMU has.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

# Devices that reach the low 4 GiB only (or less), and guests with more than
# that: their data goes through the bounce pool.
bounces() {
	expect "bytes copied for $1" "$(g device "counter bounces $1") > 0"
}

# Devices that have neither MSI nor MSI-X: the interrupts counted are those of a pin.
by_pin() {
	! g device "ls -d /sys/bus/pci/devices/$1/msi_irqs" || fail "$1 has more than INTx"
	g device "irq=\$(cat /sys/bus/pci/devices/$1/irq)
		grep -E \"^ *\$irq: .*IO-APIC\" /proc/interrupts"
}

moves_data_counted() {
	local irqs

	irqs=$(g device "interrupts $1" 2> /dev/null || echo 0)
	moves_data device "$1" 4M
	irqs=$(($(g device "interrupts $1") - irqs))
	result "device.$3.interrupts" $irqs
	expect "interrupts of $1" "$irqs > 0"
}

mapfile -t bdfs < <(bed_bdfs)
agent_start a "${bdfs[@]}" -- --quota 128M
vm_start device a
step load load_pvdma device "${#bdfs[@]}"
i=0
while read -r _ role driver bdf _; do
	[[ $driver != edu && $bdf != - ]] || continue
	step "$role" no_faults "the work" "$bdf" moves_data_counted "$(guest_bdf $i)" 4M "$role"
	[[ " ${E2E_BOUNCING:-} " != *" $role "* ]] || step "$role-bounces" bounces "$(guest_bdf $i)"
	[[ " ${E2E_INTX:-} " != *" $role "* ]] || step "$role-intx" by_pin "$(guest_bdf $i)"
	i=$((i + 1))
done < <(bed_devices)
