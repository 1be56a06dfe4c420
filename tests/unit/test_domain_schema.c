// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of what stands in host/libvirt/ against the code: the schema knows
 * what attach writes, and the example is what attach writes. And libvirt's own
 * reading and writing of it, by its test driver.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/parser.h>
#include <libxml/relaxng.h>

#include "lib/log.h"
#include "pvdmactl/domain_xml.h"
#include "pvdmactl/virt.h"
#include "tests/unit/support/domains.h"

#define SCHEMA	"host/libvirt/pvdma-domain.rng"
#define EXAMPLE "host/libvirt/example.xml"

static const struct pci_address first = { .bus = 1 };
static const struct pci_address second = { .bus = 2 };

static void ignore_error(void *userdata, const char *fmt, ...)
{
	(void)userdata;
	(void)fmt;
}

static xmlRelaxNGPtr schema;

static int setup(void **state)
{
	xmlRelaxNGParserCtxtPtr parser = xmlRelaxNGNewParserCtxt(SCHEMA);

	(void)state;
	log_set_max_level(-1);
	schema = parser ? xmlRelaxNGParse(parser) : NULL;
	xmlRelaxNGFreeParserCtxt(parser);
	return schema ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	xmlRelaxNGFree(schema);
	xmlRelaxNGCleanupTypes();
	xmlCleanupParser();
	return 0;
}

static bool is_valid(const char *text)
{
	xmlRelaxNGValidCtxtPtr valid = xmlRelaxNGNewValidCtxt(schema);
	xmlDocPtr doc = xmlReadMemory(text, (int)strlen(text), NULL, NULL, 0);
	int r;

	assert_non_null(valid);
	assert_non_null(doc);
	xmlRelaxNGSetValidErrors(valid, ignore_error, ignore_error, NULL);
	r = xmlRelaxNGValidateDoc(valid, doc);
	assert_true(r >= 0);
	xmlFreeDoc(doc);
	xmlRelaxNGFreeValidCtxt(valid);
	return r == 0;
}

static char *attach(const char *text, const struct pci_address *address,
		    const struct metadata *changes)
{
	struct domain_xml *domain;
	char *result;

	assert_int_equal(domain_xml_new(text, &domain), 0);
	assert_int_equal(domain_xml_attach(domain, address, changes), 0);
	result = strdup(domain_xml_text(domain));
	assert_non_null(result);
	domain_xml_free(domain);
	return result;
}

static char *detach(const char *text, const struct pci_address *address)
{
	struct domain_xml *domain;
	char *result;

	assert_int_equal(domain_xml_new(text, &domain), 0);
	assert_int_equal(domain_xml_detach(domain, address), 0);
	result = strdup(domain_xml_text(domain));
	assert_non_null(result);
	domain_xml_free(domain);
	return result;
}

#define PART 6

static void set_part(struct metadata *changes, const char *const *values,
		     size_t from, size_t end)
{
	for (size_t i = from; i < end && i < METADATA_KEYS; i++)
		assert_int_equal(metadata_set(changes, "test",
					      (enum metadata_key)i, values[i]),
				 0);
}

/* Each setting as attach takes it is one that the schema knows. */
static void test_schema_knows_settings(void **state)
{
	static const char *const values[METADATA_KEYS] = {
		"a.b-c_1", "256MiB", "0x1000", "1G", "10000", "single-use",
		"64K",	   "direct", "revoke", "2s", "off",   "slru",
		"1000000", "64",     "4096",   "16",
	};
	(void)state;
	/* in parts: libxml2's time doubles with each attribute */
	for (size_t from = 0; from < METADATA_KEYS; from += PART) {
		struct metadata changes = { 0 };

		set_part(&changes, values, METADATA_NAME, METADATA_QUOTA + 1);
		set_part(&changes, values, from, from + PART);
		for (const struct test_domain *d = domains_good; d->what; d++) {
			char *text = attach(d->xml, &first, &changes);

			if (!is_valid(text))
				fail_msg("not valid: %s: %s", d->what, text);
			free(text);
		}
		metadata_done(&changes);
	}
}

static void test_schema_refuses(void **state)
{
	static const char *const bad[] = {
		"quote='1M'",	"weight='0'",	 "strategy='lazy'",
		"name='.a'",	"quota=''",	 "queues='65'",
		"poll='-1'",	"granule='1 M'", "enforce-deadline='1'",
		"ahead='true'",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *text;

		assert_true(asprintf(&text,
				     "<domain><metadata><vm xmlns='" METADATA_NS
				     "' %s/></metadata></domain>",
				     bad[i]) > 0);
		if (is_valid(text))
			fail_msg("valid: %s", bad[i]);
		free(text);
	}
}

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = calloc(1, 1 << 16);

	assert_non_null(f);
	assert_non_null(text);
	assert_true(fread(text, 1, (1 << 16) - 1, f) > 0);
	(void)fclose(f);
	return text;
}

/* The example is valid, and attach writes just that. */
static void test_example(void **state)
{
	char *text = read_file(EXAMPLE), *one, *none, *again, *both;
	struct metadata changes = { 0 };

	(void)state;
	assert_true(is_valid(text));
	one = detach(text, &second);
	none = detach(one, &first);
	assert_null(strstr(none, "xmlns"));
	assert_int_equal(metadata_set(&changes, "t", METADATA_QUOTA, "256M"),
			 0);
	assert_int_equal(metadata_set(&changes, "t", METADATA_MIN, "64M"), 0);
	assert_int_equal(metadata_set(&changes, "t", METADATA_MAX, "1G"), 0);
	again = attach(none, &first, &changes);
	assert_string_equal(again, one);
	metadata_done(&changes);
	both = attach(again, &second, &changes);
	assert_string_equal(both, text);
	free(text);
	free(one);
	free(none);
	free(again);
	free(both);
}

/* libvirt moves the namespace of QEMU's arguments to the root. */
static void test_namespace_at_the_root(void **state)
{
	static const char ns[] =
		" xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'";
	struct metadata changes = { 0 };
	char *text, *at, *moved, *gone;

	(void)state;
	assert_int_equal(metadata_set(&changes, "t", METADATA_QUOTA, "1M"), 0);
	text = attach(domains_q35, &first, &changes);
	at = strstr(text, ns);
	assert_non_null(at);
	memmove(at, at + strlen(ns), strlen(at + strlen(ns)) + 1);
	assert_true(asprintf(&moved, "<domain type='kvm'%s%s", ns,
			     text + strlen("<domain type='kvm'")) > 0);
	gone = detach(moved, &first);
	assert_string_equal(gone, domains_q35);
	metadata_done(&changes);
	free(text);
	free(moved);
	free(gone);
}

/* libvirt's test driver reads, keeps and writes all but QEMU's arguments. */
static void test_by_libvirt(void **state)
{
	struct virt virt;
	struct metadata changes = { 0 };
	char *before, *text, *defined, *after;

	(void)state;
	assert_int_equal(virt_open("test:///default", "no such", &virt), -2);
	assert_int_equal(virt_open("test:///default", "test", &virt), 0);
	assert_int_equal(virt_xml(&virt, false, &before), 0);
	assert_int_equal(metadata_set(&changes, "t", METADATA_QUOTA, "1M"), 0);
	text = attach(before, &first, &changes);
	assert_int_equal(virt_define(&virt, text), 0);
	assert_int_equal(virt_xml(&virt, false, &defined), 0);
	assert_non_null(strstr(defined, "<pvdma:device address="));
	assert_non_null(strstr(defined, "<source type='memfd'/>"));
	after = detach(defined, &first);
	assert_string_equal(after, before);
	assert_int_equal(virt_define(&virt, after), 0);
	free(after);
	assert_int_equal(virt_xml(&virt, false, &after), 0);
	assert_string_equal(after, before);
	assert_true(virt_define(&virt, "<domain/>") < 0);
	virt_close(&virt);
	metadata_done(&changes);
	free(before);
	free(text);
	free(defined);
	free(after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schema_knows_settings),
		cmocka_unit_test(test_schema_refuses),
		cmocka_unit_test(test_example),
		cmocka_unit_test(test_namespace_at_the_root),
		cmocka_unit_test(test_by_libvirt),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
