// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * group.c - IOMMU groups: what the IOMMU cannot tell apart
 *
 * Owns: the rule which drivers may stay beside an assigned device; it is that
 * of the kernel (driver_managed_dma), which says no more than "not viable".
 *
 * Invariant: what group_check() finds nothing wrong with, VFIO takes, as long
 * as nobody binds drivers in between.
 *
 * Locks: none. In a request's way: not; before a device is bound.
 */
#include "pvdmad/group.h"

#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"

#define GROUPS "sys/kernel/iommu_groups"

bool group_host_has_iommu(const struct sysfs *sysfs)
{
	_cleanup_(sysfs_names_done) struct sysfs_names names = { 0 };

	return sysfs_list(sysfs, &names, GROUPS) == 0 && names.count > 0;
}

static int add_no_group(const struct sysfs *sysfs, const struct pci_device *dev,
			struct problems *problems)
{
	struct problem *p;
	int r = problems_add(problems, &p);

	if (r < 0)
		return r;
	if (group_host_has_iommu(sysfs)) {
		problem_what(p,
			     "%s is in no IOMMU group: no IOMMU stands "
			     "before it",
			     dev->name);
		problem_fix(p, "move the card to another slot, or look into "
			       "the kernel's log for DMAR or AMD-Vi");
		return 0;
	}
	problem_what(p,
		     "the host's IOMMU is off, so %s cannot be kept to the "
		     "memory of one VM",
		     dev->name);
	problem_fix(p, "switch VT-d or AMD-Vi on in the firmware's settings, "
		       "and boot with intel_iommu=on (Intel), or without "
		       "amd_iommu=off (AMD)");
	return 0;
}

/* VFIO without an IOMMU makes groups, too, which keep nothing apart. */
static int check_noiommu(const struct sysfs *sysfs,
			 const struct pci_device *dev,
			 struct problems *problems)
{
	struct problem *p;
	char name[64];
	int r;

	r = sysfs_read(sysfs, name, sizeof(name), GROUPS "/%d/name",
		       dev->group);
	if (r < 0 || strcmp(name, "vfio-noiommu") != 0)
		return 0;
	r = problems_add(problems, &p);
	if (r < 0)
		return r;
	problem_what(p, "%s is in a group of VFIO's mode without an IOMMU",
		     dev->name);
	problem_fix(p, "switch the IOMMU on (intel_iommu=on), and "
		       "enable_unsafe_noiommu_mode of module vfio off");
	return 0;
}

/* Drivers that the kernel lets stay beside a device that VFIO uses. */
static bool is_harmless(const char *driver)
{
	return driver[0] == '\0' || strcmp(driver, "pcieport") == 0 ||
	       strcmp(driver, "pci-stub") == 0 || pci_is_vfio_driver(driver);
}

static bool is_among(const char *name, const struct pci_address *list,
		     size_t count)
{
	struct pci_address address;

	if (parse_pci_address(name, &address) < 0)
		return false;
	for (size_t i = 0; i < count; i++)
		if (pci_compare(&address, &list[i]) == 0)
			return true;
	return false;
}

static int add_blocker(const struct pci_device *dev, const char *name,
		       const char *driver, struct problems *problems)
{
	struct problem *p;
	int r = problems_add(problems, &p);

	if (r < 0)
		return r;
	problem_what(p, "%.64s (%.64s) is in the same IOMMU group %d as %s",
		     name, driver, dev->group, dev->name);
	problem_fix(p,
		    "assign it too, or unbind it (echo %.64s > "
		    "/sys/bus/pci/drivers/%.64s/unbind), or move the card to "
		    "another slot",
		    name, driver);
	return 0;
}

int group_check(const struct sysfs *sysfs, const struct pci_device *dev,
		const struct pci_address *with, size_t with_count,
		struct problems *problems)
{
	_cleanup_(sysfs_names_done) struct sysfs_names names = { 0 };
	char driver[SYSFS_NAME_MAX];
	int r;

	if (dev->group < 0)
		return add_no_group(sysfs, dev, problems);
	r = check_noiommu(sysfs, dev, problems);
	if (r < 0)
		return r;
	r = sysfs_list(sysfs, &names, GROUPS "/%d/devices", dev->group);
	if (r < 0)
		return r;
	for (size_t i = 0; i < names.count; i++) {
		const char *name = names.list[i];

		if (strcmp(name, dev->name) == 0 ||
		    is_among(name, with, with_count))
			continue;
		r = sysfs_link_name(sysfs, driver,
				    GROUPS "/%d/devices/%s/driver", dev->group,
				    name);
		if (r == -ENOENT)
			continue;
		if (r == 0 && !is_harmless(driver))
			r = add_blocker(dev, name, driver, problems);
		if (r < 0)
			return r;
	}
	return 0;
}
