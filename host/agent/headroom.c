// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * headroom.c - room in the quota that is made before it is asked for
 *
 * Theory of operation: an eviction costs about as much as a mapping, and who
 * misses waits for both. Where the quota has turned out to be too small, some
 * requests' worth of it is kept free: once less than the low watermark is free,
 * the background evicts what is idle up to the high one.
 *
 * What is free helps nobody to a hit. So it is little, and a quota that just
 * suffices is used to the last byte: a part of it has to have been taken by
 * requests that waited before it counts as too small.
 *
 * Owns: struct headroom in the VM's state. Locks: none. Evicts as a request
 * does, through reclaim.c: never what is held.
 */
#include "host/agent/headroom.h"

#include "host/agent/reclaim.h"
#include "host/agent/vm_private.h"
#include "host/lib/macros.h"

/* The high watermark: in requests, and in parts of the quota at most. */
#define HEADROOM_REQUESTS 4u
#define HEADROOM_SHARE	  128u
/* Of how many requests the average is. */
#define HEADROOM_AVERAGE 8u
/* The part of the quota after which it is too small ... */
#define HEADROOM_PRESSED 4u
/* ... and how many bytes that did not wait make up for one that did. */
#define HEADROOM_FORGET 16u

/* In whole granules: a quota of a few of them has no room to spare. */
static uint64_t high_watermark(const struct vm *vm)
{
	uint64_t high = min(vm->root->headroom.need * HEADROOM_REQUESTS,
			    vm->root->quota.limit / HEADROOM_SHARE);

	return high >> vm_shift(vm) << vm_shift(vm);
}

static bool is_low(const struct vm *vm)
{
	return quota_missing(&vm->root->quota, high_watermark(vm) / 2) > 0;
}

static bool is_pressed(const struct vm *vm)
{
	return vm->root->headroom.waited >
	       vm->root->quota.limit / HEADROOM_PRESSED;
}

void headroom_missed(struct vm *vm, uint64_t bytes, bool waited)
{
	struct headroom *h = &vm->root->headroom;

	h->need += bytes / HEADROOM_AVERAGE;
	h->need -= h->need / HEADROOM_AVERAGE;
	if (waited)
		vm->root->stats.map_waited_evictions++;
	/* what headroom was made for would have waited without it */
	if (waited || (is_pressed(vm) && is_low(vm)))
		h->waited += bytes;
	else
		h->waited -= min(h->waited, bytes / HEADROOM_FORGET);
	h->waited = min(h->waited, vm->root->quota.limit);
	if (is_pressed(vm) && is_low(vm))
		vm_notify_work(vm);
}

void headroom_forget(struct vm *vm)
{
	vm->root->headroom.waited = 0;
}

bool headroom_work(struct vm *vm)
{
	struct victims victims;

	if (!is_pressed(vm) || mode_active(vm) || !is_low(vm) ||
	    !table_is_writable(vm->table))
		return false;
	victims_init(&victims);
	if (reclaim_pick(vm,
			 quota_missing(&vm->root->quota, high_watermark(vm)), 0,
			 NULL, 0, &victims))
		(void)reclaim_evict(vm, &victims, RECLAIM_ROOM);
	else
		reclaim_restore(vm, &victims);
	return false;
}
