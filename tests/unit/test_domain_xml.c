// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/pvdmactl/domain_*.c, xml_text.c, metadata.c, qemu_args.c:
 * a domain's XML with and without pvdma's devices.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "pvdmactl/domain_xml.h"
#include "tests/unit/support/domains.h"

static const struct pci_address disk = { .bus = 1 };
static const struct pci_address nic = { .domain = 0x10000,
					.bus = 0x81,
					.device = 0x10,
					.function = 5 };

static int quiet(void **state)
{
	(void)state;
	log_set_max_level(-1);
	return 0;
}

static struct domain_xml *load(const char *text)
{
	struct domain_xml *domain;

	assert_int_equal(domain_xml_new(text, &domain), 0);
	return domain;
}

/* The text of a domain after attach (or detach); allocated. */
static char *with(const char *text, const struct pci_address *address,
		  const char *quota)
{
	struct domain_xml *domain = load(text);
	struct metadata changes = { 0 };
	char *result;

	assert_int_equal(metadata_set(&changes, "test", METADATA_QUOTA, quota),
			 0);
	assert_int_equal(domain_xml_check(domain, address), 0);
	assert_int_equal(domain_xml_attach(domain, address, &changes), 0);
	assert_true(domain_xml_memory_shared(domain));
	result = strdup(domain_xml_text(domain));
	assert_non_null(result);
	metadata_done(&changes);
	domain_xml_free(domain);
	return result;
}

static char *without(const char *text, const struct pci_address *address)
{
	struct domain_xml *domain = load(text);
	char *result;

	assert_int_equal(domain_xml_detach(domain, address), 0);
	result = strdup(domain_xml_text(domain));
	assert_non_null(result);
	domain_xml_free(domain);
	return result;
}

static const struct test_domain *each;

static void assert_same(const char *a, const char *b)
{
	if (strcmp(a, b) != 0)
		print_error("%s:\n", each ? each->what : "");
	assert_string_equal(a, b);
}

/* Every domain is what it was, byte by byte, after attach and detach. */
static void test_back_and_forth(void **state)
{
	(void)state;
	for (each = domains_good; each->what; each++) {
		char *one = with(each->xml, &disk, "256M");
		char *two = with(one, &nic, NULL);
		char *left = without(two, &nic);
		char *none = without(left, &disk);
		char *other = without(two, &disk);
		char *gone = without(other, &nic);

		assert_string_not_equal(one, each->xml);
		assert_same(left, one);
		assert_same(none, each->xml);
		assert_same(gone, each->xml);
		free(one);
		free(two);
		free(left);
		free(none);
		free(other);
		free(gone);
	}
	each = NULL;
}

/* All that attaching writes, once in full. */
static void test_what_attach_writes(void **state)
{
	char *text = with(domains_q35, &disk, "256M");

	(void)state;
	assert_non_null(strstr(
		text,
		"    </libosinfo:libosinfo>\n"
		"    <pvdma:vm xmlns:pvdma='https://pvdma.org/xmlns/libvirt/"
		"domain/1.0' quota='256M'>\n"
		"      <pvdma:device address='0000:01:00.0'/>\n"
		"      <pvdma:before vm='absent' memoryBacking='absent' "
		"source='absent' access='absent' namespace='absent' "
		"commandline='absent'/>\n"
		"    </pvdma:vm>\n"
		"  </metadata>\n"));
	assert_non_null(strstr(text, "</currentMemory>\n"
				     "  <memoryBacking>\n"
				     "    <source type='memfd'/>\n"
				     "    <access mode='shared'/>\n"
				     "  </memoryBacking>\n"));
	/* slot 0x10 is the video card's */
	assert_non_null(strstr(
		text,
		"  </devices>\n"
		"  <qemu:commandline xmlns:qemu='http://libvirt.org/schemas/"
		"domain/qemu/1.0'>\n"
		"    <qemu:arg value='-device'/>\n"
		"    <qemu:arg value='pcie-root-port,id=pvdma-port1,bus=pcie.0,"
		"chassis=160,addr=0x11.0,multifunction=on'/>\n"
		"    <qemu:arg value='-device'/>\n"
		"    <qemu:arg value='pcie-root-port,id=pvdma-port2,bus=pcie.0,"
		"chassis=161,addr=0x11.1'/>\n"
		"    <qemu:arg value='-chardev'/>\n"
		"    <qemu:arg value='socket,id=pvdma-vhost,path=/run/pvdma/vm/"
		"vm1/vhost.sock'/>\n"
		"    <qemu:arg value='-device'/>\n"
		"    <qemu:arg value='vhost-user-test-device-pci,"
		"id=pvdma-virtio,chardev=pvdma-vhost,virtio-id=39,num_vqs=2,"
		"vq_size=256,config_size=64,bus=pcie.0,addr=0x12'/>\n"
		"    <qemu:arg value='-device'/>\n"
		"    <qemu:arg value='{\"driver\":\"vfio-user-pci\","
		"\"id\":\"pvdma-0000-01-00.0\",\"bus\":\"pvdma-port1\","
		"\"socket\":{\"type\":\"unix\",\"path\":\"/run/pvdma/vm/vm1/"
		"0000:01:00.0.sock\"},\"x-msg-timeout\":2000000000}'/>\n"
		"  </qemu:commandline>\n"
		"</domain>\n"));
	free(text);
}

static void test_pci_machine(void **state)
{
	char *text;

	(void)state;
	for (each = domains_good; !strstr(each->xml, "i440fx"); each++)
		;
	text = with(each->xml, &disk, "1G");
	each = NULL;
	assert_null(strstr(text, "root-port"));
	assert_null(strchr(text, '\n'));
	assert_non_null(strstr(text, "bus=pci.0,addr=0x10'"));
	assert_non_null(
		strstr(text, "\"bus\":\"pci.0\",\"addr\":\"11\",\"socket\""));
	free(text);
}

/* What is the user's is not ours, however it is called. */
static void test_users_arguments(void **state)
{
	char *text;

	(void)state;
	for (each = domains_good; !strstr(each->xml, "x-pvdma-y"); each++)
		;
	text = with(each->xml, &disk, "1G");
	each = NULL;
	assert_non_null(strstr(text, "id=x-pvdma-y,addr=0x11'/>"));
	assert_non_null(strstr(text, "<qemu:env name='A' value='1'/>\n"
				     "    <qemu:arg value='-device'/>\n"));
	assert_non_null(strstr(text, "addr=0x12.0,multifunction=on"));
	free(text);
}

static void test_settings(void **state)
{
	struct domain_xml *domain;
	const struct metadata *vm;
	struct metadata changes = { 0 };
	char *text = with(domains_q35, &disk, "0x10000000"), *more;

	(void)state;
	more = with(text, &nic, "512M");
	domain = load(more);
	vm = domain_xml_metadata(domain);
	assert_non_null(vm);
	assert_string_equal(vm->values[METADATA_QUOTA], "512M");
	assert_int_equal(vm->num_devices, 2);
	assert_int_equal(metadata_find_device(vm, &nic), 1);
	assert_int_equal(metadata_number(vm, METADATA_QUOTA, 0), 512 << 20);
	assert_int_equal(domain_xml_attach(domain, &nic, &changes), -EEXIST);
	domain_xml_free(domain);
	/* what is out of bounds together is refused */
	domain = load(text);
	assert_int_equal(metadata_set(&changes, "t", METADATA_MIN, "1G"), 0);
	assert_int_equal(domain_xml_attach(domain, &nic, &changes), -EINVAL);
	domain_xml_free(domain);
	metadata_done(&changes);
	free(text);
	free(more);
}

static void test_bad_settings(void **state)
{
	static const struct {
		enum metadata_key key;
		const char *value;
	} bad[] = {
		{ METADATA_NAME, "a/b" },
		{ METADATA_NAME, ".a" },
		{ METADATA_QUOTA, "many" },
		{ METADATA_WEIGHT, "0" },
		{ METADATA_WEIGHT, "10001" },
		{ METADATA_STRATEGY, "lazy" },
		{ METADATA_GRANULE, "3K" },
		{ METADATA_GRANULE, "4M" },
		{ METADATA_FALLBACK, "yes" },
		{ METADATA_ENFORCE, "no" },
		{ METADATA_ENFORCE_DEADLINE, "5" },
		{ METADATA_QUEUES, "65" },
		{ METADATA_MAX_RANGES, "0" },
		{ METADATA_AHEAD, "1" },
		{ METADATA_POLICY, "lru" },
		{ METADATA_POLL, "-1" },
		{ METADATA_SPARE_PORTS, "17" },
	};
	struct metadata vm = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(metadata_set(&vm, "test", bad[i].key,
					      bad[i].value),
				 -EINVAL);
	for (size_t i = 0; i < METADATA_KEYS; i++)
		assert_null(vm.values[i]);
	assert_int_equal(metadata_find_device(&vm, &disk), -1);
}

static void test_owner_and_name(void **state)
{
	struct domain_xml *domain;

	(void)state;
	domain = load(domains_good[1].xml);
	assert_string_equal(domain_xml_owner(domain), "107:64055");
	assert_string_equal(domain_xml_vm_name(domain), "numa_2.x-y");
	domain_xml_free(domain);
	domain = load(domains_q35);
	assert_null(domain_xml_owner(domain));
	assert_null(domain_xml_metadata(domain));
	domain_xml_free(domain);
	domain = load(domains_good[5].xml);
	assert_string_equal(domain_xml_vm_name(domain), "mine");
	assert_string_equal(domain_xml_name(domain), "a name with blanks");
	domain_xml_free(domain);
}

/* @from in the domain becomes @to: check refuses it. */
static void assert_refused(const char *from, const char *to)
{
	const char *at = strstr(domains_q35, from);
	struct domain_xml *domain;
	char *text;

	assert_non_null(at);
	assert_true(asprintf(&text, "%.*s%s%s", (int)(at - domains_q35),
			     domains_q35, to, at + strlen(from)) > 0);
	domain = load(text);
	if (domain_xml_check(domain, &disk) == 0)
		fail_msg("accepted: %s", to);
	domain_xml_free(domain);
	free(text);
}

static void test_refusals(void **state)
{
	struct domain_xml *domain = load(domains_hostdev);

	(void)state;
	assert_int_equal(domain_xml_check(domain, &disk), -EINVAL);
	/* others only pin the memory: bus 0x81 of PCI domain 0x10000 */
	assert_int_equal(domain_xml_check(domain, &nic), 0);
	domain_xml_free(domain);
	assert_refused("<domain type='kvm'", "<domain type='xen'");
	assert_refused("arch='x86_64'", "arch='aarch64'");
	assert_refused("pc-q35-10.0", "microvm");
	assert_refused(" machine='pc-q35-10.0'", "");
	assert_refused("<vcpu",
		       "<memoryBacking><locked/></memoryBacking><vcpu");
	assert_refused("<vcpu", "<launchSecurity type='sev'/><vcpu");
	assert_refused("<vcpu", "<cpu><numa><cell memAccess='private'/></numa>"
				"</cpu><vcpu");
	assert_refused("<devices>", "<devices><memory model='dimm' "
				    "access='private'/>");
	assert_refused("</domain>",
		       "<c:commandline xmlns:c='http://libvirt.org/schemas/"
		       "domain/qemu/1.0'><c:arg value='vfio-pci,"
		       "host=0000:01:00.0'/></c:commandline></domain>");
}

static void test_refused_names(void **state)
{
	struct metadata changes = { 0 };
	struct domain_xml *domain;

	(void)state;
	domain = load("<domain type='test'><name>a b</name></domain>");
	assert_int_equal(metadata_set(&changes, "t", METADATA_QUOTA, "1M"), 0);
	assert_int_equal(domain_xml_attach(domain, &disk, &changes), -EINVAL);
	domain_xml_free(domain);
	domain = load("<domain type='test'><name>a b</name></domain>");
	assert_int_equal(metadata_set(&changes, "t", METADATA_NAME, "ab"), 0);
	assert_int_equal(domain_xml_attach(domain, &disk, &changes), 0);
	assert_non_null(strstr(domain_xml_text(domain), "/vm/ab/vhost.sock"));
	domain_xml_free(domain);
	metadata_done(&changes);
}

/* As libvirt wants it, whichever prefix, or none, the domain has for it. */
static void test_metadata_text(void **state)
{
	static const char *const texts[] = {
		"<domain><name>a</name><metadata>"
		"<vm xmlns='https://pvdma.org/xmlns/libvirt/domain/1.0' quota='1M'>"
		"<device address='0000:01:00.0'/></vm></metadata></domain>",
		"<domain xmlns:x='https://pvdma.org/xmlns/libvirt/domain/1.0'>"
		"<name>a</name><metadata><x:vm quota='1M'>"
		"<x:device address='0000:01:00.0'/></x:vm></metadata></domain>",
	};
	struct domain_xml *domain;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char *text;

		assert_int_equal(domain_xml_new(texts[i], &domain), 0);
		text = domain_xml_metadata_text(domain);
		assert_string_equal(text,
				    "<vm quota=\"1M\">"
				    "<device address=\"0000:01:00.0\"/></vm>");
		free(text);
		domain_xml_free(domain);
	}
}

static void test_not_domains(void **state)
{
	static const char *const texts[] = {
		"",
		"<domain",
		"<network><name>a</name></network>",
		"<domain/>",
		"<domain><name> </name></domain>",
		"<domain xmlns:a:b='c'><name>a</name></domain>",
		"<domain><name>a</name><nobodys:b/></domain>",
		"<!DOCTYPE domain [<!ENTITY e 'x'>]>"
		"<domain><name>&e;</name></domain>",
		"<domain><name>a</name><metadata>"
		"<vm xmlns='https://pvdma.org/xmlns/libvirt/domain/1.0' "
		"quote='1'/></metadata></domain>",
		"<domain><name>a</name><metadata>"
		"<vm xmlns='https://pvdma.org/xmlns/libvirt/domain/1.0'>"
		"<device address='01:00.0'/><device address='0000:01:00.0'/>"
		"</vm></metadata></domain>",
		"<domain><name>a</name><metadata>"
		"<vm xmlns='https://pvdma.org/xmlns/libvirt/domain/1.0'>"
		"<device/></vm></metadata></domain>",
	};
	struct domain_xml *domain;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_true(domain_xml_new(texts[i], &domain) < 0);
}

/* What was changed between attach and detach stays. */
static void test_changed_in_between(void **state)
{
	char *text = with(domains_q35, &disk, "1G"), *at, *more, *gone;

	(void)state;
	at = strstr(text, "    <source type='memfd'/>");
	assert_true(asprintf(&more, "%.*s    <hugepages/>\n%s",
			     (int)(at - text), text, at) > 0);
	gone = without(more, &disk);
	assert_non_null(strstr(gone, "  <memoryBacking>\n"
				     "    <hugepages/>\n"
				     "  </memoryBacking>\n"));
	free(text);
	free(more);
	free(gone);
}

static void test_not_there(void **state)
{
	struct domain_xml *domain = load(domains_q35);

	(void)state;
	assert_int_equal(domain_xml_detach(domain, &disk), -ENOENT);
	domain_xml_free(domain);
}

static void test_many_devices(void **state)
{
	char *text = strdup(domains_q35), *next;

	(void)state;
	for (uint8_t i = 0; i < METADATA_DEVICES_MAX; i++) {
		struct pci_address address = { .bus = i };

		next = with(text, &address, "1G");
		free(text);
		text = next;
	}
	assert_non_null(strstr(text, "chassis=192,"));
	for (uint8_t i = METADATA_DEVICES_MAX; i > 0; i--) {
		struct pci_address address = { .bus = i - 1 };

		next = without(text, &address);
		free(text);
		text = next;
	}
	assert_string_equal(text, domains_q35);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_back_and_forth),
		cmocka_unit_test(test_what_attach_writes),
		cmocka_unit_test(test_pci_machine),
		cmocka_unit_test(test_users_arguments),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_bad_settings),
		cmocka_unit_test(test_owner_and_name),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_refused_names),
		cmocka_unit_test(test_metadata_text),
		cmocka_unit_test(test_not_domains),
		cmocka_unit_test(test_changed_in_between),
		cmocka_unit_test(test_not_there),
		cmocka_unit_test(test_many_devices),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
