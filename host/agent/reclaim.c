// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * reclaim.c - from the policy's candidates to room in the quota
 *
 * Owns the chain of victims, linked through struct policy_node while they are
 * in no policy's list. Invariant: an extent is unmapped only after MAPPED was
 * taken away from each of its granules on condition that nobody holds it
 * (table_claim()); reclaim_end_*() and reclaim_pick_held() are the exceptions
 * that the specification names. Locks: none. In a request's way: between the quota and the map.
 */
#include "host/agent/reclaim.h"

#include <assert.h>

#include "host/agent/extent.h"
#include "host/agent/host_limits.h"
#include "host/agent/observe.h"
#include "host/agent/probe.h"
#include "host/agent/status.h"
#include "host/agent/vm_private.h"
#include "host/lib/crash.h"
#include "host/lib/macros.h"

void victims_init(struct victims *victims)
{
	*victims = (struct victims){ .head = LEDGER_NONE };
}

static void push(struct vm *vm, uint32_t extent, struct victims *victims)
{
	struct ledger_extent *e = ledger_get(vm->ledger, extent);

	policy_removed(vm->policy, extent);
	e->flags |= LEDGER_VICTIM;
	e->policy.prev = LEDGER_NONE;
	e->policy.next = victims->head;
	if (victims->head != LEDGER_NONE)
		ledger_get(vm->ledger, victims->head)->policy.prev = extent;
	victims->head = extent;
	victims->extents++;
	victims->bytes += e->charge.bytes;
	victims->pieces += e->pieces;
}

/* Takes an extent out of the chain; it keeps its flag. */
static void unlink_victim(struct vm *vm, uint32_t extent,
			  struct victims *victims)
{
	const struct policy_node *node =
		&ledger_get(vm->ledger, extent)->policy;

	if (node->prev != LEDGER_NONE)
		ledger_get(vm->ledger, node->prev)->policy.next = node->next;
	else
		victims->head = node->next;
	if (node->next != LEDGER_NONE)
		ledger_get(vm->ledger, node->next)->policy.prev = node->prev;
}

/* Back to the living. */
static void put_back(struct vm *vm, uint32_t extent)
{
	ledger_get(vm->ledger, extent)->flags &= ~LEDGER_VICTIM;
	policy_restored(vm->policy, extent);
}

static bool touches(const struct ledger_extent *e, const struct granules *keep,
		    size_t n_keep)
{
	size_t low = 0, high = n_keep;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (keep[mid].last < ledger_first(e))
			low = mid + 1;
		else
			high = mid;
	}
	return low < n_keep && keep[low].first < ledger_end(e);
}

bool reclaim_take(struct vm *vm, uint32_t extent, struct victims *victims)
{
	struct ledger_extent *e = ledger_get(vm->ledger, extent);

	if (!table_claim(vm->table, ledger_first(e), e->count))
		return false;
	crash_point("victim-claimed");
	push(vm, extent, victims);
	crash_point("victim-marked");
	return true;
}

bool reclaim_pick(struct vm *vm, uint64_t bytes, uint64_t pieces,
		  const struct granules *keep, size_t n_keep,
		  struct victims *victims)
{
	uint32_t steps = policy_round(vm->policy);

	/* A full quota of persistent mappings is no news: do not look. */
	if (!victims->kept_too && vm->root->kept == ledger_extents(vm->ledger))
		return victims->bytes >= bytes && victims->pieces >= pieces;
	while (victims->bytes < bytes || victims->pieces < pieces) {
		uint32_t extent = policy_victim(vm->policy, &steps);
		const struct ledger_extent *e;

		if (extent == POLICY_NONE)
			return false;
		e = ledger_get(vm->ledger, extent);
		if (mode_protects(vm, e) || touches(e, keep, n_keep) ||
		    (!victims->kept_too && (e->flags & LEDGER_KEPT)))
			continue;
		if (!reclaim_take(vm, extent, victims))
			vm->root->stats.evict_busy++;
	}
	return true;
}

void reclaim_pick_held(struct vm *vm, uint64_t bytes, struct victims *victims)
{
	uint32_t steps = policy_round(vm->policy);

	while (victims->bytes < bytes) {
		uint32_t extent = policy_victim(vm->policy, &steps);
		const struct ledger_extent *e;

		if (extent == POLICY_NONE)
			return;
		e = ledger_get(vm->ledger, extent);
		if (mode_protects(vm, e))
			continue;
		/* The words first: who holds it from now on must ask. */
		table_clear_mapped(vm->table, ledger_first(e), e->count);
		push(vm, extent, victims);
	}
}

/* The first of the victims that touch each other and include @extent. */
static uint32_t run_start(const struct vm *vm, uint32_t extent)
{
	for (;;) {
		uint32_t before = ledger_before(vm->ledger, extent);

		if (before == LEDGER_NONE ||
		    !(ledger_get(vm->ledger, before)->flags & LEDGER_VICTIM))
			return extent;
		extent = before;
	}
}

static void count_end(struct vm *vm, const struct ledger_extent *e,
		      enum reclaim_cause cause)
{
	PROBE3(evict, ledger_first(e) << vm_shift(vm), e->charge.bytes, cause);
	if (cause != RECLAIM_OTHER)
		observe_evicted(vm, e);
	if (cause == RECLAIM_ROOM) {
		ahead_count_evicted(vm, ledger_first(e), e->count);
		vm->root->stats.evictions++;
		vm->root->stats.evicted_bytes += e->charge.bytes;
	} else if (cause == RECLAIM_REVOKE) {
		vm->root->stats.revocations++;
		vm->root->stats.revoked_bytes += e->charge.bytes;
	} else {
		vm->root->stats.unmaps++;
	}
}

/* Ends one run of victims that touch each other, in one call. */
static int evict_run(struct vm *vm, uint32_t start, struct victims *victims,
		     enum reclaim_cause cause)
{
	uint64_t first = ledger_first(ledger_get(vm->ledger, start));
	uint64_t end = first, at, bytes = 0;
	uint32_t extent = start;
	int r;

	do {
		const struct ledger_extent *e = ledger_get(vm->ledger, extent);

		if (!(e->flags & LEDGER_VICTIM))
			break;
		unlink_victim(vm, extent, victims);
		bytes += e->charge.bytes;
		end = ledger_end(e);
		extent = ledger_find(vm->ledger, end);
	} while (extent != LEDGER_NONE);
	r = extent_unmap(vm, first, end, bytes);
	for (at = first; at < end;) {
		const struct ledger_extent *e;

		extent = ledger_find(vm->ledger, at);
		e = ledger_get(vm->ledger, extent);
		at = ledger_end(e);
		if (r < 0) {
			put_back(vm, extent);
			continue;
		}
		count_end(vm, e, cause);
		extent_forget(vm, extent);
	}
	if (r == 0)
		extent_unmap_done(vm);
	return r;
}

int reclaim_evict(struct vm *vm, struct victims *victims,
		  enum reclaim_cause cause)
{
	int ret = 0;

	while (victims->head != LEDGER_NONE) {
		int r = evict_run(vm, run_start(vm, victims->head), victims,
				  cause);

		if (ret == 0)
			ret = r;
	}
	victims_init(victims);
	return ret;
}

int reclaim_coarse(struct vm *vm)
{
	struct victims victims;
	uint32_t extent;
	uint64_t at = 0;

	victims_init(&victims);
	while ((extent = ledger_seek(vm->ledger, at)) != LEDGER_NONE) {
		const struct ledger_extent *e = ledger_get(vm->ledger, extent);

		at = ledger_end(e);
		if (e->count > 1 && !mode_protects(vm, e))
			(void)reclaim_take(vm, extent, &victims);
	}
	return reclaim_evict(vm, &victims, RECLAIM_OTHER);
}

void reclaim_keep(struct vm *vm, const struct granules *range)
{
	uint64_t at = range->first;

	while (at <= range->last) {
		struct ledger_extent *e =
			ledger_get(vm->ledger, ledger_find(vm->ledger, at));

		if (!(e->flags & LEDGER_KEPT))
			vm->root->kept++;
		e->flags |= LEDGER_KEPT;
		at = ledger_end(e);
	}
}

void reclaim_unkeep(struct vm *vm)
{
	uint32_t extent;
	uint64_t at = 0;

	vm->root->kept = 0;
	while ((extent = ledger_seek(vm->ledger, at)) != LEDGER_NONE) {
		struct ledger_extent *e = ledger_get(vm->ledger, extent);

		e->flags &= ~LEDGER_KEPT;
		at = ledger_end(e);
	}
}

void reclaim_restore(struct vm *vm, struct victims *victims)
{
	while (victims->head != LEDGER_NONE) {
		uint32_t extent = victims->head;
		const struct ledger_extent *e = ledger_get(vm->ledger, extent);

		unlink_victim(vm, extent, victims);
		put_back(vm, extent);
		if (!(e->flags & LEDGER_PARTIAL))
			table_set_mapped(vm->table, ledger_first(e), e->count);
	}
	victims_init(victims);
}

int reclaim_room(struct vm *vm, uint64_t bytes, uint64_t pieces,
		 const struct granules *keep, size_t n_keep)
{
	uint64_t no_bytes, no_pieces;
	struct victims victims;
	int r;

	if (bytes == 0)
		return 0; /* even over a quota that was lowered */
	if (bytes > vm->root->quota.limit)
		return VERDICT_QUOTA;
	no_bytes = quota_missing(&vm->root->quota, bytes);
	no_pieces = limits_missing(vm, pieces);
	if (no_bytes == 0 && no_pieces == 0)
		return 0;
	victims_init(&victims);
	/* The quota is not what is short: the operator's to know. */
	if (no_bytes == 0)
		limits_log_entries(vm);
	if (reclaim_pick(vm, no_bytes, no_pieces, keep, n_keep, &victims))
		return reclaim_evict(vm, &victims, RECLAIM_ROOM);
	r = victims.bytes < no_bytes ? VERDICT_QUOTA : VERDICT_LIMIT;
	if (r == VERDICT_LIMIT)
		limits_log_entries(vm);
	reclaim_restore(vm, &victims);
	return r;
}

/*
 * Ends extents from @extent on, up to the first that the mode protects (if
 * @protect), in one call: nothing else is mapped between them. *@ret_next is
 * where to go on.
 */
static int end_run(struct vm *vm, uint32_t extent, bool protect,
		   uint64_t *ret_next)
{
	uint64_t first = ledger_first(ledger_get(vm->ledger, extent));
	uint64_t end = first, bytes = 0;
	int r;

	while (extent != LEDGER_NONE) {
		const struct ledger_extent *e = ledger_get(vm->ledger, extent);

		if (protect && mode_protects(vm, e))
			break;
		bytes += e->charge.bytes;
		end = ledger_end(e);
		extent = ledger_seek(vm->ledger, end);
	}
	*ret_next = end;
	r = extent_unmap(vm, first, end, bytes);
	if (r < 0)
		return r;
	for (;;) {
		extent = ledger_seek(vm->ledger, first);
		if (extent == LEDGER_NONE ||
		    ledger_first(ledger_get(vm->ledger, extent)) >= end)
			break;
		vm->root->stats.unmaps++;
		extent_forget(vm, extent);
	}
	extent_unmap_done(vm);
	return 0;
}

int reclaim_end_requests(struct vm *vm)
{
	uint64_t at = 0;
	uint32_t extent;
	int ret = 0;

	while ((extent = ledger_seek(vm->ledger, at)) != LEDGER_NONE) {
		const struct ledger_extent *e = ledger_get(vm->ledger, extent);

		table_clear_mapped(vm->table, ledger_first(e), e->count);
		at = ledger_end(e);
	}
	for (at = 0; (extent = ledger_seek(vm->ledger, at)) != LEDGER_NONE;) {
		const struct ledger_extent *e = ledger_get(vm->ledger, extent);
		int r = 0;

		if (mode_protects(vm, e))
			at = ledger_end(e);
		else
			r = end_run(vm, extent, true, &at);
		if (ret == 0)
			ret = r;
	}
	return ret;
}

void reclaim_end_all(struct vm *vm)
{
	uint32_t extent = ledger_seek(vm->ledger, 0);
	uint64_t next;

	/*
	 * What the backend refuses to unmap ends with the backend; the books
	 * are closed in any case.
	 */
	if (extent == LEDGER_NONE)
		return;
	(void)end_run(vm, extent, false, &next);
	while ((extent = ledger_seek(vm->ledger, 0)) != LEDGER_NONE)
		extent_forget(vm, extent);
}
