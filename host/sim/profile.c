// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * profile.c - what a workload costs under each quota, and what its agent says
 *
 * Owns nothing beyond a call. Locks: none.
 */
#include "host/sim/profile.h"

#include <math.h>

#include "host/lib/macros.h"
#include "host/sim/grid.h"
#include "host/sim/loop.h"

/* Rounds of the loop: the first is not counted, the others last so long. */
#define ROUNDS_MIN 2u
#define ROUNDS_MAX 5u
#define ROUNDS_US  8000000u

static unsigned int rounds_of(const struct trace *trace)
{
	uint64_t us = trace->n_events > 0 ?
			      trace->events[trace->n_events - 1].time_us :
			      0;
	uint64_t rounds = 1 + ROUNDS_US / max(us, UINT64_C(1));

	return (unsigned int)min(max(rounds, (uint64_t)ROUNDS_MIN),
				 (uint64_t)ROUNDS_MAX);
}

static int run_one(const struct trace *loop, struct engine_config *engine,
		   const struct cost_model *cost, double seconds,
		   struct profile_run *ret)
{
	struct engine_result result;
	int r;

	engine->quota = ret->quota;
	r = engine_run(loop, engine, cost, &result);
	if (r < 0)
		return r;
	ret->loss = (struct profile_loss){
		.waits = (double)result.waits / seconds,
		.unserved = (double)result.unserved / seconds,
		.cost_us = (result.cost_us -
			    (double)result.unserved * cost->failure_us) /
			   seconds,
	};
	ret->curve = result.curve;
	return 0;
}

/* What is mapped and not unmapped, in whole pages: held while a VM idles, too. */
static uint64_t rings_of(const struct trace *trace)
{
	uint64_t bytes = 0;

	for (uint32_t m = 0; m < trace->n_maps; m++) {
		const struct trace_event *e = trace_map_of(trace, m);

		if (!trace_is_live(trace, m))
			continue;
		for (uint32_t i = 0; i < e->n_segments; i++) {
			uint64_t len = trace->segments[e->segment + i].len;

			bytes += align_up(max(len, UINT64_C(1)), 4096);
		}
	}
	return bytes;
}

int profile_make(const struct trace *trace, const struct engine_config *engine,
		 const struct cost_model *cost, bench_step_fn step,
		 void *userdata, struct profile *ret)
{
	unsigned int rounds = rounds_of(trace);
	struct engine_config config = *engine;
	struct trace *loop = NULL;
	struct grid *grid = NULL;
	uint64_t round_us;
	int r = grid_new(trace, 12, &grid);

	if (r == 0)
		ret->working_set = grid_bytes(grid);
	ret->rings = min(rings_of(trace), ret->working_set);
	grid_free(grid);
	if (r == 0)
		r = loop_new(trace, rounds, &round_us, &loop);
	for (unsigned int i = 0; i < PROFILE_RUNS && r == 0; i++) {
		double share = exp2((double)i / 2 - 4);

		step(userdata);
		config.from_us = round_us;
		ret->runs[i].quota = align_up(
			(uint64_t)((double)ret->working_set * share), 4096);
		r = run_one(loop, &config, cost,
			    (double)((rounds - 1) * round_us) / 1e6,
			    &ret->runs[i]);
	}
	trace_free(loop);
	return r;
}

static double between(double a, double b, double part)
{
	return a + (b - a) * part;
}

void profile_at(const struct profile *profile, double quota,
		struct profile_loss *ret)
{
	const struct profile_run *a = profile->runs, *b;
	double part;

	for (b = a + 1;
	     b < profile->runs + PROFILE_RUNS - 1 && (double)b->quota < quota;
	     b++)
		a = b;
	part = (quota - (double)a->quota) / (double)(b->quota - a->quota);
	part = fmin(fmax(part, 0), 1);
	*ret = (struct profile_loss){
		.waits = between(a->loss.waits, b->loss.waits, part),
		.unserved = between(a->loss.unserved, b->loss.unserved, part),
		.cost_us = between(a->loss.cost_us, b->loss.cost_us, part),
	};
}

const struct profile_run *profile_near(const struct profile *profile,
				       double quota)
{
	const struct profile_run *run = profile->runs;

	/* nearer than the next: by half of the half octave between them */
	for (unsigned int i = 1; i < PROFILE_RUNS; i++)
		if (quota > (double)run->quota * exp2(0.25))
			run = &profile->runs[i];
	return run;
}
