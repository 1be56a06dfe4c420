// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bench.c - one trace under several quotas, by the engine and by its rivals
 *
 * Owns nothing beyond a call. Locks: none.
 */
#include "host/sim/bench.h"

#include <math.h>
#include <string.h>

#include "host/lib/macros.h"
#include "host/sim/grid.h"

const unsigned int bench_shifts[BENCH_SIZES] = { 12, 14, 16, 18, 21 };

unsigned int bench_steps(const struct bench_options *options)
{
	return options->n_quotas * (BENCH_SIZES + 2);
}

struct run {
	const struct trace *trace;
	const struct bench_options *options;
	bench_step_fn step;
	void *userdata;
	struct bench_trace *result;
};

static int replay_all(const struct run *run, const struct grid *grid,
		      unsigned int size)
{
	const struct bench_options *options = run->options;

	for (unsigned int i = 0; i < run->result->n_points; i++) {
		struct bench_point *p = &run->result->points[i];
		int r;

		run->step(run->userdata);
		r = replay_run(run->trace, grid, p->quota, &replacer_clock,
			       options->cost, &p->fixed[size]);
		if (r)
			return r;
	}
	return 0;
}

/* The agent's policy and the optimum, at one size of granule. */
static int replay_policies(const struct run *run)
{
	const struct bench_options *options = run->options;
	struct grid *grid = NULL;
	int r = grid_new(run->trace, options->policy_shift, &grid);

	for (unsigned int i = 0; i < run->result->n_points && !r; i++) {
		struct bench_point *p = &run->result->points[i];

		run->step(run->userdata);
		r = replay_run(run->trace, grid, p->quota, &replacer_policy,
			       options->cost, &p->policy);
		if (!r)
			r = replay_run(run->trace, grid, p->quota,
				       &replacer_opt, options->cost, &p->opt);
	}
	grid_free(grid);
	return r;
}

static int run_engine(const struct run *run)
{
	for (unsigned int i = 0; i < run->result->n_points; i++) {
		struct bench_point *p = &run->result->points[i];
		struct engine_config config = run->options->engine;
		int r;

		run->step(run->userdata);
		config.quota = p->quota;
		r = engine_run(run->trace, &config, run->options->cost,
			       &p->engine);
		if (r)
			return r;
	}
	return 0;
}

static int measure(const struct run *run, const struct grid *pages)
{
	struct bench_trace *result = run->result;
	const struct trace *trace = run->trace;

	result->info = trace->info;
	result->map_calls = trace->n_maps;
	for (size_t i = 0; i < trace->n_segments; i++)
		result->call_bytes += trace->segments[i].len;
	result->working_set = grid_bytes(pages);
	result->n_points = run->options->n_quotas;
	for (unsigned int i = 0; i < result->n_points; i++) {
		struct bench_point *p = &result->points[i];

		p->quota_pct = run->options->quotas[i];
		p->quota =
			result->working_set / 4096 * p->quota_pct / 100 * 4096;
	}
	return grid_held_peak(pages, trace, &result->held_peak);
}

/* What maps nothing at all is no rival, unless all are so. */
static bool is_better(const struct replay_result *a,
		      const struct replay_result *b)
{
	if (!a->loads != !b->loads)
		return a->loads;
	return a->cost_us < b->cost_us;
}

int bench_run(const struct trace *trace, const struct bench_options *options,
	      bench_step_fn step, void *userdata, struct bench_trace *ret)
{
	struct run run = { trace, options, step, userdata, ret };
	struct grid *grid = NULL;
	const char *name = ret->name;
	int r = 0;

	*ret = (struct bench_trace){ .name = name };
	for (unsigned int size = 0; size < BENCH_SIZES && !r; size++) {
		grid = NULL;
		r = grid_new(trace, bench_shifts[size], &grid);
		if (!r && size == 0)
			r = measure(&run, grid);
		if (!r)
			r = replay_all(&run, grid, size);
		grid_free(grid);
	}
	if (!r)
		r = replay_policies(&run);
	if (!r)
		r = run_engine(&run);
	for (unsigned int i = 0; i < ret->n_points; i++) {
		struct bench_point *p = &ret->points[i];

		for (unsigned int size = 1; size < BENCH_SIZES; size++)
			if (is_better(&p->fixed[size], &p->fixed[p->best]))
				p->best = size;
	}
	return r;
}

bool bench_is_feasible(const struct bench_trace *trace,
		       const struct bench_point *point)
{
	return point->quota >= trace->held_peak;
}

/* Sums of logarithms, for geometric means. */
struct sums {
	double cost, waits, policy;
	unsigned int n;
	double bounced, calls;
};

static void add_point(const struct bench_trace *t, const struct bench_point *p,
		      struct sums *sums, struct bench_summary *ret)
{
	double cost = p->engine.cost_us / p->fixed[p->best].cost_us;
	double policy = (double)max(p->policy.loads, UINT64_C(1)) /
			(double)max(p->opt.loads, UINT64_C(1));
	double waits = p->engine.waits ? (double)p->engine.waits : 0.5;

	sums->cost += log(cost);
	sums->policy += log(policy);
	sums->waits += log(waits / (double)t->map_calls);
	sums->bounced += (double)p->engine.bounced_bytes;
	sums->calls += (double)t->call_bytes;
	sums->n++;
	ret->cost_ratio_max = fmax(ret->cost_ratio_max, cost);
	ret->policy_ratio_max = fmax(ret->policy_ratio_max, policy);
	ret->over_quota += p->engine.pinned_peak > p->quota;
}

void bench_summarise(const struct bench_trace *traces, unsigned int n,
		     bool feasible_only, struct bench_summary *ret)
{
	struct sums sums = { 0 };

	*ret = (struct bench_summary){ 0 };
	for (unsigned int i = 0; i < n; i++)
		for (unsigned int k = 0; k < traces[i].n_points; k++) {
			const struct bench_point *p = &traces[i].points[k];

			if (!feasible_only || bench_is_feasible(&traces[i], p))
				add_point(&traces[i], p, &sums, ret);
		}
	ret->points = sums.n;
	if (!sums.n)
		return;
	ret->cost_ratio = exp(sums.cost / sums.n);
	ret->policy_ratio = exp(sums.policy / sums.n);
	ret->wait_share = exp(sums.waits / sums.n);
	ret->bounced_share = sums.calls > 0 ? sums.bounced / sums.calls : 0;
}
