/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sandbox.h - what an agent that serves may still ask of the kernel
 */
#ifndef PVDMA_AGENT_SANDBOX_H
#define PVDMA_AGENT_SANDBOX_H

#include <stdbool.h>

/*
 * From here on this process can use what it has open, be given more over its
 * sockets, and ask VFIO; it can open no file, start no program, reach no network,
 * and make no memory executable. @unlinks: it made sockets of its own, whose
 * names it removes at its end. @kill: what tries more is killed; else it gets
 * EPERM. Not to be undone. 0 or a negative errno, logged.
 */
int sandbox_enter(bool unlinks, bool kill);

#endif
