// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * replacer_opt.c - Belady's optimum: the granule needed furthest away goes
 *
 * Held granules are needed all the time, idle ones at the next map call that
 * touches them, which the grid knows. A heap has the idle ones; an entry whose
 * granule was used since it was made is stale, and passed over. No policy that
 * maps on demand can load fewer granules (where no request is refused).
 *
 * Owns the heap. Locks: none.
 */
#include <errno.h>
#include <stdlib.h>

#include "host/sim/replay.h"

struct entry {
	uint32_t next; /* map, or GRID_NEVER */
	uint32_t granule;
};

struct opt {
	const struct replay *replay;
	uint32_t *next;	    /* by granule: the next map that touches it */
	uint8_t *in_heap;   /* by granule: an entry is up to date */
	struct entry *heap; /* the furthest is first */
	size_t n, max;
};

static void opt_done(void *self)
{
	struct opt *opt = self;

	free(opt->next);
	free(opt->in_heap);
	free(opt->heap);
	free(opt);
}

static int opt_init(const struct replay *replay, void **ret)
{
	const struct grid *grid = replay_grid(replay);
	struct opt *opt = calloc(1, sizeof(*opt));

	if (!opt)
		return -ENOMEM;
	opt->replay = replay;
	opt->max = 2 * (size_t)grid->n_granules + 16;
	opt->next = calloc((size_t)grid->n_granules + 1, sizeof(*opt->next));
	opt->in_heap = calloc((size_t)grid->n_granules + 1, 1);
	opt->heap = reallocarray(NULL, opt->max, sizeof(*opt->heap));
	if (!opt->next || !opt->in_heap || !opt->heap) {
		opt_done(opt);
		return -ENOMEM;
	}
	*ret = opt;
	return 0;
}

static void opt_used(void *self, uint32_t granule, uint32_t item)
{
	struct opt *opt = self;
	uint32_t next = replay_grid(opt->replay)->next[item];

	if (opt->next[granule] != next)
		opt->in_heap[granule] = 0;
	opt->next[granule] = next;
}

static void opt_loaded(void *self, uint32_t granule)
{
	(void)self;
	(void)granule;
}

static bool is_stale(const struct opt *opt, const struct entry *e)
{
	return !opt->in_heap[e->granule] || opt->next[e->granule] != e->next;
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return x->next > y->next ? -1 : x->next < y->next;
}

/* Leaves one entry of each granule at most, which is half of the room. */
static void drop_stale(struct opt *opt)
{
	size_t kept = 0;

	for (size_t i = 0; i < opt->n; i++) {
		struct entry e = opt->heap[i];

		if (is_stale(opt, &e) || opt->in_heap[e.granule] == 2)
			continue;
		opt->in_heap[e.granule] = 2;
		opt->heap[kept++] = e;
	}
	opt->n = kept;
	for (size_t i = 0; i < kept; i++)
		opt->in_heap[opt->heap[i].granule] = 1;
	/* what is sorted is a heap */
	qsort(opt->heap, kept, sizeof(*opt->heap), compare_entries);
}

static void opt_idle(void *self, uint32_t granule)
{
	struct opt *opt = self;
	struct entry e = { opt->next[granule], granule };
	size_t i;

	/* a driver that was refused used it again: the entry is still right */
	if (opt->in_heap[granule])
		return;
	if (opt->n == opt->max)
		drop_stale(opt);
	opt->in_heap[granule] = 1;
	i = opt->n++;
	for (; i && opt->heap[(i - 1) / 2].next < e.next; i = (i - 1) / 2)
		opt->heap[i] = opt->heap[(i - 1) / 2];
	opt->heap[i] = e;
}

static struct entry pop(struct opt *opt)
{
	struct entry top = opt->heap[0], e = opt->heap[--opt->n];
	size_t i = 0;

	for (size_t child = 1; child < opt->n; child = 2 * i + 1) {
		if (child + 1 < opt->n &&
		    opt->heap[child + 1].next > opt->heap[child].next)
			child++;
		if (opt->heap[child].next <= e.next)
			break;
		opt->heap[i] = opt->heap[child];
		i = child;
	}
	opt->heap[i] = e;
	return top;
}

static uint32_t opt_victim(void *self)
{
	struct opt *opt = self;

	for (;;) {
		struct entry e = pop(opt);

		if (is_stale(opt, &e))
			continue;
		opt->in_heap[e.granule] = 0;
		if (replay_is_resident(opt->replay, e.granule) &&
		    !replay_is_held(opt->replay, e.granule))
			return e.granule;
	}
}

const struct replacer_ops replacer_opt = {
	.name = "opt",
	.init = opt_init,
	.done = opt_done,
	.used = opt_used,
	.loaded = opt_loaded,
	.idle = opt_idle,
	.victim = opt_victim,
};
