// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of guest/pvdma/throttle.h and pressure.h: what is copied stays a
 * small share, as long as the quota suffices.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pressure.h"
#include "throttle.h"

int pvdma_env_check(u64 addr)
{
	(void)addr;
	return 0;
}

/* Whatever the sizes are, and if all that is mapped could be copied. */
static void test_share(void **state)
{
	static const u32 sizes[] = { 1, 64, 1500, 4096, 16384, 16385, 131072 };
	u32 i, k;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct pvdma_throttle t;
		u64 mapped = 0, copied = 0;

		pvdma_throttle_init(&t);
		for (k = 0; k < 100000; k++) {
			pvdma_throttle_earn(&t, sizes[i]);
			mapped += sizes[i];
			if (pvdma_throttle_spend(&t, sizes[i], false))
				copied += sizes[i];
			assert_true(copied <= mapped / PVDMA_THROTTLE_SHARE +
						      PVDMA_THROTTLE_FIRST);
		}
		if (sizes[i] > PVDMA_THROTTLE_SIZE)
			assert_int_equal(copied, 0);
		else
			assert_true(copied >
				    mapped / PVDMA_THROTTLE_SHARE / 10 * 9);
	}
}

/* A pause saves up so much, and no more; nor does anything overflow. */
static void test_burst(void **state)
{
	struct pvdma_throttle t;
	u64 copied = 0;

	(void)state;
	pvdma_throttle_init(&t);
	pvdma_throttle_earn(&t, U64_MAX);
	pvdma_throttle_earn(&t, U64_MAX);
	pvdma_throttle_earn(&t, 0);
	assert_false(pvdma_throttle_spend(&t, U64_MAX / 16, false));
	while (pvdma_throttle_spend(&t, 4096, false))
		copied += 4096;
	assert_true(copied > PVDMA_THROTTLE_MOST / 2);
	assert_true(copied <= PVDMA_THROTTLE_MOST);
	/* small ones still get something */
	assert_true(pvdma_throttle_spend(&t, 256, false));
}

/* Who was refused does not ask for a while; but large ones are no habit. */
static void test_refused(void **state)
{
	struct pvdma_throttle t;
	u32 n = 0;

	(void)state;
	pvdma_throttle_init(&t);
	while (pvdma_throttle_spend(&t, 512, false))
		;
	pvdma_throttle_refused(&t);
	assert_false(pvdma_throttle_spend(&t, PVDMA_THROTTLE_REFUSED_SIZE + 1,
					  false));
	while (pvdma_throttle_spend(&t, PVDMA_THROTTLE_REFUSED_SIZE, false))
		n++;
	assert_int_equal(n, PVDMA_THROTTLE_REFUSED);
	assert_false(pvdma_throttle_spend(&t, 512, false));
}

/* Where the quota is too small what is small is free, and a part is told. */
static void test_scarce(void **state)
{
	struct pvdma_throttle t;
	u32 told = 0, i;

	(void)state;
	pvdma_throttle_init(&t);
	for (i = 0; i < 64000; i++) {
		assert_true(pvdma_throttle_spend(&t, PVDMA_THROTTLE_SCARCE_SIZE,
						 true));
		told += pvdma_throttle_tells(&t, true);
		assert_true(pvdma_throttle_tells(&t, false));
	}
	assert_in_range(told, 64000 / PVDMA_THROTTLE_TELL * 9 / 10,
			64000 / PVDMA_THROTTLE_TELL * 11 / 10);
	assert_false(
		pvdma_throttle_spend(&t, PVDMA_THROTTLE_SCARCE_SIZE + 1, true));
	/* and nothing of what was saved up is spent */
	assert_true(pvdma_throttle_spend(&t, PVDMA_THROTTLE_SIZE, false));
}

/* @n granules from @first on are not mapped, and then asked for. */
static u64 miss(struct pvdma_pressure *p, u64 first, u64 n, bool asks)
{
	u64 again = 0, i;

	for (i = 0; i < n; i += 64) {
		again += pvdma_pressure_missed(p, first + i, 64, 12);
		if (asks)
			pvdma_pressure_asked(p, first + i, 64);
	}
	return again;
}

/* What is asked for again counts, as much as it is, however large the quota. */
static void test_again(void **state)
{
	static struct pvdma_pressure p;
	u64 pages;

	(void)state;
	for (pages = 64; pages <= 1u << 24; pages *= 4) {
		u64 again = 0, first = 0x123456, bytes = pages << 12;

		memset(&p, 0, sizeof(p));
		pvdma_pressure_scale(&p, bytes, 12);
		assert_int_equal(miss(&p, first, pages, true), 0);
		again = miss(&p, first, pages, true);
		assert_in_range(again, bytes / 8 * 5, bytes / 8 * 9);
		/* who is not asked again has not lost it again */
		again = miss(&p, first, pages, false);
		assert_in_range(again, bytes / 8 * 5, bytes / 8 * 9);
		assert_int_equal(miss(&p, first, pages, true), 0);
		/* and others do not matter */
		assert_in_range(miss(&p, first + pages, pages, true), 0,
				bytes / 64);
	}
}

static void test_pressure(void **state)
{
	static struct pvdma_pressure p;
	const u64 quota = 1ull << 20;
	u32 i;

	(void)state;
	pvdma_pressure_scale(&p, quota, 12);
	pvdma_pressure_note(&p, 0, quota / 8);
	assert_false(pvdma_pressed(&p));
	/* one byte of 128, and one of 64 */
	for (i = 0; i < 10000; i++)
		pvdma_pressure_note(&p, 128 << 10, 1 << 10);
	assert_false(pvdma_pressed(&p));
	for (i = 0; i < 10000; i++)
		pvdma_pressure_note(&p, 64 << 10, 1 << 10);
	assert_true(pvdma_pressed(&p));
	/* however long it lasted, it is forgotten after so many hits */
	pvdma_pressure_note(&p, quota / 8 * (PVDMA_PRESSURE_FORGET - 2), 0);
	assert_true(pvdma_pressed(&p));
	pvdma_pressure_note(&p, quota / 8 * 2, 0);
	assert_false(pvdma_pressed(&p));
	/* however much */
	pvdma_pressure_note(&p, 0, U64_MAX);
	assert_true(pvdma_pressed(&p));
	pvdma_pressure_scale(&p, quota, 12);
	assert_true(pvdma_pressed(&p));
	/* in small steps, or less of it, is no news; much more is */
	pvdma_pressure_scale(&p, quota + quota / 16, 12);
	assert_true(pvdma_pressed(&p));
	pvdma_pressure_scale(&p, quota / 4, 12);
	assert_true(pvdma_pressed(&p));
	pvdma_pressure_scale(&p, quota, 12);
	assert_false(pvdma_pressed(&p));
	pvdma_pressure_scale(&p, 0, 12);
	pvdma_pressure_note(&p, U64_MAX, U64_MAX);
	assert_false(pvdma_pressed(&p));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_share),	cmocka_unit_test(test_burst),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_scarce),
		cmocka_unit_test(test_again),	cmocka_unit_test(test_pressure),
	};

	return cmocka_run_group_tests_name("throttle", tests, NULL, NULL);
}
