// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * observe.c - what a VM's estimator of its cost curve gets to see
 *
 * Theory of operation: misses are told as they come. Hits are REFERENCED bits,
 * which are looked for in the words of what is sampled, every OBSERVE_BUSY_US
 * while there are any, and less and less often while there are none. To see the
 * next use they have to be cleared; the extent remembers that (LEDGER_USED), so
 * that the policy, which looks for the same bits, does not miss them, and
 * before the policy clears some, they are looked at. Where ahead.c has not judged
 * yet what was mapped ahead, which it does by these bits, they stay, and count once.
 *
 * Owns: LEDGER_USED, and the times at which is looked. Invariant: bits are
 * cleared only where the table may be written. Locks: none. In a request's way:
 * beside its commit.
 */
#include "host/agent/observe.h"

#include <assert.h>
#include <math.h>

#include "host/agent/curve.h"
#include "host/agent/plan.h"
#include "host/agent/vm_private.h"
#include "host/lib/macros.h"

#define OBSERVE_BUSY_US 32000u
#define OBSERVE_IDLE_US 2048000u
/* What a driver loses that is refused and comes again, in round trips. */
#define OBSERVE_REFUSED 12u
/* The usual size of a request is the average of so many. */
#define OBSERVE_USUAL 32u
/*
 * The part of what is mapped ahead that requests would wait for with less quota.
 * There
 * windows are smaller, and evicted unused; how much so differs.
 */
#define OBSERVE_AHEAD 0.125

static uint64_t quota_of(const struct vm *vm)
{
	return max(vm->root->quota.limit >> vm_shift(vm), (uint64_t)1);
}

/* --- misses --- */

static uint64_t price_plan(const struct vm *vm, const struct plan *plan)
{
	uint64_t bytes = plan->bytes / max(plan->pieces, (uint64_t)1);

	bytes = max(bytes, (uint64_t)1);
	return plan->pieces *
	       (price_map(&vm->price, bytes) + price_unmap(&vm->price, bytes));
}

static void missed(struct vm *vm, const struct plan *plan,
		   const struct curve_loss *loss, double times)
{
	const struct curve_loss each = {
		.waits = loss->waits / (double)plan->granules,
		.ns = loss->ns / (double)plan->granules,
	};
	const struct ledger_extent *e;

	for (uint32_t extent = plan->head; extent != LEDGER_NONE;
	     extent = e->policy.next) {
		e = ledger_get(vm->ledger, extent);
		curve_missed(vm->curve, ledger_first(e), e->count, quota_of(vm),
			     &each, times);
	}
}

void observe_missed(struct vm *vm, const struct plan *plan)
{
	const struct curve_loss loss = {
		.waits = 1,
		.ns = (double)(vm->price.trip + price_plan(vm, plan)),
	};

	if (plan->granules == 0)
		return;
	vm->observe.usual += plan->granules;
	vm->observe.usual -= vm->observe.usual / OBSERVE_USUAL;
	missed(vm, plan, &loss, 1);
}

void observe_hinted(struct vm *vm, const struct plan *plan, unsigned int sample)
{
	const struct curve_loss loss = {
		.waits = 0,
		.ns = (double)price_plan(vm, plan),
	};

	sample = min(sample, (unsigned int)VIRTIO_PVDMA_SAMPLE_MAX);
	if (plan->granules > 0)
		missed(vm, plan, &loss, ldexp(1, (int)sample));
}

/* As if requests of the usual size had waited for it, sometimes. */
void observe_ahead(struct vm *vm, const struct ledger_extent *e)
{
	uint64_t usual = max(vm->observe.usual / OBSERVE_USUAL, (uint64_t)1);
	uint64_t bytes = usual << vm_shift(vm);
	double share = OBSERVE_AHEAD / (double)usual;
	const struct curve_loss each = {
		.waits = share,
		.ns = share *
		      (double)(vm->price.trip + price_map(&vm->price, bytes) +
			       price_unmap(&vm->price, bytes)),
	};

	curve_mapped(vm->curve, ledger_first(e), e->count, quota_of(vm), &each);
}

void observe_refused(struct vm *vm, uint64_t granules)
{
	const struct curve_loss loss = {
		.waits = 1,
		.ns = (double)(vm->price.trip * OBSERVE_REFUSED),
	};

	curve_refused(vm->curve, quota_of(vm) + granules, quota_of(vm), &loss);
}

void observe_evicted(struct vm *vm, const struct ledger_extent *e)
{
	curve_evicted(vm->curve, ledger_first(e), e->count);
}

void observe_ended(struct vm *vm, const struct ledger_extent *e)
{
	curve_ended(vm->curve, ledger_first(e), e->count);
}

/* --- hits --- */

/* Marks of entries: REFERENCED was found set, and ... */
enum observe_mark {
	MARK_NONE,
	MARK_CLEAR, /* is to be cleared */
	MARK_TOLD,  /* stays: do not count it again */
};

/* REFERENCED is set; @stays if it will be after this. */
static void use(struct vm *vm, uint32_t entry, bool stays)
{
	uint8_t *mark = curve_mark(vm->curve, entry);
	bool told = *mark == MARK_TOLD;

	*mark = stays ? MARK_TOLD : MARK_NONE;
	if (told)
		return;
	vm->observe.used++;
	curve_hit(vm->curve, entry, quota_of(vm));
}

bool observe_see(struct vm *vm, struct ledger_extent *e)
{
	uint64_t at = ledger_first(e), end = ledger_end(e);
	bool used = e->flags & LEDGER_USED;

	e->flags &= ~(uint32_t)LEDGER_USED;
	if (e->flags & LEDGER_NEW)
		return false;
	while (at < end) {
		uint64_t next = min((at | (CURVE_BLOCK - 1)) + 1, end);

		for (; at < next && curve_samples(vm->curve, at); at++) {
			uint32_t entry = curve_find(vm->curve, at);

			if (entry != CURVE_NONE &&
			    table_referenced(vm->table, at, 1) > 0)
				use(vm, entry, false);
		}
		at = next;
	}
	return used;
}

/* The same, where it is we who clear it, or leave it to ahead.c. */
static void use_at(struct vm *vm, uint32_t entry, uint64_t granule)
{
	uint32_t extent = ledger_find(vm->ledger, granule);
	struct ledger_extent *e;

	if (extent == LEDGER_NONE)
		return;
	e = ledger_get(vm->ledger, extent);
	use(vm, entry, e->flags & LEDGER_AHEAD);
	if (e->flags & LEDGER_AHEAD)
		return;
	e->flags |= LEDGER_USED;
	*curve_mark(vm->curve, entry) = MARK_CLEAR;
}

static void look(struct vm *vm)
{
	uint32_t n = curve_entries(vm->curve), held = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t granule = curve_granule(vm->curve, i);
		bool in_use;

		if (!curve_is_mapped(vm->curve, i))
			continue;
		in_use = table_held(vm->table, granule, 1) > 0;
		held += in_use;
		if (table_referenced(vm->table, granule, 1) > 0)
			use_at(vm, i, granule);
		else if (in_use)
			curve_touch(vm->curve, i);
	}
	curve_held(vm->curve, held);
	/* granules of a block share a bit: not before all were looked at */
	for (uint32_t i = 0; i < n; i++) {
		uint8_t *mark = curve_mark(vm->curve, i);

		if (*mark != MARK_CLEAR)
			continue;
		*mark = MARK_NONE;
		(void)table_test_and_clear_referenced(
			vm->table, curve_granule(vm->curve, i), 1);
	}
}

uint64_t vm_observe(struct vm *vm, uint64_t now)
{
	struct observe *o = &vm->observe;

	if (now < o->next)
		return o->next;
	if (o->last != 0 && now > o->last)
		curve_pass(vm->curve, now - o->last);
	o->last = now;
	if (table_is_writable(vm->table))
		look(vm);
	o->wait = o->used > 0 ? OBSERVE_BUSY_US :
				min(2 * max(o->wait, OBSERVE_BUSY_US),
				    OBSERVE_IDLE_US);
	o->used = 0;
	o->next = now + o->wait;
	return o->next;
}

/* --- the answer --- */

static_assert(CURVE_POINTS == VM_CURVE_POINTS,
	      "a reading fits into a vm_curve");

void vm_get_curve(const struct vm *vm, struct vm_curve *ret)
{
	struct curve_reading reading;

	curve_read(vm->curve, quota_of(vm), &reading);
	*ret = (struct vm_curve){
		.interval_us = reading.interval_us,
		.quota = vm->root->quota.limit,
		.mapped_bytes = vm->root->quota.charged,
		.held_bytes = min(reading.held << vm_shift(vm),
				  vm->root->quota.charged),
		.n = reading.n,
	};
	for (unsigned int i = 0; i < reading.n; i++)
		ret->points[i] = (struct vm_curve_point){
			.quota = reading.points[i].quota << vm_shift(vm),
			.waits_per_s = reading.points[i].waits_per_s,
			.cost_us_per_s = reading.points[i].ns_per_s / 1000,
		};
}
