// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/lib/parse.c: what is taken, and that nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "macros.h"
#include "parse.h"

/* Stands in *ret beforehand; must be there still after a failure. */
#define UNTOUCHED 0x1234567812345678ULL

struct number_case {
	const char *text;
	int r;
	uint64_t value;
};

static void check_number(const struct number_case *c,
			 int (*parse)(const char *, uint64_t *))
{
	uint64_t v = UNTOUCHED;
	int r = parse(c->text, &v);

	if (r != c->r || v != (c->r < 0 ? UNTOUCHED : c->value))
		fail_msg("\"%s\": returned %d with %#llx", c->text, r,
			 (unsigned long long)v);
}

static int parse_any(const char *s, uint64_t *ret)
{
	return parse_uint(s, 0, UINT64_MAX, ret);
}

static void test_uint(void **state)
{
	static const struct number_case cases[] = {
		{ "0", 0, 0 },
		{ "7", 0, 7 },
		{ "010", 0, 10 },
		{ "0x10", 0, 16 },
		{ "0XfF", 0, 255 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "0xffffffffffffffff", 0, UINT64_MAX },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "0x10000000000000000", -ERANGE, 0 },
		{ "99999999999999999999999", -ERANGE, 0 },
		{ "", -ENODATA, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 ", -EINVAL, 0 },
		{ "1\n", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ "0x", -EINVAL, 0 },
		{ "x1", -EINVAL, 0 },
		{ "1x", -EINVAL, 0 },
		{ "1f", -EINVAL, 0 },
		{ "1K", -EINVAL, 0 },
		{ "99999999999999999999999x", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_number(&cases[i], parse_any);
}

static void test_uint_bounds(void **state)
{
	uint64_t v = UNTOUCHED;
	uint32_t small = 1;

	(void)state;
	assert_int_equal(parse_uint("4", 5, 9, &v), -ERANGE);
	assert_int_equal(parse_uint("10", 5, 9, &v), -ERANGE);
	assert_true(v == UNTOUCHED);
	assert_int_equal(parse_uint("5", 5, 9, &v), 0);
	assert_int_equal(v, 5);
	assert_int_equal(parse_uint("9", 5, 9, &v), 0);
	assert_int_equal(v, 9);

	assert_int_equal(parse_u32("4294967296", &small), -ERANGE);
	assert_int_equal(small, 1);
	assert_int_equal(parse_u32("4294967295", &small), 0);
	assert_int_equal(small, UINT32_MAX);
}

static void test_size(void **state)
{
	static const struct number_case cases[] = {
		{ "0", 0, 0 },
		{ "4096", 0, 4096 },
		{ "4K", 0, 4096 },
		{ "4k", 0, 4096 },
		{ "4KiB", 0, 4096 },
		{ "0x10K", 0, 16384 },
		{ "256M", 0, 256ULL << 20 },
		{ "2G", 0, 2ULL << 30 },
		{ "3TiB", 0, 3ULL << 40 },
		{ "16777215T", 0, 16777215ULL << 40 },
		{ "16777216T", -ERANGE, 0 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551615K", -ERANGE, 0 },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "", -ENODATA, 0 },
		{ "K", -EINVAL, 0 },
		{ "4KB", -EINVAL, 0 },
		{ "4B", -EINVAL, 0 },
		{ "4iB", -EINVAL, 0 },
		{ "4Ki", -EINVAL, 0 },
		{ "4KK", -EINVAL, 0 },
		{ "4 K", -EINVAL, 0 },
		{ "4K ", -EINVAL, 0 },
		{ "4P", -EINVAL, 0 },
		{ "4\x0b", -EINVAL, 0 },
		{ "1.5G", -EINVAL, 0 },
		{ "-4K", -EINVAL, 0 },
		{ "18446744073709551616Q", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_number(&cases[i], parse_size);
}

static void test_duration(void **state)
{
	static const struct number_case cases[] = {
		{ "0", 0, 0 },
		{ "0ms", 0, 0 },
		{ "500ms", 0, 500000 },
		{ "2s", 0, 2000000 },
		{ "3min", 0, 180000000 },
		{ "18446744073709551ms", 0, 18446744073709551000ULL },
		{ "18446744073709552ms", -ERANGE, 0 },
		{ "99999999999999999999s", -ERANGE, 0 },
		{ "", -ENODATA, 0 },
		{ "5", -EINVAL, 0 },
		{ "s", -EINVAL, 0 },
		{ "5 s", -EINVAL, 0 },
		{ "-5s", -EINVAL, 0 },
		{ "5m", -EINVAL, 0 },
		{ "5S", -EINVAL, 0 },
		{ "5s ", -EINVAL, 0 },
		{ "0x5s", -EINVAL, 0 },
		{ "1.5s", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_number(&cases[i], parse_duration);
}

static void test_bool(void **state)
{
	static const char *const yes[] = { "yes", "on", "true", "1" };
	static const char *const no[] = { "no", "off", "false", "0" };
	static const char *const bad[] = { "y", "Yes", "yes ", "2", "01", "-" };
	bool b;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		b = false;
		assert_int_equal(parse_bool(yes[i], &b), 0);
		assert_true(b);
	}
	for (size_t i = 0; i < ARRAY_SIZE(no); i++) {
		b = true;
		assert_int_equal(parse_bool(no[i], &b), 0);
		assert_false(b);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse_bool(bad[i], &b), -EINVAL);
	assert_int_equal(parse_bool("", &b), -ENODATA);
}

static void test_pci_address(void **state)
{
	static const struct {
		const char *text;
		const char *full;
	} good[] = {
		{ "0000:03:00.0", "0000:03:00.0" },
		{ "03:00.0", "0000:03:00.0" },
		{ "3:1f.7", "0000:03:1f.7" },
		{ "10000:FF:1F.7", "10000:ff:1f.7" },
		{ "ffffffff:ff:1f.7", "ffffffff:ff:1f.7" },
	};
	static const struct number_case bad[] = {
		{ "", -ENODATA, 0 },
		{ "03:00", -EINVAL, 0 },
		{ "00.0", -EINVAL, 0 },
		{ "03:00.", -EINVAL, 0 },
		{ ":00.0", -EINVAL, 0 },
		{ "::.", -EINVAL, 0 },
		{ "0:0:0:0.0", -EINVAL, 0 },
		{ "03:00.0 ", -EINVAL, 0 },
		{ " 03:00.0", -EINVAL, 0 },
		{ "03:00.g", -EINVAL, 0 },
		{ "0x3:00.0", -EINVAL, 0 },
		{ "03:20.0", -ERANGE, 0 },
		{ "03:00.8", -ERANGE, 0 },
		{ "100:00.0", -ERANGE, 0 },
		{ "100000000:00:00.0", -ERANGE, 0 },
		{ "fffffffffffffffffffff:00:00.0", -ERANGE, 0 },
	};
	char text[PCI_ADDRESS_TEXT_MAX];
	struct pci_address addr;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(parse_pci_address(good[i].text, &addr), 0);
		format_pci_address(&addr, text);
		assert_string_equal(text, good[i].full);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		memset(&addr, 0x5a, sizeof(addr));
		if (parse_pci_address(bad[i].text, &addr) != bad[i].r)
			fail_msg("\"%s\" was judged wrongly", bad[i].text);
		assert_int_equal(addr.bus, 0x5a);
	}
}

static void test_strerror(void **state)
{
	(void)state;
	assert_string_equal(parse_strerror(-ENODATA), "is empty");
	assert_string_equal(parse_strerror(-ERANGE), "is out of range");
	assert_non_null(parse_strerror(-EINVAL));
	assert_non_null(parse_strerror(-EIO));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uint),
		cmocka_unit_test(test_uint_bounds),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_duration),
		cmocka_unit_test(test_bool),
		cmocka_unit_test(test_pci_address),
		cmocka_unit_test(test_strerror),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
