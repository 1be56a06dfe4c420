// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/agent/quota.c: charges, the limit, books that balance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/agent/quota.h"

static void test_charge(void **state)
{
	struct quota_charge a = { 0 }, b = { 0 };
	struct quota quota;

	(void)state;
	quota_init(&quota, 100);
	assert_int_equal(quota_charge(&quota, &a, 60), 0);
	assert_int_equal(quota_charge(&quota, &b, 41), QUOTA_FULL);
	assert_int_equal(b.bytes, 0);
	assert_int_equal(quota_charge(&quota, &b, 40), 0);
	assert_int_equal(quota.charged, 100);
	assert_int_equal(quota_charge(&quota, &b, 0), 0);
	assert_int_equal(quota_charge(&quota, &a, UINT64_MAX), QUOTA_FULL);
	quota_uncharge_part(&quota, &a, 10);
	assert_int_equal(a.bytes, 50);
	assert_int_equal(quota.charged, 90);
	assert_int_equal(quota.peak, 100);
	quota_uncharge(&quota, &a);
	quota_uncharge(&quota, &a); /* nothing is left of it */
	quota_uncharge(&quota, &b);
	quota_done(&quota);
}

static void test_missing(void **state)
{
	struct quota_charge a = { 0 };
	struct quota quota;

	(void)state;
	quota_init(&quota, 100);
	assert_int_equal(quota_missing(&quota, 100), 0);
	assert_int_equal(quota_charge(&quota, &a, 70), 0);
	assert_int_equal(quota_missing(&quota, 30), 0);
	assert_int_equal(quota_missing(&quota, 31), 1);
	assert_int_equal(quota_missing(&quota, 100), 70);
	quota_uncharge(&quota, &a);
	quota_done(&quota);
}

static void test_lower_limit(void **state)
{
	struct quota_charge a = { 0 };
	struct quota quota;

	(void)state;
	quota_init(&quota, 100);
	assert_int_equal(quota_charge(&quota, &a, 70), 0);
	quota_set_limit(&quota, 50);
	assert_int_equal(quota_missing(&quota, 0), 20);
	assert_int_equal(quota_missing(&quota, 10), 30);
	assert_int_equal(quota_charge(&quota, &a, 0), QUOTA_FULL);
	assert_int_equal(quota_charge(&quota, &a, 1), QUOTA_FULL);
	quota_uncharge_part(&quota, &a, 30);
	assert_int_equal(quota_charge(&quota, &a, 10), 0);
	quota_uncharge(&quota, &a);
	quota_done(&quota);
}

static void test_unbalanced(void **state)
{
	struct quota_charge a = { 0 };
	struct quota quota;

	(void)state;
	quota_init(&quota, 100);
	assert_int_equal(quota_charge(&quota, &a, 1), 0);
	/* The assertion on teardown is itself a promise. */
	assert_int_equal(quota.charged, 1);
	quota_uncharge(&quota, &a);
	quota_done(&quota);
	assert_int_equal(quota.limit, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_charge),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_lower_limit),
		cmocka_unit_test(test_unbalanced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
