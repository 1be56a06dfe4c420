// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/agent/curve.c and observe.c: by hand; and against traces,
 * where what is said of other quotas is compared with runs under those.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "host/agent/curve.h"
#include "host/lib/log.h"
#include "host/lib/macros.h"
#include "host/sim/engine.h"
#include "host/sim/grid.h"
#include "host/sim/loop.h"
#include "host/sim/trace_file.h"

#define SECOND UINT64_C(1000000)

static const struct curve_loss one = { 1, 1000 };

/* The waits a second that are said of a quota, between points. */
static double waits_at(const struct curve *curve, uint64_t now, uint64_t quota)
{
	struct curve_reading r;

	curve_read(curve, now, &r);
	for (unsigned int i = 0; i + 1 < r.n; i++) {
		const struct curve_point *p = &r.points[i];

		if (quota < p->quota || quota > p[1].quota)
			continue;
		return p->waits_per_s + (p[1].waits_per_s - p->waits_per_s) *
						(double)(quota - p->quota) /
						(double)(p[1].quota - p->quota);
	}
	return -1;
}

static void check_reading(const struct curve *curve, uint64_t quota)
{
	struct curve_reading r;

	curve_read(curve, quota, &r);
	for (unsigned int i = 1; i < r.n; i++) {
		assert_true(r.points[i].quota > r.points[i - 1].quota);
		assert_true(r.points[i].waits_per_s <=
			    r.points[i - 1].waits_per_s + 1e-9);
		assert_true(r.points[i].ns_per_s <=
			    r.points[i - 1].ns_per_s + 1e-6);
	}
}

/*
 * A loop over @n granules, each once a second, with room for @quota, of which
 * nothing survives a round: LRU's worst.
 */
static void loop_misses(struct curve *curve, uint64_t n, uint64_t quota,
			unsigned int rounds)
{
	for (unsigned int k = 0; k < rounds; k++) {
		for (uint64_t g = 0; g < n; g++) {
			curve_missed(curve, 1000 + g, 1, quota, &one, 1);
			if (g >= quota)
				curve_evicted(curve, 1000 + g - quota, 1);
		}
		curve_pass(curve, SECOND);
	}
}

static void test_cliff(void **state)
{
	struct curve_reading r;
	struct curve *curve;

	(void)state;
	assert_int_equal(curve_new(0, &curve), 0);
	curve_read(curve, 512, &r);
	assert_int_equal(r.n, 0);
	assert_int_equal(r.interval_us, 0);
	loop_misses(curve, 1024, 512, 60);
	check_reading(curve, 512);
	/* all miss, until all of the loop fits */
	assert_in_range((uint64_t)waits_at(curve, 512, 100), 940, 1040);
	assert_in_range((uint64_t)waits_at(curve, 512, 512), 940, 1040);
	assert_in_range((uint64_t)waits_at(curve, 512, 724), 940, 1040);
	assert_in_range((uint64_t)waits_at(curve, 512, 1500), 0, 60);
	/* and as the quota is another one now */
	assert_in_range((uint64_t)waits_at(curve, 2048, 2000), 0, 60);
	curve_read(curve, 512, &r);
	assert_in_range(r.interval_us, 11 * SECOND, 12 * SECOND);
	curve_free(curve);
}

/* Many more granules than entries: a part of them answers for all. */
static void test_sampled(void **state)
{
	struct curve *curve;

	(void)state;
	assert_int_equal(curve_new(0, &curve), 0);
	loop_misses(curve, 100000, 50000, 12);
	check_reading(curve, 50000);
	assert_true(curve_entries(curve) <= 4096);
	assert_true(curve_entries(curve) > 1024);
	/* the sums of misses are exact, whatever the sample is */
	assert_in_range((uint64_t)waits_at(curve, 50000, 50000), 94000, 105000);
	assert_in_range((uint64_t)waits_at(curve, 50000, 65536), 85000, 105000);
	assert_in_range((uint64_t)waits_at(curve, 50000, 180000), 0, 16000);
	curve_free(curve);
}

/* Who does not know the seed does not know the sample; forgetting keeps it. */
static void test_seed(void **state)
{
	static const uint64_t seeds[] = { 0, 0, 1, UINT64_C(1) << 63 };
	struct curve *curves[ARRAY_SIZE(seeds)];
	uint64_t same[ARRAY_SIZE(seeds)] = { 0 }, sampled = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(seeds); i++) {
		assert_int_equal(curve_new(seeds[i], &curves[i]), 0);
		curve_forget(curves[i]);
		loop_misses(curves[i], 100000, 50000, 1);
	}
	for (uint64_t g = 1000; g < 101000; g++) {
		bool yes = curve_samples(curves[0], g);

		sampled += yes;
		for (size_t i = 0; i < ARRAY_SIZE(seeds); i++)
			same[i] += yes && curve_samples(curves[i], g);
	}
	assert_true(sampled > 1000);
	assert_int_equal(same[1], sampled);
	assert_true(same[2] < sampled / 4);
	assert_true(same[3] < sampled / 4);
	for (size_t i = 0; i < ARRAY_SIZE(seeds); i++)
		curve_free(curves[i]);
}

/* Of 256 granules 64 are used all the time, the others now and then. */
static void test_hits(void **state)
{
	struct curve *curve;

	(void)state;
	assert_int_equal(curve_new(0, &curve), 0);
	for (uint64_t g = 0; g < 256; g++)
		curve_missed(curve, g, 1, 300, &one, 1);
	for (unsigned int k = 0; k < 800; k++) {
		for (uint64_t g = 0; g < 64; g++)
			curve_hit(curve, curve_find(curve, g), 300);
		if (k % 10 == 0)
			for (uint64_t g = 64; g < 256; g++)
				curve_hit(curve, curve_find(curve, g), 300);
		curve_pass(curve, SECOND / 10);
	}
	check_reading(curve, 300);
	/* 192 a second, and with less than 64 granules 640 more */
	assert_in_range((uint64_t)waits_at(curve, 300, 300), 0, 10);
	assert_in_range((uint64_t)waits_at(curve, 300, 100), 150, 260);
	assert_in_range((uint64_t)waits_at(curve, 300, 48), 650, 900);
	/* it ends, and is forgotten */
	curve_pass(curve, 60 * SECOND);
	assert_in_range((uint64_t)waits_at(curve, 300, 48), 0, 10);
	curve_forget(curve);
	assert_int_equal(curve_entries(curve), 0);
	curve_free(curve);
}

/* Mapped ahead, refused, held; and a load that moves. */
static void test_other_events(void **state)
{
	static const struct curve_loss none = { 0, 0 };
	struct curve_reading r;
	struct curve *curve;

	(void)state;
	assert_int_equal(curve_new(0, &curve), 0);
	curve_mapped(curve, 0, 32, 64, &none);
	assert_int_equal(curve_entries(curve), 32);
	assert_true(curve_is_mapped(curve, curve_find(curve, 31)));
	curve_evicted(curve, 31, 5);
	assert_false(curve_is_mapped(curve, curve_find(curve, 31)));
	curve_ended(curve, 30, 2);
	assert_true(curve_find(curve, 30) == CURVE_NONE);
	assert_true(curve_find(curve, 31) != CURVE_NONE);
	assert_true(curve_find(curve, 32) == CURVE_NONE);
	curve_hit(curve, curve_find(curve, 0), 64);
	curve_refused(curve, 200, 64, &one);
	curve_held(curve, 7);
	curve_pass(curve, SECOND);
	assert_true(waits_at(curve, 64, 64) > 0.5);
	assert_true(waits_at(curve, 64, 300) < 0.1);
	curve_read(curve, 64, &r);
	assert_in_range(r.held, 6, 7);
	/* a little quota remembers little */
	loop_misses(curve, 64, 1, 3);
	assert_in_range(curve_entries(curve), 1, 32);
	check_reading(curve, 1);
	curve_free(curve);
}

/* --- against the simulator --- */

struct truth {
	uint64_t quota;
	double seconds;
	struct engine_result run;
};

static void run_at(const struct trace *loop, uint64_t round_us, uint64_t quota,
		   unsigned int rounds, struct truth *ret)
{
	struct engine_config config;

	engine_config_init(&config);
	config.quota = quota;
	config.from_us = round_us;
	/* who copies instead does not wait */
	config.pool_max = 0;
	ret->quota = quota;
	ret->seconds = (double)((rounds - 1) * round_us) / 1e6;
	assert_int_equal(engine_run(loop, &config, &cost_default, &ret->run),
			 0);
}

static double said_at(const struct vm_curve *curve, uint64_t quota)
{
	for (unsigned int i = 0; i + 1 < curve->n; i++) {
		const struct vm_curve_point *p = &curve->points[i];

		if (quota < p->quota || quota > p[1].quota)
			continue;
		return p->waits_per_s + (p[1].waits_per_s - p->waits_per_s) *
						(double)(quota - p->quota) /
						(double)(p[1].quota - p->quota);
	}
	return -1;
}

static double waits_of(const struct truth *t)
{
	return (double)t->run.waits / t->seconds;
}

/*
 * @rounds are enough for the first one, in which all is new, to be forgotten.
 * What a run says of its own quota is right within a third; of twice and half
 * of it, within a factor of three; in both cases but for a twentieth of what the
 * smallest quota has.
 */
static void check_against(const char *path, unsigned int rounds)
{
	enum { QUOTAS = 4 };
	struct truth truth[QUOTAS];
	struct trace *trace = NULL, *loop = NULL;
	struct grid *grid = NULL;
	uint64_t round_us, size;
	double slack;

	assert_int_equal(trace_load(path, &trace), 0);
	assert_int_equal(loop_new(trace, rounds, &round_us, &loop), 0);
	assert_int_equal(grid_new(trace, 12, &grid), 0);
	size = grid_bytes(grid);
	for (unsigned int i = 0; i < QUOTAS; i++)
		run_at(loop, round_us, align_down((size / 4) << i, 4096),
		       rounds, &truth[i]);
	slack = waits_of(&truth[0]) / 20;
	for (unsigned int i = 0; i < QUOTAS; i++) {
		const struct vm_curve *curve = &truth[i].run.curve;
		double own = said_at(curve, truth[i].quota);

		print_message("%s, %.1f MiB: %.0f/s, said", path,
			      (double)truth[i].quota / 1048576,
			      waits_of(&truth[i]));
		assert_true(fabs(own - waits_of(&truth[i])) <=
			    waits_of(&truth[i]) / 3 + slack);
		for (unsigned int k = 0; k < QUOTAS; k++) {
			double said = said_at(curve, truth[k].quota);
			double is = waits_of(&truth[k]);

			print_message(" %.0f", said);
			if (k + 1 < i || k > i + 1)
				continue;
			assert_true(said <= is * 3 + 2 * slack);
			assert_true(said >= is / 3 - 2 * slack);
		}
		print_message("\n");
		for (unsigned int k = 1; k < curve->n; k++)
			assert_true(curve->points[k].waits_per_s <=
				    curve->points[k - 1].waits_per_s + 1e-9);
		assert_true(curve->held_bytes <= curve->mapped_bytes);
		assert_true(curve->mapped_bytes <= curve->quota);
	}
	grid_free(grid);
	trace_free(loop);
	trace_free(trace);
}

static void test_traces(void **state)
{
	(void)state;
	log_set_max_level(LOG_ERR);
	check_against("tests/traces/nvme-database-6.12.pvt", 3);
	check_against("tests/traces/e1000e-tcp-upload-6.12.pvt", 8);
	check_against("tests/traces/nvme-files-6.12.pvt", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cliff),
		cmocka_unit_test(test_sampled),
		cmocka_unit_test(test_seed),
		cmocka_unit_test(test_hits),
		cmocka_unit_test(test_other_events),
		cmocka_unit_test(test_traces),
	};

	return cmocka_run_group_tests_name("curve", tests, NULL, NULL);
}
