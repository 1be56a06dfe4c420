// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/pvdmad/sysfs.c and pci.c on a /sys of files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "pvdmad/pci.h"
#include "tests/unit/support/fake_sys.h"

static void test_attributes(void **state)
{
	struct fake_sys *fake = *state;
	const struct sysfs *sysfs = &fake->sysfs;
	char buf[8];
	uint64_t v;

	fake_sys_file(fake, "0x10\n", "sys/a");
	fake_sys_file(fake, "abcdefghijkl\n", "sys/b");
	assert_int_equal(sysfs_read(sysfs, buf, sizeof(buf), "sys/%s", "a"), 4);
	assert_string_equal(buf, "0x10");
	assert_int_equal(sysfs_read_u64(sysfs, &v, "sys/a"), 0);
	assert_int_equal(v, 16);
	assert_int_equal(sysfs_read_u64(sysfs, &v, "sys/b"), -EINVAL);
	assert_int_equal(sysfs_read(sysfs, buf, sizeof(buf), "sys/b"), 7);
	assert_string_equal(buf, "abcdefg");
	assert_int_equal(sysfs_read(sysfs, buf, sizeof(buf), "sys/c"), -ENOENT);
	assert_int_equal(sysfs_write(sysfs, "7", "sys/c"), -ENOENT);
	assert_int_equal(sysfs_write(sysfs, "7", "sys/a"), 0);
	assert_int_equal(sysfs_read_u64(sysfs, &v, "sys/a"), 0);
	assert_int_equal(v, 7);
}

static void test_links_and_lists(void **state)
{
	struct fake_sys *fake = *state;
	const struct sysfs *sysfs = &fake->sysfs;
	struct sysfs_names names;
	char name[SYSFS_NAME_MAX];

	fake_sys_link(fake, "../x/last", "sys/d/z");
	fake_sys_link(fake, "plain", "sys/d/a");
	fake_sys_file(fake, "", "sys/d/.hidden");
	assert_int_equal(sysfs_link_name(sysfs, name, "sys/d/z"), 0);
	assert_string_equal(name, "last");
	assert_int_equal(sysfs_link_name(sysfs, name, "sys/d/a"), 0);
	assert_string_equal(name, "plain");
	assert_int_equal(sysfs_list(sysfs, &names, "sys/d"), 0);
	assert_int_equal(names.count, 2);
	assert_string_equal(names.list[0], "a");
	assert_string_equal(names.list[1], "z");
	sysfs_names_done(&names);
	assert_int_equal(sysfs_list(sysfs, &names, "sys/e"), -ENOENT);
}

static void test_device(void **state)
{
	struct fake_sys *fake = *state;
	struct pci_address address = { .device = 2 };
	struct pci_device dev;

	assert_int_equal(pci_read(&fake->sysfs, &address, &dev), -ENODEV);
	fake_sys_pci(fake, "0000:00:02.0", 0x020000, "e1000e", 7);
	assert_int_equal(pci_read(&fake->sysfs, &address, &dev), 0);
	assert_string_equal(dev.name, "0000:00:02.0");
	assert_string_equal(dev.text, "Ethernet controller [8086:10d3]");
	assert_string_equal(dev.driver, "e1000e");
	assert_int_equal(dev.group, 7);
	assert_int_equal(dev.vendor, 0x8086);
	assert_false(dev.bridge);
	assert_false(dev.vf);
	assert_int_equal(dev.vfs_max, 0);
}

static void test_functions(void **state)
{
	struct fake_sys *fake = *state;
	struct pci_address address = { .device = 3 };
	struct pci_device dev;

	fake_sys_pci(fake, "0000:00:03.0", 0x020000, NULL, -1);
	fake_sys_file(fake, "2\n",
		      "sys/devices/pci0000:00/0000:00:03.0/sriov_numvfs");
	fake_sys_file(fake, "8\n",
		      "sys/devices/pci0000:00/0000:00:03.0/sriov_totalvfs");
	fake_sys_pci(fake, "0000:00:03.1", 0x020000, NULL, -1);
	fake_sys_link(fake, "../0000:00:03.0",
		      "sys/devices/pci0000:00/0000:00:03.1/physfn");
	assert_int_equal(pci_read(&fake->sysfs, &address, &dev), 0);
	assert_string_equal(dev.driver, "");
	assert_int_equal(dev.group, -1);
	assert_int_equal(dev.vfs, 2);
	assert_int_equal(dev.vfs_max, 8);
	address.function = 1;
	assert_int_equal(pci_read(&fake->sysfs, &address, &dev), 0);
	assert_true(dev.vf);
	assert_int_equal(dev.pf.device, 3);
	assert_int_equal(dev.pf.function, 0);
}

static void test_list(void **state)
{
	struct fake_sys *fake = *state;
	_cleanup_free_ struct pci_device *list = NULL;
	size_t count = 1;

	assert_int_equal(pci_list(&fake->sysfs, &list, &count), 0);
	assert_int_equal(count, 0);
	free(list);
	list = NULL;
	fake_sys_pci(fake, "10000:00:00.0", 0x010802, "nvme", 3);
	fake_sys_pci(fake, "0000:01:00.0", 0x010802, "nvme", 2);
	fake_sys_pci(fake, "0000:00:1c.0", 0x060400, "pcieport", 1);
	assert_int_equal(pci_list(&fake->sysfs, &list, &count), 0);
	assert_int_equal(count, 3);
	assert_string_equal(list[0].name, "0000:00:1c.0");
	assert_true(list[0].bridge);
	assert_string_equal(list[1].name, "0000:01:00.0");
	assert_string_equal(list[2].name, "10000:00:00.0");
}

static void test_texts(void **state)
{
	(void)state;
	assert_string_equal(pci_class_text(0x010802), "NVMe controller");
	assert_string_equal(pci_class_text(0x010801),
			    "Non-volatile memory controller");
	assert_string_equal(pci_class_text(0x01ff00), "Storage controller");
	assert_string_equal(pci_class_text(0xff0000), "PCI device");
	assert_true(pci_is_vfio_driver("vfio-pci"));
	assert_true(pci_is_vfio_driver("mlx5_vfio_pci"));
	assert_false(pci_is_vfio_driver("nvme"));
	assert_false(pci_is_vfio_driver(""));
}

#define test(f) \
	cmocka_unit_test_setup_teardown(f, fake_sys_setup, fake_sys_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_attributes), test(test_links_and_lists),
		test(test_device),     test(test_functions),
		test(test_list),       cmocka_unit_test(test_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
