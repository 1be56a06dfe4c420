/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * throttle.h - how much may be copied only to save a wait
 *
 * A copy is cheaper than a round trip to the host, and nobody waits for it; but
 * copying what a device transfers is what DMA is there to avoid. So a share of
 * 1/PVDMA_THROTTLE_SHARE of the bytes that are mapped may be copied for that,
 * saved up to some amount. What a copy saves is a wait, whatever its size: a
 * mapping takes at most a part of what is saved up, so that the less there is,
 * the smaller are those that still get something. Where the quota is too small
 * for what is used DMA has lost its advantage: a mapping is not there any more
 * when it is needed again.
 *
 * Copies without which a mapping would fail are not throttled. Once one was
 * refused for want of room, the next ones probably would be, too: the small
 * ones of them are copied without asking. No locks: the owner has one, or one
 * of these for each CPU.
 */
#ifndef PVDMA_THROTTLE_H
#define PVDMA_THROTTLE_H

#include "env.h"

#define PVDMA_THROTTLE_SHARE 20u
/* Bytes to be copied that are saved up: at first, and at most. */
#define PVDMA_THROTTLE_FIRST (32u << 10)
#define PVDMA_THROTTLE_MOST  (256u << 10)
/* One mapping: at most these bytes, and this part of what is saved up. */
#define PVDMA_THROTTLE_SIZE (16u << 10)
#define PVDMA_THROTTLE_PART 2u

/* While the quota is too small: at most; and the host hears of one in ... */
#define PVDMA_THROTTLE_SCARCE_SIZE (64u << 10)
#define PVDMA_THROTTLE_TELL_SHIFT  5
#define PVDMA_THROTTLE_TELL	   BIT(PVDMA_THROTTLE_TELL_SHIFT)

/* After a mapping that was refused: so many, of so many bytes at most. */
#define PVDMA_THROTTLE_REFUSED	    16u
#define PVDMA_THROTTLE_REFUSED_SIZE 2048u

struct pvdma_throttle {
	u64 credit; /* bytes * PVDMA_THROTTLE_SHARE */
	u32 refused;
	u32 turn; /* random enough */
};

static inline void pvdma_throttle_init(struct pvdma_throttle *t)
{
	t->credit = (u64)PVDMA_THROTTLE_FIRST * PVDMA_THROTTLE_SHARE;
	t->refused = 0;
	t->turn = 0;
}

/* A driver maps @bytes, whether they are copied or not. */
static inline void pvdma_throttle_earn(struct pvdma_throttle *t, u64 bytes)
{
	const u64 most = (u64)PVDMA_THROTTLE_MOST * PVDMA_THROTTLE_SHARE;

	t->credit = bytes < most - t->credit ? t->credit + bytes : most;
}

/* The host had no room for a mapping. */
static inline void pvdma_throttle_refused(struct pvdma_throttle *t)
{
	t->refused = PVDMA_THROTTLE_REFUSED;
}

/*
 * May one mapping copy @bytes? Then they are spent; but what is small is free
 * while the quota is too small (@scarce).
 */
static inline bool pvdma_throttle_spend(struct pvdma_throttle *t, u64 bytes,
					bool scarce)
{
	u64 price = bytes * PVDMA_THROTTLE_SHARE;

	if (scarce && bytes <= PVDMA_THROTTLE_SCARCE_SIZE)
		return true;
	if (t->refused && bytes <= PVDMA_THROTTLE_REFUSED_SIZE) {
		t->refused--;
		return true;
	}
	if (bytes > PVDMA_THROTTLE_SIZE ||
	    price > t->credit / PVDMA_THROTTLE_PART)
		return false;
	t->credit -= price;
	return true;
}

/*
 * Is the host to map what was copied? While the quota is too small that takes
 * something else's place, which is as good for all that is known: so only a
 * part is told, at random, in which there is more of what is used more.
 */
static inline bool pvdma_throttle_tells(struct pvdma_throttle *t, bool scarce)
{
	if (!scarce)
		return true;
	/* Knuth's and Lewis's generator (Numerical Recipes, 7.1) */
	t->turn = t->turn * 1664525u + 1013904223u;
	return t->turn >> 16 < (1u << 16) / PVDMA_THROTTLE_TELL;
}

#endif
