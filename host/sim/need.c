// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * need.c - how much quota does this workload need?
 *
 * More quota serves at least as much, as far as it matters here; so each answer
 * is found by halving. Owns nothing beyond a call. Locks: none.
 */
#include "host/sim/need.h"

#include <stdbool.h>

#include "host/lib/macros.h"
#include "host/sim/grid.h"

struct search {
	const struct trace *trace;
	struct engine_config engine;
	const struct cost_model *cost;
	bench_step_fn step;
	void *userdata;
	uint64_t waits_max;	/* with which a quota is good enough ... */
	uint64_t evictions_max; /* ... and what else may be */
};

static int ask(struct search *s, uint64_t quota, struct engine_result *ret)
{
	s->step(s->userdata);
	s->engine.quota = quota;
	return engine_run(s->trace, &s->engine, s->cost, ret);
}

/*
 * The least quota up to *@quota, which is good, that refuses nothing and has no
 * more waits, and evictions, than allowed; *@ret_waits is how many waits it has.
 */
static int halve(struct search *s, uint64_t step, uint64_t *quota,
		 uint64_t *ret_waits)
{
	uint64_t low = 0, high = *quota;

	while (high - low > step) {
		uint64_t mid =
			low + align_up((high - low) / 2,
				       UINT64_C(1) << s->engine.granule_shift);
		struct engine_result result;
		int r;

		if (mid >= high)
			break;
		r = ask(s, mid, &result);
		if (r)
			return r;
		if (result.refused == 0 && result.waits <= s->waits_max &&
		    result.evictions <= s->evictions_max) {
			high = mid;
			*ret_waits = result.waits;
		} else {
			low = mid;
		}
	}
	*quota = high;
	return 0;
}

static int measure(const struct trace *trace, struct need *ret)
{
	struct grid *grid = NULL;
	int r = grid_new(trace, 12, &grid);

	if (r)
		return r;
	ret->working_set = grid_bytes(grid);
	r = grid_held_peak(grid, trace, &ret->held_peak);
	grid_free(grid);
	return r;
}

int need_find(const struct trace *trace, const struct engine_config *engine,
	      const struct cost_model *cost, bench_step_fn step, void *userdata,
	      struct need *ret)
{
	struct search s = { trace,    *engine,	  cost,	     step,
			    userdata, UINT64_MAX, UINT64_MAX };
	uint64_t granule = UINT64_C(1) << engine->granule_shift;
	struct engine_result all;
	uint64_t waits, exact;
	int r = measure(trace, ret);

	if (!r)
		r = ask(&s, TRACE_ADDR_LAST, &all);
	if (r)
		return r;
	exact = max(granule, all.pinned_peak / 256);
	/*
	 * The driver keeps less for copies, and the agent maps less ahead, where
	 * there is less: so that nothing goes takes no more than this.
	 */
	ret->all = all.pinned_peak;
	waits = all.waits;
	s.evictions_max = 0;
	r = halve(&s, exact, &ret->all, &waits);
	if (r)
		return r;
	ret->waits_all = (double)waits / trace->n_maps;
	s.evictions_max = UINT64_MAX;
	ret->serves = all.pinned_peak;
	waits = all.waits;
	r = halve(&s, exact, &ret->serves, &waits);
	if (r)
		return r;
	ret->waits_serves = (double)waits / trace->n_maps;
	s.waits_max = max((uint64_t)((double)all.waits * NEED_FACTOR),
			  all.waits + (uint64_t)(trace->n_maps * NEED_SHARE));
	ret->enough = all.pinned_peak;
	waits = all.waits;
	r = halve(&s, exact, &ret->enough, &waits);
	ret->waits_enough = (double)waits / trace->n_maps;
	return r;
}
