// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * usage_disk.c - what the host does with the disks of a device
 *
 * Owns nothing. A block device is in use when it is mounted or swapped to, when
 * another block device is made of it (holders), when a btrfs file system has it
 * among its devices, or when the kernel lets nobody else have it alone.
 *
 * Invariant: each block device of the device, disk or partition, is looked at
 * by itself, and one use of each is reported.
 *
 * Locks: none. In a request's way: not; before a device is bound.
 */
#include "pvdmad/usage_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"

#define BLOCK "sys/class/block"

/* Holders of holders are followed this deep: partition, md, crypt, LVM. */
#define HOLDERS_DEPTH 8

#define USE_MAX 320

/* Appends to the text of a use. */
static void say(char use[static USE_MAX], const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void say(char use[static USE_MAX], const char *fmt, ...)
{
	size_t used = strlen(use);
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(use + used, USE_MAX - used, fmt, args);
	va_end(args);
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/*
 * Looks for @name in the table of mounts: by its number, or by its name, since
 * file systems of several disks have numbers of their own.
 */
static bool is_mounted(const struct sysfs *sysfs, const char *name,
		       char use[static USE_MAX])
{
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_ char *line = NULL;
	char number[32], device[32], where[PATH_MAX], source[PATH_MAX];
	const char *rest;
	size_t size = 0;

	if (sysfs_read(sysfs, number, sizeof(number), BLOCK "/%s/dev", name) <
	    0)
		number[0] = '\0';
	if (usage_fopen_proc(sysfs, "mountinfo", &f) < 0)
		return false;
	while (getline(&line, &size, f) > 0) {
		if (sscanf(line, "%*s %*s %31s %*s %4095s", device, where) != 2)
			continue;
		rest = strstr(line, " - ");
		if (!rest || sscanf(rest, " - %*s %4095s", source) != 1)
			continue;
		if (strcmp(device, number) != 0 &&
		    (strncmp(source, "/dev/", 5) != 0 ||
		     strcmp(last_part(source), name) != 0))
			continue;
		say(use, "mounted at %.128s", where);
		return true;
	}
	return false;
}

static bool is_swap(const struct sysfs *sysfs, const char *name,
		    char use[static USE_MAX])
{
	_cleanup_fclose_ FILE *f = NULL;
	char line[1024], path[512];

	if (sysfs_fopen(sysfs, &f, "proc/swaps") < 0)
		return false;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%511s", path) == 1 &&
		    strncmp(path, "/dev/", 5) == 0 &&
		    strcmp(last_part(path), name) == 0) {
			say(use, "used as swap");
			return true;
		}
	}
	return false;
}

static bool is_btrfs(const struct sysfs *sysfs, const char *name,
		     char use[static USE_MAX])
{
	_cleanup_(sysfs_names_done) struct sysfs_names names = { 0 };

	if (sysfs_list(sysfs, &names, "sys/fs/btrfs") < 0)
		return false;
	for (size_t i = 0; i < names.count; i++) {
		if (sysfs_exists(sysfs, "sys/fs/btrfs/%s/devices/%s",
				 names.list[i], name)) {
			say(use, "part of the mounted btrfs %.64s",
			    names.list[i]);
			return true;
		}
	}
	return false;
}

/* ZFS and others say nothing, but let nobody else open what is theirs. */
static bool is_claimed(const struct sysfs *sysfs, const char *name,
		       char use[static USE_MAX])
{
	_cleanup_close_ int fd = -EBADF;
	struct stat st;

	fd = sysfs_open(sysfs, O_PATH, "dev/%s", name);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode))
		return false;
	fd = close_fd(fd);
	fd = sysfs_open(sysfs, O_RDONLY | O_EXCL | O_NONBLOCK, "dev/%s", name);
	if (fd != -EBUSY)
		return false;
	say(use, "in use by the kernel (opened exclusively)");
	return true;
}

static bool find_use(const struct sysfs *sysfs, const char *name,
		     unsigned int depth, char use[static USE_MAX]);

static bool has_holder(const struct sysfs *sysfs, const char *name,
		       unsigned int depth, char use[static USE_MAX])
{
	_cleanup_(sysfs_names_done) struct sysfs_names names = { 0 };
	char alias[128];
	size_t before;

	if (depth == 0 ||
	    sysfs_list(sysfs, &names, BLOCK "/%s/holders", name) < 0 ||
	    names.count == 0)
		return false;
	say(use, "part of %.32s", names.list[0]);
	if (sysfs_read(sysfs, alias, sizeof(alias), BLOCK "/%s/dm/name",
		       names.list[0]) > 0)
		say(use, " (%.64s)", alias);
	before = strlen(use);
	for (size_t i = 0; i < names.count; i++) {
		say(use, ", ");
		if (i > 0)
			say(use, "%.32s is ", names.list[i]);
		if (find_use(sysfs, names.list[i], depth - 1, use))
			break;
		use[before] = '\0';
	}
	return true;
}

/* Appends to @use what @name is used for. False, @use unchanged, for nothing. */
static bool find_use(const struct sysfs *sysfs, const char *name,
		     unsigned int depth, char use[static USE_MAX])
{
	return is_mounted(sysfs, name, use) || is_swap(sysfs, name, use) ||
	       has_holder(sysfs, name, depth, use) ||
	       is_btrfs(sysfs, name, use);
}

static bool find_named_use(const struct sysfs *sysfs, const char *name,
			   char use[static USE_MAX])
{
	return find_use(sysfs, name, HOLDERS_DEPTH, use);
}

/*
 * Multipath NVMe: the disk hangs on the subsystem, @target is
 * ".../virtual/nvme-subsystem/nvme-subsys0/nvme0n1", and the subsystem has links
 * to its controllers.
 */
static bool is_path_of(const struct sysfs *sysfs, const char *target,
		       const char *device)
{
	_cleanup_(sysfs_names_done) struct sysfs_names names = { 0 };
	const char *subsystem = strstr(target, "/nvme-subsystem/");
	char controller[PATH_MAX];
	int len;

	if (!subsystem)
		return false;
	subsystem += strlen("/nvme-subsystem/");
	len = (int)strcspn(subsystem, "/");
	if (sysfs_list(sysfs, &names, "sys/class/nvme-subsystem/%.*s", len,
		       subsystem) < 0)
		return false;
	for (size_t i = 0; i < names.count; i++)
		if (sysfs_link(sysfs, controller,
			       "sys/class/nvme-subsystem/%.*s/%s", len,
			       subsystem, names.list[i]) == 0 &&
		    usage_leads_through(controller, device))
			return true;
	return false;
}

/* Appends a problem for each disk and partition of which @find finds a use. */
static int check_by(const struct sysfs *sysfs, const struct pci_device *dev,
		    bool (*find)(const struct sysfs *sysfs, const char *name,
				 char *use),
		    struct problems *problems)
{
	_cleanup_(sysfs_names_done) struct sysfs_names names = { 0 };
	char target[PATH_MAX], use[USE_MAX];
	struct problem *p;
	int r;

	r = sysfs_list(sysfs, &names, BLOCK);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (size_t i = 0; i < names.count; i++) {
		const char *name = names.list[i];

		if (sysfs_link(sysfs, target, BLOCK "/%s", name) < 0 ||
		    (!usage_leads_through(target, dev->name) &&
		     !is_path_of(sysfs, target, dev->name)))
			continue;
		use[0] = '\0';
		if (!find(sysfs, name, use))
			continue;
		r = problems_add(problems, &p);
		if (r < 0)
			return r;
		problem_what(p, "%s is the disk %.64s, %s", dev->name, name,
			     use);
		problem_fix(p, "let the host give it up (umount, swapoff, "
			       "vgchange -an, mdadm --stop), or choose another "
			       "device");
	}
	return 0;
}

int usage_check_disks(const struct sysfs *sysfs, const struct pci_device *dev,
		      struct problems *problems)
{
	return check_by(sysfs, dev, find_named_use, problems);
}

int usage_check_claims(const struct sysfs *sysfs, const struct pci_device *dev,
		       struct problems *problems)
{
	return check_by(sysfs, dev, is_claimed, problems);
}
