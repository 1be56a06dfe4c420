/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * usage.h - what the host does with a device now
 */
#ifndef PVDMA_PVDMAD_USAGE_H
#define PVDMA_PVDMAD_USAGE_H

#include "pvdmad/pci.h"
#include "pvdmad/problem.h"
#include "pvdmad/sysfs.h"

/*
 * Appends a problem for each use of @dev that taking it away from the host
 * would break: disks that are mounted, swapped to, or part of what is (md, dm);
 * network interfaces that are up and have an address, belong to a bridge or
 * bond, or carry a VLAN or the like; virtual functions that are switched on. It
 * must be called in the host's network namespace. 0 or a negative errno, not
 * logged.
 */
int usage_check(const struct sysfs *sysfs, const struct pci_device *dev,
		struct problems *problems);

/*
 * The same for each disk that somebody has opened exclusively, as file systems
 * do that say so in no other way (ZFS). To find out, it is opened exclusively for
 * a moment, which others would notice: only for who is about to take @dev.
 */
int usage_check_claims(const struct sysfs *sysfs, const struct pci_device *dev,
		       struct problems *problems);

#endif
