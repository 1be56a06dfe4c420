// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * plan.c - the drafts of one request, or of a slice of the direct mapping
 *
 * Owns the drafts from their allocation until the ledger has them. Invariants:
 * drafts overlap neither each other nor what the ledger has; a draft is
 * charged before it is mapped, and until it is unmapped. Locks: none. In a
 * request's way: what is missing, the last allocation, the map, the commit.
 */
#include "host/agent/plan.h"

#include <assert.h>
#include <errno.h>

#include "host/agent/endpoints.h"
#include "host/agent/extent.h"
#include "host/agent/host_limits.h"
#include "host/agent/observe.h"
#include "host/agent/reclaim.h"
#include "host/agent/status.h"
#include "host/agent/vm_private.h"
#include "host/lib/crash.h"
#include "host/lib/macros.h"

/* How often a map is tried after a limit of the host stopped it. */
#define PLAN_RETRIES 3

void plan_init(struct plan *plan)
{
	*plan = (struct plan){ .head = LEDGER_NONE, .tail = LEDGER_NONE };
}

uint64_t plan_window(const struct vm *vm)
{
	if (endpoints_strict(vm))
		return 1;
	return max(LEDGER_EXTENT_BYTES >> vm_shift(vm), 1u);
}

static void append(struct vm *vm, struct plan *plan, uint32_t extent,
		   const struct extent_shape *shape)
{
	ledger_get(vm->ledger, extent)->policy.next = LEDGER_NONE;
	if (plan->tail == LEDGER_NONE)
		plan->head = extent;
	else
		ledger_get(vm->ledger, plan->tail)->policy.next = extent;
	plan->tail = extent;
	plan->granules += shape->count;
	plan->bytes += shape->bytes;
	plan->pieces += shape->pieces;
}

/* Takes the first draft out. */
static uint32_t shift_draft(struct vm *vm, struct plan *plan)
{
	uint32_t extent = plan->head;

	plan->head = ledger_get(vm->ledger, extent)->policy.next;
	if (plan->head == LEDGER_NONE)
		plan->tail = LEDGER_NONE;
	return extent;
}

int plan_step(struct vm *vm, struct plan *plan, uint64_t *pos, uint64_t last,
	      uint64_t window)
{
	uint32_t at = ledger_seek(vm->ledger, *pos);
	struct extent_shape shape;
	uint64_t end = last + 1;
	uint32_t draft;
	int r;

	if (at != LEDGER_NONE) {
		const struct ledger_extent *e = ledger_get(vm->ledger, at);

		if (ledger_first(e) <= *pos) {
			*pos = ledger_end(e);
			return e->flags & LEDGER_PARTIAL ? VERDICT_QUOTA : 0;
		}
		end = min(end, ledger_first(e));
	}
	extent_shape(vm, *pos, end, window, &shape);
	if (shape.count == 0)
		return VERDICT_RANGE;
	if (shape.bytes > vm->root->quota.limit - plan->bytes)
		return VERDICT_QUOTA;
	r = ledger_draft(vm->ledger, *pos, shape.count, &draft);
	if (r < 0)
		return r;
	append(vm, plan, draft, &shape);
	*pos += shape.count;
	return 0;
}

int plan_add(struct vm *vm, struct plan *plan, const struct granules *ranges,
	     size_t n, uint64_t window, uint64_t *ret_pos)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t pos = ranges[i].first;

		while (pos <= ranges[i].last) {
			int r;

			*ret_pos = pos;
			r = plan_step(vm, plan, &pos, ranges[i].last, window);
			if (r != 0)
				return r;
		}
	}
	return 0;
}

/*
 * A limit of the host: evict what it was about, more with each attempt.
 * False if there is nothing to evict.
 */
static bool make_way(struct vm *vm, const struct ledger_extent *e, int error,
		     int attempt, const struct granules *keep, size_t n_keep)
{
	uint64_t size = (uint64_t)e->count << vm_shift(vm);
	struct victims victims;

	victims_init(&victims);
	if (error == -ENOMEM)
		(void)reclaim_pick(vm, size << (2 * attempt), 0, keep, n_keep,
				   &victims);
	else
		(void)reclaim_pick(vm, 0, (uint64_t)8 << (2 * attempt), keep,
				   n_keep, &victims);
	if (victims.extents == 0)
		return false;
	return reclaim_evict(vm, &victims, RECLAIM_ROOM) == 0;
}

static int map_draft(struct vm *vm, const struct plan *plan, uint32_t extent,
		     const struct granules *keep, size_t n_keep)
{
	const struct ledger_extent *e = ledger_get(vm->ledger, extent);

	for (int attempt = 0;; attempt++) {
		int r = extent_map(vm, extent);

		if ((r != -ENOSPC && r != -ENOMEM) || plan->ahead)
			return r;
		if (attempt == PLAN_RETRIES ||
		    !make_way(vm, e, r, attempt, keep, n_keep))
			return r;
		/* It may well fit now, but not for free: the operator's to know. */
		if (attempt == 0)
			(void)limits_verdict(vm, r,
					     ledger_first(e) << vm_shift(vm),
					     e->charge.bytes);
	}
}

/* The bytes of an extent are those that its shape has now. */
static void charge_draft(struct vm *vm, struct ledger_extent *e)
{
	struct extent_shape shape;
	int r;

	extent_shape(vm, ledger_first(e), ledger_end(e), UINT64_MAX / 2 + 1,
		     &shape);
	assert(shape.count == e->count);
	r = quota_charge(&vm->root->quota, &e->charge, shape.bytes);
	assert(r == 0);
	(void)r;
}

int plan_map(struct vm *vm, struct plan *plan, const struct granules *keep,
	     size_t n_keep, uint64_t *ret_pos, uint64_t *ret_bytes)
{
	struct ledger_extent *e;
	uint32_t extent;

	for (extent = plan->head; extent != LEDGER_NONE;
	     extent = e->policy.next) {
		e = ledger_get(vm->ledger, extent);
		charge_draft(vm, e);
	}
	for (extent = plan->head; extent != LEDGER_NONE;
	     extent = e->policy.next) {
		int r;

		e = ledger_get(vm->ledger, extent);
		r = map_draft(vm, plan, extent, keep, n_keep);
		if (r < 0) {
			*ret_pos = ledger_first(e);
			*ret_bytes = e->charge.bytes;
			return r;
		}
	}
	return 0;
}

static void commit(struct vm *vm, uint32_t extent, uint32_t flags)
{
	struct ledger_extent *e = ledger_get(vm->ledger, extent);

	e->flags = flags | LEDGER_NEW;
	crash_point("map-commit");
	ledger_enter(vm->ledger, extent);
	crash_point("map-committed");
	if (flags & LEDGER_AHEAD)
		policy_ahead(vm->policy, extent);
	else
		policy_inserted(vm->policy, extent);
	e->flags &= ~(uint32_t)LEDGER_NEW;
}

void plan_commit(struct vm *vm, struct plan *plan, uint32_t flags)
{
	while (plan->head != LEDGER_NONE)
		commit(vm, shift_draft(vm, plan), flags);
}

void plan_commit_ahead(struct vm *vm, struct plan *plan, uint8_t context,
		       uint8_t level)
{
	while (plan->head != LEDGER_NONE) {
		uint32_t extent = shift_draft(vm, plan);
		struct ledger_extent *e = ledger_get(vm->ledger, extent);

		e->context = context;
		e->level = level;
		e->seen = 0;
		observe_ahead(vm, e);
		commit(vm, extent, LEDGER_AHEAD);
		table_set_mapped(vm->table, ledger_first(e), e->count);
	}
}

void plan_note_misses(struct vm *vm, const struct plan *plan)
{
	const struct ledger_extent *e;

	for (uint32_t extent = plan->head; extent != LEDGER_NONE;
	     extent = e->policy.next) {
		e = ledger_get(vm->ledger, extent);
		ahead_count_missed(vm, ledger_first(e), e->count);
	}
}

void plan_abandon(struct vm *vm, struct plan *plan)
{
	while (plan->head != LEDGER_NONE) {
		uint32_t extent = shift_draft(vm, plan);
		struct ledger_extent *e = ledger_get(vm->ledger, extent);

		if (e->pieces > 0 &&
		    extent_unmap(vm, ledger_first(e), ledger_end(e),
				 e->charge.bytes) < 0) {
			/* It is mapped, so the books must say so. */
			commit(vm, extent, 0);
			continue;
		}
		quota_uncharge(&vm->root->quota, &e->charge);
		ledger_drop(vm->ledger, extent);
		extent_unmap_done(vm);
	}
}
