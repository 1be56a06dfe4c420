#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# system.sh: the job of a guest with a Debian system of its own (a service of
# systemd's, bedlib/debian.py): the channel to L1.
. /bed/channel.sh

channel_open
channel_serve
