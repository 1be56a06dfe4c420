# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# kernels: guests of all kernels that we support, on the L1 kernel of the group.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

NVME=$(guest_bdf 0) NIC=$(guest_bdf 1)

for version in $BED_GUEST_KERNELS; do
	agent_start "a$version" "$(bed_bdf nvme)" "$(bed_bdf e1000e)" -- --quota 64M
	vm_start "k$version" "a$version" --kernel "$version"
	step "$version-load" load_pvdma "k$version" 2
	step "$version-dma-api" dma_api "k$version" "$NIC"
	g "k$version" "echo > /sys/bus/pci/devices/$NIC/driver_override"
	step "$version-nvme" no_faults "the work" "$(bed_bdf nvme)" \
		moves_data "k$version" "$NVME" 8M
	step "$version-e1000e" no_faults "the work" "$(bed_bdf e1000e)" \
		moves_data "k$version" "$NIC" 2M
	step "$version-direct-io" direct_io "k$version" "a$version" "$NVME" 4M
	step "$version-tracepoints-nvme" traced "k$version" "$NVME" 4M
	step "$version-tracepoints-e1000e" traced "k$version" "$NIC" 1M
	g "k$version" "for bdf in $NVME $NIC; do
		[ \$(driver_of \$bdf) = none ] || undrive \$bdf; done; wait_for 30 rmmod pvdma"
	step "$version-strict" strict_driver "k$version" "a$version" "$NVME" \
		"$(bed_bdf nvme)" shared
	guest_stop "k$version"
	agent_stop "a$version"
done
