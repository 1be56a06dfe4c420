// SPDX-License-Identifier: GPL-2.0-only
/*
 * sysfs.c - /sys/class/pvdma/pvdma0, for people and programs
 *
 * Owns nothing; shows what the host announced and which endpoints there are,
 * and takes the operator's word to rebind a driver. virtio.c unregisters the
 * class device, which waits for those who are in here, before it frees
 * anything.
 */
#include <linux/device.h>
#include <linux/sysfs.h>

#include "pvdma.h"

static struct pvdma *pvdma_of(struct device *dev)
{
	return dev_get_drvdata(dev);
}

/* @value is seen with @dev, the class device */
#define PVDMA_SYSFS_SHOW(name, format, value)                                \
	static ssize_t name##_show(struct device *dev,                       \
				   struct device_attribute *attr, char *buf) \
	{                                                                    \
		return sysfs_emit(buf, format "\n", value);                  \
	}                                                                    \
	static DEVICE_ATTR_RO(name)

PVDMA_SYSFS_SHOW(version, "%u",
		 min_t(u16, pvdma_of(dev)->conf.version, VIRTIO_PVDMA_VERSION));
PVDMA_SYSFS_SHOW(granule, "%u", 1u << pvdma_of(dev)->conf.granule_shift);
PVDMA_SYSFS_SHOW(quota, "%llu", READ_ONCE(pvdma_of(dev)->conf.quota));
PVDMA_SYSFS_SHOW(excess, "%llu", READ_ONCE(pvdma_of(dev)->conf.excess));
PVDMA_SYSFS_SHOW(deadline_ms, "%u", READ_ONCE(pvdma_of(dev)->conf.deadline_ms));
PVDMA_SYSFS_SHOW(queues, "%u", pvdma_of(dev)->nr_queues);
PVDMA_SYSFS_SHOW(max_ranges, "%u", pvdma_of(dev)->max_items);
PVDMA_SYSFS_SHOW(vm_tag, "%#x", pvdma_of(dev)->conf.vm_tag);
PVDMA_SYSFS_SHOW(stalled, "%d", !!READ_ONCE(pvdma_of(dev)->stalled));

static ssize_t strategy_show(struct device *dev, struct device_attribute *attr,
			     char *buf)
{
	u8 strategy = READ_ONCE(pvdma_of(dev)->conf.strategy);

	return sysfs_emit(buf, "%s\n", pvdma_strategy_name(strategy));
}
static DEVICE_ATTR_RO(strategy);

/* A line each: address, number, attached or not, strategy. */
static ssize_t endpoints_show(struct device *dev, struct device_attribute *attr,
			      char *buf)
{
	struct pvdma *pv = pvdma_of(dev);
	struct pvdma_endpoint *ep;
	int n = 0;

	mutex_lock(&pvdma_lock);
	list_for_each_entry(ep, &pv->endpoints, node)
		n += sysfs_emit_at(buf, n, "%s %u %s %s\n", pci_name(ep->pdev),
				   ep->number,
				   ep->attached ? "attached" : "detached",
				   pvdma_strategy_name(ep->strategy));
	mutex_unlock(&pvdma_lock);
	return n;
}
static DEVICE_ATTR_RO(endpoints);

static ssize_t rebind_store(struct device *dev, struct device_attribute *attr,
			    const char *buf, size_t count)
{
	int err = pvdma_endpoint_rebind(pvdma_of(dev), buf);

	return err ? err : count;
}
static DEVICE_ATTR_WO(rebind);

static struct attribute *pvdma_sysfs_attrs[] = { &dev_attr_version.attr,
						 &dev_attr_granule.attr,
						 &dev_attr_quota.attr,
						 &dev_attr_excess.attr,
						 &dev_attr_deadline_ms.attr,
						 &dev_attr_strategy.attr,
						 &dev_attr_queues.attr,
						 &dev_attr_max_ranges.attr,
						 &dev_attr_vm_tag.attr,
						 &dev_attr_stalled.attr,
						 &dev_attr_endpoints.attr,
						 &dev_attr_rebind.attr,
						 NULL };

ATTRIBUTE_GROUPS(pvdma_sysfs);

const struct attribute_group **pvdma_sysfs_attributes(void)
{
	return pvdma_sysfs_groups;
}
