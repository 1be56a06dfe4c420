// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * engine.c - a trace through the real thing: the agent's VM, the guest's code
 *
 * Owns one run: VM, guest, meter, and the map calls that were refused, which
 * come again as in replay.h. The agent's deferred work runs after each event of
 * the trace, as its event loop would run it while nobody asks.
 */
#include "host/sim/engine.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "host/agent/config.h"
#include "host/agent/iommu/iommu.h"
#include "host/agent/price.h"
#include "host/agent/vm.h"
#include "host/lib/log.h"
#include "host/lib/macros.h"
#include "host/sim/guest.h"
#include "host/sim/meter.h"
#include "host/sim/waiting.h"

/* Debian's and the kernel's default of dma_entry_limit. */
#define ENTRIES_MAX 65535
/* The address space that a simulated guest may have, in bytes. */
#define TOP_MAX (UINT64_C(1) << 42)
/* How often the agent looks around while it is busy. */
#define TICK_US 1000

enum map_state {
	MAP_NEW,
	MAP_HELD,
	MAP_WAITS,
	MAP_OVER,
};

struct engine {
	const struct trace *trace;
	const struct engine_config *config;
	const struct cost_model *cost;
	struct engine_result *result;
	struct engine_result before; /* config.from_us */
	struct sim_guest *guest;
	struct meter *meter;
	struct vm *vm;
	bool work;	 /* the agent wants vm_work() to run */
	uint8_t *states; /* by map */
	struct waiting waiting;
};

void engine_config_init(struct engine_config *config)
{
	struct agent_config agent;

	config_init(&agent);
	*config = (struct engine_config){
		.granule_shift = agent.vm.granule_shift,
		.num_queues = agent.vm.num_queues,
		.max_ranges = agent.vm.max_ranges,
		.policy = agent.vm.policy,
		.strategy = agent.vm.strategy,
		.ahead = agent.vm.ahead,
		.pool_max = SIM_GUEST_POOL_MAX,
		.entries_max = ENTRIES_MAX,
	};
}

static void work_pending(void *userdata)
{
	struct engine *engine = userdata;

	engine->work = true;
}

static bool holds(void *userdata, uint64_t granule)
{
	const struct engine *engine = userdata;

	return sim_guest_holds(engine->guest, granule);
}

static double price(const struct engine *engine)
{
	struct meter_result sums;

	meter_get(engine->meter, &sums);
	return sums.us;
}

/* --- map calls --- */

/* nvme's PRPs take it for granted, as dma_set_min_align_mask() tells. */
static bool keeps_pages(const struct engine *engine, uint16_t device)
{
	return strcmp(engine->trace->info.devices[device], "nvme") == 0;
}

static const struct trace_segment *segments_of(const struct engine *engine,
					       uint32_t map, uint32_t *ret_n)
{
	const struct trace_event *e = trace_map_of(engine->trace, map);

	*ret_n = e->n_segments;
	return &engine->trace->segments[e->segment];
}

static struct sim_guest_call call_of(const struct engine *engine, uint32_t map)
{
	const struct trace_event *e = trace_map_of(engine->trace, map);

	return (struct sim_guest_call){
		.segments = &engine->trace->segments[e->segment],
		.n = e->n_segments,
		.index = e->segment,
		.kind = e->kind,
		.dir = e->dir,
		.keeps_pages = keeps_pages(engine, e->device),
	};
}

/* All granules of a map are held: those mapped ahead have proved useful. */
static void note_use(struct engine *engine, uint32_t map)
{
	unsigned int shift = engine->config->granule_shift;
	uint32_t n;
	const struct trace_segment *s = segments_of(engine, map, &n);

	for (; n; n--, s++)
		meter_use(engine->meter, s->addr >> shift,
			  trace_segment_last(s) >> shift);
}

/* A driver's call, the first one or another try. 0, -ENOMEM: refused, -EIO. */
static int try_map(struct engine *engine, uint32_t map)
{
	struct engine_result *result = engine->result;
	double before = price(engine);
	bool missed = false;
	const struct sim_guest_call call = call_of(engine, map);
	struct sim_guest_stats was, is;
	int r;

	sim_guest_get_stats(engine->guest, &was);
	r = sim_guest_map(engine->guest, &call, &missed);
	sim_guest_get_stats(engine->guest, &is);
	if (missed && engine->states[map] == MAP_NEW)
		result->waits++;
	result->waited_us +=
		price(engine) - before +
		(double)(is.kicks - was.kicks) * engine->cost->round_trip_us;
	if (!r) {
		engine->states[map] = MAP_HELD;
		note_use(engine, map);
	} else if (r == -ENOMEM) {
		result->refused++;
		result->waited_us += engine->cost->retry_us;
	} else {
		log_err_errno(r, "map %u of the trace failed", map);
		r = -EIO;
	}
	return r;
}

/* Bytes of the granules that a map touches, at most. */
static bool can_fit(const struct engine *engine, uint32_t map)
{
	unsigned int shift = engine->config->granule_shift;
	uint64_t granules = 0;
	uint32_t n;
	const struct trace_segment *s = segments_of(engine, map, &n);
	uint64_t before = UINT64_MAX;

	for (; n; n--, s++) {
		uint64_t first = s->addr >> shift;
		uint64_t last = trace_segment_last(s) >> shift;

		granules += last - first + 1 - (first == before);
		before = last;
	}
	return granules << shift <= engine->config->quota;
}

static int map_call(struct engine *engine, uint32_t map)
{
	int r = try_map(engine, map);

	engine->result->map_calls++;
	if (r != -ENOMEM)
		return r;
	if (can_fit(engine, map)) {
		engine->states[map] = MAP_WAITS;
		waiting_push(&engine->waiting, map);
	} else {
		engine->states[map] = MAP_OVER;
		engine->result->unserved++;
	}
	return 0;
}

static int try_waiting(struct engine *engine)
{
	while (engine->waiting.head != WAITING_NONE) {
		uint32_t map = engine->waiting.head;
		int r;

		waiting_remove(&engine->waiting, map);
		r = try_map(engine, map);
		if (!r)
			continue;
		waiting_push(&engine->waiting, map);
		return r == -ENOMEM ? 0 : r;
	}
	return 0;
}

static int unmap_call(struct engine *engine, uint32_t map)
{
	const struct sim_guest_call call = call_of(engine, map);
	uint8_t state = engine->states[map];

	engine->states[map] = MAP_OVER;
	if (state == MAP_WAITS) {
		waiting_remove(&engine->waiting, map);
		engine->result->unserved++;
	} else if (state == MAP_HELD) {
		sim_guest_unmap(engine->guest, &call);
		return try_waiting(engine);
	}
	return 0;
}

/* All sums so far. */
static void tell(const struct engine *engine, struct engine_result *ret)
{
	const struct engine_result *counted = engine->result;
	struct sim_guest_stats guest;
	struct meter_result sums;
	struct vm_stats stats;

	*ret = *counted;
	vm_get_stats(engine->vm, &stats);
	sim_guest_get_stats(engine->guest, &guest);
	meter_get(engine->meter, &sums);
	ret->requests = guest.requests;
	ret->evictions = stats.evictions;
	ret->mapped_bytes = sums.mapped_bytes;
	ret->bounced_bytes = guest.bounced_bytes;
	ret->pinned_peak = sums.peak;
	ret->prefetched = sums.prefetched;
	ret->prefetch_used = sums.prefetch_used;
	ret->cost_us = sums.us +
		       (double)(guest.kicks + guest.posts) *
			       engine->cost->round_trip_us +
		       (double)ret->refused * engine->cost->retry_us +
		       (double)ret->unserved * engine->cost->failure_us +
		       (double)guest.copied_bytes / 1024 *
			       engine->cost->copy_us_per_kib;
}

static int replay(struct engine *engine)
{
	const struct trace *trace = engine->trace;
	bool counts = engine->config->from_us == 0;
	uint64_t tick = 0;
	int r = 0;

	for (size_t i = 0; i < trace->n_events && !r; i++) {
		const struct trace_event *e = &trace->events[i];

		if (!counts && e->time_us >= engine->config->from_us) {
			counts = true;
			tell(engine, &engine->before);
		}
		sim_guest_tick(engine->guest, e->time_us);
		r = e->n_segments ? map_call(engine, e->map) :
				    unmap_call(engine, e->map);
		if (e->time_us >= tick) {
			tick = e->time_us + TICK_US;
			(void)vm_look(engine->vm);
			(void)vm_observe(engine->vm, e->time_us);
		}
		if (engine->work) {
			engine->work = false;
			while (vm_work(engine->vm))
				;
		}
	}
	/* nothing happens from then on */
	if (!counts)
		tell(engine, &engine->before);
	for (uint32_t m = engine->waiting.head; m != WAITING_NONE;
	     m = engine->waiting.next[m])
		engine->result->unserved++;
	return r;
}

/* --- life --- */

/* The end of the memory that the trace needs, in whole 2 MiB. */
static uint64_t top_of(const struct trace *trace)
{
	uint64_t top = trace->info.memory;

	for (size_t i = 0; i < trace->n_segments; i++)
		top = max(top, trace_segment_last(&trace->segments[i]) + 1);
	return align_up(max(top, UINT64_C(1)), UINT64_C(2) << 20);
}

/* The agent measures its host; this host is the model. */
static void set_price(struct engine *engine)
{
	const struct cost_model *cost = engine->cost;
	struct price price = {
		.trip = (uint64_t)(cost->round_trip_us * 1000),
	};

	for (unsigned int i = 0; i < PRICE_SIZES; i++) {
		uint64_t bytes = UINT64_C(4096) << i;

		price.map[i] = (uint64_t)(cost_map(cost, bytes) * 1000);
		price.unmap[i] = (uint64_t)(cost_unmap(cost, bytes) * 1000);
	}
	vm_set_price(engine->vm, &price);
}

static int start(struct engine *engine)
{
	const struct engine_config *config = engine->config;
	struct vm_config vm_config = {
		.quota = config->quota,
		.granule_shift = (uint8_t)config->granule_shift,
		.strategy = config->strategy,
		.fallback = VM_FALLBACK_DENY,
		.ahead = config->ahead,
		.policy = config->policy,
		.num_queues = config->num_queues,
		.max_ranges = config->max_ranges,
	};
	struct vm_notify notify = {
		.work_pending = work_pending,
		.userdata = engine,
	};
	uint64_t top = top_of(engine->trace), size;
	int r;

	if (top > TOP_MAX)
		return -E2BIG;
	r = sim_guest_new(top, config->granule_shift, &engine->guest);
	if (r)
		return r;
	size = sim_guest_size(engine->guest);
	r = meter_new(size, config->granule_shift, config->entries_max,
		      engine->cost, holds, engine, &engine->meter);
	if (r)
		return r;
	r = vm_new(&vm_config, meter_iommu(engine->meter), &notify,
		   &engine->vm);
	if (r) {
		iommu_free(meter_iommu(engine->meter));
		return r;
	}
	r = vm_memory_add(engine->vm, engine, 0, size,
			  sim_guest_fd(engine->guest), 0,
			  IOMMU_READ | IOMMU_WRITE);
	if (!r)
		r = vm_endpoint_add(engine->vm, 1);
	if (r)
		return r < 0 ? r : -EIO;
	set_price(engine);
	vm_set_features(engine->vm, vm_features(engine->vm));
	vm_queues_start(engine->vm);
	r = sim_guest_start(engine->guest, engine->vm, config->max_ranges,
			    config->strategy);
	if (r)
		return r;
	return sim_guest_prepare(engine->guest, config->quota, config->pool_max,
				 engine->trace->n_segments);
}

/* Takes what happened before config.from_us out of the sums. */
static void finish(struct engine *engine)
{
	struct engine_result *is = engine->result, *was = &engine->before;

	tell(engine, is);
	is->map_calls -= was->map_calls;
	is->waits -= was->waits;
	is->unserved -= was->unserved;
	is->refused -= was->refused;
	is->requests -= was->requests;
	is->evictions -= was->evictions;
	is->mapped_bytes -= was->mapped_bytes;
	is->bounced_bytes -= was->bounced_bytes;
	is->prefetched -= was->prefetched;
	is->prefetch_used -= was->prefetch_used;
	is->cost_us -= was->cost_us;
	is->waited_us -= was->waited_us;
	vm_get_curve(engine->vm, &is->curve);
}

int engine_run(const struct trace *trace, const struct engine_config *config,
	       const struct cost_model *cost, struct engine_result *ret)
{
	struct engine engine = {
		.trace = trace,
		.config = config,
		.cost = cost,
		.result = ret,
		.states = calloc((size_t)trace->n_maps + 1, 1),
	};
	int r = waiting_init(&engine.waiting, trace->n_maps);

	*ret = (struct engine_result){ 0 };
	if (!engine.states)
		r = -ENOMEM;
	if (!r)
		r = start(&engine);
	if (!r)
		r = replay(&engine);
	if (!r)
		finish(&engine);
	vm_free(engine.vm);
	sim_guest_free(engine.guest);
	waiting_done(&engine.waiting);
	free(engine.states);
	return r;
}
