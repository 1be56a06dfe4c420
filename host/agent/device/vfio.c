// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vfio.c: a real PCI device, by way of the kernel's vfio-pci.
 *
 * Owns the device's and its group's descriptors. What there is to know of the
 * device is read once, when it is opened; regions keep the kernel's own
 * description with all its capabilities (areas that can be mapped, a
 * mappable MSI-X table), because that is what the VMM must see.
 *
 * Invariants: the device's descriptor is open only while its group is in the
 * VM's container, so that the device reaches what the container maps and
 * nothing else. Configuration space is what the kernel makes of it: it keeps
 * BARs, interrupts and power away from who writes there.
 *
 * Locks: none. In a request's way: not at all. This is the end of the way of
 * MMIO (the descriptor from which BARs are mapped) and of interrupts.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "device/device_impl.h"
#include "device/vfio_group.h"
#include "device/vfio_irq.h"
#include "iommu/iommu.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "lib/parse.h"

/* The longest description of a region that we believe the kernel. */
#define REGION_INFO_MAX 65536u

struct vfio_device {
	struct device dev;
	int group_fd; /* -EBADF: whoever handed the device in holds it */
	int device_fd;
	struct vfio_irqs irqs;
};

static struct vfio_device *vfio_device(struct device *dev)
{
	return container_of(dev, struct vfio_device, dev);
}

static void vfio_free(struct device *dev)
{
	struct vfio_device *vfio = vfio_device(dev);

	vfio_irqs_done(&vfio->irqs);
	close_fd(vfio->device_fd);
	close_fd(vfio->group_fd);
	device_done(dev);
	free(vfio);
}

static int vfio_mmap_fd(const struct device *dev, uint32_t index)
{
	(void)index;
	return container_of(dev, const struct vfio_device, dev)->device_fd;
}

static ssize_t vfio_read(struct device *dev, uint32_t index, void *buf,
			 size_t count, uint64_t offset)
{
	const struct vfio_device *vfio = vfio_device(dev);
	uint64_t base = dev->regions[index]->offset + offset;
	size_t done = 0;

	while (done < count) {
		ssize_t n = pread(vfio->device_fd, (uint8_t *)buf + done,
				  count - done, (off_t)(base + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && done == 0)
			return -errno;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static ssize_t vfio_write(struct device *dev, uint32_t index, const void *buf,
			  size_t count, uint64_t offset)
{
	const struct vfio_device *vfio = vfio_device(dev);
	uint64_t base = dev->regions[index]->offset + offset;
	size_t done = 0;

	while (done < count) {
		ssize_t n = pwrite(vfio->device_fd, (const uint8_t *)buf + done,
				   count - done, (off_t)(base + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && done == 0)
			return -errno;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static int vfio_set_irqs(struct device *dev, const struct vfio_irq_set *set)
{
	struct vfio_device *vfio = vfio_device(dev);

	return vfio_irqs_set(&vfio->irqs, vfio->device_fd, set);
}

static int vfio_reset(struct device *dev)
{
	return ioctl(vfio_device(dev)->device_fd, VFIO_DEVICE_RESET) < 0 ?
		       -errno :
		       0;
}

static const struct device_ops vfio_ops = {
	.free = vfio_free,
	.mmap_fd = vfio_mmap_fd,
	.read = vfio_read,
	.write = vfio_write,
	.set_irqs = vfio_set_irqs,
	.reset = vfio_reset,
};

static int read_info(struct vfio_device *vfio)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	if (ioctl(vfio->device_fd, VFIO_DEVICE_GET_INFO, &info) < 0)
		return log_err_errno(errno, "cannot learn what %s is",
				     vfio->dev.name);
	if (!(info.flags & VFIO_DEVICE_FLAGS_PCI) ||
	    info.num_regions < VFIO_PCI_NUM_REGIONS) {
		log_err("%s is no PCI device", vfio->dev.name);
		return -ENODEV;
	}
	if (!(info.flags & VFIO_DEVICE_FLAGS_RESET))
		log_warn("%s cannot be reset by itself: what a guest leaves in "
			 "it, the next one finds",
			 vfio->dev.name);
	vfio->dev.info = (struct vfio_device_info){
		.argsz = sizeof(info),
		.flags = info.flags &
			 (VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI),
		.num_regions = min(info.num_regions, DEVICE_REGIONS_MAX),
		.num_irqs = min(info.num_irqs, DEVICE_IRQS_MAX),
	};
	return 0;
}

/*
 * Asks twice where there are capabilities: the first answer says how long they
 * are. A region that the kernel does not describe (VGA, mostly) is none.
 */
static int read_region(struct vfio_device *vfio, uint32_t index)
{
	_cleanup_free_ struct vfio_region_info *info = NULL;
	uint32_t size = sizeof(*info);

	for (;;) {
		free(info);
		info = calloc(1, size);
		if (!info)
			return -ENOMEM;
		info->argsz = size;
		info->index = index;
		if (ioctl(vfio->device_fd, VFIO_DEVICE_GET_REGION_INFO, info) <
		    0)
			return errno == EINVAL ? 0 : -errno;
		if (info->argsz <= size)
			break;
		size = info->argsz;
		if (size > REGION_INFO_MAX)
			return -E2BIG;
	}
	/* What a client gets is as long as it says. */
	info->argsz = size;
	vfio->dev.regions[index] = steal_ptr(info);
	return 0;
}

static int read_irq(struct vfio_device *vfio, uint32_t index)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = index };

	if (ioctl(vfio->device_fd, VFIO_DEVICE_GET_IRQ_INFO, &info) < 0) {
		if (errno != EINVAL)
			return -errno;
		/* REQ and ERR are not on every device: none of them. */
		info = (struct vfio_irq_info){ .index = index };
	}
	info.argsz = sizeof(info);
	vfio->dev.irqs[index] = info;
	return vfio_irqs_add(&vfio->irqs, &info);
}

static int read_device(struct vfio_device *vfio)
{
	int r = read_info(vfio);

	for (uint32_t i = 0; r == 0 && i < vfio->dev.info.num_regions; i++)
		r = read_region(vfio, i);
	for (uint32_t i = 0; r == 0 && i < vfio->dev.info.num_irqs; i++)
		r = read_irq(vfio, i);
	if (r < 0)
		return log_err_errno(r, "cannot read what %s has",
				     vfio->dev.name);
	if (!vfio->dev.regions[VFIO_PCI_CONFIG_REGION_INDEX] ||
	    vfio->dev.regions[VFIO_PCI_CONFIG_REGION_INDEX]->size <
		    PCI_CAP_SPACE) {
		log_err("%s has no configuration space", vfio->dev.name);
		return -ENODEV;
	}
	return 0;
}

static int open_device(struct vfio_device *vfio, struct iommu *iommu)
{
	const char *name = vfio->dev.name;
	int fd, r;

	r = vfio_group_open(name, iommu, &vfio->group_fd);
	if (r < 0)
		return r;
	fd = ioctl(vfio->group_fd, VFIO_GROUP_GET_DEVICE_FD, name);
	if (fd < 0)
		return log_err_errno(errno,
				     "cannot open device %s (is it bound to "
				     "vfio-pci, and in nobody's use?)",
				     name);
	vfio->device_fd = fd;
	return 0;
}

static void cleanup_vfio(struct vfio_device **vfio)
{
	if (*vfio)
		vfio_free(&(*vfio)->dev);
}

/* The name that VFIO and sysfs use, from what the operator wrote. */
static int full_name(const char *bdf, char **ret)
{
	char name[PCI_ADDRESS_TEXT_MAX];
	struct pci_address address;
	int r = parse_pci_address(bdf, &address);

	if (r < 0) {
		log_err("device %s %s (an address is like 0000:01:00.0)", bdf,
			parse_strerror(r));
		return r;
	}
	format_pci_address(&address, name);
	*ret = strdup(name);
	return *ret ? 0 : -ENOMEM;
}

int vfio_device_new(const char *bdf, int group_fd, int device_fd,
		    struct iommu *iommu, uint32_t vm_tag, uint32_t endpoint,
		    struct device **ret)
{
	_cleanup_(cleanup_vfio) struct vfio_device *vfio =
		calloc(1, sizeof(*vfio));
	int r;

	if (!vfio)
		return -ENOMEM;
	vfio->dev.ops = &vfio_ops;
	vfio->group_fd = group_fd >= 0 ? group_fd : -EBADF;
	vfio->device_fd = device_fd >= 0 ? device_fd : -EBADF;

	r = full_name(bdf, &vfio->dev.name);
	if (r == 0 && device_fd < 0)
		r = open_device(vfio, iommu);
	if (r == 0)
		r = read_device(vfio);
	if (r == 0)
		r = device_add_capability(&vfio->dev, vm_tag, endpoint);
	if (r < 0) {
		/* What was handed in stays the caller's. */
		if (group_fd >= 0)
			vfio->group_fd = -EBADF;
		if (device_fd >= 0)
			vfio->device_fd = -EBADF;
		return r;
	}
	*ret = &steal_ptr(vfio)->dev;
	return 0;
}

void vfio_device_fds(const struct device *dev, int *ret_group, int *ret_device)
{
	const struct vfio_device *vfio;

	*ret_group = -EBADF;
	*ret_device = -EBADF;
	if (dev->ops != &vfio_ops)
		return;
	vfio = container_of(dev, const struct vfio_device, dev);
	*ret_group = vfio->group_fd;
	*ret_device = vfio->device_fd;
}

int vfio_device_keep(struct device *dev, struct keeper *keeper,
		     struct vfio_irqs_kept *kept)
{
	if (dev->ops != &vfio_ops)
		return 0;
	return vfio_irqs_keep(&vfio_device(dev)->irqs, keeper, kept);
}
