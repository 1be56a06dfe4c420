// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/sim/loop.c, profile.c and host.c: a trace in a loop, what it
 * costs under some quotas, and many VMs of such under one budget.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/lib/log.h"
#include "host/sim/host.h"
#include "host/sim/loop.h"

#define PAGE UINT64_C(4096)

static struct trace *new_trace(void)
{
	struct trace_info info = { .cpus = 1, .memory = UINT64_C(1) << 30 };
	struct trace *trace = NULL;

	assert_int_equal(trace_new(&info, &trace), 0);
	assert_int_equal(trace_add_device(trace, "nvme"), 0);
	return trace;
}

static uint32_t add(struct trace *trace, uint64_t time, uint64_t page)
{
	const struct trace_segment segment = { page * PAGE, PAGE };
	const struct trace_map map = {
		.time_us = time,
		.segments = &segment,
		.n_segments = 1,
	};
	uint32_t id = 0;

	assert_int_equal(trace_add_map(trace, &map, &id), 0);
	return id;
}

/* A ring that stays, and @pages that are used in turn, one in a millisecond. */
static struct trace *ring_and_pages(unsigned int pages)
{
	struct trace *trace = new_trace();

	(void)add(trace, 0, 0);
	for (unsigned int i = 1; i <= pages; i++) {
		uint32_t map = add(trace, i * 1000, 2 * i);

		assert_int_equal(trace_add_unmap(trace, i * 1000 + 500, 0, map),
				 0);
	}
	return trace;
}

static void test_loop(void **state)
{
	struct trace *trace = ring_and_pages(10), *loop = NULL;
	uint64_t round = 0;

	(void)state;
	assert_int_equal(loop_new(trace, 3, &round, &loop), 0);
	assert_int_equal(round, 10501);
	assert_int_equal(loop->n_maps, 31);
	assert_true(trace_is_live(loop, 0));
	assert_false(trace_is_live(loop, 30));
	assert_int_equal(loop->events[loop->n_events - 1].time_us,
			 2 * round + 10500);
	trace_free(loop);
	trace_free(trace);
}

static void count_step(void *userdata)
{
	++*(unsigned int *)userdata;
}

static void test_profile(void **state)
{
	struct trace *trace = ring_and_pages(255);
	struct engine_config engine;
	struct profile_loss low, high;
	struct profile profile;
	unsigned int steps = 0;

	(void)state;
	engine_config_init(&engine);
	engine.ahead = false;
	engine.pool_max = 0;
	assert_int_equal(profile_make(trace, &engine, &cost_default, count_step,
				      &steps, &profile),
			 0);
	assert_int_equal(steps, PROFILE_RUNS);
	assert_int_equal(profile.working_set, 256 * PAGE);
	assert_int_equal(profile.rings, PAGE);
	profile_at(&profile, 0, &low);
	profile_at(&profile, 1e12, &high);
	/* nothing is missed twice where all of it fits */
	assert_true(high.waits < 1);
	assert_true(low.waits > 900);
	assert_true(low.cost_us > 80 * low.waits);
	assert_ptr_equal(profile_near(&profile, 0), &profile.runs[0]);
	assert_ptr_equal(profile_near(&profile, (double)(128 * PAGE)),
			 &profile.runs[6]);
	assert_ptr_equal(profile_near(&profile, 1e12),
			 &profile.runs[PROFILE_RUNS - 1]);
	/* and the agent knows it, too */
	assert_true(profile.runs[0].curve.n > 0);
	trace_free(trace);
}

/* What falls evenly from @cost at nothing to nothing at @size. */
static void make_profile(struct profile *profile, uint64_t size, double cost)
{
	profile->working_set = size;
	profile->rings = size / 32;
	for (unsigned int i = 0; i < PROFILE_RUNS; i++) {
		struct profile_run *run = &profile->runs[i];
		double share = i < 8 ? (double)(8 - i) / 8 : 0;

		run->quota = (size / 16) << i / 2;
		if (i % 2)
			run->quota += run->quota / 2;
		run->loss.waits = cost / 100 * share;
		run->loss.cost_us = cost * share;
	}
	for (unsigned int i = 0; i < PROFILE_RUNS; i++) {
		struct vm_curve *curve = &profile->runs[i].curve;

		curve->held_bytes = size / 32;
		for (curve->n = 0; curve->n < PROFILE_RUNS; curve->n++) {
			const struct profile_run *run =
				&profile->runs[curve->n];

			curve->points[curve->n] = (struct vm_curve_point){
				.quota = run->quota,
				.cost_us_per_s = run->loss.cost_us,
			};
		}
	}
}

static void run(uint64_t seed, struct host_result *ret)
{
	const struct host_options options = {
		.vms = 60,
		.rounds = HOST_ROUNDS_MIN,
		.budget_pct = 40,
		.seed = seed,
	};
	struct profile profiles[3] = { 0 };
	unsigned int steps = 0;

	make_profile(&profiles[0], UINT64_C(64) << 20, 1e5);
	make_profile(&profiles[1], UINT64_C(64) << 20, 1e3);
	make_profile(&profiles[2], UINT64_C(8) << 20, 1e5);
	assert_int_equal(
		host_run(profiles, 3, &options, count_step, &steps, ret), 0);
	assert_int_equal(steps, HOST_ROUNDS_MIN);
}

static void test_host(void **state)
{
	struct host_result a, b;

	(void)state;
	for (uint64_t seed = 1; seed < 5; seed++) {
		run(seed, &a);
		assert_true(a.loss[HOST_EQUAL].cost_us > 0);
		assert_true(a.weighted_us[HOST_PVDMAD] <
			    a.weighted_us[HOST_EQUAL] * 0.8);
		assert_true(a.weighted_us[HOST_PVDMAD] <
			    a.weighted_us[HOST_WEIGHT]);
		assert_true(a.weighted_us[HOST_ORACLE] <
			    a.weighted_us[HOST_PVDMAD]);
		assert_true(a.settled < HOST_STEADY / 2);
		assert_true(a.moved_settled < 0.02);
		assert_true(a.round_us > 0);
		/* the same seed, the same VMs */
		run(seed, &b);
		assert_true(a.weighted_us[HOST_PVDMAD] ==
			    b.weighted_us[HOST_PVDMAD]);
	}
}

static void test_print(void **state)
{
	char *text = NULL;
	size_t size;
	struct host_result result;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	run(1, &result);
	host_print_table(out, &result);
	fflush(out);
	assert_non_null(strstr(text, "60 VMs"));
	for (unsigned int way = 0; way < HOST_WAYS; way++)
		assert_non_null(strstr(text, host_way_name(way)));
	host_print_json(out, &result);
	fclose(out);
	assert_non_null(strstr(text, "\"name\": \"oracle\""));
	assert_non_null(strstr(text, "\"round_us\": "));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_profile),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_print),
	};

	log_set_max_level(LOG_ERR);
	return cmocka_run_group_tests_name("sim_host", tests, NULL, NULL);
}
