# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# sizes: what the agent needs for itself goes with the quota, not with the
# guest: the same work in guests of 512 MiB and 2 GiB costs it the same. Small
# granules, which are not as scattered in a large guest, would hide that.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

NVME=$(guest_bdf 0)

one_size() {
	local mem=$1

	agent_start "$mem" "$(bed_bdf nvme)" -- --quota 24M --granule 64K --ahead off
	vm_start "vm$mem" "$mem" --mem "$mem"
	load_pvdma "vm$mem" 1
	moves_data "vm$mem" "$NVME" 32M
	stat_of "$mem" process.private > "$E2E_RUN/private.$mem"
	result "sizes.agent_bytes.$mem" "$(< "$E2E_RUN/private.$mem")"
	guest_stop "vm$mem"
	agent_stop "$mem"
}

compared() {
	local small large

	small=$(< "$E2E_RUN/private.512M")
	large=$(< "$E2E_RUN/private.2G")
	echo "512M: $small bytes, 2G: $large bytes"
	expect "the agent's memory" "$large < 8 << 20 && $large - $small < 256 << 10"
}

step 512M one_size 512M
step 2G one_size 2G
step same compared
