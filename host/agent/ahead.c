// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ahead.c - mappings that nobody asked for yet: around misses, behind streams
 *
 * Owns struct ahead, the flag LEDGER_AHEAD, and what extents know of it (context,
 * level, seen). Invariants: at most an eighth of the quota is mapped for one
 * miss, and at most a quarter of it is unproven: mapped ahead, and neither used
 * nor found useless yet. What is mapped ahead is an extent of its own, so that it
 * can go while what was asked for is held. Locks: none. In a request's way: behind
 * its answer.
 *
 * A window is judged some misses later, or when it is evicted: how many of its
 * granules have been used since? That is what around.c learns from.
 *
 * How often it pays is guessed from words that the guest can write. Whatever it
 * writes there, what it gets is its own quota's, and a miss has no more follow
 * than AHEAD_RANGES windows and AHEAD_CHAIN behind streams.
 *
 * VFIO unmaps whole mappings only, so one held granule keeps all of an extent. Where
 * drivers hold their memory for long, as rings do, a window is therefore mapped
 * granule by granule; where they hold it for a transfer only, in one piece, which
 * is cheaper. Small requests start out as the former, large ones as the latter. Where
 * mapping entries get short, all windows are mapped in one piece, and small mappings
 * go for them: so the quota can be used beyond what that many granules hold.
 */
#include "host/agent/ahead.h"

#include <string.h>

#include "host/agent/host_limits.h"
#include "host/agent/memory.h"
#include "host/agent/plan.h"
#include "host/agent/reclaim.h"
#include "host/agent/status.h"
#include "host/agent/vm_private.h"
#include "host/lib/macros.h"

/* The share of the quota that one miss may have mapped ahead, and all of them. */
#define AHEAD_ONE 8u
#define AHEAD_ALL 4u
/* Misses after which a window is judged. */
#define AHEAD_AGE 64u
/* Used granules that are too few to tell how long they are held. */
#define AHEAD_FEW	32u
#define AHEAD_HOLDS_MAX 4096u
/* The largest window that is mapped granule by granule. */
#define AHEAD_FINE 3u
/* Misses without windows after one that found everything held. */
#define AHEAD_OFF 64u
/* A stream is followed by windows of this level or above, when half is used. */
#define AHEAD_STREAM 6u
/* Looks without a miss after which there are no more. */
#define AHEAD_IDLE 64u
/* Ranges of a request that have windows, and windows of streams for a miss. */
#define AHEAD_RANGES 4u
#define AHEAD_CHAIN  16u
/* Windows judged in one piece of work. */
#define AHEAD_JUDGE 4u

void ahead_init(struct ahead *ahead)
{
	around_init(&ahead->around);
	for (unsigned int i = 0; i < AHEAD_WATCHED; i++)
		ahead->watched[i].first = 1;
}

void ahead_forget(struct vm *vm)
{
	struct ahead *ahead = &vm->root->ahead;
	/* what is unproven is so until its extents end */
	const uint64_t unproven = ahead->unproven;

	if (!vm->config.ahead)
		return;
	memset(ahead, 0, sizeof(*ahead));
	ahead_init(ahead);
	ahead->unproven = unproven;
}

static bool enabled(const struct vm *vm)
{
	return vm->config.ahead &&
	       vm->config.strategy == VIRTIO_PVDMA_S_ON_DEMAND &&
	       vm_may_map_more(vm);
}

/* --- what came of it --- */

static void judge(struct vm *vm, struct ledger_extent *e)
{
	struct ahead *ahead = &vm->root->ahead;
	uint32_t used = table_referenced(vm->table, ledger_first(e), e->count);

	used = max(used, (uint32_t)e->seen);
	/* Without a table nobody can tell. */
	if (vm->root->table.writable)
		around_learn(&ahead->around, e->context, e->level, e->count,
			     used);
	ahead->unproven -= min(ahead->unproven, e->charge.bytes);
	vm->root->stats.ahead_used += used;
	e->flags &= ~LEDGER_AHEAD;
}

/*
 * The granules of an extent: one where they are held for long, but not where
 * that uses up the mapping entries.
 */
static uint64_t piece(const struct vm *vm, unsigned int context)
{
	const struct ahead_holds *holds = &vm->root->ahead.holds[context];
	bool fine = context % 4 < 2;

	if (holds->used >= AHEAD_FEW)
		fine = holds->held > holds->used / 2;
	if (limits_short(vm))
		fine = false;
	return fine ? 1 : LEDGER_EXTENT_BYTES >> vm_shift(vm);
}

void ahead_ended(struct vm *vm, struct ledger_extent *e)
{
	if (e->flags & LEDGER_AHEAD)
		judge(vm, e);
}

void ahead_see(struct vm *vm, struct ledger_extent *e)
{
	uint32_t seen;

	if (!(e->flags & LEDGER_AHEAD))
		return;
	seen = table_referenced(vm->table, ledger_first(e), e->count);
	e->seen = (uint16_t)max((uint32_t)e->seen,
				min(seen, (uint32_t)UINT16_MAX));
}

void ahead_count_missed(struct vm *vm, uint64_t first, uint64_t count)
{
	around_missed(&vm->root->ahead.around, first, count,
		      vm->root->quota.limit >> vm_shift(vm));
}

void ahead_count_evicted(struct vm *vm, uint64_t first, uint64_t count)
{
	if (vm->config.ahead)
		around_evicted(&vm->root->ahead.around, first, count);
}

static void judge_window(struct vm *vm, const struct ahead_window *w)
{
	uint64_t at = w->first;

	while (at <= w->last) {
		uint32_t extent = ledger_seek(vm->ledger, at);
		struct ledger_extent *e;

		if (extent == LEDGER_NONE)
			return;
		e = ledger_get(vm->ledger, extent);
		if (ledger_first(e) > w->last)
			return;
		if (e->flags & LEDGER_AHEAD && e->level == w->level)
			judge(vm, e);
		at = ledger_end(e);
	}
}

/* Some time has passed: is what was used still held? */
static void look_for_holds(struct vm *vm, const struct ahead_window *w)
{
	struct ahead_holds *holds = &vm->root->ahead.holds[w->context];
	uint64_t count = w->last - w->first + 1;
	uint32_t held = table_held(vm->table, w->first, count);

	holds->used += max(table_referenced(vm->table, w->first, count), held);
	holds->held += held;
	if (holds->used > AHEAD_HOLDS_MAX) {
		holds->used /= 2;
		holds->held /= 2;
	}
}

static void watch(struct vm *vm, const struct ahead_window *w)
{
	struct ahead *ahead = &vm->root->ahead;
	struct ahead_window *place = &ahead->watched[ahead->at_watched];

	judge_window(vm, place);
	*place = *w;
	place->stamp = ahead->misses;
	ahead->at_watched = (ahead->at_watched + 1) % AHEAD_WATCHED;
}

/* Judges some of the windows that are old enough; true if there may be more. */
static bool judge_old(struct vm *vm)
{
	struct ahead *ahead = &vm->root->ahead;
	unsigned int n = 0;

	for (unsigned int i = 0; i < AHEAD_WATCHED; i++) {
		struct ahead_window *w = &ahead->watched[i];

		if (w->last < w->first || ahead->misses - w->stamp < AHEAD_AGE)
			continue;
		if (n++ == AHEAD_JUDGE)
			return true;
		judge_window(vm, w);
		look_for_holds(vm, w);
		w->first = 1;
		w->last = 0;
	}
	return false;
}

/* --- what to map --- */

/* Counts what is memory and not mapped in granules [first, last]. */
static void survey(const struct vm *vm, uint64_t first, uint64_t last,
		   uint64_t pieces, struct around_offer *offer)
{
	uint8_t shift = vm_shift(vm);
	uint64_t at = first;

	offer->granules = 0;
	offer->calls = 0;
	while (at <= last) {
		uint32_t extent = ledger_seek(vm->ledger, at);
		uint64_t end = last + 1;
		const struct memory_region *region;

		if (extent != LEDGER_NONE) {
			const struct ledger_extent *e =
				ledger_get(vm->ledger, extent);

			if (ledger_first(e) <= at) {
				at = ledger_end(e);
				continue;
			}
			end = min(end, ledger_first(e));
		}
		region = memory_find(vm->memory, at << shift, true);
		if (!region || region->gpa >> shift > last)
			return;
		at = max(at,
			 align_up(region->gpa, (uint64_t)1 << shift) >> shift);
		end = min(end, (memory_region_last(region) + 1) >> shift);
		if (at < end) {
			offer->granules += end - at;
			offer->calls += div_round_up(end - at, pieces);
			at = end;
		} else {
			at++;
		}
	}
}

/* What window [first, last] is worth; *@offer is what it would take. */
static int64_t appraise(const struct vm *vm, const struct ahead_miss *miss,
			unsigned int level, uint64_t first, uint64_t last,
			struct around_offer *offer)
{
	const struct ahead *ahead = &vm->root->ahead;
	uint64_t limit = vm->root->quota.limit, bytes;

	survey(vm, first, last, piece(vm, miss->context), offer);
	offer->request = miss->last - miss->first + 1;
	bytes = offer->granules << vm_shift(vm);
	if (bytes > limit / AHEAD_ONE ||
	    bytes + ahead->unproven > limit / AHEAD_ALL)
		return -1;
	offer->evicts = quota_missing(&vm->root->quota, bytes) > 0 ||
			limits_missing(vm, offer->calls) > 0;
	return around_worth(&ahead->around, &vm->price, vm_shift(vm),
			    miss->context, level, offer);
}

/* Maps what is missing in a window, as was offered; true if anything was. */
static bool map_window(struct vm *vm, const struct ahead_window *w,
		       const struct around_offer *offer)
{
	const struct granules keep = { w->first, w->last };
	uint64_t pos = w->first, pieces = piece(vm, w->context), failed, bytes;
	struct plan plan;
	int r = 0;

	plan_init(&plan);
	plan.ahead = true;
	while (pos <= w->last && r == 0) {
		uint64_t at = pos;

		r = plan_step(vm, &plan, &pos, w->last, pieces);
		if (r == VERDICT_RANGE) {
			/* a hole in memory */
			pos = at + 1;
			r = 0;
		}
	}
	/* Granules that a border cuts were not in the offer. */
	if (plan.bytes > offer->granules << vm_shift(vm))
		r = VERDICT_LIMIT;
	if (r == 0 && plan.head != LEDGER_NONE)
		r = reclaim_room(vm, plan.bytes, plan.pieces, &keep, 1);
	if (r == 0)
		r = plan_map(vm, &plan, &keep, 1, &failed, &bytes);
	if (r != 0 || plan.head == LEDGER_NONE) {
		if (r != 0) {
			vm->root->ahead.off = AHEAD_OFF;
			vm->root->ahead.n_pending = 0;
		}
		plan_abandon(vm, &plan);
		return false;
	}
	vm->root->stats.ahead_granules += plan.granules;
	vm->root->ahead.unproven += plan.bytes;
	plan_commit_ahead(vm, &plan, w->context, w->level);
	return true;
}

static void around_miss(struct vm *vm, const struct ahead_miss *miss)
{
	unsigned int most = min((unsigned int)(AROUND_LEVELS - 1),
				(unsigned int)VIRTIO_PVDMA_GRANULE_SHIFT_MAX -
					vm_shift(vm));
	struct around_offer best_offer = { 0 };
	struct ahead_window best = { .first = 1, .context = miss->context };
	int64_t worth = 0;

	if (piece(vm, miss->context) == 1)
		most = min(most, AHEAD_FINE);
	for (unsigned int level = 1; level <= most; level++) {
		uint64_t first = miss->first >> level << level;
		uint64_t last = first + ((uint64_t)1 << level) - 1;
		struct around_offer offer;
		int64_t w;

		if (last < miss->last)
			continue;
		w = appraise(vm, miss, level, first, last, &offer);
		if (w > worth) {
			worth = w;
			best_offer = offer;
			best.first = first;
			best.last = last;
			best.level = (uint8_t)level;
		}
	}
	if (best.first <= best.last && map_window(vm, &best, &best_offer))
		watch(vm, &best);
}

/* The window behind a stream: as large as the one before. */
static void behind_stream(struct vm *vm, const struct ahead_miss *miss)
{
	struct ahead_window w = {
		.first = miss->first,
		.last = miss->last,
		.context = miss->context,
		.level = AROUND_NEXT,
	};
	struct ahead_miss like = *miss;
	struct around_offer offer;

	if (piece(vm, miss->context) == 1)
		return;
	/* what it saves is a miss of the stream's kind */
	like.last = like.first + ((uint64_t)1 << (miss->context % 4 * 2)) - 1;
	if (appraise(vm, &like, AROUND_NEXT, w.first, w.last, &offer) > 0 &&
	    map_window(vm, &w, &offer))
		watch(vm, &w);
}

/* --- from outside --- */

static void push(struct vm *vm, const struct ahead_miss *miss)
{
	struct ahead *ahead = &vm->root->ahead;

	if (ahead->n_pending == AHEAD_PENDING)
		return; /* they come faster than we can help */
	ahead->pending[(ahead->at_pending + ahead->n_pending++) % AHEAD_PENDING] =
		*miss;
}

void ahead_missed(struct vm *vm, uint32_t endpoint,
		  const struct granules *ranges, size_t n)
{
	struct ahead *ahead = &vm->root->ahead;

	if (!enabled(vm))
		return;
	ahead->misses++;
	ahead->looks = 0;
	ahead->followed = 0;
	vm_notify_work(vm);
	if (ahead->off > 0) {
		ahead->off--;
		return;
	}
	for (size_t i = 0; i < n && i < AHEAD_RANGES; i++) {
		uint64_t count = ranges[i].last - ranges[i].first + 1;
		const struct ahead_miss miss = {
			.first = ranges[i].first,
			.last = ranges[i].last,
			.context = (uint8_t)around_context(endpoint, count),
		};

		push(vm, &miss);
	}
}

bool ahead_work(struct vm *vm)
{
	struct ahead *ahead = &vm->root->ahead;
	struct ahead_miss miss;
	bool more;

	if (!enabled(vm)) {
		ahead->n_pending = 0;
		return false;
	}
	more = judge_old(vm);
	if (ahead->n_pending == 0)
		return more;
	miss = ahead->pending[ahead->at_pending];
	ahead->at_pending = (ahead->at_pending + 1) % AHEAD_PENDING;
	ahead->n_pending--;
	if (miss.next)
		behind_stream(vm, &miss);
	else
		around_miss(vm, &miss);
	return more || ahead->n_pending > 0;
}

/* Which way does the stream go that @w is a part of? */
static bool goes_down(const struct vm *vm, const struct ahead_window *w)
{
	return w->first > 0 &&
	       ledger_find(vm->ledger, w->first - 1) == LEDGER_NONE &&
	       ledger_find(vm->ledger, w->last + 1) != LEDGER_NONE;
}

/* A window of a stream is half used: on to the one behind it. */
static void follow(struct vm *vm, struct ahead_window *w)
{
	struct ahead *ahead = &vm->root->ahead;
	uint64_t count = w->last - w->first + 1;
	struct ahead_miss next = { .context = w->context, .next = 1 };

	w->chained = 1;
	if (ahead->followed == AHEAD_CHAIN)
		return;
	next.first = w->last + 1;
	if (goes_down(vm, w)) {
		if (w->first < count)
			return;
		next.first = w->first - count;
	}
	next.last = next.first + count - 1;
	ahead->followed++;
	ahead->looks = 0;
	push(vm, &next);
	vm_notify_work(vm);
}

bool ahead_tick(struct vm *vm)
{
	struct ahead *ahead = &vm->root->ahead;

	if (!enabled(vm) || ahead->looks == AHEAD_IDLE)
		return false;
	ahead->looks++;
	for (unsigned int i = 0; i < AHEAD_WATCHED; i++) {
		struct ahead_window *w = &ahead->watched[i];
		uint64_t count = w->last - w->first + 1;
		uint32_t used;

		if (w->last < w->first || (w->judged && w->chained))
			continue;
		used = table_referenced(vm->table, w->first, count);
		if (!w->judged && used >= count - count / 8) {
			w->judged = 1;
			judge_window(vm, w);
		}
		if (!w->chained && w->level >= AHEAD_STREAM &&
		    used >= count / 2)
			follow(vm, w);
	}
	return true;
}
