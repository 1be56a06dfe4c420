// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * life.c - the life table of reuse, and what it makes an extent worth
 *
 * Owns the counts. Invariant: no sum overflows, for those of passed are bounded
 * by told, and all is halved before it or one of used can. Locks: none. In a
 * request's way: beside the policy.
 *
 * The share of extents in a bin that are used within it is its hazard. Where
 * little was seen, a prior takes its place: a hazard of 1 / (age + 1), as if
 * LIFE_PRIOR extents in each bin had been seen to obey it. A table that knows
 * nothing therefore ranks like LRU; one that has seen a loop knows that what is
 * young is far from its next use, and what is older is near.
 */
#include "host/agent/policy/life.h"

#include "host/lib/macros.h"

#define LIFE_ONE   16u		       /* an extent */
#define LIFE_PRIOR 256		       /* extents */
#define LIFE_MAX   (UINT32_C(1) << 28) /* sums of a few do not overflow */

/* The least age of a bin; of LIFE_BINS: where the last one ends. */
static uint32_t bin_start(uint32_t bin)
{
	return bin < 4 ? bin : (4 + (bin & 3)) << (bin / 4 - 1);
}

static void count(struct life_root *life, uint32_t *where)
{
	if (*where >= LIFE_MAX)
		life_halve(life);
	*where += LIFE_ONE;
}

void life_passed(struct life_root *life, uint32_t from, uint32_t to)
{
	if (from >= to)
		return;
	count(life, &life->told);
	life->passed[from] += LIFE_ONE;
	life->passed[to] -= LIFE_ONE;
}

void life_used(struct life_root *life, uint32_t bin)
{
	count(life, &life->used[bin]);
}

void life_halve(struct life_root *life)
{
	uint32_t passed = 0, last = 0;

	for (uint32_t i = 0; i < LIFE_BINS; i++) {
		life->used[i] /= 2;
		passed += life->passed[i];
		life->passed[i] = passed / 2 - last;
		last = passed / 2;
	}
	life->told /= 2;
}

void life_add(struct life_root *life, const struct life_root *more)
{
	for (uint32_t i = 0; i < LIFE_BINS; i++) {
		life->used[i] += more->used[i];
		life->passed[i] += more->passed[i];
	}
	life->told += more->told;
}

static float bin_width(uint32_t bin)
{
	return (float)(bin_start(bin + 1) - bin_start(bin));
}

void life_hazards(const struct life_root *life, const float *expected,
		  float ret[static LIFE_BINS])
{
	uint32_t passed = 0;

	for (uint32_t i = 0; i < LIFE_BINS; i++) {
		float used = (float)life->used[i] / LIFE_ONE;
		float share =
			expected ? expected[i] :
				   bin_width(i) / (float)(bin_start(i + 1) + 1);
		float seen;

		passed += life->passed[i];
		seen = used + (float)passed / LIFE_ONE;
		ret[i] = (used + LIFE_PRIOR * share) / (seen + LIFE_PRIOR);
	}
}

/*
 * No later age to stop at is better where, even if all that are left were used
 * at once, the uses would be too few for the time that has passed.
 */
void life_worths(const float hazards[static LIFE_BINS],
		 float ret[static LIFE_BINS])
{
	for (uint32_t i = 0; i < LIFE_BINS; i++) {
		float left = 1, uses = 0, time = 0, best = 0;

		for (uint32_t k = i; k < LIFE_BINS && uses + left > best * time;
		     k++) {
			uses += left * hazards[k];
			time += left * bin_width(k) * (1 - hazards[k] / 2);
			left *= 1 - hazards[k];
			best = max(best, uses / time);
		}
		ret[i] = best;
	}
}
