// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * device.c: what all devices do alike: bounds, permissions, the capability,
 * and coming to rest.
 *
 * Owns nothing beyond the common part of a device. The kinds of devices
 * (vfio.c, null.c) stand behind struct device_ops.
 *
 * Invariants: a kind's functions see no index that the device has not, and no
 * access that leaves its region; the bytes of the pvdma capability are read
 * from the overlay and never written to the device.
 *
 * Locks: none. In a request's way: not at all.
 */
#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "device/device_impl.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "lib/watchdog.h"

void device_done(struct device *dev)
{
	for (size_t i = 0; i < ARRAY_SIZE(dev->regions); i++)
		free(dev->regions[i]);
	free(dev->name);
}

void device_free(struct device *dev)
{
	if (dev)
		dev->ops->free(dev);
}

const char *device_name(const struct device *dev)
{
	return dev->name;
}

void device_get_info(const struct device *dev, struct vfio_device_info *ret)
{
	*ret = dev->info;
}

static const struct vfio_region_info *find_region(const struct device *dev,
						  uint32_t index)
{
	return index < dev->info.num_regions ? dev->regions[index] : NULL;
}

int device_get_region_info(struct device *dev, uint32_t index,
			   struct vfio_region_info *ret, size_t size)
{
	const struct vfio_region_info *info = find_region(dev, index);

	if (!info || size < sizeof(*info))
		return -EINVAL;
	memcpy(ret, info, size < info->argsz ? sizeof(*info) : info->argsz);
	return 0;
}

int device_mmap_fd(const struct device *dev, uint32_t index)
{
	const struct vfio_region_info *info = find_region(dev, index);

	if (!info || !(info->flags & VFIO_REGION_INFO_FLAG_MMAP))
		return -1;
	return dev->ops->mmap_fd(dev, index);
}

int device_get_irq_info(struct device *dev, uint32_t index,
			struct vfio_irq_info *ret)
{
	if (index >= dev->info.num_irqs)
		return -EINVAL;
	*ret = dev->irqs[index];
	return 0;
}

static int check_access(const struct device *dev, uint32_t index, size_t count,
			uint64_t offset, uint32_t flag)
{
	const struct vfio_region_info *info = find_region(dev, index);

	if (!info || offset > info->size || count > info->size - offset)
		return -EINVAL;
	return info->flags & flag ? 0 : -EACCES;
}

ssize_t device_read(struct device *dev, uint32_t index, void *buf, size_t count,
		    uint64_t offset)
{
	ssize_t n;
	int r;

	r = check_access(dev, index, count, offset, VFIO_REGION_INFO_FLAG_READ);
	if (r < 0)
		return r;
	n = dev->ops->read(dev, index, buf, count, offset);
	if (n > 0 && index == VFIO_PCI_CONFIG_REGION_INDEX)
		pci_cap_overlay_read(&dev->overlay, offset, buf, (size_t)n);
	return n;
}

/* Writes what is in front of and behind the capability's own bytes. */
static ssize_t write_config(struct device *dev, const uint8_t *buf,
			    size_t count, uint64_t offset)
{
	size_t done = 0;

	while (done < count) {
		uint64_t at = offset + done;
		size_t hidden, n;
		ssize_t r;

		n = pci_cap_overlay_split(&dev->overlay, at, count - done,
					  &hidden);
		if (n > 0) {
			r = dev->ops->write(dev, VFIO_PCI_CONFIG_REGION_INDEX,
					    buf + done, n, at);
			if (r < 0)
				return done > 0 ? (ssize_t)done : r;
			if ((size_t)r < n)
				return (ssize_t)(done + (size_t)r);
		}
		done += n + hidden;
	}
	return (ssize_t)count;
}

ssize_t device_write(struct device *dev, uint32_t index, const void *buf,
		     size_t count, uint64_t offset)
{
	int r;

	r = check_access(dev, index, count, offset,
			 VFIO_REGION_INFO_FLAG_WRITE);
	if (r < 0)
		return r;
	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		return write_config(dev, buf, count, offset);
	return dev->ops->write(dev, index, buf, count, offset);
}

int device_set_irqs(struct device *dev, const struct vfio_irq_set *set)
{
	return dev->ops->set_irqs(dev, set);
}

int device_reset(struct device *dev)
{
	int r;

	if (!(dev->info.flags & VFIO_DEVICE_FLAGS_RESET))
		return -EOPNOTSUPP;
	watchdog_wait();
	r = dev->ops->reset(dev);
	watchdog_go_on();
	return r;
}

static void disable_irqs(struct device *dev)
{
	for (uint32_t i = 0; i < dev->info.num_irqs; i++) {
		const struct vfio_irq_set set = {
			.argsz = sizeof(set),
			.flags = VFIO_IRQ_SET_DATA_NONE |
				 VFIO_IRQ_SET_ACTION_TRIGGER,
			.index = i,
		};

		/* Most are off already, which the kernel calls an error. */
		if (dev->irqs[i].count > 0)
			(void)dev->ops->set_irqs(dev, &set);
	}
}

static int clear_bus_master(struct device *dev)
{
	uint16_t command;
	ssize_t n;

	n = dev->ops->read(dev, VFIO_PCI_CONFIG_REGION_INDEX, &command,
			   sizeof(command), PCI_COMMAND);
	if (n != sizeof(command))
		return n < 0 ? (int)n : -EIO;
	command = htole16(le16toh(command) & ~PCI_COMMAND_MASTER);
	n = dev->ops->write(dev, VFIO_PCI_CONFIG_REGION_INDEX, &command,
			    sizeof(command), PCI_COMMAND);
	if (n != sizeof(command))
		return n < 0 ? (int)n : -EIO;
	return 0;
}

void device_quiesce(struct device *dev)
{
	int r;

	disable_irqs(dev);
	r = clear_bus_master(dev);
	if (r < 0)
		log_ratelimited(LOG_WARNING,
				"cannot take bus mastering from %s: %s",
				dev->name, strerror(-r));
	r = device_reset(dev);
	if (r < 0 && r != -EOPNOTSUPP)
		log_ratelimited(LOG_WARNING, "cannot reset %s: %s", dev->name,
				strerror(-r));
}

int device_add_capability(struct device *dev, uint32_t vm_tag,
			  uint32_t endpoint)
{
	uint8_t config[PCI_CAP_SPACE];
	ssize_t n;
	int r;

	n = dev->ops->read(dev, VFIO_PCI_CONFIG_REGION_INDEX, config,
			   sizeof(config), 0);
	if (n != sizeof(config)) {
		r = n < 0 ? (int)n : -EIO;
		return log_err_errno(r, "cannot read the configuration of %s",
				     dev->name);
	}
	r = pci_cap_plan(config, vm_tag, endpoint, &dev->overlay);
	if (r == 0)
		return 0;
	log_warn("the configuration space of %s has no room for the pvdma "
		 "capability (%s): the guest does not find the device by "
		 "itself; name it in the pvdma module's parameter",
		 dev->name,
		 r == -ENOSPC ? "no 16 free bytes" : "no type 0 header");
	return 0;
}
