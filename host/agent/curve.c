// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * curve.c - what would another quota cost? An estimate, by sampling
 *
 * Theory of operation. LRU has the stack property: what is mapped under a quota
 * is mapped under each larger one, so one list in the order of last uses answers
 * for all quotas at once (Mattson et al., 1970), and a sample by address of it
 * does nearly as well (SHARDS: Waldspurger et al., 2015). The depth of a use,
 * times what one sampled granule stands for, is the quota that it needs.
 *
 * The agent does not replace by LRU, and learns of uses late: a miss is a
 * request, a hit only a bit that is found set at the next look. So what really
 * happened comes first: a miss needs more than the present quota, however near
 * it was in the list, and a hit no more than it. With the present quota the
 * curve is what was measured. A policy that is better than LRU has misses
 * fall evenly where LRU has a cliff; that is what the curve's convex hull does,
 * on which whoever divides memory by it works.
 *
 * Events are kept as sums by the quota that they need, in quarters of octaves,
 * and fade by half in CURVE_HALF_US.
 *
 * The list is a Fenwick tree over positions: a use moves an entry to the next
 * position, and its depth is how many positions above its old one are taken.
 * When positions run out, entries move up. When entries run out, half of the
 * blocks are given up, and one stands for twice as many.
 *
 * Owns all of it. Invariants: `taken` has one for each entry, at its position;
 * each entry is in the chain of its hash. Locks: none. In a request's way:
 * behind its commit; a block that is not sampled costs a multiplication.
 */
#include "host/agent/curve.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/lib/macros.h"

#define ENTRIES	  4096u
#define POSITIONS (2 * ENTRIES)
#define NOWHERE	  UINT16_MAX
/* The list reaches so many quotas deep. */
#define REACH 32u
/* Four an octave; the last one begins at 2^31 granules. */
#define BINS 125u
/* What was seen so long ago counts half. */
#define CURVE_HALF_US 8e6
/* What was held at once is remembered for longer: who comes back needs it. */
#define CURVE_HELD_HALF_US 300e6
/* Beyond this factor the sample and all misses are not of one kind. */
#define SCALE_MAX 8.0

struct entry {
	uint64_t granule;
	float waits, ns; /* what a miss of it loses, by the last one */
	uint16_t position;
	uint16_t next; /* in the chain */
	bool mapped;
	uint8_t mark;
};

struct curve {
	struct entry entries[ENTRIES];
	uint16_t heads[ENTRIES];
	uint16_t at[POSITIONS];	       /* entry by position, or NOWHERE */
	uint16_t taken[POSITIONS + 1]; /* the tree: entries up to a position */
	uint32_t n;
	uint32_t top;	    /* the next position */
	uint32_t bottom;    /* below it no position is taken */
	unsigned int shift; /* one block in 2^shift is sampled */
	uint64_t seed;	    /* of the hash */
	double us;	    /* seen, fading as all that follows */
	double held;	    /* entries, at most */
	struct curve_loss missed[BINS], hit[BINS], refused[BINS];
	struct curve_loss cold;	   /* never seen before: no quota helps */
	struct curve_loss sampled; /* sum of missed[] and cold */
	struct curve_loss exact;   /* the same of all granules */
};

/* --- bins --- */

static double bin_start(unsigned int bin)
{
	if (bin < 4)
		return bin;
	return ldexp(4 + (bin & 3), (int)(bin / 4) - 1);
}

static unsigned int bin_of(uint64_t granules)
{
	unsigned int octave;

	if (granules < 4)
		return (unsigned int)granules;
	octave = 63 - (unsigned int)__builtin_clzll(granules);
	return min(4 * (octave - 1) +
			   (unsigned int)((granules >> (octave - 2)) & 3),
		   BINS - 1);
}

static void add(struct curve_loss *sum, const struct curve_loss *loss,
		double times)
{
	sum->waits += loss->waits * times;
	sum->ns += loss->ns * times;
}

static void fade(struct curve_loss *sums, unsigned int n, double left)
{
	for (unsigned int i = 0; i < n; i++) {
		sums[i].waits *= left;
		sums[i].ns *= left;
	}
}

/* --- the list --- */

static void tree_add(struct curve *curve, uint32_t position, int by)
{
	for (uint32_t i = position + 1; i <= POSITIONS; i += i & -i)
		curve->taken[i] = (uint16_t)(curve->taken[i] + by);
}

/* Entries at positions up to this one. */
static uint32_t tree_sum(const struct curve *curve, uint32_t position)
{
	uint32_t sum = 0;

	for (uint32_t i = position + 1; i > 0; i -= i & -i)
		sum += curve->taken[i];
	return sum;
}

static void clear_positions(struct curve *curve)
{
	memset(curve->at, 0xff, sizeof(curve->at));
	memset(curve->taken, 0, sizeof(curve->taken));
	curve->top = 0;
	curve->bottom = 0;
}

static void put(struct curve *curve, uint32_t entry)
{
	curve->entries[entry].position = (uint16_t)curve->top;
	curve->at[curve->top] = (uint16_t)entry;
	tree_add(curve, curve->top++, 1);
}

/* Positions from 0 on again, in the same order. */
static void compact(struct curve *curve)
{
	uint16_t at[POSITIONS];

	memcpy(at, curve->at, sizeof(at));
	clear_positions(curve);
	for (uint32_t i = 0; i < POSITIONS; i++)
		if (at[i] != NOWHERE)
			put(curve, at[i]);
}

static void to_top(struct curve *curve, uint32_t entry)
{
	uint32_t position = curve->entries[entry].position;

	curve->at[position] = NOWHERE;
	tree_add(curve, position, -1);
	if (curve->top < POSITIONS) {
		put(curve, entry);
		return;
	}
	compact(curve);
	put(curve, entry);
}

/* The quota that would have held this one, in granules. */
static uint64_t depth(const struct curve *curve, uint32_t entry)
{
	uint32_t up_to = tree_sum(curve, curve->entries[entry].position);

	return (uint64_t)(curve->n - up_to + 1) << curve->shift;
}

/* --- entries --- */

static uint64_t hash_of(const struct curve *curve, uint64_t block)
{
	block ^= curve->seed;
	block ^= block >> 31;
	block *= UINT64_C(0x9e3779b97f4a7c15);
	block ^= block >> 29;
	block *= UINT64_C(0xbf58476d1ce4e5b9);
	return block ^ block >> 32;
}

bool curve_samples(const struct curve *curve, uint64_t granule)
{
	uint64_t mask = (UINT64_C(1) << curve->shift) - 1;

	return (hash_of(curve, granule >> CURVE_BLOCK_SHIFT) & mask) == 0;
}

static size_t bucket_of(const struct curve *curve, uint64_t granule)
{
	return hash_of(curve, granule) >> 48 & (ENTRIES - 1);
}

static uint16_t *head_of(struct curve *curve, uint64_t granule)
{
	return &curve->heads[bucket_of(curve, granule)];
}

uint32_t curve_find(const struct curve *curve, uint64_t granule)
{
	uint16_t i = curve->heads[bucket_of(curve, granule)];

	while (i != NOWHERE && curve->entries[i].granule != granule)
		i = curve->entries[i].next;
	return i == NOWHERE ? CURVE_NONE : i;
}

static uint16_t *link_to(struct curve *curve, uint32_t entry)
{
	uint16_t *link = head_of(curve, curve->entries[entry].granule);

	while (*link != entry)
		link = &curve->entries[*link].next;
	return link;
}

/* The last entry takes the place of the one that goes. */
static void drop(struct curve *curve, uint32_t entry)
{
	struct entry *e = &curve->entries[entry];
	uint32_t last = --curve->n;

	*link_to(curve, entry) = e->next;
	curve->at[e->position] = NOWHERE;
	tree_add(curve, e->position, -1);
	if (entry == last)
		return;
	*link_to(curve, last) = (uint16_t)entry;
	*e = curve->entries[last];
	curve->at[e->position] = (uint16_t)entry;
}

static void drop_oldest(struct curve *curve)
{
	while (curve->at[curve->bottom] == NOWHERE)
		curve->bottom++;
	drop(curve, curve->at[curve->bottom]);
}

/* Half of the blocks are not sampled any longer. */
static void thin_out(struct curve *curve)
{
	curve->shift++;
	for (uint32_t i = curve->n; i-- > 0;)
		if (!curve_samples(curve, curve->entries[i].granule))
			drop(curve, i);
	curve->held /= 2;
}

/* A new entry, on top. CURVE_NONE: its block has just been given up. */
static uint32_t insert(struct curve *curve, uint64_t granule, uint64_t quota)
{
	uint64_t reach = max(quota * REACH, (uint64_t)1);
	uint16_t *head;

	while (curve->n > 0 && (uint64_t)curve->n << curve->shift >= reach)
		drop_oldest(curve);
	while (curve->n == ENTRIES)
		thin_out(curve);
	if (!curve_samples(curve, granule))
		return CURVE_NONE;
	if (curve->top == POSITIONS)
		compact(curve);
	head = head_of(curve, granule);
	curve->entries[curve->n] = (struct entry){
		.granule = granule,
		.next = *head,
	};
	*head = (uint16_t)curve->n;
	put(curve, curve->n);
	return curve->n++;
}

uint32_t curve_entries(const struct curve *curve)
{
	return curve->n;
}

uint64_t curve_granule(const struct curve *curve, uint32_t entry)
{
	return curve->entries[entry].granule;
}

bool curve_is_mapped(const struct curve *curve, uint32_t entry)
{
	return curve->entries[entry].mapped;
}

uint8_t *curve_mark(struct curve *curve, uint32_t entry)
{
	return &curve->entries[entry].mark;
}

/* --- what happens --- */

static void remap(struct curve *curve, uint32_t entry,
		  const struct curve_loss *each)
{
	struct entry *e = &curve->entries[entry];

	e->mapped = true;
	e->mark = 0;
	e->waits = (float)each->waits;
	e->ns = (float)each->ns;
}

static void miss_one(struct curve *curve, uint64_t granule, uint64_t quota,
		     const struct curve_loss *each, double times)
{
	uint32_t i = curve_find(curve, granule);
	unsigned int bin = bin_of(quota) + 1;

	add(&curve->sampled, each, times);
	if (i == CURVE_NONE) {
		add(&curve->cold, each, times);
		i = insert(curve, granule, quota);
		if (i == CURVE_NONE)
			return;
	} else {
		bin = min(max(bin, bin_of(depth(curve, i))), BINS - 1);
		add(&curve->missed[bin], each, times);
		to_top(curve, i);
	}
	remap(curve, i, each);
}

/* The first granule of the next block, or @end. */
static uint64_t next_block(uint64_t granule, uint64_t end)
{
	return min((granule | (CURVE_BLOCK - 1)) + 1, end);
}

void curve_missed(struct curve *curve, uint64_t first, uint64_t count,
		  uint64_t quota, const struct curve_loss *each, double times)
{
	uint64_t end = first + count;

	add(&curve->exact, each, (double)count * times);
	while (first < end) {
		uint64_t next = next_block(first, end);

		for (; first < next && curve_samples(curve, first); first++)
			miss_one(curve, first, quota, each,
				 ldexp(times, (int)curve->shift));
		first = next;
	}
}

void curve_mapped(struct curve *curve, uint64_t first, uint64_t count,
		  uint64_t quota, const struct curve_loss *each)
{
	uint64_t end = first + count;

	while (first < end) {
		uint64_t next = next_block(first, end);

		for (; first < next && curve_samples(curve, first); first++) {
			uint32_t i = curve_find(curve, first);

			if (i == CURVE_NONE)
				i = insert(curve, first, quota);
			if (i == CURVE_NONE)
				break;
			remap(curve, i, each);
		}
		first = next;
	}
}

/* Mapped granules become ghosts, or are forgotten. */
static void end(struct curve *curve, uint64_t first, uint64_t count,
		bool remember)
{
	uint64_t end = first + count;

	while (first < end) {
		uint64_t next = next_block(first, end);

		for (; first < next && curve_samples(curve, first); first++) {
			uint32_t i = curve_find(curve, first);

			if (i == CURVE_NONE || !curve->entries[i].mapped)
				continue;
			curve->entries[i].mapped = false;
			if (!remember)
				drop(curve, i);
		}
		first = next;
	}
}

void curve_evicted(struct curve *curve, uint64_t first, uint64_t count)
{
	end(curve, first, count, true);
}

void curve_ended(struct curve *curve, uint64_t first, uint64_t count)
{
	end(curve, first, count, false);
}

void curve_hit(struct curve *curve, uint32_t entry, uint64_t quota)
{
	const struct entry *e = &curve->entries[entry];
	const struct curve_loss loss = { e->waits, e->ns };
	unsigned int most = bin_of(quota);

	most -= most > 0;
	add(&curve->hit[min(bin_of(depth(curve, entry)), most)], &loss,
	    ldexp(1, (int)curve->shift));
	to_top(curve, entry);
}

void curve_touch(struct curve *curve, uint32_t entry)
{
	to_top(curve, entry);
}

void curve_refused(struct curve *curve, uint64_t need, uint64_t quota,
		   const struct curve_loss *loss)
{
	unsigned int bin = max(bin_of(need), bin_of(quota) + 1);

	add(&curve->refused[min(bin, BINS - 1)], loss, 1);
}

void curve_held(struct curve *curve, uint32_t entries)
{
	curve->held = fmax(curve->held, entries);
}

void curve_pass(struct curve *curve, uint64_t usec)
{
	double left = exp2(-(double)usec / CURVE_HALF_US);

	/* as long as it is, what of it is left is this */
	curve->us = curve->us * left + (1 - left) * CURVE_HALF_US / M_LN2;
	curve->held *= exp2(-(double)usec / CURVE_HELD_HALF_US);
	fade(curve->missed, BINS, left);
	fade(curve->hit, BINS, left);
	fade(curve->refused, BINS, left);
	fade(&curve->cold, 1, left);
	fade(&curve->sampled, 1, left);
	fade(&curve->exact, 1, left);
}

/* --- the answer --- */

/* The part of a bin that needs more than @quota. */
static double part_above(unsigned int bin, double quota)
{
	double start = bin_start(bin), end = bin_start(bin + 1);

	if (quota <= start)
		return 1;
	return quota >= end ? 0 : (end - quota) / (end - start);
}

static double scale(double exact, double sampled)
{
	if (sampled <= 0)
		return 1;
	return fmin(fmax(exact / sampled, 1 / SCALE_MAX), SCALE_MAX);
}

/* What would be lost with @quota: what is above it, and what is new. */
static struct curve_loss lost_at(const struct curve *curve, uint64_t quota)
{
	struct curve_loss lost = curve->cold, rest = { 0 };
	const struct curve_loss *exact = &curve->exact, *s = &curve->sampled;

	/* nothing of it was in the sample: nobody knows what would help */
	if (s->waits <= 0 && s->ns <= 0)
		lost = *exact;
	for (unsigned int i = 0; i < BINS; i++) {
		double part = part_above(i, (double)quota);

		add(&lost, &curve->missed[i], part);
		add(&rest, &curve->hit[i], part);
		add(&rest, &curve->refused[i], part);
	}
	lost.waits *= scale(exact->waits, s->waits);
	lost.ns *= scale(exact->ns, s->ns);
	add(&lost, &rest, 1);
	return lost;
}

static void read_point(const struct curve *curve, uint64_t quota,
		       struct curve_reading *ret)
{
	struct curve_loss lost = lost_at(curve, quota);
	double per_s = 1e6 / curve->us;

	ret->points[ret->n++] = (struct curve_point){
		.quota = quota,
		.waits_per_s = lost.waits * per_s,
		.ns_per_s = lost.ns * per_s,
	};
}

/* Of half octaves that are the same whatever the quota is. */
void curve_read(const struct curve *curve, uint64_t quota,
		struct curve_reading *ret)
{
	int half = quota < 8 ? 0 : (int)ceil(2 * log2((double)quota / 8));
	double held = ldexp(curve->held, (int)curve->shift);
	bool told = false;

	*ret = (struct curve_reading){
		.interval_us = (uint64_t)curve->us,
		.held = (uint64_t)held,
	};
	if (curve->us <= 0 || quota == 0)
		return;
	for (; ret->n < CURVE_POINTS; half++) {
		uint64_t at = (uint64_t)exp2(half / 2.0);

		if (at >= quota && !told) {
			told = true;
			read_point(curve, quota, ret);
			if (at == quota || ret->n == CURVE_POINTS)
				continue;
		}
		if (ret->n == 0 || at > ret->points[ret->n - 1].quota)
			read_point(curve, at, ret);
	}
}

/* --- life --- */

void curve_forget(struct curve *curve)
{
	uint64_t seed = curve->seed;

	memset(curve, 0, sizeof(*curve));
	curve->seed = seed;
	memset(curve->heads, 0xff, sizeof(curve->heads));
	clear_positions(curve);
}

int curve_new(uint64_t seed, struct curve **ret)
{
	struct curve *curve = malloc(sizeof(*curve));

	if (!curve)
		return -ENOMEM;
	curve->seed = seed;
	curve_forget(curve);
	*ret = curve;
	return 0;
}

void curve_free(struct curve *curve)
{
	free(curve);
}
