// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of guest/pvdma/reserve.h: how much is kept mapped for copies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reserve.h"

int pvdma_env_check(u64 addr)
{
	(void)addr;
	return 0;
}

static void test_auto(void **state)
{
	(void)state;
	assert_int_equal(pvdma_reserve_auto(0, 12), 0);
	assert_int_equal(pvdma_reserve_auto((64 << 10) - 1, 12), 0);
	assert_int_equal(pvdma_reserve_auto(64 << 10, 12), 16 << 10);
	assert_int_equal(pvdma_reserve_auto(4 << 20, 12), 32 << 10);
	assert_int_equal(pvdma_reserve_auto((8 << 20) - 1, 12), 32 << 10);
	assert_int_equal(pvdma_reserve_auto(1ull << 40, 12), 1 << 20);
	/* whole granules */
	assert_int_equal(pvdma_reserve_auto(1 << 20, 16), 64 << 10);
	assert_int_equal(pvdma_reserve_auto(4 << 20, 21), 0);
	assert_int_equal(pvdma_reserve_auto(8 << 20, 21), 2 << 20);
}

/* Asked for: up to a half, and to the next power of two below. */
static void test_round(void **state)
{
	(void)state;
	assert_int_equal(pvdma_reserve_round(3 << 20, 8 << 20, 12, 2), 2 << 20);
	assert_int_equal(pvdma_reserve_round(4 << 20, 8 << 20, 12, 2), 4 << 20);
	assert_int_equal(pvdma_reserve_round(8 << 20, 8 << 20, 12, 2), 0);
	assert_int_equal(pvdma_reserve_round(1, 8 << 20, 12, 2), 16 << 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_auto),
		cmocka_unit_test(test_round),
	};

	return cmocka_run_group_tests_name("reserve", tests, NULL, NULL);
}
