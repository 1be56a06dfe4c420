// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * grid.c - a trace as seen in granules of one size
 *
 * Owns the arrays of a struct grid, which are never changed once they are
 * made. Locks: none.
 */
#include "host/sim/grid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/lib/macros.h"

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static size_t unique_sorted(uint64_t *v, size_t n)
{
	size_t kept = 0;

	if (n > 1)
		qsort(v, n, sizeof(*v), compare_u64);
	for (size_t i = 0; i < n; i++)
		if (!kept || v[kept - 1] != v[i])
			v[kept++] = v[i];
	return kept;
}

/* How many granules map @m's segments touch; more than MAX is MAX + 1. */
static uint64_t count_items(const struct trace *trace, uint32_t m,
			    unsigned int shift)
{
	const struct trace_event *e = trace_map_of(trace, m);
	uint64_t n = 0;

	for (uint32_t i = 0; i < e->n_segments; i++) {
		const struct trace_segment *s =
			&trace->segments[e->segment + i];

		n += (trace_segment_last(s) >> shift) - (s->addr >> shift) + 1;
		if (n > GRID_ITEMS_MAX)
			return GRID_ITEMS_MAX + 1;
	}
	return n;
}

static void add_items(const struct trace *trace, uint32_t m, unsigned int shift,
		      uint64_t *to)
{
	const struct trace_event *e = trace_map_of(trace, m);

	for (uint32_t i = 0; i < e->n_segments; i++) {
		const struct trace_segment *s =
			&trace->segments[e->segment + i];

		for (uint64_t g = s->addr >> shift;
		     g <= trace_segment_last(s) >> shift; g++)
			*to++ = g;
	}
}

/* All maps' granules, sorted and unique map by map, in one array. */
static int collect(const struct trace *trace, struct grid *grid, uint64_t **ret)
{
	uint64_t sum = 0, *all;
	size_t at = 0;

	for (uint32_t m = 0; m < trace->n_maps; m++) {
		sum += count_items(trace, m, grid->shift);
		if (sum > GRID_ITEMS_MAX)
			return -E2BIG;
	}
	all = reallocarray(NULL, sum + 1, sizeof(*all));
	grid->first = reallocarray(NULL, (size_t)trace->n_maps + 1,
				   sizeof(*grid->first));
	if (!all || !grid->first) {
		free(all);
		return -ENOMEM;
	}
	for (uint32_t m = 0; m < trace->n_maps; m++) {
		uint64_t n = count_items(trace, m, grid->shift);

		grid->first[m] = (uint32_t)at;
		add_items(trace, m, grid->shift, all + at);
		at += unique_sorted(all + at, n);
	}
	grid->first[trace->n_maps] = (uint32_t)at;
	*ret = all;
	return 0;
}

/* Turns granules into their numbers. */
static int number(struct grid *grid, const uint64_t *all)
{
	size_t n = grid->first[grid->n_maps];
	uint64_t *v = reallocarray(NULL, n + 1, sizeof(*v));
	uint32_t *last;

	grid->items = reallocarray(NULL, n + 1, sizeof(*grid->items));
	grid->next = reallocarray(NULL, n + 1, sizeof(*grid->next));
	if (!v || !grid->items || !grid->next) {
		free(v);
		return -ENOMEM;
	}
	memcpy(v, all, n * sizeof(*v));
	grid->granules = v;
	grid->n_granules = (uint32_t)unique_sorted(v, n);
	last = calloc((size_t)grid->n_granules + 1, sizeof(*last));
	if (!last)
		return -ENOMEM;
	memset(last, 0xff, grid->n_granules * sizeof(*last));
	for (uint32_t m = grid->n_maps; m-- > 0;)
		for (uint32_t i = grid->first[m]; i < grid->first[m + 1]; i++) {
			const uint64_t *p = bsearch(&all[i], v,
						    grid->n_granules,
						    sizeof(*v), compare_u64);
			uint32_t g = (uint32_t)(p - v);

			grid->items[i] = g;
			grid->next[i] = last[g];
			last[g] = m;
		}
	free(last);
	return 0;
}

int grid_new(const struct trace *trace, unsigned int shift, struct grid **ret)
{
	struct grid *grid = calloc(1, sizeof(*grid));
	uint64_t *all = NULL;
	int r;

	static_assert(GRID_NEVER == UINT32_MAX, "memset() of last[]");
	if (!grid)
		return -ENOMEM;
	grid->shift = shift;
	grid->n_maps = trace->n_maps;
	r = collect(trace, grid, &all);
	if (!r)
		r = number(grid, all);
	free(all);
	if (!r)
		*ret = grid;
	else
		grid_free(grid);
	return r;
}

void grid_free(struct grid *grid)
{
	if (!grid)
		return;
	free(grid->granules);
	free(grid->first);
	free(grid->items);
	free(grid->next);
	free(grid);
}

uint64_t grid_bytes(const struct grid *grid)
{
	return (uint64_t)grid->n_granules << grid->shift;
}

int grid_held_peak(const struct grid *grid, const struct trace *trace,
		   uint64_t *ret)
{
	uint32_t *counts =
		calloc((size_t)grid->n_granules + 1, sizeof(*counts));
	uint64_t held = 0, peak = 0;

	if (!counts)
		return -ENOMEM;
	for (size_t i = 0; i < trace->n_events; i++) {
		const struct trace_event *e = &trace->events[i];
		uint32_t m = e->map;

		for (uint32_t k = grid->first[m]; k < grid->first[m + 1]; k++) {
			uint32_t *count = &counts[grid->items[k]];

			if (e->n_segments)
				held += (*count)++ == 0;
			else
				held -= --*count == 0;
		}
		peak = max(peak, held);
	}
	free(counts);
	*ret = peak << grid->shift;
	return 0;
}
