/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * usage_impl.h - what usage.c and usage_disk.c share
 */
#ifndef PVDMA_PVDMAD_USAGE_IMPL_H
#define PVDMA_PVDMAD_USAGE_IMPL_H

#include <stdbool.h>
#include <stdio.h>

#include "pvdmad/usage.h"

/* Is @name one of the parts of @path, "pci0000:00/0000:00:01.0/net/eth0"? */
bool usage_leads_through(const char *path, const char *name);

/* Opens a file of /proc/PID of the host's first process. 0 or -errno. */
int usage_fopen_proc(const struct sysfs *sysfs, const char *name, FILE **ret);

/* usage_check() for disks and their partitions. */
int usage_check_disks(const struct sysfs *sysfs, const struct pci_device *dev,
		      struct problems *problems);

#endif
