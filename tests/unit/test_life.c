// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/agent/policy/life.c: what ages say of the next use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

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

/* The table as one would write it down: each bin that is passed by itself. */
static void test_life_table(void **state)
{
	uint32_t used[LIFE_BINS] = { 0 }, passed[LIFE_BINS] = { 0 };
	float hazards[LIFE_BINS], expected[LIFE_BINS];
	struct life_root life = { 0 }, none = { 0 };

	(void)state;
	srand(2);
	for (uint32_t i = 0; i < LIFE_BINS; i++)
		expected[i] = 0.25F;
	for (int n = 1; n <= 40000; n++) {
		uint32_t from = (uint32_t)rand() % LIFE_BINS;
		uint32_t to = (uint32_t)rand() % LIFE_BINS;

		life_passed(&life, from, to);
		for (uint32_t i = from; i < to; i++)
			passed[i] += 16;
		life_used(&life, to);
		used[to] += 16;
		if (n % 10000 != 0)
			continue;
		life_halve(&life);
		life_add(&life, &none);
		life_hazards(&life, expected, hazards);
		for (uint32_t i = 0; i < LIFE_BINS; i++) {
			used[i] /= 2;
			passed[i] /= 2;
			assert_float_equal(hazards[i],
					   (used[i] / 16.0F + 64) /
						   (used[i] / 16.0F +
						    passed[i] / 16.0F + 256),
					   1e-6);
		}
	}
	/* the same, seen twice */
	life_add(&none, &life);
	life_add(&none, &life);
	life_hazards(&none, expected, hazards);
	for (uint32_t i = 0; i < LIFE_BINS; i++)
		assert_float_equal(
			hazards[i],
			(used[i] / 8.0F + 64) /
				(used[i] / 8.0F + passed[i] / 8.0F + 256),
			1e-6);
}

/* The best of all ages to stop at, by trying them all. */
static float naive_worth(const float *hazards, uint32_t from)
{
	float left = 1, uses = 0, time = 0, best = 0;

	for (uint32_t i = from; i < LIFE_BINS; i++) {
		float end = i < 3 ? i + 1 :
				    (float)((4 + ((i + 1) & 3))
					    << ((i + 1) / 4 - 1));
		float start = i < 4 ? i : (float)((4 + (i & 3)) << (i / 4 - 1));

		uses += left * hazards[i];
		time += left * (end - start) * (1 - hazards[i] / 2);
		left *= 1 - hazards[i];
		if (uses / time > best)
			best = uses / time;
	}
	return best;
}

/* Whatever ages are, none that would be better is left out. */
static void test_life_worths(void **state)
{
	(void)state;
	srand(1);
	for (int i = 0; i < 20000; i++) {
		float hazards[LIFE_BINS], worths[LIFE_BINS];
		int most = 1 + rand() % 1000; /* of a thousand */

		for (uint32_t k = 0; k < LIFE_BINS; k++)
			hazards[k] = rand() % 4 == 0 ?
					     (float)(rand() % most) / 1000 :
					     1e-6F;
		life_worths(hazards, worths);
		for (uint32_t k = 0; k < LIFE_BINS; k++)
			assert_float_equal(worths[k] / naive_worth(hazards, k),
					   1, 1e-5);
	}
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
	for (uint32_t i = 0; i < (1U << 25); i++)
		life_passed(&life, 3, 9);
	assert_true(life.passed[3] <= (1U << 28) + 16);
	assert_true(life.passed[3] >= 1U << 27);
	assert_int_equal(life.passed[3] + life.passed[9], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life_prior),
		cmocka_unit_test(test_life_loop),
		cmocka_unit_test(test_life_table),
		cmocka_unit_test(test_life_worths),
		cmocka_unit_test(test_life_bins),
		cmocka_unit_test(test_life_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
