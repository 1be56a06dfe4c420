// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vfio_group.c: the IOMMU group: what the IOMMU cannot tell apart.
 *
 * Owns nothing. All devices of a group must be given up by the host before one
 * of them can be used; when they are not, the kernel says no more than that
 * the group is not viable. Which device is in the way is found out here.
 *
 * Invariant: a group goes into the container only when it is viable.
 *
 * Locks: none. In a request's way: not at all; once a device.
 */
#include "device/vfio_group.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "iommu/iommu.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/macros.h"

#define SYSFS_DEVICES "/sys/bus/pci/devices"
#define SYSFS_GROUPS  "/sys/kernel/iommu_groups"

/* Room for the names of the devices that are in the way. */
#define BLOCKERS_MAX 512

static void cleanup_closedir(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

/* The last part of what the link at @path points to. 0 or a negative errno. */
static int link_name(const char *path, char name[static NAME_MAX + 1])
{
	char target[PATH_MAX];
	const char *last;
	ssize_t n = readlink(path, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	last = strrchr(target, '/');
	last = last ? last + 1 : target;
	if (strlen(last) > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, last, strlen(last) + 1);
	return 0;
}

/* Drivers beside which a device of the group may be used. */
static bool is_harmless(const char *driver)
{
	static const char *const drivers[] = { "vfio-pci", "pci-stub",
					       "pcieport" };

	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		if (strcmp(driver, drivers[i]) == 0)
			return true;
	/* Variants for one device each, such as mlx5_vfio_pci. */
	return strstr(driver, "vfio_pci") != NULL;
}

/* Writes "0000:01:00.1 (e1000e), ..." to @buf; whatever is not known is not. */
static void list_blockers(const char *group, char buf[static BLOCKERS_MAX])
{
	_cleanup_(cleanup_closedir) DIR *dir = NULL;
	char path[PATH_MAX], driver[NAME_MAX + 1];
	const struct dirent *entry;
	size_t used = 0;

	buf[0] = '\0';
	(void)snprintf(path, sizeof(path), SYSFS_GROUPS "/%s/devices", group);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		int n;

		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), SYSFS_DEVICES "/%s/driver",
			       entry->d_name);
		if (link_name(path, driver) < 0 || is_harmless(driver))
			continue;
		n = snprintf(buf + used, BLOCKERS_MAX - used, "%s%s (%s)",
			     used ? ", " : "", entry->d_name, driver);
		if (n < 0 || (size_t)n >= BLOCKERS_MAX - used)
			break;
		used += (size_t)n;
	}
}

static int check_viable(const char *bdf, const char *group, int group_fd)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char blockers[BLOCKERS_MAX];

	if (ioctl(group_fd, VFIO_GROUP_GET_STATUS, &status) < 0)
		return log_err_errno(errno,
				     "cannot ask for the state of IOMMU "
				     "group %s",
				     group);
	if (status.flags & VFIO_GROUP_FLAGS_VIABLE)
		return 0;
	list_blockers(group, blockers);
	log_err("%s cannot be used yet: all devices of its IOMMU group %s must "
		"be bound to vfio-pci or to no driver; in the way: %s",
		bdf, group,
		blockers[0] ? blockers : "devices that cannot be seen here");
	return -EPERM;
}

static int open_group(const char *bdf, const char *group, int *ret)
{
	char path[PATH_MAX];
	int fd;

	(void)snprintf(path, sizeof(path), "/dev/vfio/%s", group);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		*ret = fd;
		return 0;
	}
	switch (errno) {
	case ENOENT:
		return log_err_errno(errno,
				     "cannot open %s: bind %s to "
				     "vfio-pci first",
				     path, bdf);
	case EBUSY:
		return log_err_errno(errno,
				     "cannot open %s: another process "
				     "uses a device of %s's group",
				     path, bdf);
	case EACCES:
	case EPERM:
		return log_err_errno(errno,
				     "cannot open %s: give this user "
				     "access to it, or hand the group "
				     "in",
				     path);
	default:
		return log_err_errno(errno, "cannot open %s", path);
	}
}

int vfio_group_open(const char *bdf, struct iommu *iommu, int *group_fd)
{
	char path[PATH_MAX], group[NAME_MAX + 1];
	int r;

	(void)snprintf(path, sizeof(path), SYSFS_DEVICES "/%s/iommu_group",
		       bdf);
	r = link_name(path, group);
	if (r < 0) {
		/* With a group in hand its number only serves messages. */
		if (*group_fd < 0)
			return log_err_errno(
				r,
				"%s has no IOMMU group: does the device "
				"exist, and is the IOMMU switched on "
				"(intel_iommu=on)?",
				bdf);
		(void)snprintf(group, sizeof(group), "of %s", bdf);
	}
	if (*group_fd < 0) {
		r = open_group(bdf, group, group_fd);
		if (r < 0)
			return r;
	}
	r = check_viable(bdf, group, *group_fd);
	if (r < 0)
		return r;
	return type1_add_group(iommu, *group_fd, group);
}
