// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * replay.c - on-demand mapping in granules of one size, simulated
 *
 * Owns the state of one run. Invariants: n_resident never exceeds capacity;
 * n_idle counts the granules that are resident and not held; a map is held, or
 * waits, or has ended. Locks: none.
 */
#include "host/sim/replay.h"

#include <errno.h>
#include <stdlib.h>

#include "host/lib/macros.h"
#include "host/sim/waiting.h"

enum map_state {
	MAP_NEW,
	MAP_HELD,
	MAP_WAITS,
	MAP_OVER,
};

struct replay {
	const struct grid *grid;
	const struct replacer_ops *ops;
	void *self;
	const struct cost_model *cost;
	double map_us, unmap_us; /* of one granule */
	uint64_t capacity;	 /* granules */
	uint64_t n_resident, n_idle;
	uint32_t *counts;  /* by granule: holds */
	uint8_t *resident; /* by granule */
	uint8_t *states;   /* by map */
	struct waiting waiting;
	struct replay_result *result;
};

const struct grid *replay_grid(const struct replay *replay)
{
	return replay->grid;
}

bool replay_is_resident(const struct replay *replay, uint32_t granule)
{
	return replay->resident[granule];
}

bool replay_is_held(const struct replay *replay, uint32_t granule)
{
	return replay->counts[granule];
}

/* Takes a hold on all granules of a map; how many are not resident. */
static uint64_t hold(struct replay *rp, uint32_t map)
{
	uint64_t missing = 0;

	for (uint32_t i = rp->grid->first[map]; i < rp->grid->first[map + 1];
	     i++) {
		uint32_t g = rp->grid->items[i];

		if (!rp->resident[g])
			missing++;
		else if (!rp->counts[g])
			rp->n_idle--;
		rp->counts[g]++;
		rp->ops->used(rp->self, g, i);
	}
	return missing;
}

static void drop(struct replay *rp, uint32_t map)
{
	for (uint32_t i = rp->grid->first[map]; i < rp->grid->first[map + 1];
	     i++) {
		uint32_t g = rp->grid->items[i];

		if (--rp->counts[g] || !rp->resident[g])
			continue;
		rp->n_idle++;
		rp->ops->idle(rp->self, g);
	}
}

static void evict(struct replay *rp)
{
	uint32_t g = rp->ops->victim(rp->self);

	assert(rp->resident[g] && !rp->counts[g]);
	rp->resident[g] = 0;
	rp->n_resident--;
	rp->n_idle--;
	rp->result->evictions++;
	rp->result->cost_us += rp->unmap_us;
}

/* One request for what a held map misses. False: refused. */
static bool request(struct replay *rp, uint32_t map, uint64_t missing)
{
	const struct grid *grid = rp->grid;

	rp->result->requests++;
	rp->result->cost_us += rp->cost->round_trip_us;
	if (rp->n_resident + missing > rp->capacity + rp->n_idle) {
		rp->result->refused++;
		rp->result->cost_us += rp->cost->retry_us;
		return false;
	}
	while (rp->n_resident + missing > rp->capacity)
		evict(rp);
	for (uint32_t i = grid->first[map]; i < grid->first[map + 1]; i++) {
		uint32_t g = grid->items[i];

		if (rp->resident[g])
			continue;
		rp->resident[g] = 1;
		rp->n_resident++;
		rp->result->loads++;
		rp->result->cost_us += rp->map_us;
		rp->ops->loaded(rp->self, g);
	}
	rp->result->pinned_peak =
		max(rp->result->pinned_peak, rp->n_resident << grid->shift);
	return true;
}

/* A driver's call, the first one or another try. True: served. */
static bool try_map(struct replay *rp, uint32_t map)
{
	uint64_t missing = hold(rp, map);

	if (missing && rp->states[map] == MAP_NEW)
		rp->result->waits++;
	if (!missing || request(rp, map, missing)) {
		rp->states[map] = MAP_HELD;
		return true;
	}
	drop(rp, map);
	return false;
}

static void map_call(struct replay *rp, uint32_t map)
{
	uint64_t size = rp->grid->first[map + 1] - rp->grid->first[map];

	rp->result->map_calls++;
	if (try_map(rp, map))
		return;
	/* what never fits is given up at once */
	if (size > rp->capacity) {
		rp->states[map] = MAP_OVER;
		rp->result->unserved++;
		return;
	}
	rp->states[map] = MAP_WAITS;
	waiting_push(&rp->waiting, map);
}

/* Room may have come: drivers that were refused come again. */
static void try_waiting(struct replay *rp)
{
	while (rp->waiting.head != WAITING_NONE) {
		uint32_t map = rp->waiting.head;

		waiting_remove(&rp->waiting, map);
		if (try_map(rp, map))
			continue;
		waiting_push(&rp->waiting, map);
		return;
	}
}

static void unmap_call(struct replay *rp, uint32_t map)
{
	uint8_t state = rp->states[map];

	rp->states[map] = MAP_OVER;
	if (state == MAP_WAITS) {
		waiting_remove(&rp->waiting, map);
		rp->result->unserved++;
	} else if (state == MAP_HELD) {
		drop(rp, map);
		try_waiting(rp);
	}
}

static void run(struct replay *rp, const struct trace *trace)
{
	for (size_t i = 0; i < trace->n_events; i++) {
		const struct trace_event *e = &trace->events[i];

		if (e->n_segments)
			map_call(rp, e->map);
		else
			unmap_call(rp, e->map);
	}
	for (uint32_t m = rp->waiting.head; m != WAITING_NONE;
	     m = rp->waiting.next[m])
		rp->result->unserved++;
	rp->result->mapped_bytes = rp->result->loads << rp->grid->shift;
	rp->result->cost_us +=
		(double)rp->result->unserved * rp->cost->failure_us;
}

int replay_run(const struct trace *trace, const struct grid *grid,
	       uint64_t quota, const struct replacer_ops *ops,
	       const struct cost_model *cost, struct replay_result *ret)
{
	uint64_t granule = UINT64_C(1) << grid->shift;
	struct replay rp = {
		.grid = grid,
		.ops = ops,
		.cost = cost,
		.map_us = cost_map(cost, granule),
		.unmap_us = cost_unmap(cost, granule),
		.capacity = quota >> grid->shift,
		.counts = calloc((size_t)grid->n_granules + 1,
				 sizeof(*rp.counts)),
		.resident = calloc((size_t)grid->n_granules + 1, 1),
		.states = calloc((size_t)grid->n_maps + 1, 1),
		.result = ret,
	};
	int r = waiting_init(&rp.waiting, grid->n_maps);

	*ret = (struct replay_result){ 0 };
	if (!rp.counts || !rp.resident || !rp.states)
		r = -ENOMEM;
	if (!r)
		r = ops->init(&rp, &rp.self);
	if (!r) {
		run(&rp, trace);
		ops->done(rp.self);
	}
	waiting_done(&rp.waiting);
	free(rp.counts);
	free(rp.resident);
	free(rp.states);
	return r;
}
