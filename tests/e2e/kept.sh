# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# kept.sh: agents that are killed and go on (keeper.py plays systemd), and the work of a
# guest that would notice. For tests that have sourced lib.sh and steps.sh.

# keep AGENT: the next agent, which is to have that name, is one of those.
keep() {
	# shellcheck disable=SC2034 # lib.sh's
	AGENT_PREFIX=(python3 "$E2E_DIR/keeper.py" "$(agent_dir "$1")")
}

# agent_was AGENT WHAT N: so often "starts", or "ready"
agent_was() {
	(($(cat "$(agent_dir "$1")/$2" 2> /dev/null || echo 0) >= $3))
}

agent_answers() {
	agent_query "$1" ping > /dev/null 2>&1
}

# kill_agent AGENT: by force; the next one serves.
kill_agent() {
	local dir before

	dir=$(agent_dir "$1")
	before=$(< "$dir/ready")
	kill -9 "$(< "$dir/agent")"
	eventually 30 "the next agent" agent_was "$1" ready $((before + 1))
	eventually 30 "its answer" agent_answers "$1"
}

# work_begin GUEST DISK NIC SIZE, work_end GUEST: verified I/O on the disk and both ways over
# the NIC, and a reader that notes how long a read has taken at most.
work_begin() {
	g "$1" "rm -f /tmp/stop /tmp/*.end /tmp/*.log; disk=\$(disk_of $2); disk_fill \$disk $4
		(while [ ! -e /tmp/stop ]; do disk_work \$disk $4 64K 1 || exit; done
			echo well > /tmp/disk.end) > /tmp/disk.log 2>&1 &
		(while [ ! -e /tmp/stop ]; do net_all $3 4M || exit; echo round; done
			echo well > /tmp/net.end) > /tmp/net.log 2>&1 &
		(worst=0
		now() { awk '{ printf \"%d\", \$1 * 100 }' /proc/uptime; }
		while [ ! -e /tmp/stop ]; do
			was=\$(now); dd if=\$disk of=/dev/null bs=4k count=1 iflag=direct skip=\$((was % 16384)) || exit
			took=\$((\$(now) - was)); [ \$took -le \$worst ] || worst=\$took
		done
		echo \$worst > /tmp/read.end) > /tmp/read.log 2>&1 &" 600
}

work_end() {
	g "$1" 'touch /tmp/stop; for w in disk net read; do
		wait_for 300 test -e /tmp/$w.end || { tail -n 3 /tmp/$w.log; exit 1; }; done' 1200
}

worst_read_ms() {
	echo "$(($(g "$1" 'cat /tmp/read.end') * 10))"
}

# work_rounds GUEST: of both, as "DISK NIC"
work_rounds() {
	g "$1" 'echo $(grep -c ^disk_verified=true /tmp/disk.log) $(grep -c ^round /tmp/net.log)'
}

work_past() {
	local disk net

	read -r disk net <<< "$(work_rounds "$1")"
	((disk > $2 && net > $3))
}

# work_goes_on GUEST: both have begun a round since this was called, and ended it.
work_goes_on() {
	local disk net

	read -r disk net <<< "$(work_rounds "$1")"
	eventually 240 "rounds of both" work_past "$1" $((disk + 1)) $((net + 1))
}
