// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/pvdmad/bind.c and vfio_open.c against a kernel of our own,
 * which also does what one would rather it did not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "pvdmad/bind.h"
#include "pvdmad/vfio_open.h"
#include "tests/unit/support/fake_sys.h"

#define NVME   "0000:01:00.0"
#define DEVICE "sys/bus/pci/devices/" NVME

/* The path that somebody else has open, and will not share. */
static const char *busy;

/* Instead of the C library's, whose names for its parameters are reserved. */
int openat(int dir, const char *path, int flags, ...) /* NOLINT */
{
	mode_t mode = 0;
	va_list args;

	va_start(args, flags);
	if (flags & O_CREAT)
		mode = va_arg(args, mode_t);
	va_end(args);
	if (busy && strcmp(path, busy) == 0) {
		errno = EBUSY;
		return -1;
	}
	return (int)syscall(SYS_openat, dir, path, flags, mode);
}

static const struct pci_address nvme = { .bus = 1 };

static void assert_driver(const struct fake_sys *fake, const char *expected)
{
	struct pci_device dev;

	assert_int_equal(pci_read(&fake->sysfs, &nvme, &dev), 0);
	assert_string_equal(dev.driver, expected);
}

static void assert_override(const struct fake_sys *fake, const char *expected)
{
	char text[64];

	assert_true(sysfs_read(&fake->sysfs, text, sizeof(text),
			       DEVICE "/driver_override") >= 0);
	assert_string_equal(text, expected);
}

static void test_there_and_back(void **state)
{
	struct fake_sys *fake = *state;
	char driver[PCI_DRIVER_MAX];
	struct problem p;

	fake_sys_pci(fake, NVME, 0x010802, "nvme", 12);
	assert_int_equal(bind_vfio(&fake->sysfs, &nvme, driver, &p), 0);
	assert_string_equal(driver, "nvme");
	assert_driver(fake, "vfio-pci");
	assert_override(fake, "vfio-pci");
	assert_int_equal(bind_restore(&fake->sysfs, &nvme, driver, &p), 0);
	assert_driver(fake, "nvme");
	assert_override(fake, "(null)");
	/* Once more: nothing to do. */
	assert_int_equal(bind_restore(&fake->sysfs, &nvme, driver, &p), 0);
	assert_driver(fake, "nvme");
}

static void test_already_bound(void **state)
{
	struct fake_sys *fake = *state;
	char driver[PCI_DRIVER_MAX];
	struct problem p;

	fake_sys_pci(fake, NVME, 0x010802, "vfio-pci", 12);
	assert_int_equal(bind_vfio(&fake->sysfs, &nvme, driver, &p), 0);
	assert_string_equal(driver, "vfio-pci");
	assert_int_equal(bind_restore(&fake->sysfs, &nvme, driver, &p), 0);
	assert_driver(fake, "vfio-pci");
	assert_int_equal(fake->writes, 0);
}

static void test_no_driver(void **state)
{
	struct fake_sys *fake = *state;
	char driver[PCI_DRIVER_MAX];
	struct problem p;

	fake_sys_pci(fake, NVME, 0x010802, NULL, 12);
	assert_int_equal(bind_vfio(&fake->sysfs, &nvme, driver, &p), 0);
	assert_string_equal(driver, "");
	assert_driver(fake, "vfio-pci");
	assert_int_equal(bind_restore(&fake->sysfs, &nvme, driver, &p), 0);
	assert_driver(fake, "");
	assert_override(fake, "(null)");
}

static void test_no_module(void **state)
{
	struct fake_sys *fake = *state;
	char driver[PCI_DRIVER_MAX] = "untouched";
	struct problem p;

	fake_sys_pci(fake, NVME, 0x010802, "nvme", 12);
	fake_sys_unload(fake, "vfio-pci");
	assert_int_equal(bind_vfio(&fake->sysfs, &nvme, driver, &p), -ENOENT);
	assert_string_equal(p.fix, "modprobe vfio-pci");
	assert_string_equal(driver, "untouched");
	assert_driver(fake, "nvme");
	assert_int_equal(fake->writes, 0);
}

static void test_no_device(void **state)
{
	struct fake_sys *fake = *state;
	char driver[PCI_DRIVER_MAX];
	struct problem p;

	assert_int_equal(bind_vfio(&fake->sysfs, &nvme, driver, &p), -ENODEV);
	assert_string_equal(p.what, "cannot look at 0000:01:00.0: there is no "
				    "such device");
	/* Pulled out while a VM had it. */
	assert_int_equal(bind_restore(&fake->sysfs, &nvme, "nvme", &p), 0);
}

static void test_refused(void **state)
{
	struct fake_sys *fake = *state;
	char driver[PCI_DRIVER_MAX] = "untouched";
	struct problem p;

	fake_sys_pci(fake, NVME, 0x010802, "nvme", 12);
	fake->refuses = "vfio-pci";
	assert_int_equal(bind_vfio(&fake->sysfs, &nvme, driver, &p), -EIO);
	assert_string_equal(p.what, "vfio-pci did not take 0000:01:00.0, which "
				    "now has no driver");
	assert_string_equal(driver, "untouched");
	assert_driver(fake, "nvme");
	assert_override(fake, "(null)");
}

/* An override that somebody had set is set again when binding fails. */
static void test_refused_override(void **state)
{
	struct fake_sys *fake = *state;
	char driver[PCI_DRIVER_MAX];
	struct problem p;

	fake_sys_pci(fake, NVME, 0x010802, "nvme", 12);
	fake_sys_file(fake, "nvme\n", DEVICE "/driver_override");
	fake->refuses = "vfio-pci";
	fake->autoprobe_off = true;
	assert_int_equal(bind_vfio(&fake->sysfs, &nvme, driver, &p), -EIO);
	assert_driver(fake, "nvme");
	assert_override(fake, "nvme");
}

static void test_kept(void **state)
{
	struct fake_sys *fake = *state;
	char driver[PCI_DRIVER_MAX];
	struct problem p;

	fake_sys_pci(fake, NVME, 0x010802, "nvme", 12);
	fake->keeps = "nvme";
	assert_int_equal(bind_vfio(&fake->sysfs, &nvme, driver, &p), -EIO);
	assert_driver(fake, "nvme");
	assert_override(fake, "(null)");
}

/* Probing is off, or another driver knows the device: explicitly, then. */
static void test_explicit(void **state)
{
	struct fake_sys *fake = *state;
	struct problem p;

	fake_sys_pci(fake, NVME, 0x010802, "other", 12);
	fake_sys_driver(fake, "nvme");
	fake_sys_remove(fake, DEVICE "/driver");
	fake_sys_link(fake, "../../../bus/pci/drivers/vfio-pci",
		      DEVICE "/driver");
	assert_int_equal(bind_restore(&fake->sysfs, &nvme, "nvme", &p), 0);
	assert_driver(fake, "nvme");
}

static void test_not_restored(void **state)
{
	struct fake_sys *fake = *state;
	char driver[PCI_DRIVER_MAX];
	struct problem p;

	fake_sys_pci(fake, NVME, 0x010802, "nvme", 12);
	assert_int_equal(bind_vfio(&fake->sysfs, &nvme, driver, &p), 0);
	fake->refuses = "nvme";
	assert_int_equal(bind_restore(&fake->sysfs, &nvme, driver, &p), -EIO);
	assert_string_equal(p.what, "0000:01:00.0 is not back with its driver "
				    "nvme");
	assert_driver(fake, "");
	/* It can be tried again. */
	fake->refuses = NULL;
	assert_int_equal(bind_restore(&fake->sysfs, &nvme, driver, &p), 0);
	assert_driver(fake, "nvme");
}

/* The kernel would wait in unbind for as long as QEMU has the device. */
static void test_still_open(void **state)
{
	struct fake_sys *fake = *state;
	char driver[PCI_DRIVER_MAX];
	struct problem p;

	fake_sys_pci(fake, NVME, 0x010802, "nvme", 12);
	assert_int_equal(bind_vfio(&fake->sysfs, &nvme, driver, &p), 0);
	fake->writes = 0;
	busy = "dev/vfio/12";
	assert_int_equal(bind_restore(&fake->sysfs, &nvme, driver, &p), -EBUSY);
	assert_string_equal(p.what, "IOMMU group 12 is in use by another "
				    "process");
	assert_driver(fake, "vfio-pci");
	assert_override(fake, "vfio-pci");
	assert_int_equal(fake->writes, 0);
	busy = NULL;
	assert_int_equal(bind_restore(&fake->sysfs, &nvme, driver, &p), 0);
	assert_driver(fake, "nvme");
}

/* Somebody else has bound it meanwhile: his. */
static void test_foreign(void **state)
{
	struct fake_sys *fake = *state;
	struct problem p;

	fake_sys_pci(fake, NVME, 0x010802, "uio", 12);
	assert_int_equal(bind_restore(&fake->sysfs, &nvme, "nvme", &p), 0);
	assert_driver(fake, "uio");
}

static void test_open(void **state)
{
	struct fake_sys *fake = *state;
	struct problem p;
	int fd;

	assert_int_equal(vfio_open_group(&fake->sysfs, 12, &p), -ENOENT);
	assert_string_equal(p.what, "there is no /dev/vfio/12");
	assert_int_equal(vfio_open_container(&fake->sysfs, &p), -ENOENT);
	assert_string_equal(p.fix, "modprobe vfio_iommu_type1");
	fake_sys_file(fake, "", "dev/vfio/12");
	fake_sys_file(fake, "", "dev/vfio/vfio");
	fd = vfio_open_group(&fake->sysfs, 12, &p);
	assert_true(fd >= 0);
	fd = close_fd(fd);
	fd = vfio_open_container(&fake->sysfs, &p);
	assert_true(fd >= 0);
	(void)close_fd(fd);
}

static void test_busy(void **state)
{
	struct fake_sys *fake = *state;
	struct problem p;

	fake_sys_link(fake, "/dev/vfio/120", "proc/41/fd/3");
	fake_sys_link(fake, "/dev/vfio/12", "proc/self/fd/3");
	vfio_open_explain(&fake->sysfs, 12, -EBUSY, &p);
	assert_string_equal(p.what, "IOMMU group 12 is in use by another "
				    "process");
	fake_sys_link(fake, "/dev/vfio/12", "proc/42/fd/7");
	fake_sys_file(fake, "qemu-system-x86\n", "proc/42/comm");
	vfio_open_explain(&fake->sysfs, 12, -EBUSY, &p);
	assert_string_equal(p.what, "IOMMU group 12 is in use by "
				    "qemu-system-x86 (pid 42)");
}

#define test(f) \
	cmocka_unit_test_setup_teardown(f, fake_sys_setup, fake_sys_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_there_and_back),
		test(test_already_bound),
		test(test_no_driver),
		test(test_no_module),
		test(test_no_device),
		test(test_refused),
		test(test_refused_override),
		test(test_kept),
		test(test_explicit),
		test(test_not_restored),
		test(test_foreign),
		test(test_open),
		test(test_busy),
		test(test_still_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
