// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * trace.c - the rules of a trace, enforced where events are added
 *
 * Owns the arrays of a struct trace; they only grow. Locks: none.
 */
#include "host/sim/trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/lib/macros.h"

#define ITEMS_MAX (UINT32_C(1) << 31)

static bool text_ends(const char *text)
{
	return memchr(text, '\0', TRACE_TEXT_MAX) != NULL;
}

static bool info_is_valid(const struct trace_info *info)
{
	if (info->n_devices > TRACE_DEVICES_MAX || info->cpus == 0 ||
	    info->cpus > TRACE_CPUS_MAX || info->memory > TRACE_ADDR_LAST)
		return false;
	for (uint32_t i = 0; i < info->n_devices; i++)
		if (!text_ends(info->devices[i]))
			return false;
	return text_ends(info->kernel) && text_ends(info->workload);
}

int trace_new(const struct trace_info *info, struct trace **ret)
{
	struct trace *trace;

	if (!info_is_valid(info))
		return -EINVAL;
	trace = calloc(1, sizeof(*trace));
	if (!trace)
		return -ENOMEM;
	trace->info = *info;
	*ret = trace;
	return 0;
}

void trace_free(struct trace *trace)
{
	if (!trace)
		return;
	free(trace->events);
	free(trace->segments);
	free(trace->map_event);
	free(trace->ended);
	free(trace);
}

void trace_set_text(char to[static TRACE_TEXT_MAX], const char *from)
{
	size_t n = 0;

	for (; from && from[n] && n < TRACE_TEXT_MAX - 1; n++)
		to[n] = (char)(from[n] >= 0x20 && from[n] <= 0x7e ? from[n] :
								    '?');
	to[n] = '\0';
}

int trace_add_device(struct trace *trace, const char *name)
{
	struct trace_info *info = &trace->info;

	if (info->n_devices == TRACE_DEVICES_MAX)
		return -E2BIG;
	trace_set_text(info->devices[info->n_devices], name);
	return (int)info->n_devices++;
}

/* Room for @more items of @size bytes behind @n of them. */
static int grow(void *array, size_t *max, size_t n, size_t more, size_t size)
{
	void **p = array, *bigger;
	size_t want;

	if (more > ITEMS_MAX || n > ITEMS_MAX - more)
		return -E2BIG;
	if (n + more <= *max)
		return 0;
	want = max(n + more, *max + *max / 2 + 64);
	bigger = reallocarray(*p, want, size);
	if (!bigger)
		return -ENOMEM;
	*p = bigger;
	*max = want;
	return 0;
}

static int grow_maps(struct trace *trace)
{
	size_t max = trace->max_maps;
	int r = grow(&trace->map_event, &max, trace->n_maps, 1,
		     sizeof(*trace->map_event));

	if (r)
		return r;
	max = trace->max_maps;
	r = grow(&trace->ended, &max, trace->n_maps, 1, sizeof(*trace->ended));
	if (r)
		return r;
	trace->max_maps = (uint32_t)max;
	return 0;
}

static bool time_is_valid(const struct trace *trace, uint64_t time_us)
{
	if (trace->n_events &&
	    time_us < trace->events[trace->n_events - 1].time_us)
		return false;
	return time_us <= TRACE_TIME_MAX;
}

static bool map_is_valid(const struct trace *trace, const struct trace_map *map)
{
	if (!time_is_valid(trace, map->time_us) || map->n_segments == 0 ||
	    map->n_segments > TRACE_SEGMENTS_MAX ||
	    map->device >= trace->info.n_devices ||
	    map->cpu >= trace->info.cpus || map->kind >= TRACE_KINDS ||
	    map->dir >= TRACE_DIRS)
		return false;
	for (uint32_t i = 0; i < map->n_segments; i++) {
		const struct trace_segment *s = &map->segments[i];

		if (s->addr > TRACE_ADDR_LAST ||
		    s->len > TRACE_ADDR_LAST - s->addr + 1)
			return false;
	}
	return true;
}

int trace_add_map(struct trace *trace, const struct trace_map *map,
		  uint32_t *ret_map)
{
	int r;

	if (!map_is_valid(trace, map))
		return -EINVAL;
	r = grow(&trace->events, &trace->max_events, trace->n_events, 1,
		 sizeof(*trace->events));
	if (!r)
		r = grow(&trace->segments, &trace->max_segments,
			 trace->n_segments, map->n_segments,
			 sizeof(*trace->segments));
	if (!r)
		r = grow_maps(trace);
	if (r)
		return r;
	memcpy(trace->segments + trace->n_segments, map->segments,
	       map->n_segments * sizeof(*map->segments));
	trace->events[trace->n_events] = (struct trace_event){
		.time_us = map->time_us,
		.map = trace->n_maps,
		.segment = (uint32_t)trace->n_segments,
		.n_segments = map->n_segments,
		.cpu = map->cpu,
		.device = map->device,
		.kind = map->kind,
		.dir = map->dir,
	};
	if (ret_map)
		*ret_map = trace->n_maps;
	trace->ended[trace->n_maps] = 0;
	trace->map_event[trace->n_maps++] = (uint32_t)trace->n_events++;
	trace->n_segments += map->n_segments;
	return 0;
}

bool trace_is_live(const struct trace *trace, uint32_t map)
{
	return map < trace->n_maps && !trace->ended[map];
}

int trace_add_unmap(struct trace *trace, uint64_t time_us, uint16_t cpu,
		    uint32_t map)
{
	int r;

	if (!time_is_valid(trace, time_us) || !trace_is_live(trace, map) ||
	    cpu >= trace->info.cpus)
		return -EINVAL;
	r = grow(&trace->events, &trace->max_events, trace->n_events, 1,
		 sizeof(*trace->events));
	if (r)
		return r;
	trace->events[trace->n_events++] = (struct trace_event){
		.time_us = time_us,
		.map = map,
		.cpu = cpu,
		.device = trace_map_of(trace, map)->device,
	};
	trace->ended[map] = 1;
	return 0;
}

const char *trace_kind_name(unsigned int kind)
{
	static const char *const names[] = {
		[TRACE_SINGLE] = "single",     [TRACE_SG] = "sg",
		[TRACE_COHERENT] = "coherent", [TRACE_PAGES] = "pages",
		[TRACE_POOL] = "pool",
	};

	static_assert(ARRAY_SIZE(names) == TRACE_KINDS, "a name for each kind");
	return kind < TRACE_KINDS ? names[kind] : "unknown";
}

const char *trace_dir_name(unsigned int dir)
{
	static const char *const names[] = {
		[TRACE_BIDIRECTIONAL] = "both",
		[TRACE_TO_DEVICE] = "to device",
		[TRACE_FROM_DEVICE] = "from device",
	};

	static_assert(ARRAY_SIZE(names) == TRACE_DIRS, "a name for each");
	return dir < TRACE_DIRS ? names[dir] : "unknown";
}
