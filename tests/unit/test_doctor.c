// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/pvdmactl/doctor*.c on the files of hosts that are made here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/macros.h"
#include "pvdmactl/doctor.h"
#include "pvdmactl/doctor_impl.h"
#include "tests/unit/support/fake_sys.h"

#define NVME   "0000:01:00.0"
#define DOMAIN "etc/libvirt/qemu/vm1.xml"

/* What a healthy host's files say, where a check looks. */
static void make_healthy(const struct fake_sys *fake)
{
	fake_sys_link(fake, "x", "sys/class/iommu/dmar0");
	fake_sys_pci(fake, NVME, 0x010802, "nvme", 12);
	fake_sys_pci(fake, "0000:00:1c.0", 0x060400, "pcieport", 1);
	fake_sys_file(fake, " 24: 0 IR-PCI-MSI 1-edge eth0\n",
		      "proc/interrupts");
	fake_sys_file(fake, "vendor_id : GenuineIntel\nflags : fpu vmx\n",
		      "proc/cpuinfo");
	fake_sys_file(fake, "quiet intel_iommu=on\n", "proc/cmdline");
	fake_sys_file(fake, "", "dev/kvm");
	fake_sys_mkdir(fake, "sys/module/vfio");
	fake_sys_mkdir(fake, "sys/module/vfio_pci");
	fake_sys_file(fake, "65535\n",
		      "sys/module/vfio_iommu_type1/parameters/dma_entry_limit");
	fake_sys_file(fake, "[Service]\n",
		      "usr/lib/systemd/system/pvdma-agent@.service");
	fake_sys_file(fake, "# settings\nbudget=256M\n",
		      "etc/pvdma/pvdmad.conf");
	fake_sys_file(fake, "MemTotal:        8388608 kB\n", "proc/meminfo");
	fake_sys_file(fake, "Filename\n/dev/zram0 partition 1048576 0 100\n",
		      "proc/swaps");
	fake_sys_file(fake, "#!/bin/sh\n", "etc/libvirt/hooks/qemu.d/pvdma");
	assert_int_equal(fchmodat(fake->sysfs.root,
				  "etc/libvirt/hooks/qemu.d/pvdma", 0755, 0),
			 0);
}

/* Runs all checks. The answer is to be put. */
static json_object *run(const struct fake_sys *fake,
			struct doctor_options options, int expected)
{
	_cleanup_free_ char *text = NULL;
	json_object *object, *checks;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	options.root = fake->root;
	options.json = true;
	assert_int_equal(doctor_run(&options, f), expected);
	assert_int_equal(fclose(f), 0);
	object = json_tokener_parse(text);
	assert_non_null(object);
	assert_true(json_object_object_get_ex(object, "checks", &checks));
	return object;
}

static const char *string_of(json_object *check, const char *key)
{
	json_object *value;

	assert_true(json_object_object_get_ex(check, key, &value));
	return json_object_get_string(value);
}

/* "STATE: DETAIL -> FIX" of a check; good until the next call. */
static const char *found(json_object *object, const char *name)
{
	static char text[2048];
	json_object *checks = json_object_object_get(object, "checks");

	for (size_t i = 0; i < json_object_array_length(checks); i++) {
		json_object *check = json_object_array_get_idx(checks, i);

		if (strcmp(string_of(check, "name"), name) != 0)
			continue;
		(void)snprintf(text, sizeof(text), "%s: %s -> %s",
			       string_of(check, "state"),
			       string_of(check, "detail"),
			       string_of(check, "fix"));
		return text;
	}
	return "not there";
}

static void assert_found(json_object *object, const char *name,
			 const char *expected)
{
	const char *text = found(object, name);

	if (!strstr(text, expected))
		fail_msg("%s: \"%s\" is not in:\n%s", name, expected, text);
}

/* Runs the checks, and looks at one. */
static void assert_one(const struct fake_sys *fake, int expected,
		       const char *name, const char *text)
{
	json_object *object = run(fake, (struct doctor_options){ 0 }, expected);

	assert_found(object, name, text);
	(void)json_object_put(object);
}

static void test_healthy(void **state)
{
	json_object *object;

	make_healthy(*state);
	object = run(*state, (struct doctor_options){ 0 }, 0);
	assert_found(object, "iommu", "ok: in use: 1 unit, 2 groups -> ");
	assert_found(object, "interrupt remapping", "ok: on -> ");
	assert_found(object, "iommu groups", "ok: each device has one");
	assert_found(object, "devices",
		     "ok: 1 of 1 can be assigned:\n0000:01:00.0 NVMe "
		     "controller [8086:10d3]: yes, IOMMU group 12, driver "
		     "nvme -> ");
	assert_found(object, "kvm", "ok: usable");
	assert_found(object, "vfio", "ok: ");
	assert_found(object, "agent's unit", "ok: /usr/lib/systemd/system/");
	assert_found(object, "pvdmad", "skipped: ");
	assert_found(object, "budget", "ok: 256 of 8192 MiB");
	assert_found(object, "mappings",
		     "ok: a VM may have 65535, which is 255 MiB in pages");
	assert_found(object, "swap", "ok: 1024 MiB, with zram");
	assert_found(object, "libvirt", "skipped: ");
	assert_found(object, "hook", "ok: ");
	assert_found(object, "apparmor", "ok: not in use");
	assert_found(object, "qemu", "skipped: ");
	assert_string_equal(found(object, "domain"), "not there");
	(void)json_object_put(object);
}

/* A host of which nothing is known: no check may be ok by ignorance. */
static void test_empty(void **state)
{
	json_object *object = run(*state, (struct doctor_options){ 0 }, 1);

	assert_found(object, "iommu", "error: none: ");
	assert_found(object, "interrupt remapping", "skipped: ");
	assert_found(object, "iommu groups", "skipped: ");
	assert_found(object, "devices", "warning: 0 of 0");
	assert_found(object, "kvm", "error: ");
	assert_found(object, "vfio", "error: this kernel has no module vfio");
	assert_found(object, "agent's unit", "error: ");
	assert_found(object, "budget", "skipped: ");
	assert_found(object, "mappings", "skipped: ");
	assert_found(object, "swap", "skipped: ");
	assert_found(object, "hook", "skipped: ");
	(void)json_object_put(object);
}

static void test_iommu(void **state)
{
	fake_sys_file(*state, "vendor_id : GenuineIntel\n", "proc/cpuinfo");
	assert_one(*state, 1, "iommu", "with intel_iommu=on");
	fake_sys_link(*state, "x", "sys/class/iommu/dmar0");
	assert_one(*state, 1, "iommu", "error: there, but not in use");
	fake_sys_file(*state, "vendor_id : AuthenticAMD\n", "proc/cpuinfo");
	assert_one(*state, 1, "iommu", "AMD-Vi");
	fake_sys_file(*state, "quiet amd_iommu=off\n", "proc/cmdline");
	assert_one(*state, 1, "iommu", "-> boot without amd_iommu=off");
}

static void test_interrupts(void **state)
{
	make_healthy(*state);
	fake_sys_file(*state, " 24: 0 PCI-MSI 1-edge eth0\n",
		      "proc/interrupts");
	assert_one(*state, 1, "interrupt remapping", "error: off");
	fake_sys_file(*state, "Y\n",
		      "sys/module/vfio_iommu_type1/parameters/"
		      "allow_unsafe_interrupts");
	assert_one(*state, 0, "interrupt remapping", "warning: off");
}

static void test_groups(void **state)
{
	make_healthy(*state);
	fake_sys_pci(*state, "0000:01:00.1", 0x0c0330, "xhci_hcd", 12);
	assert_one(*state, 0, "iommu groups",
		   "together:\n12: 0000:01:00.0, 0000:01:00.1 -> ");
	assert_one(*state, 0, "devices",
		   "no: 0000:01:00.1 (xhci_hcd) is in the same IOMMU group");
}

static void test_modules(void **state)
{
	struct fake_sys *fake = *state;

	make_healthy(fake);
	fake_sys_file(fake, "6.12.1\n", "proc/sys/kernel/osrelease");
	assert_int_equal(unlinkat(fake->sysfs.root, "sys/module/vfio_pci",
				  AT_REMOVEDIR),
			 0);
	assert_one(fake, 1, "vfio",
		   "error: this kernel has no module vfio-pci");
	fake_sys_file(fake, "kernel/drivers/vfio/pci/vfio-pci.ko.xz:\n",
		      "lib/modules/6.12.1/modules.dep");
	assert_one(fake, 0, "vfio",
		   "warning: module vfio-pci is there, but not loaded -> "
		   "modprobe vfio-pci");
	fake_sys_file(fake, "kernel/drivers/vfio/pci/vfio-pci.ko\n",
		      "lib/modules/6.12.1/modules.builtin");
	fake_sys_file(fake, "", "lib/modules/6.12.1/modules.dep");
	assert_one(fake, 0, "vfio", "ok: ");
}

static void test_memory(void **state)
{
	make_healthy(*state);
	fake_sys_file(*state, "budget = 4G\n", "etc/pvdma/pvdmad.conf");
	assert_one(*state, 0, "mappings", "dma_entry_limit=1048576 > ");
	fake_sys_file(*state, "budget=7G\n", "etc/pvdma/pvdmad.conf");
	assert_one(*state, 0, "budget", "warning: 7168 of 8192 MiB");
	fake_sys_file(*state, "budget=9G\n", "etc/pvdma/pvdmad.conf");
	assert_one(*state, 1, "budget", "error: 9216 of 8192 MiB");
	fake_sys_file(*state, "", "etc/pvdma/pvdmad.conf");
	assert_one(*state, 0, "budget", "warning: none: ");
	fake_sys_file(*state, "Filename Type\n", "proc/swaps");
	assert_one(*state, 0, "swap", "warning: none");
}

static void test_unit(void **state)
{
	make_healthy(*state);
	fake_sys_file(*state, "[Service]\nLimitNOFILE=99\n",
		      "etc/systemd/system/pvdma-agent@.service.d/a.conf");
	assert_one(*state, 0, "agent's unit", "ok: /usr/lib/");
	fake_sys_file(*state, "AmbientCapabilities=CAP_IPC_LOCK\n",
		      "etc/systemd/system/pvdma-agent@.service.d/b.conf");
	assert_one(*state, 0, "agent's unit",
		   "CAP_IPC_LOCK out of /etc/systemd/system/"
		   "pvdma-agent@.service.d/b.conf");
}

static void test_hook_and_apparmor(void **state)
{
	struct fake_sys *fake = *state;

	make_healthy(fake);
	assert_int_equal(fchmodat(fake->sysfs.root,
				  "etc/libvirt/hooks/qemu.d/pvdma", 0644, 0),
			 0);
	assert_one(fake, 1, "hook", "-> chmod 755 /etc/libvirt/hooks/");
	fake_sys_remove(fake, "etc/libvirt/hooks/qemu.d/pvdma");
	assert_one(fake, 1, "hook", "error: there is no /etc/libvirt/hooks/");
	fake_sys_file(fake, "exec pvdmactl hook\n", "etc/libvirt/hooks/qemu");
	assert_int_equal(fchmodat(fake->sysfs.root, "etc/libvirt/hooks/qemu",
				  0755, 0),
			 0);
	assert_one(fake, 0, "hook", "ok: /etc/libvirt/hooks/qemu -> ");
	fake_sys_file(fake, "Y\n", "sys/module/apparmor/parameters/enabled");
	assert_one(fake, 0, "apparmor", "ok: on, without rules");
	fake_sys_file(fake, "/dev/kvm rw,\n",
		      "etc/apparmor.d/abstractions/libvirt-qemu");
	assert_one(fake, 1, "apparmor", "error: on, and keeps QEMU from");
	/* a folder that Debian 12's libvirt does not read, and later ones do */
	fake_sys_file(fake, "/run/pvdma/vm/*/*.sock rw,\n",
		      "etc/apparmor.d/abstractions/libvirt-qemu.d/pvdma");
	assert_one(fake, 1, "apparmor", "error: on, and keeps QEMU from");
	fake_sys_file(fake,
		      "/dev/kvm rw,\n"
		      "include if exists <abstractions/libvirt-qemu.d>\n",
		      "etc/apparmor.d/abstractions/libvirt-qemu");
	assert_one(fake, 0, "apparmor", "ok: on, and lets guests reach");
	/* what one does about it there */
	fake_sys_file(fake, "/dev/kvm rw,\n",
		      "etc/apparmor.d/abstractions/libvirt-qemu");
	fake_sys_file(fake, "#include <abstractions/libvirt-qemu.d/pvdma>\n",
		      "etc/apparmor.d/local/abstractions/libvirt-qemu");
	assert_one(fake, 0, "apparmor", "ok: on, and lets guests reach");
	fake_sys_remove(fake,
			"etc/apparmor.d/abstractions/libvirt-qemu.d/pvdma");
	assert_one(fake, 1, "apparmor", "error: on, and keeps QEMU from");
	fake_sys_file(fake, "/run/pvdma/vm/*/*.sock rw,\n",
		      "etc/apparmor.d/local/abstractions/libvirt-qemu");
	assert_one(fake, 0, "apparmor", "ok: on, and lets guests reach");
}

/* A program that answers as QEMU does. */
static void make_qemu(const struct fake_sys *fake, const char *version,
		      const char *devices)
{
	char text[512];

	(void)snprintf(text, sizeof(text),
		       "#!/bin/sh\n"
		       "if [ \"$1\" = --version ]; then\n"
		       "  echo 'QEMU emulator version %s (Debian)'\n"
		       "else\n  printf '%s'\nfi\n",
		       version, devices);
	fake_sys_file(fake, text, "qemu");
	assert_int_equal(fchmodat(fake->sysfs.root, "qemu", 0755, 0), 0);
}

static void assert_qemu(const struct fake_sys *fake, int expected,
			const char *text)
{
	char path[128];
	json_object *object;

	(void)snprintf(path, sizeof(path), "%s/qemu", fake->root);
	object = run(fake, (struct doctor_options){ .qemu = path }, expected);
	assert_found(object, "qemu", text);
	(void)json_object_put(object);
}

static void test_qemu(void **state)
{
	const char *devices = "name \"vfio-user-pci\", bus PCI\\n"
			      "name \"vhost-user-test-device-pci\", bus PCI\\n";

	make_healthy(*state);
	assert_qemu(*state, 1, "error: there is no ");
	make_qemu(*state, "10.2.1", devices);
	assert_qemu(*state, 0, "/qemu, version 10.2 -> ");
	make_qemu(*state, "11.0.0", devices);
	assert_qemu(*state, 0, "version 11.0");
	make_qemu(*state, "10.1.9", devices);
	assert_qemu(*state, 1, "version 10.1, which is too old");
	make_qemu(*state, "9.3.0", devices);
	assert_qemu(*state, 1, "version 9.3, which is too old");
	make_qemu(*state, "10.2.0", "name \"vfio-user-pci\", bus PCI\\n");
	assert_qemu(*state, 1, "without the device vhost-user-test-device-pci");
	make_qemu(*state, "ten", devices);
	assert_qemu(*state, 1, "does not say its version");
	fake_sys_file(*state, "#!/bin/sh\nexit 1\n", "qemu");
	assert_qemu(*state, 1, "does not work: it fails");
}

#define XML_HEAD                                                 \
	"<domain xmlns:qemu='http://libvirt.org/schemas/domain/" \
	"qemu/1.0'><name>vm1</name><metadata>"                   \
	"<p:vm xmlns:p='https://pvdma.org/xmlns/libvirt/domain/" \
	"1.0' quota='64M'><p:device address='" NVME "'/></p:vm>" \
	"</metadata>"
#define XML_MEMORY                                                     \
	"<memoryBacking><source type='memfd'/><access mode='shared'/>" \
	"</memoryBacking>"
#define XML_ARGS                                                          \
	"<qemu:commandline><qemu:arg value='-chardev'/><qemu:arg value='" \
	"socket,id=pvdma-vhost,path=/run/pvdma/vm/vm1/vhost.sock'/>"      \
	"<qemu:arg value='vhost-user-test-device-pci,virtio-id=39'/>"     \
	"<qemu:arg value='{\"driver\":\"vfio-user-pci\",\"socket\":{"     \
	"\"path\":\"/run/pvdma/vm/vm1/" NVME ".sock\"}}'/>"               \
	"</qemu:commandline>"

static void assert_domain(const struct fake_sys *fake, int expected,
			  const char *name, const char *text)
{
	json_object *object =
		run(fake, (struct doctor_options){ .domain = "vm1" }, expected);

	assert_found(object, name, text);
	(void)json_object_put(object);
}

static void test_domain(void **state)
{
	make_healthy(*state);
	fake_sys_file(*state, XML_HEAD XML_MEMORY XML_ARGS "</domain>", DOMAIN);
	assert_domain(*state, 0, "domain", "ok: vm1, quota 64M");
	assert_domain(*state, 0, "domain's memory", "ok: shared");
	assert_domain(*state, 0, "domain's arguments", "ok: as attach");
	assert_domain(*state, 0, "domain's devices", "ok: 1, which can");
	fake_sys_file(*state,
		      XML_HEAD "<memoryBacking><source type='memfd'/>"
			       "</memoryBacking></domain>",
		      DOMAIN);
	assert_domain(*state, 1, "domain's memory", "error: private");
	assert_domain(*state, 1, "domain's arguments",
		      "is without a chardev for /run/pvdma/vm/vm1/vhost.sock");
	fake_sys_file(*state, XML_HEAD XML_ARGS "</domain>", DOMAIN);
	assert_domain(*state, 1, "domain's memory", "error: anonymous");
	fake_sys_file(*state,
		      XML_HEAD "<memoryBacking><hugepages/>"
			       "<access mode='shared'/></memoryBacking>"
			       "</domain>",
		      DOMAIN);
	assert_domain(*state, 1, "domain's memory", "ok: shared");
	fake_sys_file(*state,
		      XML_HEAD "<memoryBacking><source type='file'/>"
			       "<access mode='shared'/></memoryBacking>"
			       "</domain>",
		      DOMAIN);
	assert_domain(*state, 1, "domain's memory", "error: in a file");
}

/* What the hook would refuse is an error here. */
static void test_domain_settings(void **state)
{
	static const char head[] =
		"<domain><name>vm 1</name><metadata><p:vm xmlns:p="
		"'https://pvdma.org/xmlns/libvirt/domain/1.0' ";
	static const struct {
		const char *settings, *text;
	} cases[] = {
		{ "name='a' quota='64MB'/>", "error: domain vm 1: quota=" },
		{ "name='a' quota='64M' min='1G'/>", "min <= quota" },
		{ "name='a' quota='64M' quote='1'/>", "quote" },
		{ "quota='64M'/>", "error: no VM can be called \"vm 1\"" },
	};

	make_healthy(*state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char xml[512];

		(void)snprintf(xml, sizeof(xml), "%s%s</metadata></domain>",
			       head, cases[i].settings);
		fake_sys_file(*state, xml, DOMAIN);
		assert_domain(*state, 1, "domain", cases[i].text);
	}
}

static void test_domain_devices(void **state)
{
	fake_sys_file(*state, XML_HEAD XML_MEMORY XML_ARGS "</domain>", DOMAIN);
	assert_domain(*state, 1, "domain's devices",
		      "error: 0000:01:00.0: there is no such device");
	make_healthy(*state);
	fake_sys_block(*state, NVME, NULL, "nvme0n1", "259:0\n");
	fake_sys_file(*state, "2 1 259:0 / / rw - ext4 /dev/root rw\n",
		      "proc/self/mountinfo");
	assert_domain(*state, 1, "domain's devices",
		      "error: 0000:01:00.0 is the disk nvme0n1, mounted at /");
}

static void test_devices_asked_for(void **state)
{
	struct doctor_options options = { .device_count = 2 };
	json_object *object;

	make_healthy(*state);
	fake_sys_pci(*state, "0000:02:00.0", 0x020000, "e1000e", 13);
	assert_int_equal(parse_pci_address(NVME, &options.devices[0]), 0);
	assert_int_equal(parse_pci_address("02:00.0", &options.devices[1]), 0);
	object = run(*state, options, 0);
	assert_found(object, "devices",
		     "ok: 2, which can be assigned together -> ");
	(void)json_object_put(object);
	assert_int_equal(parse_pci_address("03:00.0", &options.devices[1]), 0);
	fake_sys_block(*state, NVME, NULL, "nvme0n1", "259:0\n");
	fake_sys_file(*state, "2 1 259:0 / / rw - ext4 /dev/root rw\n",
		      "proc/self/mountinfo");
	object = run(*state, options, 1);
	assert_found(object, "devices",
		     "error: 0000:01:00.0 is the disk nvme0n1, mounted at /");
	assert_found(object, "devices",
		     "\n0000:03:00.0: there is no such device -> ");
	(void)json_object_put(object);
}

static void test_domain_wrong(void **state)
{
	make_healthy(*state);
	assert_domain(*state, 1, "domain",
		      "error: vm1 cannot be read: No such");
	assert_domain(*state, 1, "domain's memory",
		      "skipped: the domain cannot be read");
	fake_sys_file(*state, "<domain><name>", DOMAIN);
	assert_domain(*state, 1, "domain", "its XML cannot be read");
	fake_sys_file(*state, "<domain><name>vm1</name></domain>", DOMAIN);
	assert_domain(*state, 1, "domain",
		      "error: vm1 has no device from pvdma -> pvdmactl attach "
		      "vm1 ");
}

/* libvirt's own driver for tests has a domain "test". */
static void test_libvirt(void **state)
{
	struct doctor_options options = { .connect = "test:///default",
					  .domain = "test" };
	json_object *object;

	make_healthy(*state);
	object = run(*state, options, 1);
	assert_found(object, "libvirt", "ok: answers, version ");
	assert_found(object, "domain", "error: test has no device from pvdma");
	(void)json_object_put(object);
	options.domain = "nobody";
	object = run(*state, options, 1);
	assert_found(object, "domain", "error: nobody cannot be read: ");
	(void)json_object_put(object);
}

static void test_text(void **state)
{
	struct fake_sys *fake = *state;
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	make_healthy(fake);
	fake_sys_file(fake, "Filename\n", "proc/swaps");
	assert_non_null(f);
	assert_int_equal(
		doctor_run(&(struct doctor_options){ .root = fake->root }, f),
		0);
	assert_int_equal(fclose(f), 0);
	assert_non_null(strstr(text, "ok       iommu                in use"));
	assert_non_null(strstr(text, "\nwarning  swap                 none: "));
	assert_non_null(strstr(text, "\n                              -> add a "
				     "swap file"));
	assert_null(strchr(text, '\033'));
}

static void test_arguments(void **state)
{
	char *argv[] = { (char[]){ "doctor" }, (char[]){ "vm1" },
			 (char[]){ "--json" }, (char[]){ "--qemu" },
			 (char[]){ "/q" },     NULL };
	struct doctor_options options;

	(void)state;
	assert_int_equal(doctor_parse(5, argv, &options), 0);
	assert_true(options.json);
	assert_string_equal(options.domain, "vm1");
	assert_string_equal(options.qemu, "/q");
	assert_null(options.root);
	argv[1] = argv[2] = argv[3] = argv[4];
	assert_int_equal(doctor_parse(3, argv, &options), -EINVAL);
}

static void test_argument_devices(void **state)
{
	char *argv[2 * DOCTOR_DEVICES_MAX + 4] = { (char[]){ "doctor" } };
	char flag[] = "--device", address[] = NVME, other[] = "nvme0n1";
	struct doctor_options options;

	(void)state;
	for (size_t i = 0; i <= DOCTOR_DEVICES_MAX; i++) {
		argv[1 + 2 * i] = flag;
		argv[2 + 2 * i] = address;
	}
	assert_int_equal(
		doctor_parse(1 + 2 * DOCTOR_DEVICES_MAX, argv, &options), 0);
	assert_int_equal(options.device_count, DOCTOR_DEVICES_MAX);
	assert_int_equal(options.devices[DOCTOR_DEVICES_MAX - 1].bus, 1);
	assert_int_equal(doctor_parse(3 + 2 * DOCTOR_DEVICES_MAX, argv,
				      &options),
			 -EINVAL);
	argv[2] = other;
	assert_int_equal(doctor_parse(3, argv, &options), -EINVAL);
}

#define test(f) \
	cmocka_unit_test_setup_teardown(f, fake_sys_setup, fake_sys_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_healthy),
		test(test_empty),
		test(test_iommu),
		test(test_interrupts),
		test(test_groups),
		test(test_modules),
		test(test_memory),
		test(test_unit),
		test(test_hook_and_apparmor),
		test(test_qemu),
		test(test_domain),
		test(test_domain_settings),
		test(test_domain_devices),
		test(test_devices_asked_for),
		test(test_domain_wrong),
		test(test_libvirt),
		test(test_text),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_argument_devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
