/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * life.h - how likely an extent is used again, by how long it was not
 *
 * A life table, as actuaries keep it: ages are counted in bins, each of which
 * knows how many extents came to its end unused, and how many were used within
 * it. It makes no difference whether they are mapped or ghosts, nor that most
 * are lost sight of at some age: those have passed the bins up to there, and
 * say nothing of later ones.
 */
#ifndef PVDMA_AGENT_POLICY_LIFE_H
#define PVDMA_AGENT_POLICY_LIFE_H

#include <stdint.h>

#include "host/lib/macros.h"

/* Four bins an octave, the last of which ends at 2^24. */
#define LIFE_BINS 92u

/* State; zero is a table that has seen nothing. */
struct life_root {
	/* all in sixteenths of an extent */
	uint32_t used[LIFE_BINS];
	/*
	 * How many more than the one before it passed a bin, modulo 2^32: most
	 * pass many bins at once, and of those only two change.
	 */
	uint32_t passed[LIFE_BINS];
	uint32_t told; /* times that any passed: no bin was passed by more */
};

/* The bin of an age. */
static inline uint32_t life_bin(uint32_t age)
{
	uint32_t octave;

	if (age < 4)
		return age;
	octave = 31 - (uint32_t)__builtin_clz(age);
	return min(4 * (octave - 1) + ((age >> (octave - 2)) & 3),
		   LIFE_BINS - 1);
}

/*
 * An extent of which the bins below @from were told grew, unused, until it was
 * in bin @to. A @to that is not above @from says nothing.
 */
void life_passed(struct life_root *life, uint32_t from, uint32_t to);

/* An extent was used in @bin. */
void life_used(struct life_root *life, uint32_t bin);

/* Makes what was seen count half, so that what comes counts for more. */
void life_halve(struct life_root *life);

/* Adds what @more has seen to @life. */
void life_add(struct life_root *life, const struct life_root *more);

/*
 * The share of extents in each bin that are used within it. @expected has the
 * shares that stand in where little was seen, or is NULL: as if the shares fell
 * with the age.
 */
void life_hazards(const struct life_root *life, const float *expected,
		  float ret[static LIFE_BINS]);

/*
 * What it is worth to keep an extent, by its bin: the uses to be expected for
 * each unit of time that it stays, if one stops at the best age to stop
 * (Gittins' index). The lowest should go.
 */
void life_worths(const float hazards[static LIFE_BINS],
		 float ret[static LIFE_BINS]);

#endif
