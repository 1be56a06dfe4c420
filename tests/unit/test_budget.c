// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/pvdmad/budget.c and hull.c: by hand where the answer is
 * known, and by chance for what is promised of any input.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "host/lib/macros.h"
#include "host/pvdmad/budget.h"
#include "host/pvdmad/hull.h"

#define MIB (UINT64_C(1) << 20)
#define VMS 64u

/* What a VM really loses: some that falls evenly, and a cliff. */
struct demand {
	double even, scale; /* us a second; bytes after which a third is left */
	double cliff;	    /* us a second, until ... */
	uint64_t fits;	    /* ... so many bytes are there */
};

static uint64_t seed;

static uint64_t chance(uint64_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (seed >> 33) % below;
}

static double cost_of(const struct demand *d, uint64_t quota)
{
	return d->even * exp(-(double)quota / d->scale) +
	       (quota < d->fits ? d->cliff : 0);
}

/* As an agent reports it: half octaves, an eighth to eight times the quota. */
static void report(struct budget_vm *vm, const struct demand *d, double noise)
{
	uint64_t least = max(vm->quota / 8, MIB / 4);
	double octave = ceil(2 * log2((double)least));

	vm->n_points = 0;
	while (vm->n_points < 13) {
		struct budget_point *p = &vm->points[vm->n_points++];
		double wrong = noise * ((double)chance(2001) / 1000 - 1);

		p->quota = (uint64_t)exp2(octave++ / 2);
		p->cost_us_per_s = cost_of(d, p->quota) * (1 + wrong);
	}
}

static void random_vm(struct budget_vm *vm, struct demand *d)
{
	*vm = (struct budget_vm){
		.min = chance(8) * MIB,
		.weight = (uint32_t)(1 + chance(300)),
	};
	vm->max = vm->min + (1 + chance(512)) * MIB;
	vm->quota = min(vm->max, vm->min + chance(64) * MIB);
	vm->held = chance(vm->quota + 1) / 2;
	*d = (struct demand){
		.even = (double)(chance(4) * chance(100000)),
		.scale = (double)(1 + chance(64)) * MIB,
		.cliff = (double)(chance(2) * chance(100000)),
		.fits = (1 + chance(256)) * MIB,
	};
}

static uint64_t random_vms(struct budget_vm *vms, struct demand *demands,
			   size_t n)
{
	uint64_t mins = 0;

	for (size_t i = 0; i < n; i++) {
		random_vm(&vms[i], &demands[i]);
		report(&vms[i], &demands[i], 0);
		mins += vms[i].min;
	}
	return mins;
}

static void check(uint64_t budget, const struct budget_vm *vms, size_t n,
		  const uint64_t *quotas)
{
	uint64_t sum = 0, floors = 0, mins = 0;

	for (size_t i = 0; i < n; i++) {
		mins += vms[i].min;
		floors += min(max(vms[i].min, vms[i].held), vms[i].max);
	}
	for (size_t i = 0; i < n; i++) {
		const struct budget_vm *vm = &vms[i];

		sum += quotas[i];
		assert_true(quotas[i] <= vm->max);
		if (mins <= budget)
			assert_true(quotas[i] >= vm->min);
		if (floors <= budget)
			assert_true(quotas[i] >= min(vm->held, vm->max));
	}
	assert_true(sum <= budget);
}

/* --- the hull --- */

static void test_hull(void **state)
{
	static const struct budget_point points[] = {
		{ 10, 100 }, { 20, 100 },      { 30, 40 }, { 40, 39 },
		{ 50, -1 },  { 55, NAN },      { 60, 10 }, { 35, 0 },
		{ 70, 1e9 }, { 80, INFINITY }, { 90, 10 },
	};
	struct hull hull = { .n = 0 };
	uint64_t end;

	(void)state;
	hull_init(&hull, points, ARRAY_SIZE(points));
	assert_int_equal(hull.n, 3);
	assert_true(hull_slope(&hull, 10, &end) == 3);
	assert_int_equal(end, 30);
	assert_true(hull_slope(&hull, 45, &end) == 1);
	assert_int_equal(end, 60);
	assert_true(hull_slope(&hull, 60, &end) == 0);
	assert_true(end == UINT64_MAX);
	assert_true(hull_cost(&hull, 0) == 130);
	assert_true(hull_cost(&hull, 20) == 70);
	assert_true(hull_cost(&hull, 1000) == 10);
	hull_init(&hull, points, 1);
	assert_true(hull_cost(&hull, 5) == 100);
	hull_init(&hull, points, 0);
	assert_true(hull_cost(&hull, 5) == 0);
}

/* --- by hand --- */

static void test_admit(void **state)
{
	struct budget_vm others[2] = { { .min = 40 }, { .min = 50 } };
	struct budget_vm vm = { .min = 10, .max = 20, .weight = 100 };
	uint64_t missing = 0;

	(void)state;
	assert_int_equal(budget_admit(100, others, 2, &vm, NULL), BUDGET_OK);
	assert_int_equal(budget_admit(93, others, 2, &vm, &missing),
			 BUDGET_MINS);
	assert_int_equal(missing, 7);
	assert_int_equal(budget_admit(0, others, 2, &vm, NULL), BUDGET_OK);
	others[0].min = UINT64_MAX;
	assert_int_equal(budget_admit(93, others, 2, &vm, NULL), BUDGET_MINS);
	vm.min = 21;
	assert_int_equal(budget_admit(0, NULL, 0, &vm, NULL), BUDGET_BOUNDS);
	vm.min = 0;
	vm.weight = 0;
	assert_int_equal(budget_admit(0, NULL, 0, &vm, NULL), BUDGET_WEIGHT);
	vm.weight = BUDGET_WEIGHT_MAX + 1;
	assert_int_equal(budget_admit(0, NULL, 0, &vm, NULL), BUDGET_WEIGHT);
	vm.weight = 1;
	vm.max = 0;
	assert_int_equal(budget_admit(0, NULL, 0, &vm, NULL), BUDGET_BOUNDS);
}

/* Rounds until nothing moves; how many that took, or 100. */
static unsigned int settle(uint64_t budget, struct budget_vm *vms,
			   const struct demand *demands, size_t n)
{
	struct budget_result result;
	uint64_t quotas[VMS];

	for (unsigned int round = 0; round < 100; round++) {
		for (size_t i = 0; i < n && demands; i++)
			report(&vms[i], &demands[i], 0);
		assert_int_equal(budget_divide(budget, vms, n, quotas, &result),
				 0);
		check(budget, vms, n, quotas);
		for (size_t i = 0; i < n; i++)
			vms[i].quota = quotas[i];
		if (result.moves == 0)
			return round;
	}
	return 100;
}

/* One idles, one could use more: it gets all but what the other is promised. */
static void test_goes_where_it_saves(void **state)
{
	struct budget_vm vms[2] = {
		{ .min = 8 * MIB, .max = 128 * MIB, .weight = 100 },
		{ .min = 8 * MIB, .max = 128 * MIB, .weight = 100 },
	};
	struct demand demands[2] = {
		{ .even = 0, .scale = 1 },
		{ .even = 1e5, .scale = (double)(32 * MIB) },
	};

	(void)state;
	vms[0].quota = vms[1].quota = 50 * MIB;
	vms[0].held = 10 * MIB;
	assert_in_range(settle(100 * MIB, vms, demands, 2), 2, 12);
	/* the last step would be none */
	assert_in_range(vms[0].quota, 10 * MIB, 13 * MIB);
	assert_in_range(vms[1].quota, 87 * MIB, 90 * MIB);
}

/* The same demand, another weight. And the cliff: all or nothing. */
static void test_weights_and_cliffs(void **state)
{
	struct budget_vm vms[2] = {
		{ .max = 128 * MIB, .weight = 400, .quota = 40 * MIB },
		{ .max = 128 * MIB, .weight = 100, .quota = 40 * MIB },
	};
	struct demand demands[2] = {
		{ .even = 1e5, .scale = (double)(20 * MIB) },
		{ .even = 1e5, .scale = (double)(20 * MIB) },
	};

	(void)state;
	assert_in_range(settle(80 * MIB, vms, demands, 2), 1, 20);
	/* 20 MiB * log(4) more, less what hysteresis leaves */
	assert_in_range(vms[0].quota - vms[1].quota, 14 * MIB, 30 * MIB);
	demands[0] = demands[1] =
		(struct demand){ .cliff = 1e5, .fits = 60 * MIB, .scale = 1 };
	vms[1].quota = vms[0].quota = 40 * MIB;
	(void)settle(80 * MIB, vms, demands, 2);
	assert_true(vms[0].quota >= 60 * MIB);
}

/* A new VM, one of which nothing is known, and what nobody wants. */
static void test_leftovers(void **state)
{
	struct budget_vm vms[3] = {
		{ .min = MIB, .max = 64 * MIB, .weight = 100 },
		{ .min = MIB, .max = 64 * MIB, .weight = 300 },
		{ .max = 64 * MIB, .weight = 100, .quota = 20 * MIB },
	};

	(void)state;
	assert_int_equal(settle(60 * MIB, vms, NULL, 3), 1);
	assert_int_equal(vms[0].quota, 10 * MIB);
	assert_int_equal(vms[1].quota, 30 * MIB);
	assert_int_equal(vms[2].quota, 20 * MIB);
	/* no limit */
	(void)settle(UINT64_MAX, vms, NULL, 3);
	assert_int_equal(budget_divide(0, vms, 3, (uint64_t[3]){ 0 }, NULL), 0);
	assert_int_equal(budget_divide(100, NULL, 0, NULL, NULL), 0);
}

/* What a VM holds above a quota that has fallen is no claim to more. */
static void test_held_above(void **state)
{
	struct budget_vm vms[2] = {
		{ .min = MIB,
		  .max = 64 * MIB,
		  .weight = 100,
		  .quota = 8 * MIB,
		  .held = 64 * MIB },
		{ .min = MIB,
		  .max = 64 * MIB,
		  .weight = 100,
		  .quota = 24 * MIB,
		  .held = 20 * MIB },
	};
	struct budget_result result;
	uint64_t quotas[2];

	(void)state;
	assert_int_equal(budget_divide(32 * MIB, vms, 2, quotas, &result), 0);
	assert_true(quotas[0] <= 12 * MIB);
	assert_true(quotas[1] >= 20 * MIB);
}

/* The budget does not suffice: for what is held, for the minima. */
static void test_scarce(void **state)
{
	struct budget_vm vms[2] = {
		{ .min = 10 * MIB,
		  .max = 90 * MIB,
		  .weight = 100,
		  .quota = 50 * MIB,
		  .held = 50 * MIB },
		{ .min = 10 * MIB,
		  .max = 90 * MIB,
		  .weight = 300,
		  .quota = 50 * MIB,
		  .held = 50 * MIB },
	};
	uint64_t quotas[2];

	(void)state;
	assert_int_equal(budget_divide(60 * MIB, vms, 2, quotas, NULL), 0);
	assert_in_range(quotas[0], 20 * MIB - 1, 20 * MIB);
	assert_in_range(quotas[1], 40 * MIB - 1, 40 * MIB);
	assert_int_equal(budget_divide(8 * MIB, vms, 2, quotas, NULL), 0);
	assert_in_range(quotas[0], 2 * MIB - 1, 2 * MIB);
	assert_in_range(quotas[1], 6 * MIB - 1, 6 * MIB);
	/* lowered to what is held, and a little: at once */
	vms[0].held = vms[1].held = 20 * MIB;
	assert_int_equal(budget_divide(42 * MIB, vms, 2, quotas, NULL), 0);
	check(42 * MIB, vms, 2, quotas);
}

/* --- by chance --- */

static void test_promises(void **state)
{
	struct demand demands[VMS];
	struct budget_vm vms[VMS];
	struct budget_result result;
	uint64_t quotas[VMS];

	(void)state;
	seed = 1;
	for (int i = 0; i < 2000; i++) {
		size_t n = 1 + chance(VMS);
		uint64_t mins = random_vms(vms, demands, n), budget;

		budget = mins / 2 + chance(2 * mins + 64 * n * MIB) + 1;
		for (int round = 0; round < 4; round++) {
			uint64_t had = 0;

			for (size_t k = 0; k < n; k++) {
				had += vms[k].quota;
				vms[k].held = min(vms[k].held, vms[k].quota);
				if (chance(20) == 0)
					vms[k].n_points = 0;
			}
			assert_int_equal(budget_divide(budget, vms, n, quotas,
						       &result),
					 0);
			check(budget, vms, n, quotas);
			/* nobody is hurt but for the bounds' sake */
			if (had <= budget && mins <= budget)
				assert_true(result.cost_after <=
						    result.cost_before *
							    1.001 ||
					    round == 0);
			for (size_t k = 0; k < n; k++) {
				vms[k].quota = quotas[k];
				report(&vms[k], &demands[k], 0.5);
			}
		}
	}
}

/* With the same demand quotas settle, stay, and are near the best ones. */
static void test_settles(void **state)
{
	unsigned int most = 0;

	(void)state;
	seed = 2;
	for (int i = 0; i < 300; i++) {
		struct demand demands[VMS];
		struct budget_vm vms[VMS];
		size_t n = 2 + chance(VMS - 2);
		uint64_t budget = random_vms(vms, demands, n);
		unsigned int rounds;

		budget += chance(64 * n * MIB);
		rounds = settle(budget, vms, demands, n);
		most = max(most, rounds);
		assert_true(rounds < 40);
		assert_int_equal(settle(budget, vms, demands, n), 0);
	}
	print_message("settled after %u rounds at most\n", most);
}

/* Who gets more weight does not get less; a larger budget does not cost more. */
static void test_monotone(void **state)
{
	(void)state;
	seed = 3;
	for (int i = 0; i < 300; i++) {
		struct demand demands[VMS];
		struct budget_vm vms[VMS];
		struct budget_result less, more;
		size_t n = 2 + chance(VMS - 2), k = chance(n);
		uint64_t budget = random_vms(vms, demands, n);
		uint64_t a[VMS], b[VMS];

		for (size_t j = 0; j < n; j++)
			budget += vms[j].quota;
		(void)budget_divide(budget, vms, n, a, &less);
		(void)budget_divide(budget * 5 / 4, vms, n, b, &more);
		assert_true(more.cost_after <= less.cost_after * 1.02);
		vms[k].weight *= 4;
		(void)budget_divide(budget, vms, n, b, NULL);
		/* a change that is too little now may not have been before */
		assert_true(b[k] + max(vms[k].quota / 16, MIB / 4) >= a[k]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hull),
		cmocka_unit_test(test_admit),
		cmocka_unit_test(test_goes_where_it_saves),
		cmocka_unit_test(test_weights_and_cliffs),
		cmocka_unit_test(test_leftovers),
		cmocka_unit_test(test_scarce),
		cmocka_unit_test(test_promises),
		cmocka_unit_test(test_settles),
		cmocka_unit_test(test_monotone),
		cmocka_unit_test(test_held_above),
	};

	return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
