// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * around.c - how much memory around a miss is worth mapping, too
 *
 * Owns what was learnt. Invariant: every table has a fixed size, whatever the
 * guest does. Locks: none. In a request's way: behind its answer.
 *
 * A window is worth mapping if what it saves, which is a miss for each of its
 * granules that will be used, is more than what it costs: the calls of the
 * backend, and where the quota is full a miss for each evicted granule that
 * will be missed. Both chances are frequencies that were seen, halved now and
 * then so that they follow the load. At first every window is hopeful: it has to
 * be tried to be known.
 */
#include "host/agent/around.h"

#include "host/lib/macros.h"
#include "protocol/virtio_pvdma.h"

#define BLOCK_SHIFT VIRTIO_PVDMA_BLOCK_SHIFT
/*
 * What a window that was never tried counts for: the larger a request, the more
 * probably others lie beside it.
 */
#define PRIOR_AHEAD 32u
static const uint32_t prior_used[] = { 10, 14, 20, 28 };
/* Sums above are halved; the larger, the slower they forget. */
#define AHEAD_MAX  4096u
#define REGRET_MAX 16384u

void around_init(struct around *around)
{
	for (unsigned int c = 0; c < AROUND_CONTEXTS; c++)
		for (unsigned int l = 0; l <= AROUND_LEVELS; l++)
			around->stats[c][l] =
				(struct around_stat){ PRIOR_AHEAD,
						      prior_used[c % 4] };
	around->regret = (struct around_stat){ PRIOR_AHEAD, PRIOR_AHEAD / 4 };
}

unsigned int around_context(uint32_t endpoint, uint64_t granules)
{
	unsigned int size = granules <= 1  ? 0 :
			    granules <= 4  ? 1 :
			    granules <= 16 ? 2 :
					     3;

	return (endpoint % (AROUND_CONTEXTS / 4)) * 4 + size;
}

/* @ns by the share that @stat says. */
static uint64_t share(const struct around_stat *stat, uint64_t ns)
{
	return ns * stat->used / max(stat->ahead, 1u);
}

int64_t around_worth(const struct around *around, const struct price *price,
		     uint8_t shift, unsigned int context, unsigned int level,
		     const struct around_offer *offer)
{
	uint64_t bytes = offer->granules << shift;
	uint64_t request = offer->request << shift;
	uint64_t each, call, cost;

	if (offer->granules == 0)
		return -1;
	/* A miss like this one serves so many granules at once. */
	each = (price->trip + price_map(price, request) +
		price_unmap(price, request)) /
	       offer->request;
	call = max(bytes / offer->calls, (uint64_t)1);
	cost = offer->calls * price_map(price, call);
	if (offer->evicts)
		/* it will be evicted, too, and others for it */
		cost += offer->calls * price_unmap(price, call) +
			share(&around->regret, offer->granules * each);
	return (int64_t)share(&around->stats[context][level],
			      offer->granules * each) -
	       (int64_t)cost;
}

static void add(struct around_stat *stat, uint32_t ahead, uint32_t used,
		uint32_t most)
{
	stat->ahead += ahead;
	stat->used += used;
	while (stat->ahead > most) {
		stat->ahead /= 2;
		stat->used /= 2;
	}
}

void around_learn(struct around *around, unsigned int context,
		  unsigned int level, uint32_t ahead, uint32_t used)
{
	add(&around->stats[context][level], ahead, min(used, ahead), AHEAD_MAX);
}

static struct around_ghost *ghost_of(struct around *around, uint64_t block)
{
	return &around->ghosts[block * 0x9e3779b97f4a7c15ULL >> 52];
}

void around_evicted(struct around *around, uint64_t first, uint64_t count)
{
	static_assert(AROUND_GHOSTS == 1u << 12, "ghost_of()");
	around->evicted += count;
	for (uint64_t b = first >> BLOCK_SHIFT;
	     b <= (first + count - 1) >> BLOCK_SHIFT; b++)
		*ghost_of(around, b) =
			(struct around_ghost){ b + 1, around->evicted };
	add(&around->regret, (uint32_t)min(count, (uint64_t)REGRET_MAX), 0,
	    REGRET_MAX);
}

void around_missed(struct around *around, uint64_t first, uint64_t count,
		   uint64_t quota)
{
	for (uint64_t b = first >> BLOCK_SHIFT;
	     b <= (first + count - 1) >> BLOCK_SHIFT; b++) {
		const struct around_ghost *ghost = ghost_of(around, b);
		uint64_t from = max(first, b << BLOCK_SHIFT);
		uint64_t to = min(first + count, (b + 1) << BLOCK_SHIFT);

		if (ghost->block != b + 1 ||
		    around->evicted - ghost->at > quota)
			continue;
		around->regret.used =
			min(around->regret.used + (uint32_t)(to - from),
			    around->regret.ahead);
	}
}
