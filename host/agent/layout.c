// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * layout.c - memory regions come and go under the mappings
 *
 * Owns nothing. Invariant: nothing is mapped outside of a region; a granule
 * that the table shows as mapped is mapped as far as it has memory. Extents
 * are whole granules of one region, or single granules that a border cuts
 * (ledger.h): so a region takes whole extents with it, and of the granules at
 * its two ends perhaps a piece. Locks: none. Not in a request's way.
 */
#include "host/agent/layout.h"

#include "host/agent/extent.h"
#include "host/agent/memory.h"
#include "host/agent/reclaim.h"
#include "host/agent/vm_private.h"
#include "host/lib/log.h"
#include "host/lib/macros.h"

/* The part of a region in one granule that the region does not fill. */
struct cut {
	uint64_t granule;
	uint64_t from, last; /* bytes */
};

/* The granules that a region fills: [first, end); and its cuts, at most 2. */
struct parts {
	uint64_t first, end;
	struct cut cuts[2];
	int n_cuts;
};

static void cut_add(struct parts *parts, uint64_t granule, uint64_t from,
		    uint64_t last)
{
	parts->cuts[parts->n_cuts++] = (struct cut){ granule, from, last };
}

static void parts_of(const struct vm *vm, const struct memory_region *region,
		     struct parts *ret)
{
	uint8_t shift = vm_shift(vm);
	uint64_t mask = ((uint64_t)1 << shift) - 1;
	uint64_t from = region->gpa, last = memory_region_last(region);
	bool cut_start = (from & mask) != 0, cut_end = (last & mask) != mask;

	*ret = (struct parts){
		.first = (from >> shift) + (cut_start ? 1 : 0),
		.end = (last >> shift) + (cut_end ? 0 : 1),
	};
	if (from >> shift == last >> shift) {
		if (cut_start || cut_end)
			cut_add(ret, from >> shift, from, last);
		return;
	}
	if (cut_start)
		cut_add(ret, from >> shift, from, from | mask);
	if (cut_end)
		cut_add(ret, last >> shift, last & ~mask, last);
}

/* All extents within [first, end), which begin and end there. */
static int end_whole(struct vm *vm, uint64_t first, uint64_t end)
{
	uint64_t at = first, bytes = 0;
	uint32_t extent;
	int r;

	for (;;) {
		const struct ledger_extent *e;

		extent = ledger_seek(vm->ledger, at);
		if (extent == LEDGER_NONE)
			break;
		e = ledger_get(vm->ledger, extent);
		if (ledger_first(e) >= end)
			break;
		table_clear_mapped(vm->table, ledger_first(e), e->count);
		bytes += e->charge.bytes;
		at = ledger_end(e);
	}
	if (bytes == 0)
		return 0;
	r = extent_unmap(vm, first, end, bytes);
	if (r < 0)
		return r;
	while ((extent = ledger_seek(vm->ledger, first)) != LEDGER_NONE &&
	       ledger_first(ledger_get(vm->ledger, extent)) < end) {
		vm->root->stats.unmaps++;
		extent_forget(vm, extent);
	}
	extent_unmap_done(vm);
	return 0;
}

static int end_cut(struct vm *vm, const struct cut *cut)
{
	uint32_t extent = ledger_find(vm->ledger, cut->granule);
	const struct ledger_extent *e;
	int r;

	if (extent == LEDGER_NONE)
		return 0;
	e = ledger_get(vm->ledger, extent);
	if (e->charge.bytes <= cut->last - cut->from + 1)
		table_clear_mapped(vm->table, cut->granule, 1);
	r = extent_lose_piece(vm, extent, cut->from, cut->last);
	if (r < 0 || e->charge.bytes > 0)
		return r;
	vm->root->stats.unmaps++;
	extent_forget(vm, extent);
	return 0;
}

int layout_leaving(struct vm *vm, const struct memory_region *region)
{
	struct parts parts;
	int r;

	parts_of(vm, region, &parts);
	r = parts.first < parts.end ? end_whole(vm, parts.first, parts.end) : 0;
	for (int i = 0; r == 0 && i < parts.n_cuts; i++)
		r = end_cut(vm, &parts.cuts[i]);
	if (r == 0)
		table_forget_region(vm->table, region);
	return r;
}

/*
 * The cut granule may be mapped as far as it had memory before. Idle: ends.
 * Held: is completed; if that fails, a driver that asks for it is told so.
 */
static void add_cut(struct vm *vm, const struct cut *cut)
{
	uint32_t extent = ledger_find(vm->ledger, cut->granule);
	struct victims victims;
	struct ledger_extent *e;
	int r;

	if (extent == LEDGER_NONE)
		return;
	e = ledger_get(vm->ledger, extent);
	victims_init(&victims);
	if (!mode_protects(vm, e) && reclaim_take(vm, extent, &victims)) {
		(void)reclaim_evict(vm, &victims, RECLAIM_OTHER);
		return;
	}
	r = extent_add_piece(vm, extent, cut->from, cut->last);
	if (r == 0)
		return;
	log_ratelimited(
		LOG_WARNING,
		"memory at 0x%llx came to a granule that a device uses, and could not be mapped: requests for it fail until it is idle",
		(unsigned long long)cut->from);
	e->flags |= LEDGER_PARTIAL;
	table_clear_mapped(vm->table, cut->granule, 1);
}

void layout_added(struct vm *vm, const struct memory_region *region)
{
	struct parts parts;

	parts_of(vm, region, &parts);
	for (int i = 0; i < parts.n_cuts; i++)
		add_cut(vm, &parts.cuts[i]);
}
