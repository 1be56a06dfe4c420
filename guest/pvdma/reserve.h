/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * reserve.h - how much of the quota is kept mapped for copies
 */
#ifndef PVDMA_RESERVE_H
#define PVDMA_RESERVE_H

#include "env.h"

/* Memory for copies comes in multiples of this. */
#define PVDMA_RESERVE_UNIT  0x4000u
#define PVDMA_RESERVE_SHARE 128u       /* of the quota */
#define PVDMA_RESERVE_MOST  4u	       /* never more than one such part */
#define PVDMA_RESERVE_AUTO  0x100000u  /* at most, unless asked for */
#define PVDMA_RESERVE_MAX   0x4000000u /* whatever is asked for */
#define PVDMA_RESERVE_PART  8u	       /* of the quota, where it is too small */
#define PVDMA_RESERVE_GROWN 0x800000u  /* at most then */

/*
 * A power of two and whole granules, of about @bytes; or 0, if there is no more
 * than @part times as much of it in all.
 */
static inline u64 pvdma_reserve_round(u64 bytes, u64 quota, u32 granule_shift,
				      u32 part)
{
	u64 size = PVDMA_RESERVE_UNIT;

	if (size < 1ull << granule_shift)
		size = 1ull << granule_shift;
	while (size <= bytes / 2)
		size *= 2;
	return size > quota / part ? 0 : size;
}

/*
 * What nobody has asked for. Little, for it is missing where what is in use
 * just fits; but as much as lets a NIC send while its rings hold all that there
 * is.
 */
static inline u64 pvdma_reserve_auto(u64 quota, u32 granule_shift)
{
	u64 bytes = quota / PVDMA_RESERVE_SHARE;

	if (bytes > PVDMA_RESERVE_AUTO)
		bytes = PVDMA_RESERVE_AUTO;
	return pvdma_reserve_round(bytes, quota, granule_shift,
				   PVDMA_RESERVE_MOST);
}

/* How much there may be where the quota is too small for what is used. */
static inline u64 pvdma_reserve_most(u64 quota)
{
	u64 most = quota / PVDMA_RESERVE_PART;

	return most < PVDMA_RESERVE_GROWN ? most : PVDMA_RESERVE_GROWN;
}

/*
 * What to add to @have bytes where the quota is too small for what is used, so
 * that much is copied: as much again, or nothing if that were too much.
 */
static inline u64 pvdma_reserve_more(u64 quota, u64 have)
{
	return have <= pvdma_reserve_most(quota) / 2 ? have : 0;
}

#endif
