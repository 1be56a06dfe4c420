// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/lib/macros.h: the edges of the arithmetic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "macros.h"

static void test_sizes(void **state)
{
	int a[7];

	(void)state;
	(void)a;
	assert_int_equal(ARRAY_SIZE(a), 7);
	assert_int_equal(min(3, -4), -4);
	assert_int_equal(max(3U, 4U), 4);
	assert_int_equal(max(min(1, 2), min(3, 4)), 3);
}

static void test_single_evaluation(void **state)
{
	int i = 0;

	(void)state;
	assert_int_equal(max(i++, -1), 0);
	assert_int_equal(i, 1);
}

static void test_power_of_2(void **state)
{
	(void)state;
	assert_false(is_power_of_2(0));
	assert_true(is_power_of_2(1));
	assert_false(is_power_of_2(3));
	assert_true(is_power_of_2(1ULL << 63));
	assert_false(is_power_of_2(UINT64_MAX));
}

static void test_align(void **state)
{
	uint64_t v = 99;

	(void)state;
	assert_int_equal(align_down(0x1fff, 0x1000), 0x1000);
	assert_int_equal(align_down(UINT64_MAX, 1), UINT64_MAX);
	assert_int_equal(align_up(0x1001, 0x1000), 0x2000);
	assert_int_equal(align_up(0x1000, 0x1000), 0x1000);
	assert_true(is_aligned(0, 0x1000));
	assert_false(is_aligned(8, 16));

	assert_false(align_up_checked(UINT64_MAX - 4094, 4096, &v));
	assert_int_equal(v, 99);
	assert_true(align_up_checked(UINT64_MAX - 4095, 4096, &v));
	assert_int_equal(v, UINT64_MAX - 4095);
	assert_true(align_up_checked(UINT64_MAX, 1, &v));
	assert_int_equal(v, UINT64_MAX);
}

static void test_div_round_up(void **state)
{
	(void)state;
	assert_int_equal(div_round_up(0, 5), 0);
	assert_int_equal(div_round_up(1, 5), 1);
	assert_int_equal(div_round_up(5, 5), 1);
	assert_int_equal(div_round_up(6, 5), 2);
	assert_int_equal(div_round_up(UINT64_MAX, 2), 1ULL << 63);
}

static void test_range_last(void **state)
{
	uint64_t last = 7;

	(void)state;
	assert_false(range_last(0, 0, &last));
	assert_false(range_last(UINT64_MAX, 2, &last));
	assert_false(range_last(2, UINT64_MAX, &last));
	assert_int_equal(last, 7);
	assert_true(range_last(UINT64_MAX, 1, &last));
	assert_int_equal(last, UINT64_MAX);
	assert_true(range_last(1, UINT64_MAX, &last));
	assert_int_equal(last, UINT64_MAX);
	assert_true(range_last(0x1000, 0x1000, &last));
	assert_int_equal(last, 0x1fff);
}

struct outer {
	int first;
	int member;
};

static void test_container_of(void **state)
{
	struct outer o = { 1, 2 };
	int *p = &o.member;

	(void)state;
	assert_ptr_equal(container_of(p, struct outer, member), &o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_single_evaluation),
		cmocka_unit_test(test_power_of_2),
		cmocka_unit_test(test_align),
		cmocka_unit_test(test_div_round_up),
		cmocka_unit_test(test_range_last),
		cmocka_unit_test(test_container_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
