// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hull.c - a cost curve without its dents: falling, and convex
 *
 * Owns nothing. Invariant: each slope of a hull is negative and above the one
 * before it, so taking pieces in the order of what they save never takes one
 * before its predecessor. Locks: none.
 */
#include "host/pvdmad/hull.h"

#include <math.h>
#include <stdbool.h>

/* What a byte from @a to @b saves. */
static double between(const struct budget_point *a,
		      const struct budget_point *b)
{
	return (a->cost_us_per_s - b->cost_us_per_s) /
	       (double)(b->quota - a->quota);
}

static bool is_usable(const struct hull *hull, const struct budget_point *p)
{
	if (!isfinite(p->cost_us_per_s) || p->cost_us_per_s < 0)
		return false;
	return hull->n == 0 || p->quota > hull->points[hull->n - 1].quota;
}

void hull_init(struct hull *hull, const struct budget_point *points,
	       unsigned int n)
{
	struct budget_point *h = hull->points;

	hull->n = 0;
	for (unsigned int i = 0; i < n && i < BUDGET_POINTS_MAX; i++) {
		if (!is_usable(hull, &points[i]))
			continue;
		while (hull->n >= 2 &&
		       between(&h[hull->n - 1], &points[i]) >=
			       between(&h[hull->n - 2], &h[hull->n - 1]))
			hull->n--;
		h[hull->n++] = points[i];
	}
	while (hull->n >= 2 && between(&h[hull->n - 2], &h[hull->n - 1]) <= 0)
		hull->n--;
}

double hull_slope(const struct hull *hull, uint64_t quota, uint64_t *ret_end)
{
	for (unsigned int i = 1; i < hull->n; i++) {
		if (quota >= hull->points[i].quota)
			continue;
		*ret_end = hull->points[i].quota;
		return between(&hull->points[i - 1], &hull->points[i]);
	}
	*ret_end = UINT64_MAX;
	return 0;
}

double hull_cost(const struct hull *hull, uint64_t quota)
{
	const struct budget_point *p = hull->points;
	uint64_t end;
	double slope;

	if (hull->n == 0)
		return 0;
	slope = hull_slope(hull, quota, &end);
	if (end == UINT64_MAX)
		return p[hull->n - 1].cost_us_per_s;
	while (p->quota != end)
		p++;
	return p->cost_us_per_s + slope * (double)(end - quota);
}
