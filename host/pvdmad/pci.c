// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pci.c - the PCI devices of the host
 *
 * Owns nothing: what /sys says now, put into structs.
 *
 * Invariant: a struct pci_device is filled whole or not at all; what an
 * attribute is missing for (no driver, no group, no SR-IOV) has its value for
 * none.
 *
 * Locks: none. In a request's way: not.
 */
#include "pvdmad/pci.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/macros.h"

/* A class, or with a mask of 0xff0000 all of its base class. */
static const struct pci_class {
	uint32_t mask, class;
	const char *text;
} classes[] = {
	{ 0xffffff, 0x010802, "NVMe controller" },
	{ 0xffff00, 0x010800, "Non-volatile memory controller" },
	{ 0xffff00, 0x010000, "SCSI controller" },
	{ 0xffff00, 0x010100, "IDE controller" },
	{ 0xffff00, 0x010400, "RAID controller" },
	{ 0xffff00, 0x010600, "SATA controller" },
	{ 0xffff00, 0x010700, "SAS controller" },
	{ 0xff0000, 0x010000, "Storage controller" },
	{ 0xffff00, 0x020000, "Ethernet controller" },
	{ 0xffff00, 0x020700, "InfiniBand controller" },
	{ 0xff0000, 0x020000, "Network controller" },
	{ 0xffff00, 0x030000, "VGA controller" },
	{ 0xffff00, 0x030200, "3D controller" },
	{ 0xff0000, 0x030000, "Display controller" },
	{ 0xffff00, 0x040300, "Audio device" },
	{ 0xff0000, 0x040000, "Multimedia controller" },
	{ 0xff0000, 0x050000, "Memory controller" },
	{ 0xffff00, 0x060000, "Host bridge" },
	{ 0xffff00, 0x060100, "ISA bridge" },
	{ 0xffff00, 0x060400, "PCI bridge" },
	{ 0xffff00, 0x060900, "PCI bridge" },
	{ 0xff0000, 0x060000, "Bridge" },
	{ 0xff0000, 0x070000, "Communication controller" },
	{ 0xffff00, 0x080600, "IOMMU" },
	{ 0xff0000, 0x080000, "System peripheral" },
	{ 0xffff00, 0x0c0300, "USB controller" },
	{ 0xffff00, 0x0c0500, "SMBus controller" },
	{ 0xff0000, 0x0c0000, "Serial bus controller" },
	{ 0xff0000, 0x0d0000, "Wireless controller" },
	{ 0xff0000, 0x100000, "Encryption controller" },
	{ 0xff0000, 0x110000, "Signal processing controller" },
	{ 0xff0000, 0x120000, "Processing accelerator" },
};

const char *pci_class_text(uint32_t class)
{
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
		if ((class & classes[i].mask) == classes[i].class)
			return classes[i].text;
	return "PCI device";
}

int pci_compare(const struct pci_address *a, const struct pci_address *b)
{
	if (a->domain != b->domain)
		return a->domain < b->domain ? -1 : 1;
	if (a->bus != b->bus)
		return a->bus < b->bus ? -1 : 1;
	if (a->device != b->device)
		return a->device < b->device ? -1 : 1;
	return (int)a->function - (int)b->function;
}

bool pci_is_vfio_driver(const char *driver)
{
	/* Variants for one device each are called mlx5_vfio_pci and the like. */
	return strcmp(driver, "vfio-pci") == 0 ||
	       strstr(driver, "vfio_pci") != NULL;
}

/* An attribute that is a number of at most @max. 0 or a negative errno. */
static int read_number(const struct sysfs *sysfs, const char *name,
		       const char *attribute, uint64_t max, uint64_t *ret)
{
	uint64_t v;
	int r = sysfs_read_u64(sysfs, &v, PCI_DEVICES "/%s/%s", name,
			       attribute);

	if (r < 0)
		return r;
	if (v > max)
		return -EINVAL;
	*ret = v;
	return 0;
}

/* An attribute that only some devices have: 0 where it is not. */
static uint32_t read_optional(const struct sysfs *sysfs, const char *name,
			      const char *attribute)
{
	uint64_t v;

	return read_number(sysfs, name, attribute, UINT32_MAX, &v) < 0 ?
		       0 :
		       (uint32_t)v;
}

/* The links of a device: driver, IOMMU group, physical function. */
static int read_links(const struct sysfs *sysfs, struct pci_device *dev)
{
	char target[SYSFS_NAME_MAX];
	uint64_t group;
	int r;

	r = sysfs_link_name(sysfs, target, PCI_DEVICES "/%s/driver", dev->name);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0)
		(void)snprintf(dev->driver, sizeof(dev->driver), "%.*s",
			       (int)sizeof(dev->driver) - 1, target);
	dev->group = -1;
	r = sysfs_link_name(sysfs, target, PCI_DEVICES "/%s/iommu_group",
			    dev->name);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0) {
		if (parse_uint(target, 0, INT_MAX, &group) < 0)
			return -EINVAL;
		dev->group = (int)group;
	}
	r = sysfs_link_name(sysfs, target, PCI_DEVICES "/%s/physfn", dev->name);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0) {
		if (parse_pci_address(target, &dev->pf) < 0)
			return -EINVAL;
		dev->vf = true;
	}
	return 0;
}

int pci_read(const struct sysfs *sysfs, const struct pci_address *address,
	     struct pci_device *ret)
{
	struct pci_device dev = { .address = *address };
	uint64_t class, vendor, device;
	int r;

	format_pci_address(address, dev.name);
	r = read_number(sysfs, dev.name, "class", 0xffffff, &class);
	if (r == 0)
		r = read_number(sysfs, dev.name, "vendor", UINT16_MAX, &vendor);
	if (r == 0)
		r = read_number(sysfs, dev.name, "device", UINT16_MAX, &device);
	if (r == 0)
		r = read_links(sysfs, &dev);
	if (r < 0)
		return r == -ENOENT ? -ENODEV : r;
	dev.class = (uint32_t) class;
	dev.vendor = (uint16_t)vendor;
	dev.device = (uint16_t)device;
	dev.bridge = class >> 8 == 0x0604 || class >> 8 == 0x0609;
	dev.vfs = read_optional(sysfs, dev.name, "sriov_numvfs");
	dev.vfs_max = read_optional(sysfs, dev.name, "sriov_totalvfs");
	(void)snprintf(dev.text, sizeof(dev.text), "%s [%04x:%04x]",
		       pci_class_text(dev.class), dev.vendor, dev.device);
	*ret = dev;
	return 0;
}

static int compare_devices(const void *a, const void *b)
{
	const struct pci_device *x = a, *y = b;

	return pci_compare(&x->address, &y->address);
}

int pci_list(const struct sysfs *sysfs, struct pci_device **ret,
	     size_t *ret_count)
{
	_cleanup_(sysfs_names_done) struct sysfs_names names = { 0 };
	_cleanup_free_ struct pci_device *list = NULL;
	struct pci_address address;
	size_t count = 0;
	int r;

	r = sysfs_list(sysfs, &names, PCI_DEVICES);
	if (r < 0)
		return r;
	/* One more, so that there is something to free() if there are none. */
	list = calloc(names.count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < names.count; i++) {
		if (parse_pci_address(names.list[i], &address) < 0)
			continue;
		r = pci_read(sysfs, &address, &list[count]);
		if (r == -ENODEV)
			continue;
		if (r < 0)
			return r;
		count++;
	}
	qsort(list, count, sizeof(*list), compare_devices);
	*ret = steal_ptr(list);
	*ret_count = count;
	return 0;
}
