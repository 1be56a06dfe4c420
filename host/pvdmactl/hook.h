/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hook.h - "pvdmactl hook": what libvirt calls when domains start and end
 */
#ifndef PVDMA_PVDMACTL_HOOK_H
#define PVDMA_PVDMACTL_HOOK_H

/*
 * The verb: @argv is "hook", options, and the arguments of a libvirt hook for
 * QEMU: the domain's name, the operation, the sub-operation, and "-"; the
 * domain's XML is on stdin. Returns the program's exit status: 0, or 1 with the
 * reason on stderr, which libvirt shows; 2 for a wrong command line.
 *
 * Never calls libvirt, which waits for it; ends by SIGALRM if it takes too long.
 */
int hook_run(int argc, char **argv);

#endif
