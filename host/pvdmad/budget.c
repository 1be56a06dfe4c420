// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * budget.c - divides what one host may pin among its VMs
 *
 * Theory of operation. A round looks for the best division within reach: no VM
 * loses more than a part of its quota in one round, nor gets more than as much
 * again. Between these bounds the curves' hulls are cut into pieces of equal
 * slope; the dearest pieces of all VMs get the budget. Three things keep quotas
 * at rest unless it is worth to move them:
 *   - what a VM has is worth BUDGET_KEEP times what it would be worth to get. So
 *     memory moves only where it saves that much more than where it was, and
 *     does not come back for less than the opposite;
 *   - changes by less than a step (budget_step()) are not made;
 *   - who would not save BUDGET_GAIN_US by what it gets does not get it from
 *     others.
 * A VM that is left out by one of the latter keeps what it has, and the rest is
 * divided again without it.
 *
 * What no curve asks for stays where it is; where others ask, who has most by
 * its weight gives first. What nobody has goes to who has least by its weight.
 *
 * Owns nothing beyond a call. Invariant: from fix_bounds() on the sum of the
 * lower bounds is at most the budget, and every quota is between its bounds.
 * Locks: none.
 */
#include "host/pvdmad/budget.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "host/lib/cleanup.h"
#include "host/lib/macros.h"
#include "host/pvdmad/hull.h"

/* Memory has to save so many times what it saves now, to move. */
#define BUDGET_KEEP 1.5
/* A VM loses this part of its quota in a round, at most ... */
#define BUDGET_LOSE 4u
/* ... and a change is this part, at least, or so many bytes. */
#define BUDGET_STEP	  32u
#define BUDGET_STEP_BYTES UINT64_C(0x40000)
/* For less, in microseconds a second, nobody has to give anything. */
#define BUDGET_GAIN_US 200.0
/* This part of what is held is left to it besides. */
#define BUDGET_ROOM 4u
/* How often what is too little to move leads to another division. */
#define BUDGET_TRIES 8

/* One VM in a round. */
struct share {
	const struct budget_vm *vm;
	struct hull hull;
	uint64_t floor; /* min, or what is held */
	uint64_t low, high;
	uint64_t quota; /* the new one */
};

/* Bytes of one VM that all save the same. */
struct piece {
	double worth; /* of a byte */
	uint64_t bytes;
	size_t share;
};

struct round {
	struct share *shares;
	size_t n;
	struct piece *pieces; /* room for all */
	uint64_t budget;
	uint64_t lows; /* the sum of the lower bounds */
	bool forced;   /* all together have too much: little changes count */
};

/* --- by weight --- */

/* What is to be filled up: a + clamp(level * weight, low, high). */
struct vessel {
	double weight;
	uint64_t low, high;
};

static uint64_t fill_one(const struct vessel *v, double level)
{
	double want = level * v->weight;

	if (want >= (double)v->high)
		return v->high;
	return max((uint64_t)want, v->low);
}

static uint64_t fill_all(const struct vessel *vessels, size_t n, double level)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		if (__builtin_add_overflow(sum, fill_one(&vessels[i], level),
					   &sum))
			return UINT64_MAX;
	return sum;
}

/*
 * The highest level at which all together have at most @bytes, by halving: as
 * often as a number has digits, so this is linear in @n.
 */
static double find_level(const struct vessel *vessels, size_t n, uint64_t bytes)
{
	double low = 0, high = 1;

	for (size_t i = 0; i < n; i++)
		high = max(high,
			   (double)vessels[i].high / vessels[i].weight + 1);
	if (fill_all(vessels, n, high) <= bytes)
		return high;
	for (int i = 0; i < 64; i++) {
		double level = low + (high - low) / 2;

		if (fill_all(vessels, n, level) <= bytes)
			low = level;
		else
			high = level;
	}
	return low;
}

static double weight_of(const struct budget_vm *vm)
{
	return (double)min(max(vm->weight, BUDGET_WEIGHT_MIN),
			   BUDGET_WEIGHT_MAX);
}

/* --- who may have how much --- */

uint64_t budget_step(uint64_t quota)
{
	return max(quota / BUDGET_STEP, BUDGET_STEP_BYTES);
}

static uint64_t min_of(const struct budget_vm *vm)
{
	return min(vm->min, vm->max);
}

/* What is held above a quota that has fallen gives no right to it. */
static uint64_t held_of(const struct budget_vm *vm)
{
	return min(vm->held, vm->quota);
}

static uint64_t floor_of(const struct budget_vm *vm)
{
	return min(max(vm->min, held_of(vm)), vm->max);
}

/* With as much besides as lets what is held change; but no more than it has. */
static uint64_t roomy_floor_of(const struct budget_vm *vm)
{
	uint64_t roomy;

	if (__builtin_add_overflow(held_of(vm), held_of(vm) / BUDGET_ROOM,
				   &roomy))
		roomy = held_of(vm);
	return min(max(floor_of(vm), min(roomy, vm->quota)), vm->max);
}

static uint64_t sum_of(const struct round *round,
		       uint64_t (*of)(const struct budget_vm *vm))
{
	uint64_t sum = 0;

	for (size_t i = 0; i < round->n; i++)
		if (__builtin_add_overflow(sum, of(round->shares[i].vm), &sum))
			return UINT64_MAX;
	return sum;
}

static uint64_t quota_of(const struct budget_vm *vm)
{
	return vm->quota;
}

/*
 * The budget does not suffice for what is held (or for the minima): what is
 * above the minima (or all) is cut by weight, and nobody has more.
 */
static int divide_floors(struct round *round)
{
	_cleanup_free_ struct vessel *vessels =
		calloc(round->n + 1, sizeof(*vessels));
	uint64_t mins = sum_of(round, min_of);
	bool keep_mins = mins <= round->budget;
	double level;

	if (!vessels)
		return -ENOMEM;
	for (size_t i = 0; i < round->n; i++) {
		const struct share *s = &round->shares[i];

		vessels[i].weight = weight_of(s->vm);
		vessels[i].high = keep_mins ? s->floor - min_of(s->vm) :
					      min_of(s->vm);
	}
	level = find_level(vessels, round->n,
			   keep_mins ? round->budget - mins : round->budget);
	for (size_t i = 0; i < round->n; i++) {
		struct share *s = &round->shares[i];

		s->quota = fill_one(&vessels[i], level) +
			   (keep_mins ? min_of(s->vm) : 0);
	}
	return 0;
}

static void bound(struct share *s, bool all_at_once)
{
	const struct budget_vm *vm = s->vm;
	uint64_t lose =
		max(vm->quota / BUDGET_LOSE, 2 * budget_step(vm->quota));
	uint64_t get = max(vm->quota, 16 * BUDGET_STEP_BYTES);

	s->low = s->floor;
	s->high = vm->max;
	if (vm->quota > lose && !all_at_once)
		s->low = max(s->low, vm->quota - lose);
	if (vm->quota != 0 && vm->quota < vm->max - min(get, vm->max))
		s->high = vm->quota + get;
	/* a quota outside of its bounds, or a VM of which nothing is known */
	s->low = min(s->low, vm->max);
	s->high = max(s->high, s->low);
	if (s->hull.n == 0 && vm->quota != 0 && !all_at_once) {
		s->low = min(max(vm->quota, s->floor), vm->max);
		s->high = s->low;
	}
}

/* The sum of the lower bounds. */
static uint64_t bound_all(struct round *round, bool all_at_once)
{
	round->lows = 0;
	for (size_t i = 0; i < round->n; i++) {
		struct share *s = &round->shares[i];

		bound(s, all_at_once);
		if (__builtin_add_overflow(round->lows, s->low, &round->lows))
			round->lows = UINT64_MAX;
	}
	return round->lows;
}

/* The least that each must have, and the most; the sum of the former fits. */
static void fix_bounds(struct round *round)
{
	round->forced = sum_of(round, quota_of) > round->budget;
	if (bound_all(round, false) > round->budget)
		/* not without taking more at once than we would like to */
		(void)bound_all(round, true);
}

/* --- what saves most --- */

static int by_worth(const void *a, const void *b)
{
	const struct piece *p = a, *q = b;

	if (p->worth != q->worth)
		return p->worth > q->worth ? -1 : 1;
	return p->share < q->share ? -1 : p->share > q->share;
}

/* Appends the pieces of one VM that are worth anything. */
static size_t cut(const struct share *s, size_t share, struct piece *pieces)
{
	double weight = weight_of(s->vm);
	uint64_t at = s->low, end;
	size_t n = 0;

	while (at < s->high) {
		double worth = weight * hull_slope(&s->hull, at, &end);

		if (end == UINT64_MAX || worth <= 0)
			break;
		end = min(end, s->high);
		if (at < s->vm->quota) {
			worth *= BUDGET_KEEP;
			end = min(end, s->vm->quota);
		}
		pieces[n++] = (struct piece){ worth, end - at, share };
		at = end;
	}
	return n;
}

/* Gives @left to the dearest pieces; the rest of it is returned. */
static uint64_t give_worth(struct round *round, uint64_t left)
{
	size_t n = 0;

	for (size_t i = 0; i < round->n; i++)
		n += cut(&round->shares[i], i, &round->pieces[n]);
	qsort(round->pieces, n, sizeof(*round->pieces), by_worth);
	for (size_t i = 0; i < n && left > 0; i++) {
		const struct piece *p = &round->pieces[i];
		uint64_t bytes = min(p->bytes, left);

		round->shares[p->share].quota += bytes;
		left -= bytes;
	}
	return left;
}

/* Fills up by weight: to what everybody has, or as high as may be. */
static int give_rest(struct round *round, bool more)
{
	_cleanup_free_ struct vessel *vessels =
		calloc(round->n + 1, sizeof(*vessels));
	double level;

	if (!vessels)
		return -ENOMEM;
	for (size_t i = 0; i < round->n; i++) {
		const struct share *s = &round->shares[i];
		uint64_t high = more ? s->high : min(s->vm->quota, s->high);

		vessels[i].weight = weight_of(s->vm);
		vessels[i].low = s->quota;
		vessels[i].high = max(s->quota, high);
	}
	level = find_level(vessels, round->n, round->budget);
	for (size_t i = 0; i < round->n; i++)
		round->shares[i].quota = fill_one(&vessels[i], level);
	return 0;
}

/* One division between the bounds. */
static int solve(struct round *round)
{
	uint64_t left = round->budget;

	for (size_t i = 0; i < round->n; i++) {
		struct share *s = &round->shares[i];

		s->quota = s->low;
		left -= s->low;
	}
	if (give_worth(round, left) == 0)
		return 0;
	return give_rest(round, false);
}

/* --- what is worth to be done --- */

/* Down to whole units, but no lower than it may be. */
static uint64_t whole(const struct share *s)
{
	return max(s->quota / BUDGET_UNIT * BUDGET_UNIT, s->low);
}

/* May this VM's quota stay as it is? */
static bool may_stay(const struct share *s)
{
	return s->vm->quota >= s->floor && s->vm->quota <= s->vm->max;
}

static bool is_too_little(const struct share *s, uint64_t quota)
{
	uint64_t was = s->vm->quota;

	if (quota < was)
		return was - quota < budget_step(was);
	return quota - was < budget_step(was) ||
	       hull_cost(&s->hull, was) - hull_cost(&s->hull, quota) <
		       BUDGET_GAIN_US;
}

/* Leaves those out whose change is not worth it; true if there were any. */
static bool leave_out(struct round *round)
{
	bool any = false;

	for (size_t i = 0; i < round->n; i++) {
		struct share *s = &round->shares[i];
		uint64_t lows = round->lows - s->low + s->vm->quota;

		if (s->quota == s->vm->quota || !may_stay(s) ||
		    !is_too_little(s, whole(s)) || lows > round->budget)
			continue;
		round->lows = lows;
		s->low = s->vm->quota;
		s->high = s->vm->quota;
		any = true;
	}
	return any;
}

/* What nobody has goes to who has least, in steps. */
static int hand_out(struct round *round)
{
	int r;

	for (size_t i = 0; i < round->n; i++) {
		struct share *s = &round->shares[i];

		s->quota = whole(s);
		s->low = s->quota;
		if (s->hull.n > 0 || s->vm->quota == 0)
			s->high = s->vm->max;
		s->high = max(s->high, s->low);
	}
	r = give_rest(round, true);
	if (r < 0)
		return r;
	for (size_t i = 0; i < round->n; i++) {
		struct share *s = &round->shares[i];

		if (whole(s) - s->low < budget_step(s->vm->quota))
			s->quota = s->low;
		else
			s->quota = whole(s);
	}
	return 0;
}

static int divide(struct round *round)
{
	int tries = 1, r;

	if (sum_of(round, floor_of) > round->budget)
		return divide_floors(round);
	if (sum_of(round, roomy_floor_of) <= round->budget)
		for (size_t i = 0; i < round->n; i++)
			round->shares[i].floor =
				roomy_floor_of(round->shares[i].vm);
	fix_bounds(round);
	r = solve(round);
	while (r == 0 && !round->forced && tries++ < BUDGET_TRIES &&
	       leave_out(round))
		r = solve(round);
	return r < 0 ? r : hand_out(round);
}

/* --- from outside --- */

static int round_init(struct round *round, uint64_t budget,
		      const struct budget_vm *vms, size_t n)
{
	*round = (struct round){
		.shares = calloc(n + 1, sizeof(*round->shares)),
		/* a hull's slopes, one of them cut at the present quota */
		.pieces = calloc(n + 1,
				 sizeof(*round->pieces) * BUDGET_POINTS_MAX),
		.n = n,
		.budget = budget,
	};
	if (!round->shares || !round->pieces)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct share *s = &round->shares[i];

		s->vm = &vms[i];
		s->floor = floor_of(s->vm);
		hull_init(&s->hull, vms[i].points, vms[i].n_points);
		if (budget == 0)
			s->quota = vms[i].max;
	}
	return 0;
}

static void tell(const struct round *round, uint64_t *ret_quotas,
		 struct budget_result *ret)
{
	struct budget_result result = { 0 };

	for (size_t i = 0; i < round->n; i++) {
		const struct share *s = &round->shares[i];
		uint64_t was = s->vm->quota;
		double weight = weight_of(s->vm);

		ret_quotas[i] = s->quota;
		result.cost_before += weight * hull_cost(&s->hull, was);
		result.cost_after += weight * hull_cost(&s->hull, s->quota);
		result.assigned += s->quota;
		result.moved += s->quota > was ? s->quota - was : 0;
		result.moves += s->quota != was;
	}
	if (ret)
		*ret = result;
}

int budget_divide(uint64_t budget, const struct budget_vm *vms, size_t n,
		  uint64_t *ret_quotas, struct budget_result *ret_result)
{
	struct round round;
	int r = round_init(&round, budget, vms, n);

	if (r == 0 && budget != 0)
		r = divide(&round);
	if (r == 0)
		tell(&round, ret_quotas, ret_result);
	free(round.shares);
	free(round.pieces);
	return r;
}

enum budget_verdict budget_admit(uint64_t budget,
				 const struct budget_vm *others, size_t n,
				 const struct budget_vm *vm,
				 uint64_t *ret_missing)
{
	uint64_t sum = vm->min;

	if (vm->max == 0 || vm->min > vm->max)
		return BUDGET_BOUNDS;
	if (vm->weight < BUDGET_WEIGHT_MIN || vm->weight > BUDGET_WEIGHT_MAX)
		return BUDGET_WEIGHT;
	for (size_t i = 0; i < n; i++)
		if (__builtin_add_overflow(sum, others[i].min, &sum))
			sum = UINT64_MAX;
	if (budget == 0 || sum <= budget)
		return BUDGET_OK;
	if (ret_missing)
		*ret_missing = sum - budget;
	return BUDGET_MINS;
}

double budget_cost_at(const struct budget_vm *vm, uint64_t quota)
{
	struct hull hull = { .n = 0 };

	hull_init(&hull, vm->points, vm->n_points);
	return hull_cost(&hull, quota);
}
