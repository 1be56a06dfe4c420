/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * throttle.h - how much may be copied only to save a wait
 *
 * A copy is cheaper than a round trip to the host, and no wait; but a device
 * whose transfers are all copied is not what DMA is for. So of the bytes that
 * are mapped a share of 1/PVDMA_THROTTLE_SHARE may be copied for that, and the
 * smaller a transfer the sooner: what is saved is a wait, whatever its size.
 *
 * Copies without which a mapping would fail are not throttled. No locks: the
 * owner has one.
 */
#ifndef PVDMA_THROTTLE_H
#define PVDMA_THROTTLE_H

#include "env.h"

#define PVDMA_THROTTLE_SHARE 20u
/* Bytes to copy that are saved up at most, and at first. */
#define PVDMA_THROTTLE_MOST  (256u << 10)
#define PVDMA_THROTTLE_FIRST (32u << 10)
/* Of what is saved up, the share that one mapping may take. */
#define PVDMA_THROTTLE_ONE 8u

struct pvdma_throttle {
	u64 credit; /* in shares of a byte */
};

static inline void pvdma_throttle_init(struct pvdma_throttle *t)
{
	t->credit = (u64)PVDMA_THROTTLE_FIRST * PVDMA_THROTTLE_SHARE;
}

/* @bytes are mapped, copied or not. */
static inline void pvdma_throttle_earn(struct pvdma_throttle *t, u64 bytes)
{
	const u64 most = (u64)PVDMA_THROTTLE_MOST * PVDMA_THROTTLE_SHARE;

	t->credit = bytes < most - t->credit ? t->credit + bytes : most;
}

/* May @bytes be copied? Then they count. */
static inline bool pvdma_throttle_spend(struct pvdma_throttle *t, u64 bytes)
{
	u64 price = bytes * PVDMA_THROTTLE_SHARE;

	if (bytes > PVDMA_THROTTLE_MOST ||
	    price > t->credit / PVDMA_THROTTLE_ONE)
		return false;
	t->credit -= price;
	return true;
}

#endif
