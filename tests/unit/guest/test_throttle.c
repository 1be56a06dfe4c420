// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of guest/pvdma/throttle.h: what is copied stays a small share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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
			if (pvdma_throttle_spend(&t, sizes[i]))
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
	assert_false(pvdma_throttle_spend(&t, U64_MAX / 16));
	while (pvdma_throttle_spend(&t, 4096))
		copied += 4096;
	assert_true(copied > PVDMA_THROTTLE_MOST / 2);
	assert_true(copied <= PVDMA_THROTTLE_MOST);
	/* small ones still get something */
	assert_true(pvdma_throttle_spend(&t, 256));
}

/* Who was refused does not ask for a while; but large ones are no habit. */
static void test_refused(void **state)
{
	struct pvdma_throttle t;
	u32 n = 0;

	(void)state;
	pvdma_throttle_init(&t);
	while (pvdma_throttle_spend(&t, 512))
		;
	pvdma_throttle_refused(&t);
	assert_false(pvdma_throttle_spend(&t, PVDMA_THROTTLE_REFUSED_SIZE + 1));
	while (pvdma_throttle_spend(&t, PVDMA_THROTTLE_REFUSED_SIZE))
		n++;
	assert_int_equal(n, PVDMA_THROTTLE_REFUSED);
	assert_false(pvdma_throttle_spend(&t, 512));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("throttle", tests, NULL, NULL);
}
