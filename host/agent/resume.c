// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * resume.c - goes on where a process was killed: the books of the VM
 *
 * Theory of operation. Of the arena, only what each slot says of itself is
 * believed: extents in the books, drafts (which may be mapped), leaves; and in
 * the root single values, each of which one store changes. Indexes, lists, sums
 * and free slots are made anew from those, in place, so that to be killed once
 * more in the middle costs nothing. What the replacement, the prefetch and the
 * curve have learnt is gone.
 *
 * The IOMMU went on while nobody was there. What was about to be mapped is
 * unmapped (it may have been mapped), what was about to be unmapped is unmapped
 * (again). All the rest is as the books say; but for granules that borders of
 * regions cut, each piece of which is mapped (or found mapped) anew.
 *
 * Invariant: the quota charges what is mapped, to the byte, before the first
 * request is served; a word says MAPPED only of what is.
 *
 * Locks: none. In a request's way: not.
 */
#include <errno.h>
#include <string.h>

#include "host/agent/endpoints.h"
#include "host/agent/extent.h"
#include "host/agent/iommu/iommu.h"
#include "host/agent/memory.h"
#include "host/agent/reclaim.h"
#include "host/agent/state.h"
#include "host/agent/vm_private.h"
#include "host/lib/crash.h"
#include "host/lib/durable.h"
#include "host/lib/log.h"
#include "host/lib/macros.h"

static bool none_taken(const void *slot)
{
	(void)slot;
	return false;
}

void resume_begin(struct vm *vm)
{
	struct vm_root *root = vm->root;

	vm->resuming = true;
	state_recover(vm->state, STATE_GHOSTS, none_taken);
	memset(&root->policy, 0, sizeof(root->policy));
	memset(&root->headroom, 0, sizeof(root->headroom));
	memset(&root->prefetch, 0, sizeof(root->prefetch));
	memset(&root->ahead, 0, sizeof(root->ahead));
	ahead_init(&root->ahead);
	if (root->start.has_price)
		vm->price = root->start.price;
	/* Empty until vm_resume() has looked at the slots. */
	ledger_root_init(&root->ledger, 1);
	treap_root_init(&root->table.index, 1);
	root->table.granule_shift = vm_shift(vm);
	root->quota.charged = 0;
	root->kept = 0;
	endpoints_count_slots(vm);
}

void resume_abandon(struct vm *vm)
{
	state_recover(vm->state, STATE_EXTENTS, none_taken);
	state_recover(vm->state, STATE_GHOSTS, none_taken);
	state_recover(vm->state, STATE_LEAVES, none_taken);
	ledger_root_init(&vm->root->ledger, 1);
	table_root_init(&vm->root->table, vm_shift(vm), 1);
	vm->root->quota.charged = 0;
}

int vm_memory_restore(struct vm *vm, const void *source, uint64_t gpa,
		      uint64_t size, int fd, uint64_t offset, uint32_t prot)
{
	return memory_add(vm->memory, source, gpa, size, fd, offset, prot,
			  NULL);
}

static int refuse(const char *why, const struct ledger_extent *e)
{
	log_err("the state of the agent before this one is refused: %s (granules 0x%llx, %u)",
		why, (unsigned long long)ledger_first(e), e->count);
	return -EUCLEAN;
}

/* The bytes that an extent covers, with or without memory. */
static uint64_t span(const struct vm *vm, const struct ledger_extent *e)
{
	return (uint64_t)e->count << vm_shift(vm);
}

/* Ends what may be mapped of an extent that is in no index, and drops it. */
static int end_extent(struct vm *vm, uint32_t extent)
{
	struct ledger_extent *e = ledger_get(vm->ledger, extent);
	int r = iommu_unmap(vm->iommu, ledger_first(e) << vm_shift(vm),
			    span(vm, e), NULL);

	if (r < 0)
		return log_err_errno(
			r,
			"cannot unmap what the agent before this one was about");
	crash_point("resume-unmapped");
	e->charge.bytes = 0;
	ledger_drop(vm->ledger, extent);
	return 0;
}

/* One piece of a cut granule: it may be mapped, or not (yet). */
static int map_again(struct vm *vm, struct ledger_extent *e, uint64_t pos,
		     const struct memory_region *region, uint64_t size,
		     bool anew)
{
	const struct iommu_map map = {
		.iova = pos,
		.size = size,
		.vaddr = (char *)region->vaddr + (pos - region->gpa),
		.prot = region->prot,
	};
	int r = iommu_map(vm->iommu, &map);

	if (r < 0 && r != -EEXIST) {
		e->flags |= LEDGER_PARTIAL;
		return 0;
	}
	if (r == 0 && !anew && (e->flags & LEDGER_PARTIAL))
		/* it had been refused, as a rule for want of room */
		return iommu_unmap(vm->iommu, pos, size, NULL);
	e->charge.bytes += size;
	e->pieces++;
	return 0;
}

/*
 * A granule with borders of memory in it: pieces come and go while it is in the
 * books, so that those say too much or too little of one. @anew: what is mapped is
 * not taken for the pieces that there are to be.
 */
static int settle_cut(struct vm *vm, struct ledger_extent *e, bool anew)
{
	uint64_t pos = ledger_first(e) << vm_shift(vm);
	uint64_t last = pos + (span(vm, e) - 1);

	e->charge.bytes = 0;
	e->pieces = 0;
	if (anew) {
		int r = iommu_unmap(vm->iommu, pos, span(vm, e), NULL);

		if (r < 0)
			return r;
	}
	for (;;) {
		const struct memory_region *region =
			memory_find(vm->memory, pos, true);
		uint64_t from, to;
		int r = 0;

		if (!region || region->gpa > last)
			return iommu_unmap(vm->iommu, pos, last - pos + 1,
					   NULL);
		from = max(pos, region->gpa);
		if (from > pos)
			r = iommu_unmap(vm->iommu, pos, from - pos, NULL);
		if (r < 0)
			return r;
		to = min(last, memory_region_last(region));
		r = map_again(vm, e, from, region, to - from + 1, anew);
		if (r < 0 || to == last)
			return r;
		pos = to + 1;
	}
}

/* The same; and where one mapping lies across a border of pieces, anew. */
static int settle_any(struct vm *vm, struct ledger_extent *e, bool anew)
{
	int r = settle_cut(vm, e, anew);

	if (r == -EINVAL && !anew)
		r = settle_cut(vm, e, true);
	if (r < 0)
		return log_err_errno(
			r, "cannot unmap what a granule has no memory for");
	return 0;
}

/* Is @e being unmapped? */
static bool is_leaving(const struct vm *vm, const struct ledger_extent *e)
{
	const struct vm_leaving *leaving = &vm->root->leaving;

	return leaving->valid && ledger_first(e) >= leaving->first &&
	       ledger_end(e) <= leaving->end;
}

static int take_extent(struct vm *vm, uint32_t extent, bool anew)
{
	struct ledger_extent *e = ledger_get(vm->ledger, extent);
	struct extent_shape shape = { 0 };
	int r;

	if (e->count == 0 || ledger_first(e) > UINT64_MAX >> vm_shift(vm) ||
	    e->count > (UINT64_MAX >> vm_shift(vm)) - ledger_first(e))
		return refuse("an extent is beyond all addresses", e);
	if (ledger_mark(vm->ledger, extent) == LEDGER_DRAFT ||
	    is_leaving(vm, e))
		return end_extent(vm, extent);
	extent_shape(vm, ledger_first(e), ledger_end(e), UINT64_MAX / 2 + 1,
		     &shape);
	/* Its memory left, and it was about to follow. */
	if (shape.count != e->count)
		return end_extent(vm, extent);
	if (e->count == 1 && (shape.pieces != 1 || shape.bytes != span(vm, e) ||
			      e->pieces != 1 || e->charge.bytes != span(vm, e)))
		r = settle_any(vm, e, anew);
	else if (e->pieces != 1 || e->charge.bytes != shape.bytes)
		r = refuse("an extent is charged other than it is long", e);
	else
		r = 0;
	if (r < 0)
		return r;
	if (e->charge.bytes == 0)
		return end_extent(vm, extent);
	if (ledger_readmit(vm->ledger, extent) < 0)
		return refuse("extents overlap", e);
	e->flags &= LEDGER_DIRECT | LEDGER_PARTIAL | LEDGER_KEPT |
		    LEDGER_VICTIM;
	vm->root->quota.charged += e->charge.bytes;
	return 0;
}

static int take_extents(struct vm *vm, bool anew)
{
	uint32_t top;

	vm->root->quota.charged = 0;
	ledger_recover(vm->ledger);
	top = ledger_slots(vm->ledger);
	for (uint32_t extent = 0; extent < top; extent++) {
		int r = 0;

		switch (ledger_mark(vm->ledger, extent)) {
		case LEDGER_FREE:
			break;
		case LEDGER_DRAFT:
		case LEDGER_ENTERED:
			r = take_extent(vm, extent, anew);
			break;
		default:
			r = refuse("a slot is nothing",
				   ledger_get(vm->ledger, extent));
		}
		if (r < 0)
			return r;
	}
	durable_store(&vm->root->leaving.valid, 0u);
	vm->root->quota.peak =
		max(vm->root->quota.peak, vm->root->quota.charged);
	return 0;
}

/* Those that were claimed and not yet unmapped may be used again. */
static void settle_words(struct vm *vm)
{
	uint32_t extent;
	uint64_t at = 0;

	vm->root->table.stale = true;
	if (vm->root->table.writable)
		table_set_writable(vm->table, true);
	while ((extent = ledger_seek(vm->ledger, at)) != LEDGER_NONE) {
		struct ledger_extent *e = ledger_get(vm->ledger, extent);
		bool victim = e->flags & LEDGER_VICTIM;

		at = ledger_end(e);
		e->flags &= ~(uint32_t)LEDGER_VICTIM;
		if (e->flags & LEDGER_KEPT)
			vm->root->kept++;
		policy_inserted(vm->policy, extent);
		if (victim && !(e->flags & LEDGER_PARTIAL))
			table_set_mapped(vm->table, ledger_first(e), e->count);
	}
}

/* Adds the bytes that were mapped in granules [first, end), and ends them. */
static int end_between(struct vm *vm, uint64_t first, uint64_t end,
		       uint64_t *bytes)
{
	const uint64_t half = (UINT64_MAX >> vm_shift(vm)) / 2 + 1;
	uint64_t ended = 0;
	int r;

	/* All addresses have no size in 64 bits. */
	if (first < half && end > half) {
		r = end_between(vm, first, half, bytes);
		return r < 0 ? r : end_between(vm, half, end, bytes);
	}
	if (first == end)
		return 0;
	r = iommu_unmap(vm->iommu, first << vm_shift(vm),
			(end - first) << vm_shift(vm), &ended);
	*bytes += ended;
	return r;
}

/*
 * What is mapped, and not in the books, would stay for good, uncharged: that of a
 * process before that was not itself any longer. No number in the state can hide it.
 */
static int end_unknown(struct vm *vm)
{
	const uint64_t end = (UINT64_MAX >> vm_shift(vm)) + 1;
	uint64_t at = 0, bytes = 0;
	uint32_t extent;
	int r = 0;

	while (r == 0 &&
	       (extent = ledger_seek(vm->ledger, at)) != LEDGER_NONE) {
		const struct ledger_extent *e = ledger_get(vm->ledger, extent);

		r = end_between(vm, at, ledger_first(e), &bytes);
		at = ledger_end(e);
	}
	if (r == 0)
		r = end_between(vm, at, end, &bytes);
	if (r < 0)
		return log_err_errno(
			r,
			"cannot unmap what the state of the agent before this one does not know");
	if (bytes == 0)
		return 0;
	log_err("the state of the agent before this one is refused: %llu bytes were mapped of which it does not know",
		(unsigned long long)bytes);
	return -EUCLEAN;
}

/* How many the kernel has; as many as the books have where it does not count. */
static uint64_t count_mapped(struct vm *vm)
{
	uint64_t known = ledger_pieces(vm->ledger);
	struct iommu_limits limits;

	if (iommu_get_limits(vm->iommu, &limits) < 0 ||
	    limits.entries_max == IOMMU_ENTRIES_UNKNOWN ||
	    limits.entries_free == IOMMU_ENTRIES_UNKNOWN)
		return known;
	/* One that offers the container without its limit (iommufd). */
	if (limits.entries_free == limits.entries_max)
		return known;
	return limits.entries_max - limits.entries_free;
}

/* The kernel counts mappings, too: each piece is one. */
static int compare_count(struct vm *vm)
{
	uint64_t mapped = count_mapped(vm);

	if (mapped == ledger_pieces(vm->ledger))
		return 0;
	log_err("the state of the agent before this one is refused: it knows %llu mappings, and the kernel has %llu",
		(unsigned long long)ledger_pieces(vm->ledger),
		(unsigned long long)mapped);
	return -EUCLEAN;
}

/*
 * Where a region came in the place of others in a cut granule, and was mapped, but
 * not noted yet, what is mapped there are not the pieces of those. It is rare enough
 * to take all such pieces from under a device for a moment.
 */
static int take_books(struct vm *vm)
{
	int r = take_extents(vm, false);

	if (r == 0)
		r = end_unknown(vm);
	if (r == 0 && count_mapped(vm) != ledger_pieces(vm->ledger))
		r = take_extents(vm, true);
	if (r == 0)
		r = compare_count(vm);
	if (r < 0)
		return r;
	crash_point("resume-ledger");
	r = table_recover(vm->table);
	if (r < 0)
		return log_err_errno(r, "the tracking table cannot be resumed");
	return 0;
}

/*
 * What follows from single values may have been left undone behind the store of
 * the value: a driver's end, the asking for a quota, the news of what changed. It
 * is done now, once more if need be.
 */
static void settle_driver(struct vm *vm)
{
	struct vm_root *root = vm->root;

	mode_resume(vm);
	/* What the backend refuses to unmap stays in the books, as ever. */
	if (root->inited)
		(void)endpoints_settle(vm);
	else
		(void)vm_forget_driver(vm);
	enforce_resume(vm);
	root->quota_news++;
	root->strategy_news++;
	root->endpoint_news++;
	vm_notify_config(vm);
}

int vm_resume(struct vm *vm)
{
	int r = take_books(vm);

	if (r < 0) {
		resume_abandon(vm);
		return r;
	}
	settle_words(vm);
	vm->resuming = false;
	settle_driver(vm);
	crash_point("resume-vm");
	log_info("resumed: %llu bytes in %u extents are mapped",
		 (unsigned long long)vm->root->quota.charged,
		 ledger_extents(vm->ledger));
	return 0;
}

int vm_unmap_all(struct iommu *iommu)
{
	const uint64_t half = UINT64_C(1) << 63;
	int r = iommu_unmap(iommu, 0, half, NULL);

	if (r == 0)
		r = iommu_unmap(iommu, half, half, NULL);
	return r;
}
