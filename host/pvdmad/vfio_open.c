// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vfio_open.c - opens what an agent needs of VFIO
 *
 * Owns nothing: descriptors are the caller's.
 *
 * Invariant: a failure names the file, and what to do.
 *
 * Locks: none. In a request's way: not; when a VM starts or gets a device.
 */
#include "pvdmad/vfio_open.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/cleanup.h"

/* A process's name and number. */
#define HOLDER_MAX 64

/* Does process @pid have the file at @path open? */
static bool has_open(const struct sysfs *sysfs, const char *pid,
		     const char *path)
{
	_cleanup_(sysfs_names_done) struct sysfs_names fds = { 0 };
	char target[PATH_MAX];

	if (sysfs_list(sysfs, &fds, "proc/%s/fd", pid) < 0)
		return false;
	for (size_t i = 0; i < fds.count; i++)
		if (sysfs_link(sysfs, target, "proc/%s/fd/%s", pid,
			       fds.list[i]) == 0 &&
		    strcmp(target, path) == 0)
			return true;
	return false;
}

/* Finds out who has @path open: "qemu (pid 12)", or "" if it is not known. */
static void find_holder(const struct sysfs *sysfs, const char *path,
			char holder[static HOLDER_MAX])
{
	_cleanup_(sysfs_names_done) struct sysfs_names names = { 0 };
	char comm[32];

	holder[0] = '\0';
	if (sysfs_list(sysfs, &names, "proc") < 0)
		return;
	for (size_t i = 0; i < names.count; i++) {
		const char *pid = names.list[i];

		if (strspn(pid, "0123456789") != strlen(pid) ||
		    !has_open(sysfs, pid, path))
			continue;
		if (sysfs_read(sysfs, comm, sizeof(comm), "proc/%s/comm", pid) <
		    0)
			memcpy(comm, "a process", sizeof("a process"));
		(void)snprintf(holder, HOLDER_MAX, "%s (pid %.16s)", comm, pid);
		return;
	}
}

void vfio_open_explain(const struct sysfs *sysfs, int group, int error,
		       struct problem *p)
{
	char path[64], holder[HOLDER_MAX];

	(void)snprintf(path, sizeof(path), "/dev/vfio/%d", group);
	switch (error) {
	case -EBUSY:
		find_holder(sysfs, path, holder);
		problem_what(p, "IOMMU group %d is in use by %s", group,
			     holder[0] ? holder : "another process");
		problem_fix(p, "end that first: a group belongs to one VM or "
			       "process at a time");
		return;
	case -ENOENT:
		problem_what(p, "there is no %s", path);
		problem_fix(p, "bind a device of IOMMU group %d to vfio-pci",
			    group);
		return;
	default:
		problem_what(p, "cannot open %s: %s", path, strerror(-error));
		return;
	}
}

int vfio_open_group(const struct sysfs *sysfs, int group,
		    struct problem *ret_problem)
{
	int fd = sysfs_open(sysfs, O_RDWR, "dev/vfio/%d", group);

	if (fd < 0)
		vfio_open_explain(sysfs, group, fd, ret_problem);
	return fd;
}

int vfio_open_container(const struct sysfs *sysfs, struct problem *ret_problem)
{
	int fd = sysfs_open(sysfs, O_RDWR, "dev/vfio/vfio");

	if (fd >= 0)
		return fd;
	problem_what(ret_problem, "cannot open /dev/vfio/vfio: %s",
		     strerror(-fd));
	if (fd == -ENOENT || fd == -ENODEV)
		problem_fix(ret_problem, "modprobe vfio_iommu_type1");
	return fd;
}
