# SPDX-License-Identifier: GPL-2.0-or-later
# The boot loader of the disks that guests boot from by themselves. Dependencies
# follow by themselves. One package a line.
grub-common
grub-pc-bin
