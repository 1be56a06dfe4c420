// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/pvdmad/group.c, usage*.c and check.c: what stands in the
 * way of assigning a device, and that it is said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "pvdmad/check.h"
#include "pvdmad/group.h"
#include "pvdmad/usage.h"
#include "tests/unit/support/fake_sys.h"

#define NVME "0000:01:00.0"
#define NIC  "0000:02:00.0"

static struct pci_address address_of(const char *name)
{
	struct pci_address address;

	assert_int_equal(parse_pci_address(name, &address), 0);
	return address;
}

static struct pci_device device_of(const struct fake_sys *fake,
				   const char *name)
{
	struct pci_address address = address_of(name);
	struct pci_device dev;

	assert_int_equal(pci_read(&fake->sysfs, &address, &dev), 0);
	return dev;
}

/* All that is wrong with @name, what and fix, one a line. To be freed. */
static char *all_of(const struct fake_sys *fake, const char *name,
		    const struct pci_address *with, size_t count)
{
	_cleanup_(problems_done) struct problems problems = { 0 };
	struct pci_device dev = device_of(fake, name);
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	assert_int_equal(check_device(&fake->sysfs, &dev, with, count,
				      CHECK_LOOK, &problems),
			 0);
	for (size_t i = 0; i < problems.count; i++)
		(void)fprintf(f, "%s: %s\n", problems.list[i].what,
			      problems.list[i].fix);
	assert_int_equal(fclose(f), 0);
	return text;
}

static void assert_says(const struct fake_sys *fake, const char *name,
			const char *expected)
{
	_cleanup_free_ char *text = all_of(fake, name, NULL, 0);

	if (!strstr(text, expected))
		fail_msg("\"%s\" is not in:\n%s", expected, text);
}

static void assert_fine(const struct fake_sys *fake, const char *name)
{
	_cleanup_free_ char *text = all_of(fake, name, NULL, 0);

	assert_string_equal(text, "");
}

static void test_alone(void **state)
{
	fake_sys_pci(*state, NVME, 0x010802, "nvme", 12);
	assert_fine(*state, NVME);
}

static void test_blocked(void **state)
{
	struct pci_address with = address_of("0000:01:00.1");
	_cleanup_free_ char *text = NULL;

	fake_sys_pci(*state, NVME, 0x010802, "nvme", 12);
	fake_sys_pci(*state, "0000:01:00.1", 0x0c0330, "xhci_hcd", 12);
	fake_sys_pci(*state, "0000:01:00.2", 0x0c0330, "vfio-pci", 12);
	fake_sys_pci(*state, "0000:01:00.3", 0x0c0330, NULL, 12);
	fake_sys_pci(*state, "0000:00:1c.0", 0x060400, "pcieport", 12);
	assert_says(*state, NVME,
		    "0000:01:00.1 (xhci_hcd) is in the same IOMMU group 12 as "
		    "0000:01:00.0: assign it too, or unbind it (echo "
		    "0000:01:00.1 > /sys/bus/pci/drivers/xhci_hcd/unbind), or "
		    "move the card to another slot\n");
	text = all_of(*state, NVME, &with, 1);
	assert_string_equal(text, "");
}

static void test_no_iommu(void **state)
{
	fake_sys_pci(*state, NVME, 0x010802, "nvme", -1);
	assert_says(*state, NVME, "the host's IOMMU is off");
	assert_says(*state, NVME, "intel_iommu=on");
	fake_sys_pci(*state, NIC, 0x020000, "e1000e", 1);
	assert_says(*state, NVME, "is in no IOMMU group");
	fake_sys_file(*state, "vfio-noiommu\n",
		      "sys/kernel/iommu_groups/1/name");
	assert_says(*state, NIC, "mode without an IOMMU");
}

static void test_bridge_and_module(void **state)
{
	_cleanup_free_ char *text = NULL;

	fake_sys_pci(*state, "0000:00:1c.0", 0x060400, "pcieport", 12);
	fake_sys_net(*state, "0000:00:1c.0", "eth0", true);
	fake_sys_link(*state, ".", "sys/class/net/eth0/master");
	text = all_of(*state, "0000:00:1c.0", NULL, 0);
	assert_string_equal(text, "0000:00:1c.0 is a bridge (PCI bridge "
				  "[8086:10d3]): assign the devices behind "
				  "it\n");
	fake_sys_pci(*state, NVME, 0x010802, "nvme", 13);
	assert_fine(*state, NVME);
	fake_sys_unload(*state, "vfio-pci");
	assert_says(*state, NVME,
		    "driver vfio-pci is not loaded: modprobe vfio-pci\n");
}

static void test_mounted(void **state)
{
	fake_sys_pci(*state, NVME, 0x010802, "nvme", 12);
	fake_sys_block(*state, NVME, NULL, "nvme0n1", "259:0\n");
	fake_sys_block(*state, NVME, "nvme0n1", "nvme0n1p1", "259:1\n");
	fake_sys_file(*state,
		      "1 1 0:22 / /proc rw - proc proc rw\n"
		      "2 1 259:10 / /other rw - ext4 /dev/nvme0n10 rw\n",
		      "proc/self/mountinfo");
	assert_fine(*state, NVME);
	fake_sys_file(*state, "2 1 259:1 / / rw shared:1 - ext4 /dev/root rw\n",
		      "proc/1/mountinfo");
	assert_says(*state, NVME,
		    "0000:01:00.0 is the disk nvme0n1p1, mounted at /: ");
	/* By name: btrfs has numbers of its own. */
	fake_sys_file(*state, "2 1 0:40 / /srv rw - btrfs /dev/nvme0n1p1 rw\n",
		      "proc/1/mountinfo");
	assert_says(*state, NVME, "nvme0n1p1, mounted at /srv: ");
}

static void test_swap_and_btrfs(void **state)
{
	fake_sys_pci(*state, NVME, 0x010802, "nvme", 12);
	fake_sys_block(*state, NVME, NULL, "nvme0n1", "259:0\n");
	fake_sys_file(*state,
		      "Filename Type Size Used Priority\n"
		      "/dev/nvme0n1 partition 8 0 -2\n",
		      "proc/swaps");
	assert_says(*state, NVME, "is the disk nvme0n1, used as swap: ");
	fake_sys_file(*state, "Filename\n", "proc/swaps");
	assert_fine(*state, NVME);
	fake_sys_link(*state, "x", "sys/fs/btrfs/uuid/devices/other");
	assert_fine(*state, NVME);
	fake_sys_file(*state, "", "sys/fs/btrfs/uuid/devices/nvme0n1");
	assert_says(*state, NVME, "part of the mounted btrfs uuid");
}

static void test_holders(void **state)
{
	fake_sys_pci(*state, NVME, 0x010802, "nvme", 12);
	fake_sys_block(*state, NVME, NULL, "nvme0n1", "259:0\n");
	fake_sys_mkdir(*state, "sys/devices/virtual/block/dm-0/holders");
	fake_sys_file(*state, "vg-root\n",
		      "sys/devices/virtual/block/dm-0/dm/name");
	fake_sys_file(*state, "254:0\n", "sys/devices/virtual/block/dm-0/dev");
	fake_sys_link(*state, "../../devices/virtual/block/dm-0",
		      "sys/class/block/dm-0");
	fake_sys_link(*state, "../../dm-0",
		      "sys/devices/pci0000:00/" NVME
		      "/block/nvme0n1/holders/dm-0");
	assert_says(*state, NVME,
		    "is the disk nvme0n1, part of dm-0 (vg-root): ");
	fake_sys_file(*state, "2 1 254:0 / /home rw - ext4 /dev/x rw\n",
		      "proc/self/mountinfo");
	assert_says(*state, NVME,
		    "nvme0n1, part of dm-0 (vg-root), mounted at /home: ");
}

/* A ring of holders does not exist; the depth is bounded all the same. */
static void test_holders_ring(void **state)
{
	fake_sys_pci(*state, NVME, 0x010802, "nvme", 12);
	fake_sys_block(*state, NVME, NULL, "nvme0n1", "259:0\n");
	fake_sys_file(*state, "", "sys/class/block/nvme0n1/holders/nvme0n1");
	assert_says(*state, NVME, "part of nvme0n1, part of nvme0n1");
}

static void test_multipath(void **state)
{
	const char *head = "sys/devices/virtual/nvme-subsystem/nvme-subsys0";

	fake_sys_pci(*state, NVME, 0x010802, "nvme", 12);
	fake_sys_file(*state, "259:5\n", "%s/nvme0n1/dev", head);
	fake_sys_link(*state,
		      "../../devices/virtual/nvme-subsystem/nvme-subsys0/"
		      "nvme0n1",
		      "sys/class/block/nvme0n1");
	fake_sys_link(*state, "../../../pci0000:00/" NVME "/nvme/nvme0",
		      "%s/nvme0", head);
	fake_sys_link(*state,
		      "../../devices/virtual/nvme-subsystem/nvme-subsys0",
		      "sys/class/nvme-subsystem/nvme-subsys0");
	assert_fine(*state, NVME);
	fake_sys_file(*state, "2 1 259:5 / /data rw - xfs /dev/nvme0n1 rw\n",
		      "proc/self/mountinfo");
	assert_says(*state, NVME, "is the disk nvme0n1, mounted at /data");
}

static void test_interface(void **state)
{
	fake_sys_pci(*state, NIC, 0x020000, "e1000e", 3);
	fake_sys_net(*state, NIC, "eth0", false);
	fake_sys_file(*state, "Iface\tDestination\neth1 00000000 01\n",
		      "proc/1/net/route");
	assert_fine(*state, NIC);
	fake_sys_file(*state, "0x1003\n", "sys/class/net/eth0/flags");
	assert_fine(*state, NIC);
	fake_sys_file(*state, "Iface\tDestination\neth0 0000000A 01\n",
		      "proc/1/net/route");
	assert_says(*state, NIC,
		    "0000:02:00.0 is the network interface eth0, which is up "
		    "and has an address");
	fake_sys_file(*state,
		      "Iface\tDestination\neth0\t00000000\t01\n"
		      "eth0\t0000000A\t01\n",
		      "proc/1/net/route");
	assert_says(*state, NIC, "has the default route");
}

static void test_interface_ipv6(void **state)
{
	fake_sys_pci(*state, NIC, 0x020000, "e1000e", 3);
	fake_sys_net(*state, NIC, "eth0", true);
	fake_sys_file(*state,
		      "fe80000000000000505400fffe123456 02 40 20 80     eth0\n",
		      "proc/1/net/if_inet6");
	assert_fine(*state, NIC);
	fake_sys_file(*state,
		      "20010db8000000000000000000000001 02 40 00 80     eth0\n",
		      "proc/1/net/if_inet6");
	assert_says(*state, NIC, "eth0, which is up and has an address");
	fake_sys_link(*state, ".", "sys/class/net/eth0/master");
	assert_says(*state, NIC, "part of a bridge or bond");
}

static void test_interface_carries(void **state)
{
	fake_sys_pci(*state, NIC, 0x020000, "e1000e", 3);
	fake_sys_net(*state, NIC, "eth0", true);
	fake_sys_link(*state, ".", "sys/class/net/eth0/lower_x");
	assert_fine(*state, NIC);
	fake_sys_link(*state, "../eth0.100",
		      "sys/class/net/eth0/upper_eth0.100");
	assert_says(*state, NIC, "eth0, which is up and carries others");
}

static void test_functions(void **state)
{
	fake_sys_pci(*state, NIC, 0x020000, "e1000e", 3);
	fake_sys_file(*state, "4\n",
		      "sys/bus/pci/devices/" NIC "/sriov_numvfs");
	assert_says(*state, NIC, "has 4 virtual functions");
}

/* What has vfio-pci already is not in use by the host, whatever it looks like. */
static void test_bound(void **state)
{
	fake_sys_pci(*state, NVME, 0x010802, "vfio-pci", 12);
	fake_sys_block(*state, NVME, NULL, "nvme0n1", "259:0\n");
	fake_sys_file(*state, "/dev/nvme0n1 partition\n", "proc/swaps");
	assert_fine(*state, NVME);
}

#define test(f) \
	cmocka_unit_test_setup_teardown(f, fake_sys_setup, fake_sys_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_alone),	   test(test_blocked),
		test(test_no_iommu),	   test(test_bridge_and_module),
		test(test_mounted),	   test(test_swap_and_btrfs),
		test(test_holders),	   test(test_holders_ring),
		test(test_multipath),	   test(test_interface),
		test(test_interface_ipv6), test(test_interface_carries),
		test(test_functions),	   test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
