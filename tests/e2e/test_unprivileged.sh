# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# unprivileged: the agent runs as a user who may do nothing but use one VFIO
# group; or nothing at all, with descriptors handed in.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

DISK=$(bed_bdf nvme)
NVME=$(guest_bdf 0)
USER_ID=4711
QUOTA=$((48 << 20))
# No capability, no way to get one, and no more locked memory than the quota.
NOBODY=(prlimit "--memlock=$QUOTA:$QUOTA" setpriv "--reuid=$USER_ID" "--regid=$USER_ID"
	--clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs)

bind_vfio "$DISK"
GROUP=/dev/vfio/$(bdf_group "$DISK")

is_nobody() {
	local status

	status=/proc/$(agent_pid "$1")/status
	same "the agent's user" "$(awk '/^Uid:/ { print $2 }' "$status")" $USER_ID
	same "its capabilities" "$(awk '/^CapEff:/ { print $2 }' "$status")" 0000000000000000
}

works() {
	load_pvdma "$1" 1
	moves_data "$1" "$NVME" 16M
	expect "bytes pinned" "$(pinned_bytes) <= $QUOTA"
	guest_stop "$1"
	agent_stop "$1"
}

# Without access: what to do is said.
no_access() {
	chown root:root "$GROUP"
	chmod 600 "$GROUP"
	AGENT_PREFIX=("${NOBODY[@]}")
	agent_launch denied "$DISK" -- --quota $QUOTA
	eventually 30 "the agent's end" agent_ended denied
	contains "the agent's log" "$(agent_log denied)" "cannot open $GROUP: give this user access"
	expect "its status" "$(< "$(agent_dir denied)/status") != 0"
	rm -rf "$(agent_dir denied)"
}

group_access() {
	chown $USER_ID:$USER_ID "$GROUP"
	AGENT_PREFIX=("${NOBODY[@]}")
	agent_start group "$DISK" -- --quota $QUOTA
	is_nobody group
	vm_start group group --mem 512M
	works group
}

handed_in() {
	local dir

	chown root:root "$GROUP"
	dir=$(agent_dir fds)
	mkdir -p "$dir"
	AGENT_PREFIX=(python3 "$E2E_DIR/handin.py" "20=/dev/vfio/vfio" "21=$GROUP"
		"22=listen:$dir/dev0" "23=listen:$dir/vhost" "24=listen:$dir/control" --
		"${NOBODY[@]}")
	agent_run fds --name fds --quota $QUOTA --container-fd 20 --vhost-fd 23 --control-fd 24 \
		--device "$DISK,group-fd=21,fd=22"
	eventually 60 "the agent's answer" agent_query fds ping
	is_nobody fds
	vm_start fds fds --mem 512M
	works fds
}

# The limit of locked memory moves with the quota, up to the hard limit; beyond it the
# answer and the log say so.
limit_moves() {
	AGENT_PREFIX=("${NOBODY[@]}")
	agent_start moves "$DISK" -- --quota 16M
	same "the limit" "$(stat_of moves process.limit)" $((16 << 20))
	agent_query moves quota 32M
	same "the limit" "$(stat_of moves process.limit)" $((32 << 20))
	agent_query moves quota 8M
	same "the limit" "$(stat_of moves process.limit)" $((8 << 20))
	same "the limit in the answer" \
		"$(agent_query moves quota 64M | jq .memlock_limit)" $QUOTA
	same "the limit" "$(stat_of moves process.limit)" $QUOTA
	contains "the agent's log" "$(agent_log moves)" \
		"RLIMIT_MEMLOCK is $QUOTA bytes, below the quota of $((64 << 20))"
	agent_stop moves
}

step no-access no_access
step group-access group_access
step limit-moves limit_moves
step handed-in handed_in
