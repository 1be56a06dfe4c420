// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * enforce.c - from a quota that was lowered to a quota that is kept
 *
 * Owns struct enforce_root and the timer of the VM. Invariants: while more than
 * the quota is mapped nothing is added (quota.c sees to that), so the sum only
 * falls; nothing that is held is taken before the deadline that the guest was
 * told is over. Locks: none. Not in a request's way.
 *
 * The guest need not answer: what it gives up shows in the table, and is looked
 * for again and again while the deadline runs, and less often after it. What
 * the table says decides only what goes first: when the deadline is over, all
 * that the ledger has is in reach, whatever the words say.
 *
 * We may be killed between any two stores. A deadline counts that the guest was
 * told of; so while `pending` says that it may not have been, whoever goes on asks
 * anew (enforce_resume()). tests/model/enforce.pml goes through all of it.
 */
#include "host/agent/enforce.h"

#include <stdio.h>

#include "host/agent/reclaim.h"
#include "host/agent/vm_private.h"
#include "host/lib/crash.h"
#include "host/lib/durable.h"
#include "host/lib/log.h"
#include "host/lib/macros.h"

/* A slice ends after this time, and after at least one step. */
#define ENFORCE_SLICE_USEC 20000
#define ENFORCE_STEP_BYTES (32ULL * 1024 * 1024)
/* From one look for what was given up to the next. */
#define ENFORCE_LOOK_USEC  25000   /* before the deadline */
#define ENFORCE_LATER_USEC 1000000 /* after it */
/* Places and endpoints that a message names. */
#define ENFORCE_NAMED 4

#define KIB(bytes) ((unsigned long long)((bytes) / 1024))

uint64_t enforce_excess(const struct vm *vm)
{
	return quota_missing(&vm->root->quota, 0);
}

static void set_timer(const struct vm *vm, uint64_t when)
{
	if (vm->notify.timer)
		vm->notify.timer(vm->notify.userdata, when);
}

/* Nothing is asked for. `excess` goes first: the rest counts only with it. */
static void forget(struct vm *vm)
{
	struct enforce_root *e = &vm->root->enforce;

	durable_store(&e->excess, (uint64_t)0);
	crash_point("enforce-forgot");
	e->until = 0;
	e->deadline_ms = 0;
	e->overdue = false;
	set_timer(vm, VM_NEVER);
}

static void tell(struct vm *vm)
{
	vm->root->quota_news++;
	vm_notify_config(vm);
}

void enforce_begin(struct vm *vm, uint64_t usec)
{
	struct enforce_root *e = &vm->root->enforce;

	forget(vm);
	e->usec = usec;
	durable_store(&e->pending, (uint8_t)ENFORCE_WITH_QUOTA);
}

void enforce_resume(struct vm *vm)
{
	struct enforce_root *e = &vm->root->enforce;

	if (e->pending != ENFORCE_NOTHING ||
	    (e->excess == 0 && enforce_excess(vm) > 0)) {
		durable_store(&e->pending, (uint8_t)ENFORCE_ALONE);
		forget(vm);
		vm_notify_work(vm);
	} else if (e->excess > 0) {
		set_timer(vm, vm_now());
	}
}

void enforce_told(struct vm *vm)
{
	struct enforce_root *e = &vm->root->enforce;

	crash_point("enforce-told");
	durable_store(&e->pending, e->pending == ENFORCE_WITH_QUOTA ?
					   (uint8_t)ENFORCE_ALONE :
					   (uint8_t)ENFORCE_NOTHING);
}

/* Nothing is idle: what is above the quota now, the guest is asked for. */
static void ask(struct vm *vm)
{
	struct enforce_root *e = &vm->root->enforce;
	uint64_t excess = enforce_excess(vm);
	uint64_t now = vm_now(), usec = min(e->usec, VM_NEVER - 1 - now);

	if (excess > 0) {
		e->until = now + usec;
		e->deadline_ms =
			(uint32_t)min(usec / 1000, (uint64_t)UINT32_MAX);
		durable_store(&e->excess, excess);
		crash_point("enforce-asked");
		set_timer(vm, now + min(usec, (uint64_t)ENFORCE_LOOK_USEC));
	}
	if (e->pending == ENFORCE_WITH_QUOTA) {
		durable_store(&e->pending, (uint8_t)ENFORCE_ASKED);
		return;
	}
	if (excess > 0)
		tell(vm);
	enforce_told(vm);
}

/* The guest gave up, or lost, what was too much: it hears that all is well. */
static void settle(struct vm *vm)
{
	if (vm->root->enforce.excess == 0 || enforce_excess(vm) > 0)
		return;
	if (vm->root->enforce.overdue)
		log_ratelimited(LOG_NOTICE,
				"the quota of %llu KiB is kept again",
				KIB(vm->root->quota.limit));
	forget(vm);
	tell(vm);
}

/* Evicts what is idle above a lowered quota. True if more is left. */
static bool shed(struct vm *vm)
{
	uint64_t until = vm_now() + ENFORCE_SLICE_USEC;

	while (enforce_excess(vm) > 0) {
		uint64_t bytes =
			min(enforce_excess(vm), (uint64_t)ENFORCE_STEP_BYTES);
		struct victims victims;
		bool enough;

		if (!table_is_writable(vm->table))
			return false;
		victims_init(&victims);
		/* The operator's word is above that of a persistent driver. */
		victims.kept_too = true;
		enough = reclaim_pick(vm, bytes, 0, NULL, 0, &victims);
		if (reclaim_evict(vm, &victims, RECLAIM_ROOM) < 0 || !enough)
			return false;
		if (enforce_excess(vm) > 0 && vm_now() >= until)
			return true;
	}
	return false;
}

bool enforce_work(struct vm *vm)
{
	if (shed(vm))
		return true;
	if (vm->root->enforce.pending != ENFORCE_NOTHING)
		ask(vm);
	settle(vm);
	return false;
}

/* --- after the deadline --- */

/* "0x1000-0x1fff, ...": where some of the victims are. */
static void name_places(const struct vm *vm, const struct victims *victims,
			char *buf, size_t size)
{
	uint32_t extent = victims->head;
	size_t len = 0;

	buf[0] = '\0';
	for (int i = 0; extent != LEDGER_NONE && i < ENFORCE_NAMED; i++) {
		const struct ledger_extent *e = ledger_get(vm->ledger, extent);
		uint64_t first = ledger_first(e) << vm_shift(vm);
		uint64_t bytes = (uint64_t)e->count << vm_shift(vm);
		int n = snprintf(buf + len, size - len, "%s0x%llx-0x%llx",
				 i == 0 ? "" : ", ", (unsigned long long)first,
				 (unsigned long long)(first + bytes - 1));

		if (n < 0 || (size_t)n >= size - len)
			return;
		len += (size_t)n;
		extent = e->policy.next;
	}
	if (extent != LEDGER_NONE)
		(void)snprintf(buf + len, size - len, ", ...");
}

/* The endpoints that the guest's driver looks after; they share all mappings. */
static void name_endpoints(const struct vm *vm, char *buf, size_t size)
{
	size_t len = 0;
	int named = 0;

	(void)snprintf(buf, size, "none");
	for (size_t i = 0; i < vm->endpoint_slots; i++) {
		const struct vm_endpoint *endpoint = &vm->root->endpoints[i];
		int n;

		if (!endpoint->attached)
			continue;
		if (named++ == ENFORCE_NAMED) {
			(void)snprintf(buf + len, size - len, ", ...");
			return;
		}
		n = snprintf(buf + len, size - len, "%s%u", len ? ", " : "",
			     (unsigned int)endpoint->id);
		if (n < 0 || (size_t)n >= size - len)
			return;
		len += (size_t)n;
	}
}

static void log_revoked(const struct vm *vm, const struct victims *victims)
{
	char places[256], endpoints[64];

	name_places(vm, victims, places, sizeof(places));
	name_endpoints(vm, endpoints, sizeof(endpoints));
	log_ratelimited(
		LOG_WARNING,
		"enforce=revoke: %llu KiB, %u mappings, that the guest did not give up within %u ms are taken from it to keep the quota of %llu KiB: guest memory %s; its devices (endpoint %s) fault if they still use that",
		KIB(victims->bytes), victims->extents,
		vm->root->enforce.deadline_ms, KIB(vm->root->quota.limit),
		places, endpoints);
}

/*
 * Evicts what has come idle since the last look. Not in the policy's order: to
 * be asked for victims that cannot be had costs it what it knows of ages, which
 * is needed for those that are held.
 */
static uint64_t shed_late(struct vm *vm, uint64_t bytes)
{
	struct victims victims;
	uint64_t at = 0, taken;
	uint32_t extent;

	victims_init(&victims);
	while (victims.bytes < bytes &&
	       (extent = ledger_seek(vm->ledger, at)) != LEDGER_NONE) {
		const struct ledger_extent *e = ledger_get(vm->ledger, extent);

		at = ledger_end(e);
		if (!mode_protects(vm, e))
			(void)reclaim_take(vm, extent, &victims);
	}
	taken = victims.bytes;
	return reclaim_evict(vm, &victims, RECLAIM_ROOM) < 0 ? 0 : taken;
}

/* A slice of taking what is held. False: nothing can be taken now. */
static bool revoke(struct vm *vm)
{
	uint64_t until = vm_now() + ENFORCE_SLICE_USEC;

	while (enforce_excess(vm) > 0) {
		uint64_t bytes =
			min(enforce_excess(vm), (uint64_t)ENFORCE_STEP_BYTES);
		uint64_t taken = shed_late(vm, bytes);
		struct victims victims;

		/*
		 * At once: whoever gives up a little whenever it is looked for
		 * does not win time by it.
		 */
		victims_init(&victims);
		if (taken < bytes)
			reclaim_pick_held(
				vm, min(bytes - taken, enforce_excess(vm)),
				&victims);
		if (victims.extents > 0)
			log_revoked(vm, &victims);
		else if (taken == 0)
			return false;
		if (reclaim_evict(vm, &victims, RECLAIM_REVOKE) < 0)
			return false;
		if (vm_now() >= until)
			return true;
	}
	return true;
}

static void log_overdue(struct vm *vm)
{
	struct enforce_root *e = &vm->root->enforce;

	if (!e->overdue)
		log_ratelimited(
			LOG_WARNING,
			"the guest holds %llu KiB above the quota of %llu KiB after %u ms: they stay until it gives them up (enforce=wait), and nothing new is mapped",
			KIB(enforce_excess(vm)), KIB(vm->root->quota.limit),
			e->deadline_ms);
	e->overdue = true;
}

void vm_tick(struct vm *vm, uint64_t now)
{
	const struct enforce_root *e = &vm->root->enforce;
	bool late = e->excess > 0 && now >= e->until;
	uint64_t next = ENFORCE_LATER_USEC;

	if (late && vm->config.enforce == VM_ENFORCE_REVOKE) {
		if (revoke(vm))
			next = 0; /* after what else waits in the event loop */
	} else if (vm_work(vm)) {
		vm_notify_work(vm);
	}
	settle(vm);
	if (e->excess == 0)
		return; /* nothing was asked for, or all of it is there */
	if (now < e->until)
		next = min(e->until - now, (uint64_t)ENFORCE_LOOK_USEC);
	else if (!late)
		next = 0;
	else if (vm->config.enforce == VM_ENFORCE_WAIT)
		log_overdue(vm);
	set_timer(vm, now + min(next, VM_NEVER - 1 - now));
}
