// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * replacer_clock.c - second chance, in granules of one size
 *
 * A ring and a hand. The hand passes over what is held, spares once what was
 * used since it came by, and takes the rest; a new granule goes right behind
 * the hand, so that it is the last that the hand comes to. Locks: none.
 */
#include <errno.h>
#include <stdlib.h>

#include "host/sim/replay.h"

#define NONE UINT32_MAX

struct clock {
	const struct replay *replay;
	uint32_t *next, *prev; /* by granule: the ring */
	uint8_t *referenced;   /* by granule */
	uint32_t hand;	       /* where it looks next; NONE: nothing there */
};

static void clock_done(void *self)
{
	struct clock *clock = self;

	free(clock->next);
	free(clock->prev);
	free(clock->referenced);
	free(clock);
}

static int clock_init(const struct replay *replay, void **ret)
{
	size_t n = (size_t)replay_grid(replay)->n_granules + 1;
	struct clock *clock = calloc(1, sizeof(*clock));

	if (!clock)
		return -ENOMEM;
	clock->replay = replay;
	clock->hand = NONE;
	clock->next = calloc(n, sizeof(*clock->next));
	clock->prev = calloc(n, sizeof(*clock->prev));
	clock->referenced = calloc(n, sizeof(*clock->referenced));
	if (!clock->next || !clock->prev || !clock->referenced) {
		clock_done(clock);
		return -ENOMEM;
	}
	*ret = clock;
	return 0;
}

static void clock_used(void *self, uint32_t granule, uint32_t item)
{
	struct clock *clock = self;

	(void)item;
	clock->referenced[granule] = 1;
}

static void clock_loaded(void *self, uint32_t granule)
{
	struct clock *clock = self;
	uint32_t next = clock->hand;

	if (next == NONE) {
		clock->next[granule] = clock->prev[granule] = granule;
		clock->hand = granule;
		return;
	}
	clock->next[granule] = next;
	clock->prev[granule] = clock->prev[next];
	clock->next[clock->prev[next]] = granule;
	clock->prev[next] = granule;
}

static void clock_idle(void *self, uint32_t granule)
{
	(void)self;
	(void)granule;
}

static uint32_t clock_victim(void *self)
{
	struct clock *clock = self;
	uint32_t g = clock->hand;

	for (;; g = clock->next[g]) {
		if (replay_is_held(clock->replay, g))
			continue;
		if (!clock->referenced[g])
			break;
		clock->referenced[g] = 0;
	}
	clock->hand = clock->next[g] == g ? NONE : clock->next[g];
	clock->next[clock->prev[g]] = clock->next[g];
	clock->prev[clock->next[g]] = clock->prev[g];
	return g;
}

const struct replacer_ops replacer_clock = {
	.name = "clock",
	.init = clock_init,
	.done = clock_done,
	.used = clock_used,
	.loaded = clock_loaded,
	.idle = clock_idle,
	.victim = clock_victim,
};
