// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/pvdmactl/hotplug.c and monitor.c, with a QEMU and a service
 * that are scripts: what is asked of whom, in which order, and what is undone.
 *
 * ctl_bus_*() are replaced by the linker (tests/unit/Makefile.inc).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "pvdmactl/bus.h"
#include "pvdmactl/hotplug.h"

#define QOM_EMPTY "{\"return\":[{\"name\":\"type\",\"type\":\"string\"}]}"
#define QOM_PORTS                                                        \
	"{\"return\":[{\"name\":\"pci.1\",\"type\":"                     \
	"\"child<pcie-root-port>\"},{\"name\":\"pci.2\",\"type\":"       \
	"\"child<pcie-root-port>\"},{\"name\":\"pvdma-port1\",\"type\":" \
	"\"child<pcie-root-port>\"},{\"name\":\"pvdma-0000-01-00.0\","   \
	"\"type\":\"child<vfio-user-pci>\"}]}"
#define BRIDGE(id, devices)                                            \
	"{\"bus\":0,\"slot\":2,\"qdev_id\":\"" id "\",\"pci_bridge\":" \
	"{\"bus\":{\"number\":0}" devices "}}"
#define PCI(a, b, c)                                                       \
	"{\"return\":[{\"bus\":0,\"devices\":[{\"qdev_id\":\"\"}," BRIDGE( \
		"pci.1",                                                   \
		a) "," BRIDGE("pci.2",                                     \
			      b) "," BRIDGE("pvdma-port1",                 \
					    c) "]}],\"id\":\"libvirt-9\"}"
#define FREE  ",\"devices\":[]"
#define TAKEN ",\"devices\":[{\"bus\":1,\"qdev_id\":\"x\"}]"
#define DONE  "{\"return\":{},\"id\":\"libvirt-7\"}"
#define ERROR                                                          \
	"{\"id\":\"libvirt-8\",\"error\":{\"class\":\"GenericError\"," \
	"\"desc\":\"no\"}}"

static const struct pci_address disk = { .bus = 1 };

/* What QEMU is asked (a part of it), and what it says. */
struct step {
	const char *asked, *answer;
};

/* A service, and the log of what it was asked. */
static struct {
	const struct step *steps;
	char log[256];
	int look, start, add, remove;
	const char *domain;
	size_t num_devices;
} fake;

#define UUID "5a1d3c2e-0000-4000-8000-00000000000a"

static int command(void *userdata, const char *json, char **ret_answer)
{
	(void)userdata;
	assert_non_null(fake.steps->asked);
	if (!strstr(json, fake.steps->asked))
		fail_msg("asked %s, expected %s", json, fake.steps->asked);
	*ret_answer = strdup(fake.steps->answer);
	fake.steps++;
	return *ret_answer ? 0 : -ENOMEM;
}

static void note(const char *what)
{
	(void)strcat(fake.log, what);
	(void)strcat(fake.log, ";");
}

int __wrap_ctl_bus_get_vm(sd_bus *bus, const char *name,
			  struct ctl_bus_vm *ret);
int __wrap_ctl_bus_start_vm(sd_bus *bus, const char *name,
			    const struct metadata *vm, const char *owner,
			    const char *domain);
int __wrap_ctl_bus_stop_vm(sd_bus *bus, const char *name);
int __wrap_ctl_bus_add_device(sd_bus *bus, const char *name,
			      const char *address, char **ret_socket);
int __wrap_ctl_bus_remove_device(sd_bus *bus, const char *name,
				 const char *address);

int __wrap_ctl_bus_get_vm(sd_bus *bus, const char *name, struct ctl_bus_vm *ret)
{
	(void)bus;
	assert_string_equal(name, "vm1");
	if (fake.look == 0)
		*ret = (struct ctl_bus_vm){
			.state = strdup("running"),
			.domain = strdup(fake.domain),
			.num_devices = fake.num_devices,
		};
	return fake.look;
}

int __wrap_ctl_bus_start_vm(sd_bus *bus, const char *name,
			    const struct metadata *vm, const char *owner,
			    const char *domain)
{
	(void)bus;
	(void)name;
	assert_string_equal(domain, UUID);
	assert_int_equal(vm->num_devices, 1);
	assert_string_equal(vm->values[METADATA_QUOTA], "64M");
	assert_null(owner);
	note("start");
	return fake.start;
}

int __wrap_ctl_bus_stop_vm(sd_bus *bus, const char *name)
{
	(void)bus;
	(void)name;
	note("stop");
	return 0;
}

int __wrap_ctl_bus_add_device(sd_bus *bus, const char *name,
			      const char *address, char **ret_socket)
{
	(void)bus;
	(void)name;
	assert_string_equal(address, "0000:01:00.0");
	note("add");
	if (fake.add == 0)
		*ret_socket = strdup("/s/1.sock");
	return fake.add;
}

int __wrap_ctl_bus_remove_device(sd_bus *bus, const char *name,
				 const char *address)
{
	(void)bus;
	(void)name;
	assert_string_equal(address, "0000:01:00.0");
	note("remove");
	return fake.remove;
}

static const char plain[] =
	"<domain type='kvm'><name>vm1</name><uuid>" UUID
	"</uuid><memoryBacking>"
	"<source type='memfd'/><access mode='shared'/></memoryBacking>"
	"<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>";
static const char private[] =
	"<domain type='kvm'><name>vm1</name>"
	"<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>";

static int quiet(void **state)
{
	(void)state;
	log_set_max_level(-1);
	return 0;
}

/* The service has the domain's VM, with two devices, and does what it is asked. */
static void begin(void)
{
	memset(&fake, 0, sizeof(fake));
	fake.domain = UUID;
	fake.num_devices = 2;
}

/* Attaches (or detaches) the disk; compares result and log. */
static void expect(const char *xml, bool out, const struct step *steps, int r,
		   const char *log)
{
	struct metadata changes = { 0 };
	struct hotplug hotplug = { .monitor = { .command = command } };

	fake.steps = steps;
	fake.log[0] = '\0';
	assert_int_equal(metadata_set(&changes, "t", METADATA_QUOTA, "64M"), 0);
	assert_int_equal(domain_xml_new(xml, &hotplug.live), 0);
	if (out)
		assert_int_equal(hotplug_detach(&hotplug, &disk), r);
	else
		assert_int_equal(hotplug_attach(&hotplug, &disk, &changes), r);
	assert_null(fake.steps->asked);
	assert_string_equal(fake.log, log);
	metadata_done(&changes);
	domain_xml_free(hotplug.live);
}

static void test_one_more(void **state)
{
	static const struct step ours[] = {
		{ "qom-list", QOM_PORTS },
		{ "query-pci", PCI(FREE, FREE, FREE) },
		{ "\"vfio-user-pci\",\"id\":\"pvdma-0000-01-00.0\","
		  "\"bus\":\"pvdma-port1\",\"socket\":{\"type\":\"unix\","
		  "\"path\":\"/s/1.sock\"}",
		  DONE },
		{ 0 },
	};
	static const struct step libvirts[] = {
		{ "qom-list", QOM_PORTS },
		{ "query-pci", PCI(FREE, , TAKEN) },
		{ "\"bus\":\"pci.2\"", DONE },
		{ 0 },
	};
	static const struct step no_ports[] = {
		{ "qom-list", QOM_EMPTY },
		{ "query-pci", "{\"return\":[]}" },
		{ "\"id\":\"pvdma-0000-01-00.0\",\"socket\"", DONE },
		{ 0 },
	};

	(void)state;
	begin();
	expect(plain, false, ours, 0, "add;");
	expect(plain, false, libvirts, 0, "add;");
	expect(plain, false, no_ports, 0, "add;");
	/* one that was there before anybody asked whose it is */
	fake.domain = "";
	expect(plain, false, no_ports, 0, "add;");
}

static void test_one_more_fails(void **state)
{
	static const struct step none[] = { { 0 } };
	static const struct step full[] = {
		{ "qom-list", QOM_PORTS },
		{ "query-pci", PCI(TAKEN, TAKEN, TAKEN) },
		{ 0 },
	};
	static const struct step refused[] = {
		{ "qom-list", QOM_PORTS },
		{ "query-pci", PCI(TAKEN, FREE, TAKEN) },
		{ "device_add", ERROR },
		{ 0 },
	};

	(void)state;
	begin();
	expect(private, false, none, -EINVAL, "");
	expect(plain, false, full, -ENOSPC, "add;remove;");
	expect(plain, false, refused, -EIO, "add;remove;");
	fake.add = -EIO;
	expect(plain, false, none, -EIO, "add;");
	fake.look = -ETIMEDOUT;
	expect(plain, false, none, -ETIMEDOUT, "");
}

static void test_first(void **state)
{
	static const struct step steps[] = {
		{ "qom-list", QOM_PORTS },
		{ "query-pci", PCI(FREE, FREE, FREE) },
		{ "{\"path\":\"/run/pvdma/vm/vm1/vhost.sock\"}", DONE },
		{ "\"num_vqs\":2,\"vq_size\":256,\"config_size\":64,"
		  "\"bus\":\"pvdma-port1\"}}",
		  DONE },
		{ "qom-list", QOM_PORTS },
		{ "query-pci", PCI(FREE, FREE, TAKEN) },
		{ "\"path\":\"/run/pvdma/vm/vm1/0000:01:00.0.sock\"", DONE },
		{ 0 },
	};
	static const struct step refused[] = {
		{ "qom-list", QOM_PORTS },
		{ "query-pci", PCI(FREE, FREE, FREE) },
		{ "chardev-add", DONE },
		{ "vhost-user-test-device-pci", ERROR },
		{ "chardev-remove", DONE },
		{ 0 },
	};

	(void)state;
	begin();
	fake.look = CTL_BUS_NO_SUCH_VM;
	expect(plain, false, steps, 0, "start;");
	expect(plain, false, refused, -EIO, "start;stop;");
}

static void test_out(void **state)
{
	static const struct step slow[] = {
		{ "qom-list", QOM_PORTS },
		{ "{\"execute\":\"device_del\",\"arguments\":"
		  "{\"id\":\"pvdma-0000-01-00.0\"}}",
		  DONE },
		{ "qom-list", QOM_PORTS },
		{ "qom-list", QOM_EMPTY },
		{ 0 },
	};
	static const struct step gone[] = { { "qom-list", QOM_EMPTY }, { 0 } };
	static const struct step refused[] = {
		{ "qom-list", QOM_PORTS },
		{ "device_del", ERROR },
		{ 0 },
	};
	static const struct step nonsense[] = {
		{ "qom-list", "[]" },
		{ 0 },
	};

	(void)state;
	begin();
	expect(plain, true, slow, 0, "remove;");
	fake.remove = CTL_BUS_NO_SUCH_VM;
	expect(plain, true, gone, 0, "remove;");
	/* what QEMU still has stays with the agent */
	expect(plain, true, refused, -EIO, "");
	expect(plain, true, nonsense, -EPROTO, "");
}

/* A VM of the same name that is another domain's, or nobody's. */
static void test_another_domains(void **state)
{
	static const struct step none[] = { { 0 } };

	(void)state;
	begin();
	fake.domain = "5a1d3c2e-0000-4000-8000-00000000000b";
	expect(plain, false, none, -EEXIST, "");
	expect(plain, true, none, -EEXIST, "");
	fake.domain = "none";
	expect(plain, false, none, -EEXIST, "");
	expect(plain, true, none, -EEXIST, "");
}

/* The guest keeps what the agent would not give back. */
static void test_last_one(void **state)
{
	static const struct step has_it[] = { { "qom-list", QOM_PORTS },
					      { 0 } };
	static const struct step gone[] = { { "qom-list", QOM_EMPTY }, { 0 } };

	(void)state;
	begin();
	fake.num_devices = 1;
	expect(plain, true, has_it, -ENOTSUP, "");
	expect(plain, true, gone, 0, "remove;");
}

static void test_msix(void **state)
{
	uint8_t config[256] = { 0 };

	(void)state;
	assert_int_equal(hotplug_has_msix(config, 64), -ENODATA);
	assert_int_equal(hotplug_has_msix(config, 256), 0);
	config[PCI_STATUS] = PCI_STATUS_CAP_LIST;
	config[PCI_CAPABILITY_LIST] = 0x40;
	config[0x40] = PCI_CAP_ID_PM;
	config[0x41] = 0x50;
	config[0x50] = PCI_CAP_ID_MSI;
	assert_int_equal(hotplug_has_msix(config, 256), 0);
	config[0x51] = 0x60;
	config[0x60] = PCI_CAP_ID_MSIX;
	assert_int_equal(hotplug_has_msix(config, 256), 1);
	/* a loop ends */
	config[0x60] = PCI_CAP_ID_PM;
	config[0x61] = 0x40;
	assert_int_equal(hotplug_has_msix(config, 256), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_more),
		cmocka_unit_test(test_one_more_fails),
		cmocka_unit_test(test_first),
		cmocka_unit_test(test_out),
		cmocka_unit_test(test_another_domains),
		cmocka_unit_test(test_last_one),
		cmocka_unit_test(test_msix),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
