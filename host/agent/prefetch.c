// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * prefetch.c - what drivers would like to be mapped, and do not wait for
 *
 * Owns struct prefetch: the runs of granules that wait to be mapped. Invariants:
 * what is mapped here is memory, has words in registered leaves, and nothing
 * that is held went for it; nothing is mapped while a MAP of the same would be
 * refused, or while a driver is strict. Locks: none. In a request's way: behind
 * the answer of a PREFETCH.
 *
 * Hints are advice that comes from the guest, and cost it nothing. So the work
 * that one makes is bounded (a run is an extent at most, and there are no more
 * than PREFETCH_PENDING), and what does not fit is dropped: who still wants it
 * will say so again. The numbers are judged when their turn has come, for
 * memory and leaves can go until then.
 *
 * A hint stands for a miss that was not waited for, so others go for it as they
 * would for a MAP: the policy knows best who is worth least.
 */
#include "host/agent/prefetch.h"

#include <assert.h>
#include <string.h>

#include "host/agent/endpoints.h"
#include "host/agent/observe.h"
#include "host/agent/plan.h"
#include "host/agent/reclaim.h"
#include "host/agent/status.h"
#include "host/agent/vm_private.h"
#include "host/lib/macros.h"

/* --- hints --- */

static void push(struct vm *vm, const struct prefetch_run *run)
{
	struct prefetch *prefetch = &vm->root->prefetch;

	if (prefetch->n_pending == PREFETCH_PENDING) {
		vm->root->stats.hints_dropped++;
		return;
	}
	prefetch->pending[(prefetch->at_pending + prefetch->n_pending++) %
			  PREFETCH_PENDING] = *run;
	vm_notify_work(vm);
}

void prefetch_hinted(struct vm *vm, uint32_t endpoint,
		     const struct granules *ranges, size_t n, uint8_t sample)
{
	const uint64_t most = min(plan_window(vm), (uint64_t)UINT16_MAX);

	vm->root->stats.hints += n;
	vm->root->stats.copies += (uint64_t)n << sample;
	for (size_t i = 0; i < n; i++) {
		const struct prefetch_run run = {
			.first = ranges[i].first,
			.count = (uint16_t)(ranges[i].last - ranges[i].first +
					    1),
			.sample = sample,
			.endpoint = endpoint,
		};

		if (vm_may_map_more(vm) &&
		    ranges[i].last - ranges[i].first < most)
			push(vm, &run);
		else
			vm->root->stats.hints_dropped++;
	}
}

void prefetch_forget(struct vm *vm)
{
	memset(&vm->root->prefetch, 0, sizeof(vm->root->prefetch));
}

/* --- work --- */

/*
 * As request_map(), but that nobody waits. False: not mapped. *@ret_granules
 * were not mapped before.
 */
static bool map_run(struct vm *vm, const struct granules *range,
		    uint16_t sample, uint64_t *ret_granules)
{
	uint64_t pos, bytes;
	struct plan plan;
	int r;

	if (!table_covers(vm->table, range->first, range->last))
		return false;
	plan_init(&plan);
	plan.ahead = true;
	r = plan_add(vm, &plan, range, 1, plan_window(vm), &pos);
	if (r == 0 && vm->config.ahead)
		plan_note_misses(vm, &plan);
	if (r == 0)
		r = reclaim_room(vm, plan.bytes, plan.pieces, range, 1);
	if (r == 0)
		r = plan_map(vm, &plan, range, 1, &pos, &bytes);
	if (r != 0) {
		plan_abandon(vm, &plan);
		return false;
	}
	*ret_granules = plan.granules;
	observe_hinted(vm, &plan, sample);
	plan_commit(vm, &plan, 0);
	table_set_mapped(vm->table, range->first,
			 range->last - range->first + 1);
	return true;
}

bool prefetch_work(struct vm *vm)
{
	struct prefetch *prefetch = &vm->root->prefetch;
	struct prefetch_run *run = &prefetch->pending[prefetch->at_pending];
	struct granules range = { run->first, run->first + run->count - 1 };
	uint16_t sample = run->sample;
	uint64_t granules = 0;

	if (prefetch->n_pending == 0)
		return false;
	prefetch->at_pending = (prefetch->at_pending + 1) % PREFETCH_PENDING;
	prefetch->n_pending--;
	/* The driver may have gone, or another one have come. */
	if (!vm_may_map_more(vm) || endpoints_check(vm, run->endpoint) != 0 ||
	    !map_run(vm, &range, sample, &granules))
		vm->root->stats.hints_dropped++;
	else if (granules > 0)
		ahead_missed(vm, run->endpoint, &range, 1);
	vm->root->stats.hinted_granules += granules;
	return prefetch->n_pending > 0;
}
