/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * device_impl.h - what a kind of device provides, and what all have in common
 */
#ifndef PVDMA_AGENT_DEVICE_IMPL_H
#define PVDMA_AGENT_DEVICE_IMPL_H

#include <linux/vfio.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "device/device.h"
#include "device/pci_cap.h"

/* More than any kernel reports, and fewer than clients take. */
#define DEVICE_REGIONS_MAX 64u
#define DEVICE_IRQS_MAX	   32u

/*
 * Regions and interrupts are those of the tables below; accesses are within
 * their region and permitted by its flags; interrupt sets are valid.
 */
struct device_ops {
	/* Frees the whole object. */
	void (*free)(struct device *dev);
	/* Where the region can be mapped from, borrowed; or -1. */
	int (*mmap_fd)(const struct device *dev, uint32_t index);
	ssize_t (*read)(struct device *dev, uint32_t index, void *buf,
			size_t count, uint64_t offset);
	ssize_t (*write)(struct device *dev, uint32_t index, const void *buf,
			 size_t count, uint64_t offset);
	int (*set_irqs)(struct device *dev, const struct vfio_irq_set *set);
	/* Only if info.flags has VFIO_DEVICE_FLAGS_RESET. */
	int (*reset)(struct device *dev);
};

/*
 * Embedded first in each kind's own struct. Constant once the device is open.
 * regions[] are info.num_regions pointers to what malloc() gave, each with its
 * capability chain, argsz being its size; NULL: no such region.
 */
struct device {
	const struct device_ops *ops;
	char *name;
	struct vfio_device_info info;
	struct vfio_region_info *regions[DEVICE_REGIONS_MAX];
	struct vfio_irq_info irqs[DEVICE_IRQS_MAX];
	struct pci_cap_overlay overlay;
};

/* Frees what is in @dev, but not @dev. */
void device_done(struct device *dev);

/*
 * Plans the pvdma capability by the device's configuration space, which can
 * be read by now. A device without room for it is served without (a warning
 * says what that means). 0 or a negative errno.
 */
int device_add_capability(struct device *dev, uint32_t vm_tag,
			  uint32_t endpoint);

#endif
