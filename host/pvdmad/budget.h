/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * budget.h - divides what one host may pin among its VMs
 *
 * Pure functions: what goes in is what the service knows of each VM, what comes
 * out is a quota for each. Memory goes where it saves most: a byte is worth what
 * the VM's cost curve (its agent's verb "curve") says that it saves, times the
 * VM's weight.
 *
 * What is promised for the quotas that come out, if the minima were admitted
 * (budget_admit()):
 *   - their sum is at most the budget;
 *   - none is above its VM's max;
 *   - none is below its VM's min, nor below what the VM's devices hold now, which
 *     could only be taken by force, and a quarter more if it has that. Where the budget does not even suffice for
 *     what is held, that is cut by weight; where it was lowered below the sum of
 *     the minima, those are.
 * And of changes: as long as the curves stay as they are, quotas settle after
 * some rounds and then do not move.
 *
 * A curve is made of what a guest's devices do: a guest can make its own look
 * steep. Max and weight bound what it gets by that; min is what others are safe
 * to have.
 */
#ifndef PVDMA_PVDMAD_BUDGET_H
#define PVDMA_PVDMAD_BUDGET_H

#include <stddef.h>
#include <stdint.h>

#define BUDGET_POINTS_MAX 32u

#define BUDGET_WEIGHT_MIN     1u
#define BUDGET_WEIGHT_MAX     10000u
#define BUDGET_WEIGHT_DEFAULT 100u

/* Quotas are multiples of it, except where min, max or held say otherwise. */
#define BUDGET_UNIT UINT64_C(4096)

/* With this quota the VM's drivers would lose so much by waiting. */
struct budget_point {
	uint64_t quota;	      /* bytes */
	double cost_us_per_s; /* microseconds in a second */
};

struct budget_vm {
	uint64_t min;	 /* bytes; at most max */
	uint64_t max;	 /* bytes */
	uint32_t weight; /* BUDGET_WEIGHT_MIN..MAX */
	uint64_t quota;	 /* bytes that it has now; 0: it is new */
	uint64_t held;	 /* bytes that its devices use now */
	/*
	 * Rising quotas; what does not rise, is negative or not finite is
	 * ignored, and what rises in cost is taken for flat. No points: nothing
	 * is known, and the VM keeps what it has; a new one gets its min, and of
	 * what is left over.
	 */
	struct budget_point points[BUDGET_POINTS_MAX];
	unsigned int n_points;
};

/* What a round did; costs are the curves', times weights. */
struct budget_result {
	double cost_before; /* with the quotas as they were */
	double cost_after;
	uint64_t assigned;  /* the sum of the new quotas */
	uint64_t moved;	    /* bytes that others get */
	unsigned int moves; /* VMs whose quota changes */
};

/* The least by which a quota of so many bytes changes. */
uint64_t budget_step(uint64_t quota);

/*
 * New quotas for all @n VMs in @ret_quotas, of which there are as many. A
 * @budget of 0 is no limit: everybody gets max. O(n log n). 0 or -ENOMEM.
 * @ret_result may be NULL.
 */
int budget_divide(uint64_t budget, const struct budget_vm *vms, size_t n,
		  uint64_t *ret_quotas, struct budget_result *ret_result);

/* Why a VM cannot be admitted. */
enum budget_verdict {
	BUDGET_OK,
	BUDGET_BOUNDS, /* min is above max, or max is 0 */
	BUDGET_WEIGHT, /* not from BUDGET_WEIGHT_MIN to BUDGET_WEIGHT_MAX */
	BUDGET_MINS,   /* the minima together are more than the budget */
};

/*
 * May @vm (min, max, weight; the rest is not looked at) be taken in beside the
 * @n @others? For new limits of a VM that is there already, @others are those
 * without it. With BUDGET_MINS *@ret_missing (may be NULL) is by how many bytes
 * the budget is too small.
 */
enum budget_verdict budget_admit(uint64_t budget,
				 const struct budget_vm *others, size_t n,
				 const struct budget_vm *vm,
				 uint64_t *ret_missing);

/* The curve's cost at a quota: on its lower convex hull, as budget_divide(). */
double budget_cost_at(const struct budget_vm *vm, uint64_t quota);

#endif
