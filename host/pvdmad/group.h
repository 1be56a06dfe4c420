/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * group.h - can the IOMMU keep a device apart from what the host keeps?
 */
#ifndef PVDMA_PVDMAD_GROUP_H
#define PVDMA_PVDMAD_GROUP_H

#include <stdbool.h>
#include <stddef.h>

#include "pvdmad/pci.h"
#include "pvdmad/problem.h"
#include "pvdmad/sysfs.h"

/* True if the host has at least one IOMMU group: its IOMMU is in use. */
bool group_host_has_iommu(const struct sysfs *sysfs);

/*
 * Is the IOMMU group of @dev viable: no other device of it is used by the host?
 * Bridges without a driver or with pcieport are fine, as are devices without a
 * driver, with vfio-pci, and the @with_count devices at @with, which are to be
 * assigned together with @dev. Appends one problem for each device that is in
 * the way, or one if there is no group. 0 or a negative errno, not logged; then
 * @problems may have some of them.
 */
int group_check(const struct sysfs *sysfs, const struct pci_device *dev,
		const struct pci_address *with, size_t with_count,
		struct problems *problems);

#endif
