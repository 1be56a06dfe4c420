/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * curve.h - what would another quota cost? An estimate, by sampling
 *
 * Counts in granules. A part of all granules is sampled, whole blocks of
 * CURVE_BLOCK at a time, chosen by a hash of their address: so a granule that
 * comes back is known. The sampled ones lie in the order of their last use,
 * mapped or not. A use at depth d of that list would not have been a miss with
 * a quota of d.
 */
#ifndef PVDMA_AGENT_CURVE_H
#define PVDMA_AGENT_CURVE_H

#include <stdbool.h>
#include <stdint.h>

struct curve;

/* Granules that are sampled together: those whose words REFERENCED shares. */
#define CURVE_BLOCK_SHIFT 4u
#define CURVE_BLOCK	  (UINT64_C(1) << CURVE_BLOCK_SHIFT)

/* Half octaves from an eighth to 32 times the quota, and the quota. */
#define CURVE_POINTS 18u

#define CURVE_NONE UINT32_MAX

/* What a miss means for one of its granules: a part of the whole. */
struct curve_loss {
	double waits; /* requests that wait */
	double ns;    /* what they cost: trip, map, unmap */
};

struct curve_point {
	uint64_t quota; /* granules */
	double waits_per_s;
	double ns_per_s;
};

struct curve_reading {
	uint64_t interval_us; /* how long that is what was seen, fading */
	uint64_t held;	      /* most granules in use at once, slowly fading */
	unsigned int n;
	struct curve_point points[CURVE_POINTS]; /* rising */
};

/*
 * 0 or -ENOMEM. Some 150 KiB, whatever the guest and its quota are. Who knows
 * which granules are in the sample, and which share a chain, can lie about all
 * others, and make chains long: @seed, that nobody can guess, keeps it from guests.
 */
int curve_new(uint64_t seed, struct curve **ret);
/* Takes NULL. */
void curve_free(struct curve *curve);

/* Forgets all that was seen. */
void curve_forget(struct curve *curve);

/* Is the block of this granule sampled? */
bool curve_samples(const struct curve *curve, uint64_t granule);

/*
 * The entry of a granule, or CURVE_NONE. Entries are numbered from 0 to
 * curve_entries() - 1; numbers change with the next curve_missed(),
 * curve_mapped() or curve_ended().
 */
uint32_t curve_find(const struct curve *curve, uint64_t granule);
uint32_t curve_entries(const struct curve *curve);
uint64_t curve_granule(const struct curve *curve, uint32_t entry);
bool curve_is_mapped(const struct curve *curve, uint32_t entry);
/* A byte that is the caller's own; 0 for what has just been mapped. */
uint8_t *curve_mark(struct curve *curve, uint32_t entry);

/*
 * A miss had these granules mapped, each of which lost @each, under @quota; and
 * it stands for @times such misses. All of them are told of, sampled or not.
 */
void curve_missed(struct curve *curve, uint64_t first, uint64_t count,
		  uint64_t quota, const struct curve_loss *each, double times);

/*
 * Granules were mapped without a miss, and @each would be lost if they were not
 * mapped when they are used.
 */
void curve_mapped(struct curve *curve, uint64_t first, uint64_t count,
		  uint64_t quota, const struct curve_loss *each);

/*
 * Granules are not mapped any longer: for want of room, or (where that was not
 * told) for another cause, so that they are new when they come back.
 */
void curve_evicted(struct curve *curve, uint64_t first, uint64_t count);
void curve_ended(struct curve *curve, uint64_t first, uint64_t count);

/* What is mapped was used again. Or is held, which is as good as a use. */
void curve_hit(struct curve *curve, uint32_t entry, uint64_t quota);
void curve_touch(struct curve *curve, uint32_t entry);

/* A request failed that @need granules of quota would have served. */
void curve_refused(struct curve *curve, uint64_t need, uint64_t quota,
		   const struct curve_loss *loss);

/* @entries, all sampled, are held now. */
void curve_held(struct curve *curve, uint32_t entries);

/* @usec have passed: what was seen before fades. */
void curve_pass(struct curve *curve, uint64_t usec);

void curve_read(const struct curve *curve, uint64_t quota,
		struct curve_reading *ret);

#endif
