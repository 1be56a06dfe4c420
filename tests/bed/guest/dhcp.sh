#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# dhcp.sh: udhcpc's hook: takes the address over and notes the peer's.
# shellcheck disable=SC2154 # udhcpc passes these in the environment
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
ip addr flush dev "$interface"
ip addr add "$ip/${mask:-24}" dev "$interface"
for gateway in $router; do
	echo "$gateway" > "/run/peer.$interface"
done
