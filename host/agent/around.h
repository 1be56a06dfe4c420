/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * around.h - how much memory around a miss is worth mapping, too
 *
 * Learns for each kind of request how much of what was mapped around it, or
 * behind it, was used later, and how much of what was evicted was missed
 * again; and weighs what that saves against what it costs (price.h).
 */
#ifndef PVDMA_AGENT_AROUND_H
#define PVDMA_AGENT_AROUND_H

#include <stdbool.h>
#include <stdint.h>

#include "host/agent/price.h"

/* Windows of 2 ^ level granules, up to 2 MiB; and the window behind one. */
#define AROUND_LEVELS 10u
#define AROUND_NEXT   AROUND_LEVELS
/* Endpoints apart, requests apart by their size. */
#define AROUND_CONTEXTS 32u
/* What was evicted of late, by blocks of granules. */
#define AROUND_GHOSTS 4096u

struct around_stat {
	uint32_t ahead; /* granules mapped though nobody had asked for them */
	uint32_t used;	/* of those, used later */
};

struct around_ghost {
	uint64_t block; /* number + 1; 0: none */
	uint64_t at;	/* granules that had been evicted by then */
};

/* State; all zero at first, but for around_init(). */
struct around {
	struct around_stat stats[AROUND_CONTEXTS][AROUND_LEVELS + 1];
	struct around_stat regret; /* ahead: evicted; used: missed again */
	uint64_t evicted;	   /* granules, ever */
	struct around_ghost ghosts[AROUND_GHOSTS];
};

void around_init(struct around *around);

/* The kind of a request of @granules on behalf of @endpoint. */
unsigned int around_context(uint32_t endpoint, uint64_t granules);

/* What would be mapped ahead, and what it would take. */
struct around_offer {
	uint64_t granules;
	uint64_t calls;	  /* of the backend */
	uint64_t request; /* granules of the request that missed */
	bool evicts;	  /* others go for it */
};

/*
 * What it is worth, in ns; below 0 it is not. @level: of the window, or
 * AROUND_NEXT.
 */
int64_t around_worth(const struct around *around, const struct price *price,
		     uint8_t shift, unsigned int context, unsigned int level,
		     const struct around_offer *offer);

/* @used of @ahead granules were used, in the end or so far. */
void around_learn(struct around *around, unsigned int context,
		  unsigned int level, uint32_t ahead, uint32_t used);

/* Granules [first, first + count) were evicted for room. */
void around_evicted(struct around *around, uint64_t first, uint64_t count);
/* ... were missed; @quota in granules is how long a memory matters. */
void around_missed(struct around *around, uint64_t first, uint64_t count,
		   uint64_t quota);

#endif
