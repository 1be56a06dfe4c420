// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * check.c - all that stands in the way of assigning a device
 *
 * Owns: the order in which an operator should hear of it: what is wrong with
 * the device, with its neighbours, with its use, and last what a modprobe mends.
 *
 * Invariant: it changes nothing (CHECK_LOOK); a disk that is nobody's is ours for
 * a moment (CHECK_TAKE).
 *
 * Locks: none. In a request's way: not; before a device is bound.
 */
#include "pvdmad/check.h"

#include "pvdmad/bind.h"
#include "pvdmad/group.h"
#include "pvdmad/usage.h"

static int add_bridge(const struct pci_device *dev, struct problems *problems)
{
	struct problem *p;
	int r = problems_add(problems, &p);

	if (r < 0)
		return r;
	problem_what(p, "%s is a bridge (%s)", dev->name, dev->text);
	problem_fix(p, "assign the devices behind it");
	return 0;
}

static int check_module(const struct sysfs *sysfs, struct problems *problems)
{
	struct problem *p;
	int r;

	if (bind_has_vfio(sysfs))
		return 0;
	r = problems_add(problems, &p);
	if (r < 0)
		return r;
	bind_explain_no_vfio(p);
	return 0;
}

int check_device(const struct sysfs *sysfs, const struct pci_device *dev,
		 const struct pci_address *with, size_t with_count,
		 enum check_how how, struct problems *problems)
{
	bool bound = pci_is_vfio_driver(dev->driver);
	int r;

	/* What is behind it uses it, too, and is not the point. */
	if (dev->bridge)
		return add_bridge(dev, problems);
	r = group_check(sysfs, dev, with, with_count, problems);
	if (r == 0 && !bound)
		r = usage_check(sysfs, dev, problems);
	/* A disk is claimed as well where it is in use by what was found. */
	if (r == 0 && !bound && how == CHECK_TAKE && problems->count == 0)
		r = usage_check_claims(sysfs, dev, problems);
	if (r == 0 && !bound)
		r = check_module(sysfs, problems);
	return r;
}
