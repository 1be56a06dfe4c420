/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pressure.h - is the quota too small for what is used?
 *
 * It is if what the host has mapped on demand is missed again: so it had to go
 * for something else. That is added up, and for 128 bytes that are mapped, or
 * copied, one is forgotten. What is missed for the first time is no sign of
 * anything: a working set that fits is missed once.
 *
 * Who is pressed copies instead of asking, and that is no sign either. So it is
 * forgotten after a while, some is asked for again, and if it then lasts, that
 * was the end of it; else it takes as little as was forgotten.
 *
 * What was asked for is known by a sample: by the hash of a granule, and the
 * larger the quota the smaller a part of them, so that the part of a quota fits
 * into a quarter of the table. What others overwrite there is not found again.
 *
 * No locks: CPUs that note something at the same time may lose a note.
 */
#ifndef PVDMA_PRESSURE_H
#define PVDMA_PRESSURE_H

#include "env.h"

#define PVDMA_PRESSURE_SHIFT 11 /* log2 of the table's entries */
#define PVDMA_PRESSURE_SLOTS BIT(PVDMA_PRESSURE_SHIFT)

/* So many bytes make up for one that was missed again. */
#define PVDMA_PRESSURE_FORGET 128u

/* Of what is larger the first granules stand for all: nobody waits for more. */
#define PVDMA_PRESSURE_RANGE ((u64)512)

struct pvdma_pressure {
	u64 again; /* bytes missed again, at most a quarter of the quota */
	u64 quota;
	u32 every; /* of so many granules one is in the sample: a power of 2 */
	u32 asked[PVDMA_PRESSURE_SLOTS]; /* granule + 1, or 0 */
};

/*
 * Nothing is known yet; nor is it, if mappings have ended for another cause.
 * Any context. Who notes something meanwhile may bring back what was known.
 */
static inline void pvdma_pressure_reset(struct pvdma_pressure *p)
{
	WRITE_ONCE(p->again, 0);
	memset(p->asked, 0, sizeof(p->asked));
}

/*
 * As @quota is now, in bytes; granules have 1 << @shift of them. If it is much
 * more, or the sample another one, it is to be found out anew.
 */
static inline void pvdma_pressure_scale(struct pvdma_pressure *p, u64 quota,
					u32 shift)
{
	u64 part = (quota >> shift) / (PVDMA_PRESSURE_SLOTS / 4);
	u64 old = READ_ONCE(p->quota);
	u32 every = 1;

	if (likely(old == quota))
		return;
	while (every < part && every < 1u << 20)
		every *= 2;
	WRITE_ONCE(p->quota, quota);
	if (p->every == every && quota <= old + old / 8)
		return;
	p->every = every;
	pvdma_pressure_reset(p);
}

/* Where @granule is noted; NULL if it is not in the sample. */
static inline u32 *pvdma_pressure_slot(struct pvdma_pressure *p, u64 granule)
{
	/* Knuth's multiplicative hash (TAOCP 3, 6.4), twice: ranges must mix */
	u64 hash = granule * 0x9e3779b97f4a7c15ull;

	hash = (hash ^ hash >> 32) * 0x9e3779b97f4a7c15ull;
	if (hash >> 32 & (p->every - 1))
		return NULL;
	return &p->asked[hash >> (64 - PVDMA_PRESSURE_SHIFT)];
}

/* The host has mapped @n granules from @first on, because it was asked to. */
static inline void pvdma_pressure_asked(struct pvdma_pressure *p, u64 first,
					u64 n)
{
	u32 *slot;

	n = min(n, PVDMA_PRESSURE_RANGE);
	for (; n; n--, first++) {
		slot = pvdma_pressure_slot(p, first);
		if (slot)
			WRITE_ONCE(*slot, (u32)first + 1);
	}
}

/* Of @n granules from @first on that are not mapped: bytes missed again. */
static inline u64 pvdma_pressure_missed(struct pvdma_pressure *p, u64 first,
					u64 n, u32 shift)
{
	u64 again = 0;
	u32 *slot;

	n = min(n, PVDMA_PRESSURE_RANGE);
	for (; n; n--, first++) {
		slot = pvdma_pressure_slot(p, first);
		if (!slot || READ_ONCE(*slot) != (u32)first + 1)
			continue;
		/* once: whoever is not asked again has not lost it again */
		WRITE_ONCE(*slot, 0);
		again += (u64)p->every << shift;
	}
	return again;
}

/* @bytes were mapped since the last note, in whatever way, @again not yet. */
static inline void pvdma_pressure_note(struct pvdma_pressure *p, u64 bytes,
				       u64 again)
{
	u64 most = p->quota / 4, sum = READ_ONCE(p->again);

	bytes /= PVDMA_PRESSURE_FORGET;
	sum = sum > bytes ? sum - bytes : 0;
	sum = again < most - min(sum, most) ? sum + again : most;
	WRITE_ONCE(p->again, sum);
}

/* What was mapped had to go, to the amount of an eighth of the quota. */
static inline bool pvdma_pressed(const struct pvdma_pressure *p)
{
	return READ_ONCE(p->again) > p->quota / 8;
}

#endif
