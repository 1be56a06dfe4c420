// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/agent/policy/life.c: what ages say of the next use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/agent/policy/life.h"

/* Who knows nothing ranks like LRU. */
static void test_life_prior(void **state)
{
	struct life_root life = { 0 };
	float hazards[LIFE_BINS], worths[LIFE_BINS];

	(void)state;
	life_hazards(&life, NULL, hazards);
	life_worths(hazards, worths);
	for (uint32_t i = 1; i < LIFE_BINS; i++) {
		assert_true(worths[i] > 0);
		assert_true(worths[i] < worths[i - 1]);
	}
}

/* Who saw a loop knows that its end draws near. */
static void test_life_loop(void **state)
{
	struct life_root life = { 0 };
	float hazards[LIFE_BINS], worths[LIFE_BINS];
	uint32_t end_bin = life_bin(1000);

	(void)state;
	for (int i = 0; i < 100000; i++) {
		life_passed(&life, 0, end_bin);
		life_used(&life, end_bin);
	}
	life_hazards(&life, NULL, hazards);
	life_worths(hazards, worths);
	for (uint32_t i = 16; i < end_bin; i++)
		assert_true(worths[i] < worths[i + 1]);
	assert_true(worths[end_bin + 1] < worths[end_bin]);
	life_halve(&life);
	life_hazards(&life, NULL, hazards);
	assert_true(hazards[end_bin] > 0.98F);
}

static void test_life_bins(void **state)
{
	uint32_t last = 0;

	(void)state;
	for (uint32_t age = 0; age < 100000; age++) {
		uint32_t bin = life_bin(age);

		assert_true(bin == last || bin == last + 1);
		last = bin;
	}
	assert_int_equal(life_bin((1U << 24) - 1), LIFE_BINS - 1);
	assert_int_equal(life_bin(UINT32_MAX), LIFE_BINS - 1);
}

/* No count overflows. */
static void test_life_long(void **state)
{
	struct life_root life = { 0 };

	(void)state;
	for (uint32_t i = 0; i < (1U << 25); i++)
		life_used(&life, 7);
	assert_true(life.used[7] <= (1U << 28) + 16);
	assert_true(life.used[7] >= 1U << 27);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life_prior),
		cmocka_unit_test(test_life_loop),
		cmocka_unit_test(test_life_bins),
		cmocka_unit_test(test_life_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
