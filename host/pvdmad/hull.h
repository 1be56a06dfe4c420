/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hull.h - a cost curve without its dents: falling, and convex
 *
 * Of a curve that falls in cliffs (a loop through buffers costs the same until
 * all of them fit) the next byte says nothing, the next cliff everything. On the
 * lower convex hull a byte is worth its part of the way there, and who takes the
 * dearest bytes first takes the best of all sets, but for the last piece.
 */
#ifndef PVDMA_PVDMAD_HULL_H
#define PVDMA_PVDMAD_HULL_H

#include <stdint.h>

#include "host/pvdmad/budget.h"

/* Rising quotas, falling costs, rising (negative) slopes. */
struct hull {
	struct budget_point points[BUDGET_POINTS_MAX];
	unsigned int n; /* 0: nothing is known */
};

void hull_init(struct hull *hull, const struct budget_point *points,
	       unsigned int n);

/* Below the first point the first slope goes on; above the last one: flat. */
double hull_cost(const struct hull *hull, uint64_t quota);

/*
 * What a byte more than @quota saves, and up to which quota that is so
 * (UINT64_MAX: it is 0 from here on).
 */
double hull_slope(const struct hull *hull, uint64_t quota, uint64_t *ret_end);

#endif
