// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * usage.c - what the host does with a device now
 *
 * Owns nothing. A device's disks and interfaces are those whose path in /sys
 * leads through it, so a controller's disks are found like an NVMe device.
 *
 * Invariant: what cannot be found out counts as in use, where the kernel itself
 * says so (a disk that somebody has opened for himself alone), and as free
 * otherwise.
 *
 * Locks: none; what is looked at can change right after. In a request's way:
 * not; before a device is bound. usage_disk.c looks at the disks.
 */
#include "pvdmad/usage.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "pvdmad/usage_impl.h"

#define NET "sys/class/net"

bool usage_leads_through(const char *path, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = path; (p = strstr(p, name)); p += len)
		if ((p == path || p[-1] == '/') &&
		    (p[len] == '/' || p[len] == '\0'))
			return true;
	return false;
}

int usage_fopen_proc(const struct sysfs *sysfs, const char *name, FILE **ret)
{
	/* The host's, even where this process has a name space of its own. */
	int r = sysfs_fopen(sysfs, ret, "proc/1/%s", name);

	return r < 0 ? sysfs_fopen(sysfs, ret, "proc/self/%s", name) : r;
}

/* Does a line of /proc/net/route belong to @interface? */
static bool has_ipv4_route(const struct sysfs *sysfs, const char *interface,
			   bool *ret_default)
{
	_cleanup_fclose_ FILE *f = NULL;
	char line[512], name[64], destination[64];
	bool found = false;

	*ret_default = false;
	if (usage_fopen_proc(sysfs, "net/route", &f) < 0)
		return false;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63s %63s", name, destination) != 2 ||
		    strcmp(name, interface) != 0)
			continue;
		found = true;
		if (strcmp(destination, "00000000") == 0)
			*ret_default = true;
	}
	return found;
}

/* Has @interface an IPv6 address that is not link-local? */
static bool has_ipv6_address(const struct sysfs *sysfs, const char *interface)
{
	_cleanup_fclose_ FILE *f = NULL;
	char line[512], name[64];
	unsigned int scope;

	if (usage_fopen_proc(sysfs, "net/if_inet6", &f) < 0)
		return false;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%*s %*x %*x %x %*x %63s", &scope, name) ==
			    2 &&
		    scope == 0 && strcmp(name, interface) == 0)
			return true;
	return false;
}

/*
 * Is there an interface above @interface (Documentation/ABI/testing/
 * sysfs-class-net: upper_NAME)? Addresses and VMs are that one's then.
 */
static bool has_upper(const struct sysfs *sysfs, const char *interface)
{
	_cleanup_(sysfs_names_done) struct sysfs_names names = { 0 };

	if (sysfs_list(sysfs, &names, NET "/%s", interface) < 0)
		return false;
	for (size_t i = 0; i < names.count; i++)
		if (strncmp(names.list[i], "upper_", 6) == 0)
			return true;
	return false;
}

/* In words what @interface is used for; NULL for nothing. */
static const char *interface_use(const struct sysfs *sysfs,
				 const char *interface)
{
	bool is_default;
	uint64_t flags;

	if (sysfs_read_u64(sysfs, &flags, NET "/%s/flags", interface) < 0 ||
	    !(flags & IFF_UP))
		return NULL;
	if (sysfs_exists(sysfs, NET "/%s/master", interface))
		return "is up and part of a bridge or bond";
	if (has_upper(sysfs, interface))
		return "is up and carries others (VLANs, or VMs' macvtaps)";
	if (has_ipv4_route(sysfs, interface, &is_default))
		return is_default ? "is up and has the default route" :
				    "is up and has an address";
	if (has_ipv6_address(sysfs, interface))
		return "is up and has an address";
	return NULL;
}

static int check_interfaces(const struct sysfs *sysfs,
			    const struct pci_device *dev,
			    struct problems *problems)
{
	_cleanup_(sysfs_names_done) struct sysfs_names names = { 0 };
	char target[PATH_MAX];
	struct problem *p;
	int r;

	r = sysfs_list(sysfs, &names, NET);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (size_t i = 0; i < names.count; i++) {
		const char *name = names.list[i], *use;

		if (sysfs_link(sysfs, target, NET "/%s", name) < 0 ||
		    !usage_leads_through(target, dev->name))
			continue;
		use = interface_use(sysfs, name);
		if (!use)
			continue;
		r = problems_add(problems, &p);
		if (r < 0)
			return r;
		problem_what(p, "%s is the network interface %s, which %s",
			     dev->name, name, use);
		problem_fix(p,
			    "take it out of the host's network "
			    "configuration, and down (ip link set %s down)",
			    name);
	}
	return 0;
}

static int check_functions(const struct pci_device *dev,
			   struct problems *problems)
{
	struct problem *p;
	int r;

	if (dev->vfs == 0)
		return 0;
	r = problems_add(problems, &p);
	if (r < 0)
		return r;
	problem_what(p, "%s has %u virtual functions, which would go with it",
		     dev->name, dev->vfs);
	problem_fix(p,
		    "assign those instead, or switch them off (echo 0 > "
		    "/sys/bus/pci/devices/%s/sriov_numvfs)",
		    dev->name);
	return 0;
}

int usage_check(const struct sysfs *sysfs, const struct pci_device *dev,
		struct problems *problems)
{
	int r = check_functions(dev, problems);

	if (r == 0)
		r = usage_check_disks(sysfs, dev, problems);
	if (r == 0)
		r = check_interfaces(sysfs, dev, problems);
	return r;
}
