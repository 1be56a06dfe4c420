// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/sim/engine.c, guest.c, meter.c, need.c, bench.c, cost.c: the
 * real engine in the simulator, and the prices.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/agent/iommu/iommu.h"
#include "host/lib/log.h"
#include "host/lib/macros.h"
#include "host/sim/bench.h"
#include "host/sim/engine.h"
#include "host/sim/grid.h"
#include "host/sim/meter.h"
#include "host/sim/need.h"
#include "host/sim/replay.h"
#include "protocol/virtio_pvdma.h"
#include "tests/unit/support/trace.h"

/* Maps of one page each out of @pages, no two of which touch. */
static struct trace *scattered(uint32_t pages, uint32_t maps)
{
	struct trace *trace = new_trace();
	uint32_t live[4] = { 0 };

	for (uint32_t i = 0; i < maps; i++) {
		uint32_t id = add(trace, (uint64_t)rnd(pages) * 8192, 4096);

		if (i >= 4)
			assert_int_equal(
				trace_add_unmap(trace, 0, 0, live[i % 4]), 0);
		live[i % 4] = id;
	}
	return trace;
}

/* On demand and no more: what is counted here is what was asked for. */
static void run(const struct trace *trace, unsigned int shift, uint64_t quota,
		struct engine_result *ret)
{
	struct engine_config config;

	engine_config_init(&config);
	config.ahead = false;
	config.granule_shift = shift;
	config.quota = quota;
	config.pool_max = 0;
	assert_int_equal(engine_run(trace, &config, &cost_default, ret), 0);
	assert_true(ret->pinned_peak <= quota);
	assert_int_equal(ret->bounced_bytes, 0);
}

/*
 * With a quota for all of it, and nothing to gain by larger pieces, the engine
 * does exactly what the simple simulator does.
 */
static void test_engine_like_fixed(void **state)
{
	struct trace *trace;
	struct grid *grid = NULL;
	struct engine_result e;
	struct replay_result r;

	(void)state;
	seed = 3;
	trace = scattered(200, 3000);
	assert_int_equal(grid_new(trace, 12, &grid), 0);
	assert_int_equal(replay_run(trace, grid, grid_bytes(grid),
				    &replacer_clock, &cost_default, &r),
			 0);
	run(trace, 12, grid_bytes(grid), &e);
	assert_int_equal(e.map_calls, 3000);
	assert_int_equal(e.waits, r.waits);
	assert_int_equal(e.requests, r.requests);
	assert_int_equal(e.mapped_bytes, r.mapped_bytes);
	assert_int_equal(e.pinned_peak, r.pinned_peak);
	assert_int_equal(e.evictions, 0);
	assert_true(e.cost_us == r.cost_us);
	assert_true(e.waited_us == r.cost_us);
	grid_free(grid);
	trace_free(trace);
}

static void run_strategy(const struct trace *trace, uint8_t strategy,
			 struct engine_result *ret)
{
	struct engine_config config;

	engine_config_init(&config);
	config.ahead = false;
	config.granule_shift = 12;
	config.quota = 64 * 4096;
	config.strategy = strategy;
	config.pool_max = 0;
	assert_int_equal(engine_run(trace, &config, &cost_default, ret), 0);
	assert_int_equal(ret->unserved, 0);
}

/*
 * One page, used 400 times, 70 us apart, and all the time by a second user in
 * the last 100 of them. After 10 ms, or 143 uses, deferred unmaps are sent.
 */
static void test_engine_strategies(void **state)
{
	static const struct {
		uint8_t strategy;
		unsigned int waits;
	} wants[] = {
		{ VIRTIO_PVDMA_S_SINGLE_USE, 401 },
		{ VIRTIO_PVDMA_S_SHARED, 301 },
		{ VIRTIO_PVDMA_S_DEFERRED, 3 },
		{ VIRTIO_PVDMA_S_ON_DEMAND, 1 },
		{ VIRTIO_PVDMA_S_PERSISTENT, 1 },
	};
	struct trace *trace = new_trace();

	(void)state;
	for (uint32_t i = 0; i < 400; i++) {
		struct trace_segment s = { 8192, 2048 };
		struct trace_map map = { .time_us = (uint64_t)i * 70,
					 .segments = &s,
					 .n_segments = 1 };
		uint32_t id;

		if (i == 300)
			assert_int_equal(trace_add_map(trace, &map, &id), 0);
		assert_int_equal(trace_add_map(trace, &map, &id), 0);
		assert_int_equal(trace_add_unmap(trace, map.time_us + 5, 0, id),
				 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(wants); i++) {
		struct engine_result e;

		run_strategy(trace, wants[i].strategy, &e);
		assert_int_equal(e.waits, wants[i].waits);
		assert_int_equal(e.requests, wants[i].waits);
		assert_int_equal(e.pinned_peak, 4096);
	}
	trace_free(trace);
}

/*
 * What is judged without any option is what the agent does without any: pages
 * in a row, of which most are there before they are asked for.
 */
static void test_engine_defaults(void **state)
{
	struct trace *trace = new_trace();
	struct engine_config config;
	struct engine_result e;

	(void)state;
	for (uint32_t i = 0; i < 2048; i++) {
		uint32_t id = add(trace, (uint64_t)i * 4096, 4096);

		assert_int_equal(trace_add_unmap(trace, 0, 0, id), 0);
	}
	engine_config_init(&config);
	assert_int_equal(config.granule_shift, 12);
	assert_int_equal(config.strategy, VIRTIO_PVDMA_S_ON_DEMAND);
	config.quota = 4 << 20;
	assert_int_equal(engine_run(trace, &config, &cost_default, &e), 0);
	assert_true(e.waits < e.map_calls / 2);
	assert_true(e.prefetch_used > e.map_calls / 2);
	assert_true(e.pinned_peak <= config.quota);
	run(trace, 12, config.quota, &e);
	assert_int_equal(e.waits, e.map_calls);
	trace_free(trace);
}

/*
 * Pages all over 16 MiB, forty times as many as the IOMMU has entries: small
 * mappings make way for large ones around them, so that most comes to be mapped.
 */
static void test_engine_few_entries(void **state)
{
	struct trace *trace = new_trace();
	struct engine_config config;
	struct engine_result e, none;

	(void)state;
	seed = 7;
	for (uint32_t i = 0; i < 20000; i++) {
		uint32_t id = add(trace, (uint64_t)rnd(4096) * 4096, 4096);

		assert_int_equal(trace_add_unmap(trace, 0, 0, id), 0);
	}
	engine_config_init(&config);
	config.quota = 64 << 20;
	config.entries_max = 4096 / 40;
	config.pool_max = 0;
	assert_int_equal(engine_run(trace, &config, &cost_default, &e), 0);
	assert_int_equal(e.refused, 0);
	assert_true(e.evictions > 0);
	assert_true(e.pinned_peak > 8 << 20);
	config.ahead = false;
	assert_int_equal(engine_run(trace, &config, &cost_default, &none), 0);
	assert_int_equal(none.refused, 0);
	assert_true(none.pinned_peak <= config.entries_max * 4096);
	assert_true(e.waits * 10 < none.waits);
	trace_free(trace);
}

static void test_engine_under_quota(void **state)
{
	struct trace *trace;

	(void)state;
	seed = 4;
	trace = scattered(200, 2000);
	for (uint64_t pages = 5; pages < 200; pages *= 2) {
		struct engine_result e;

		run(trace, 12, pages * 4096, &e);
		assert_int_equal(e.refused, 0);
		assert_true(e.waits < e.map_calls);
		assert_true(e.evictions > 0);
	}
	trace_free(trace);
}

static void test_engine_refused(void **state)
{
	struct trace *trace = new_trace();
	struct engine_result e;
	uint32_t a, b;

	(void)state;
	a = add(trace, 0, 8192);
	b = add(trace, 8192, 4096); /* waits until a ends */
	add(trace, 16384, 12288);   /* never fits */
	assert_int_equal(trace_add_unmap(trace, 0, 0, a), 0);
	assert_int_equal(trace_add_unmap(trace, 0, 0, b), 0);
	run(trace, 12, 8192, &e);
	assert_int_equal(e.waits, 3);
	assert_int_equal(e.refused, 2);
	assert_int_equal(e.unserved, 1);
	assert_int_equal(e.pinned_peak, 8192);
	run(trace, 12, 0, &e);
	assert_int_equal(e.unserved, 3);
	trace_free(trace);
}

/* Unaligned, empty, and far apart; granules of every size. */
static void test_engine_shapes(void **state)
{
	struct trace *trace = new_trace();
	struct engine_result e;

	(void)state;
	add(trace, 4095, 2);
	add(trace, 12345, 0);
	add(trace, (UINT64_C(5) << 30) + 1, 3u << 20);
	add(trace, 1u << 20, 512u << 10);
	for (unsigned int shift = 12; shift <= 21; shift++) {
		run(trace, shift, UINT64_C(1) << 30, &e);
		assert_int_equal(e.refused, 0);
		assert_true(e.waits >= 2 && e.waits <= 4);
		assert_true(e.mapped_bytes >= 3u << 20);
		assert_int_equal(e.mapped_bytes, e.pinned_peak);
	}
	add(trace, UINT64_C(1) << 45, 1);
	{
		struct engine_config config;

		engine_config_init(&config);
		config.quota = 1u << 20;
		assert_int_equal(engine_run(trace, &config, &cost_default, &e),
				 -E2BIG);
	}
	trace_free(trace);
}

/* --- the meter --- */

static bool holds_even(void *userdata, uint64_t granule)
{
	(void)userdata;
	return granule % 2 == 0;
}

static void test_meter(void **state)
{
	struct meter *meter = NULL;
	struct meter_result r;
	struct iommu_map map = { 0, 8 * 4096, &r, IOMMU_READ };
	struct iommu *iommu;
	uint64_t bytes;

	(void)state;
	/* the null backend wants an address of a page */
	map.vaddr = (void *)(uintptr_t)0x10000;
	assert_int_equal(meter_new(1u << 20, 12, 10, &cost_default, holds_even,
				   NULL, &meter),
			 0);
	iommu = meter_iommu(meter);
	assert_int_equal(iommu_map(iommu, &map), 0);
	assert_int_equal(iommu_map(iommu, &map), -EEXIST);
	meter_use(meter, 0, 3);
	meter_use(meter, 0, 3);
	meter_get(meter, &r);
	assert_int_equal(r.prefetched, 4);
	assert_int_equal(r.prefetch_used, 2);
	assert_int_equal(r.now, 8 * 4096);
	assert_int_equal(r.mapped_bytes, 8 * 4096);
	assert_int_equal(r.map_calls, 2);
	assert_int_equal(iommu_unmap(iommu, 0, 1u << 20, &bytes), 0);
	assert_int_equal(bytes, 8 * 4096);
	meter_use(meter, 4, 7);
	meter_get(meter, &r);
	assert_int_equal(r.prefetch_used, 2);
	assert_int_equal(r.now, 0);
	assert_int_equal(r.peak, 8 * 4096);
	assert_true(r.us == 2 * cost_map(&cost_default, 8 * 4096) +
				    cost_unmap(&cost_default, 8 * 4096));
	iommu_free(iommu);
}

/* --- need and bench --- */

static void count(void *userdata)
{
	++*(unsigned int *)userdata;
}

static void test_need(void **state)
{
	struct engine_config config;
	struct engine_result e;
	struct trace *trace;
	struct need need;
	unsigned int runs = 0;

	(void)state;
	seed = 5;
	trace = scattered(300, 5000);
	engine_config_init(&config);
	config.ahead = false;
	config.granule_shift = 12;
	config.pool_max = 0;
	assert_int_equal(need_find(trace, &config, &cost_default, count, &runs,
				   &need),
			 0);
	assert_true(runs > 5 && runs < 40);
	assert_int_equal(need.all, need.working_set);
	assert_true(need.held_peak <= need.serves);
	assert_true(need.serves <= need.enough && need.enough <= need.all);
	run(trace, 12, need.serves, &e);
	assert_int_equal(e.refused, 0);
	run(trace, 12, need.serves - 4096, &e);
	assert_true(e.refused > 0);
	run(trace, 12, need.all, &e);
	assert_int_equal(e.evictions, 0);
	trace_free(trace);
}

typedef void (*print_fn)(FILE *out, const struct bench_trace *t, unsigned int n,
			 const struct bench_options *options);

static void print_table(FILE *out, const struct bench_trace *t, unsigned int n,
			const struct bench_options *options)
{
	(void)options;
	bench_print_table(out, t, n);
	bench_print_markdown(out, t, n);
}

static void print_svg(FILE *out, const struct bench_trace *t, unsigned int n,
		      const struct bench_options *options)
{
	(void)options;
	bench_print_svg(out, t, n);
}

/* Prints, and looks for words in what comes out. */
static void assert_prints(print_fn print, const struct bench_trace *t,
			  const struct bench_options *options,
			  const char *const *words)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	print(out, t, 1, options);
	assert_int_equal(fclose(out), 0);
	for (; *words; words++)
		if (!strstr(text, *words))
			fail_msg("no %s in: %s", *words, text);
	free(text);
}

static void check_prints(const struct bench_trace *t,
			 const struct bench_options *options)
{
	/* the names that others rely on */
	static const char *const json[] = {
		"\"traces\": [",
		"\"name\": \"t\"",
		"\"map_calls\": 3000",
		"\"working_set\": ",
		"\"points\": [",
		"\"quota_pct\": 25",
		"\"waits\": ",
		"\"requests\": ",
		"\"mapped_bytes\": ",
		"\"bounced_bytes\": 0",
		"\"pinned_peak\": ",
		"\"cost_us\": ",
		"\"best_fixed\": {\"granule\": ",
		"\"policy_only\": {\"granule\": 4096, \"misses\": ",
		"\"opt_misses\": ",
		"\"summary\": {\"points\": 2",
		NULL,
	};
	static const char *const table[] = {
		"t   ", " 25%", "100%", "| t | 3000 |", "All (2 points)", NULL,
	};
	static const char *const svg[] = {
		"<svg ", "<polyline ", ">t</text>", "</svg>", NULL,
	};

	assert_prints(bench_print_json, t, options, json);
	assert_prints(print_table, t, options, table);
	assert_prints(print_svg, t, options, svg);
}

static void test_bench(void **state)
{
	struct bench_options options = {
		.cost = &cost_default,
		.policy_shift = 12,
		.quotas = { 25, 100 },
		.n_quotas = 2,
	};
	struct bench_trace t = { .name = "t" };
	struct bench_summary all, feasible;
	struct trace *trace;
	unsigned int steps = 0;

	(void)state;
	seed = 6;
	trace = scattered(400, 3000);
	engine_config_init(&options.engine);
	options.engine.granule_shift = 12;
	options.engine.pool_max = 0;
	assert_int_equal(bench_run(trace, &options, count, &steps, &t), 0);
	assert_int_equal(steps, bench_steps(&options));
	assert_string_equal(t.name, "t");
	assert_int_equal(t.n_points, 2);
	assert_int_equal(t.points[1].quota, t.working_set);
	assert_true(t.points[0].quota * 4 <= t.working_set);
	for (unsigned int k = 0; k < 2; k++) {
		const struct bench_point *p = &t.points[k];

		assert_true(p->opt.loads <= p->policy.loads);
		for (unsigned int s = 0; s < BENCH_SIZES; s++)
			assert_true(!p->fixed[s].loads ||
				    p->fixed[p->best].cost_us <=
					    p->fixed[s].cost_us);
	}
	bench_summarise(&t, 1, false, &all);
	bench_summarise(&t, 1, true, &feasible);
	assert_int_equal(all.points, 2);
	assert_int_equal(feasible.points, 2);
	assert_int_equal(all.over_quota, 0);
	assert_true(all.policy_ratio >= 1 && all.policy_ratio_max >= 1);
	check_prints(&t, &options);
	trace_free(trace);
}

/* --- prices --- */

static void test_cost(void **state)
{
	const struct cost_model *m = &cost_default;
	double last = 0;

	(void)state;
	assert_true(cost_map(m, 4096) == 17);
	assert_true(cost_map(m, 1) == 17);
	assert_true(cost_unmap(m, 2u << 20) == 842);
	assert_true(cost_map(m, 4u << 20) == 2 * 1204);
	/* halfway, on logarithmic scales */
	assert_true(cost_map(m, 16384) > 32.9 && cost_map(m, 16384) < 33.1);
	for (uint64_t size = 4096; size < 64u << 20; size += 4096) {
		assert_true(cost_map(m, size) >= last);
		last = cost_map(m, size);
	}
}

static int load(const char *text, struct cost_model *ret)
{
	char path[] = "/tmp/test_sim_cost.XXXXXX";
	int fd = mkstemp(path), r;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	r = cost_load(path, ret);
	assert_int_equal(unlink(path), 0);
	return r;
}

static void test_cost_file(void **state)
{
	static const char *const wrong[] = {
		"speed 1\n",	"retry\n",
		"retry 0\n",	"retry 1 2\n",
		"retry nan\n",	"retry 1e99\n",
		"size 4K 1\n",	"size 4Q 1 1\n",
		"size 0 1 1\n", "size 4K 1 1\nsize 4096 1 1\n",
	};
	struct cost_model m = cost_default;

	(void)state;
	log_set_max_level(-1);
	assert_int_equal(load("# nothing\n\nretry 7 # us\n", &m), 0);
	assert_true(m.retry_us == 7);
	assert_true(m.round_trip_us == cost_default.round_trip_us);
	assert_int_equal(m.n_sizes, 3);
	assert_int_equal(load("size 4K 1 2\nsize 2M 3 4\nround_trip 5\n"
			      "failure 6\ncopy 0.5",
			      &m),
			 0);
	assert_int_equal(m.n_sizes, 2);
	assert_true(cost_map(&m, 2u << 20) == 3);
	assert_true(m.round_trip_us == 5 && m.failure_us == 6);
	assert_true(m.copy_us_per_kib == 0.5);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(load(wrong[i], &m), -EINVAL);
	assert_int_equal(cost_load("/nowhere", &m), -ENOENT);
	assert_true(m.round_trip_us == 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_engine_like_fixed),
		cmocka_unit_test(test_engine_strategies),
		cmocka_unit_test(test_engine_defaults),
		cmocka_unit_test(test_engine_few_entries),
		cmocka_unit_test(test_engine_under_quota),
		cmocka_unit_test(test_engine_refused),
		cmocka_unit_test(test_engine_shapes),
		cmocka_unit_test(test_meter),
		cmocka_unit_test(test_need),
		cmocka_unit_test(test_bench),
		cmocka_unit_test(test_cost),
		cmocka_unit_test(test_cost_file),
	};

	log_set_max_level(LOG_WARNING);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
