// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fake_sys.c - a /sys in a temporary folder, with a kernel that binds drivers
 *
 * Owns: the folder. The kernel is the function that struct sysfs calls after
 * each write: it moves the link "driver" as the real one would.
 *
 * Invariant: a device has at most one driver, and drivers_probe changes nothing
 * for a device that has one.
 */
#include "tests/unit/support/fake_sys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"

#define FORMAT(path, fmt)                                               \
	do {                                                            \
		va_list args_;                                          \
		va_start(args_, fmt);                                   \
		assert_true(vsnprintf(path, PATH_MAX, fmt, args_) > 0); \
		va_end(args_);                                          \
	} while (0)

/* Makes all folders that lead to @path. */
static void make_parents(const struct fake_sys *fake, const char *path)
{
	char part[PATH_MAX];

	for (const char *p = strchr(path, '/'); p; p = strchr(p + 1, '/')) {
		(void)snprintf(part, sizeof(part), "%.*s", (int)(p - path),
			       path);
		if (mkdirat(fake->sysfs.root, part, 0700) < 0)
			assert_int_equal(errno, EEXIST);
	}
}

static void make_file(const struct fake_sys *fake, const char *text,
		      const char *path)
{
	_cleanup_close_ int fd = -EBADF;

	make_parents(fake, path);
	fd = openat(fake->sysfs.root, path,
		    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

void fake_sys_file(const struct fake_sys *fake, const char *text,
		   const char *fmt, ...)
{
	char path[PATH_MAX];

	FORMAT(path, fmt);
	make_file(fake, text, path);
}

void fake_sys_link(const struct fake_sys *fake, const char *target,
		   const char *fmt, ...)
{
	char path[PATH_MAX];

	FORMAT(path, fmt);
	make_parents(fake, path);
	assert_int_equal(symlinkat(target, fake->sysfs.root, path), 0);
}

void fake_sys_mkdir(const struct fake_sys *fake, const char *fmt, ...)
{
	char path[PATH_MAX];

	FORMAT(path, fmt);
	make_parents(fake, path);
	if (mkdirat(fake->sysfs.root, path, 0700) < 0)
		assert_int_equal(errno, EEXIST);
}

void fake_sys_remove(const struct fake_sys *fake, const char *fmt, ...)
{
	char path[PATH_MAX];

	FORMAT(path, fmt);
	assert_int_equal(unlinkat(fake->sysfs.root, path, 0), 0);
}

void fake_sys_driver(const struct fake_sys *fake, const char *driver)
{
	fake_sys_file(fake, "", "sys/bus/pci/drivers/%s/bind", driver);
	fake_sys_file(fake, "", "sys/bus/pci/drivers/%s/unbind", driver);
}

void fake_sys_unload(const struct fake_sys *fake, const char *driver)
{
	char path[PATH_MAX];

	fake_sys_remove(fake, "sys/bus/pci/drivers/%s/bind", driver);
	fake_sys_remove(fake, "sys/bus/pci/drivers/%s/unbind", driver);
	(void)snprintf(path, sizeof(path), "sys/bus/pci/drivers/%s", driver);
	assert_int_equal(unlinkat(fake->sysfs.root, path, AT_REMOVEDIR), 0);
}

static void bind_to(const struct fake_sys *fake, const char *name,
		    const char *driver)
{
	char target[PATH_MAX], now[SYSFS_NAME_MAX];

	if ((fake->refuses && strcmp(fake->refuses, driver) == 0) ||
	    sysfs_link_name(&fake->sysfs, now, "sys/bus/pci/devices/%s/driver",
			    name) == 0 ||
	    !sysfs_exists(&fake->sysfs, "sys/bus/pci/drivers/%s", driver))
		return;
	(void)snprintf(target, sizeof(target), "../../../bus/pci/drivers/%s",
		       driver);
	fake_sys_link(fake, target, "sys/bus/pci/devices/%s/driver", name);
}

static void unbind(const struct fake_sys *fake, const char *name)
{
	char now[SYSFS_NAME_MAX];

	assert_int_equal(sysfs_link_name(&fake->sysfs, now,
					 "sys/bus/pci/devices/%s/driver", name),
			 0);
	if (!fake->keeps || strcmp(fake->keeps, now) != 0)
		fake_sys_remove(fake, "sys/bus/pci/devices/%s/driver", name);
}

static void probe(const struct fake_sys *fake, const char *name)
{
	char override[64], own[64];

	assert_true(sysfs_read(&fake->sysfs, override, sizeof(override),
			       "sys/bus/pci/devices/%s/driver_override",
			       name) >= 0);
	if (strcmp(override, "(null)") != 0)
		bind_to(fake, name, override);
	else if (!fake->autoprobe_off &&
		 sysfs_read(&fake->sysfs, own, sizeof(own),
			    "sys/bus/pci/devices/%s/own_driver", name) > 0)
		bind_to(fake, name, own);
}

/* The kernel's part of a write. */
static void wrote(void *userdata, const char *path, const char *text)
{
	static const char drivers[] = "sys/bus/pci/drivers/";
	struct fake_sys *fake = userdata;
	const char *last = strrchr(path, '/') + 1;
	char driver[64];

	fake->writes++;
	if (strcmp(last, "driver_override") == 0) {
		make_file(fake, text[0] == '\n' ? "(null)\n" : text, path);
	} else if (strcmp(last, "drivers_probe") == 0) {
		probe(fake, text);
	} else if (strcmp(last, "unbind") == 0) {
		unbind(fake, text);
	} else if (strcmp(last, "bind") == 0) {
		assert_memory_equal(path, drivers, sizeof(drivers) - 1);
		assert_int_equal(sscanf(path + sizeof(drivers) - 1, "%63[^/]",
					driver),
				 1);
		bind_to(fake, text, driver);
	}
}

void fake_sys_pci(const struct fake_sys *fake, const char *name, uint32_t class,
		  const char *driver, int group)
{
	char text[PATH_MAX], dir[PATH_MAX];

	(void)snprintf(dir, sizeof(dir), "sys/devices/pci0000:00/%.32s", name);
	(void)snprintf(text, sizeof(text), "0x%06x\n", class);
	fake_sys_file(fake, text, "%s/class", dir);
	fake_sys_file(fake, "0x8086\n", "%s/vendor", dir);
	fake_sys_file(fake, "0x10d3\n", "%s/device", dir);
	fake_sys_file(fake, "(null)\n", "%s/driver_override", dir);
	fake_sys_file(fake, driver ? driver : "", "%s/own_driver", dir);
	(void)snprintf(text, sizeof(text), "../../../devices/pci0000:00/%s",
		       name);
	fake_sys_link(fake, text, "sys/bus/pci/devices/%s", name);
	if (driver) {
		fake_sys_driver(fake, driver);
		bind_to(fake, name, driver);
	}
	if (group < 0)
		return;
	(void)snprintf(text, sizeof(text), "../../../kernel/iommu_groups/%d",
		       group);
	fake_sys_link(fake, text, "%s/iommu_group", dir);
	(void)snprintf(text, sizeof(text), "../../../../devices/pci0000:00/%s",
		       name);
	fake_sys_link(fake, text, "sys/kernel/iommu_groups/%d/devices/%s",
		      group, name);
}

void fake_sys_block(const struct fake_sys *fake, const char *pci,
		    const char *parent, const char *name, const char *number)
{
	char path[PATH_MAX], target[PATH_MAX + 16];

	(void)snprintf(path, sizeof(path), "devices/pci0000:00/%s/block/%s%s%s",
		       pci, parent ? parent : "", parent ? "/" : "", name);
	fake_sys_file(fake, number, "sys/%s/dev", path);
	fake_sys_mkdir(fake, "sys/%s/holders", path);
	(void)snprintf(target, sizeof(target), "../../%s", path);
	fake_sys_link(fake, target, "sys/class/block/%s", name);
}

void fake_sys_net(const struct fake_sys *fake, const char *pci,
		  const char *name, bool up)
{
	char target[PATH_MAX];

	(void)snprintf(target, sizeof(target),
		       "../../devices/pci0000:00/%s/net/%s", pci, name);
	fake_sys_file(fake, up ? "0x1003\n" : "0x1002\n",
		      "sys/devices/pci0000:00/%s/net/%s/flags", pci, name);
	fake_sys_link(fake, target, "sys/class/net/%s", name);
}

int fake_sys_setup(void **state)
{
	struct fake_sys *fake = calloc(1, sizeof(*fake));

	assert_non_null(fake);
	(void)strcpy(fake->root, "/tmp/pvdma-fake-sys-XXXXXX");
	assert_non_null(mkdtemp(fake->root));
	assert_int_equal(sysfs_init(&fake->sysfs, fake->root), 0);
	fake->sysfs.wrote = wrote;
	fake->sysfs.userdata = fake;
	fake_sys_file(fake, "", "sys/bus/pci/drivers_probe");
	fake_sys_mkdir(fake, "sys/bus/pci/devices");
	fake_sys_mkdir(fake, "sys/kernel/iommu_groups");
	fake_sys_driver(fake, "vfio-pci");
	*state = fake;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int fake_sys_teardown(void **state)
{
	struct fake_sys *fake = *state;

	sysfs_done(&fake->sysfs);
	(void)nftw(fake->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(fake);
	return 0;
}
