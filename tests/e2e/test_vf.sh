# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# vf: a virtual function of the igb moves verified data while its physical
# function stays with the host.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

PF=$(bed_bdf igb)
VF=$(igb_vfs 1)

agent_start a "$VF" -- --quota 64M
vm_start vf a
step load load_pvdma vf 1
step data no_faults "the work" "$VF" moves_data vf "$(guest_bdf 0)" 4M
step capability capability_added vf "$(guest_bdf 0)" "$VF"
guest_stop vf
agent_stop a
echo 0 > "/sys/bus/pci/devices/$PF/sriov_numvfs"
