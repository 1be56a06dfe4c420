/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * check.h - all that stands in the way of assigning a device
 */
#ifndef PVDMA_PVDMAD_CHECK_H
#define PVDMA_PVDMAD_CHECK_H

#include <stddef.h>

#include "pvdmad/pci.h"
#include "pvdmad/problem.h"
#include "pvdmad/sysfs.h"

/* What check_device() looks at. */
enum check_how {
	CHECK_LOOK, /* changes nothing, and nobody notices */
	CHECK_TAKE, /* for who is about to take the device: usage_check_claims() too */
};

/*
 * Appends to @problems what stands in the way of assigning @dev together with
 * the @with_count devices at @with (of which @dev may be one): it is a bridge,
 * vfio-pci is not there, its IOMMU group is not viable, the host uses it. None:
 * it may be bound. A device that has vfio-pci already is not asked what the
 * host does with it. 0 or a negative errno, not logged.
 */
int check_device(const struct sysfs *sysfs, const struct pci_device *dev,
		 const struct pci_address *with, size_t with_count,
		 enum check_how how, struct problems *problems);

#endif
