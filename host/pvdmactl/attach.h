/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * attach.h - "pvdmactl attach" and "pvdmactl detach": devices of libvirt domains
 */
#ifndef PVDMA_PVDMACTL_ATTACH_H
#define PVDMA_PVDMACTL_ATTACH_H

/*
 * The verbs: @argv is the verb ("attach", "detach") and what follows it on the
 * command line. They return the program's exit status: 0; 1 with the reason on
 * stderr, or if the person who was asked said no; 2 for a wrong command line.
 */
int attach_run(int argc, char **argv);
int detach_run(int argc, char **argv);

#endif
