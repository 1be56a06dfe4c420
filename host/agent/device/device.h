/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * device.h - the PCI device behind an endpoint
 *
 * One interface, two kinds: vfio (a real device) and null (a small synthetic
 * one with a BAR in a memfd, for tests without an IOMMU). Indices, flags and
 * offsets are those of <linux/vfio.h>. The configuration space that a device
 * shows includes the pvdma capability (device/pci_cap.c).
 */
#ifndef PVDMA_AGENT_DEVICE_H
#define PVDMA_AGENT_DEVICE_H

#include <linux/vfio.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct device;
struct iommu;
struct keeper;

/*
 * Opens the vfio device @bdf ("0000:01:00.0"): finds its group, adds the group
 * to @iommu's container, gets the device. @device_fd and @group_fd are used
 * instead of opening paths where they are >= 0; both are owned by the device
 * on success. A device that is handed in has its group in the container of
 * @iommu already: the kernel opens none before that. @vm_tag and @endpoint go into the capability. Returns 0 or a
 * negative errno, and logs what to do about it.
 */
int vfio_device_new(const char *bdf, int group_fd, int device_fd,
		    struct iommu *iommu, uint32_t vm_tag, uint32_t endpoint,
		    struct device **ret);

/*
 * The synthetic device. Its state and eventfds are put into @keeper (may be NULL),
 * under the ids in @kept; if there are any already, it is the device of the process
 * before, which went on as a real one does.
 */
struct null_device_kept {
	uint64_t bar0;
	uint64_t state;
};

int null_device_new(uint32_t vm_tag, uint32_t endpoint, struct keeper *keeper,
		    struct null_device_kept *kept, struct device **ret);

/*
 * Keeps what a vfio device still needs of its eventfds (device/vfio_irq.h), and has
 * again what is kept of the process before. 0 or -EBADF, logged.
 */
struct vfio_irqs_kept;

int vfio_device_keep(struct device *dev, struct keeper *keeper,
		     struct vfio_irqs_kept *kept);

/* The descriptors of a vfio device, borrowed; -EBADF for those it has not. */
void vfio_device_fds(const struct device *dev, int *ret_group, int *ret_device);

void device_free(struct device *dev);

const char *device_name(const struct device *dev);

/* Info as from VFIO_DEVICE_GET_INFO. */
void device_get_info(const struct device *dev, struct vfio_device_info *ret);

/*
 * Region info with its capability chain, as from VFIO_DEVICE_GET_REGION_INFO.
 * At most @size bytes are written to @ret; its argsz says how many there are.
 * 0, or -EINVAL (no such region).
 */
int device_get_region_info(struct device *dev, uint32_t index,
			   struct vfio_region_info *ret, size_t size);

/* The fd to mmap regions from (borrowed), or -1. */
int device_mmap_fd(const struct device *dev, uint32_t index);

int device_get_irq_info(struct device *dev, uint32_t index,
			struct vfio_irq_info *ret);

/* As pread() and pwrite() on a region: bytes, or a negative errno. */
ssize_t device_read(struct device *dev, uint32_t index, void *buf, size_t count,
		    uint64_t offset);
ssize_t device_write(struct device *dev, uint32_t index, const void *buf,
		     size_t count, uint64_t offset);

/* As VFIO_DEVICE_SET_IRQS; @set is complete and was validated. */
int device_set_irqs(struct device *dev, const struct vfio_irq_set *set);

/* -EOPNOTSUPP: the device cannot be reset. */
int device_reset(struct device *dev);

/*
 * Brings the device to rest: no interrupts, no bus mastering, and a reset
 * where it has one. When this returns, it does no DMA. Cannot fail.
 */
void device_quiesce(struct device *dev);

#endif
