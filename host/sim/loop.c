// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * loop.c - a trace again and again, as a workload that goes on
 *
 * Owns nothing beyond a call. Locks: none.
 */
#include "host/sim/loop.h"

#include <errno.h>
#include <stdlib.h>

#include "host/lib/cleanup.h"

static int add_map(struct trace *to, const struct trace *from,
		   const struct trace_event *e, uint64_t start,
		   uint32_t *ret_map)
{
	const struct trace_map map = {
		.time_us = start + e->time_us,
		.cpu = e->cpu,
		.device = e->device,
		.kind = e->kind,
		.dir = e->dir,
		.segments = &from->segments[e->segment],
		.n_segments = e->n_segments,
	};

	return trace_add_map(to, &map, ret_map);
}

/* One round; @maps: by the number of a map in @from, that in @to. */
static int add_round(struct trace *to, const struct trace *from, uint64_t start,
		     uint32_t *maps)
{
	int r = 0;

	for (size_t i = 0; i < from->n_events && r == 0; i++) {
		const struct trace_event *e = &from->events[i];

		if (e->n_segments == 0)
			r = trace_add_unmap(to, start + e->time_us, e->cpu,
					    maps[e->map]);
		else if (start == 0 || !trace_is_live(from, e->map))
			r = add_map(to, from, e, start, &maps[e->map]);
	}
	return r;
}

int loop_new(const struct trace *trace, unsigned int times, uint64_t *ret_us,
	     struct trace **ret)
{
	_cleanup_free_ uint32_t *maps =
		calloc((size_t)trace->n_maps + 1, sizeof(*maps));
	uint64_t round = 1;
	struct trace *loop = NULL;
	int r = maps ? trace_new(&trace->info, &loop) : -ENOMEM;

	if (trace->n_events > 0)
		round += trace->events[trace->n_events - 1].time_us;
	for (unsigned int i = 0; i < times && r == 0; i++)
		r = add_round(loop, trace, i * round, maps);
	if (r < 0) {
		trace_free(loop);
		return r;
	}
	*ret_us = round;
	*ret = loop;
	return 0;
}
