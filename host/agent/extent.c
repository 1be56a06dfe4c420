// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * extent.c - maps and unmaps extents, piece by piece of memory
 *
 * Owns the calls of the IOMMU backend. Invariant: an IOMMU mapping never
 * crosses the border of a memory region, nor that of its extent; what the
 * backend has mapped is what the ledger (or a draft) says. Locks: none. In a
 * request's way: the step that reaches the hardware.
 */
#include "host/agent/extent.h"

#include <assert.h>
#include <errno.h>

#include "host/agent/iommu/iommu.h"
#include "host/agent/memory.h"
#include "host/agent/observe.h"
#include "host/agent/probe.h"
#include "host/agent/reclaim.h"
#include "host/agent/status.h"
#include "host/agent/vm_private.h"
#include "host/lib/crash.h"
#include "host/lib/durable.h"
#include "host/lib/log.h"
#include "host/lib/macros.h"

/* The first piece of memory in [pos, last], none of it beyond one region. */
static bool next_piece(const struct vm *vm, uint64_t pos, uint64_t last,
		       struct iommu_map *ret)
{
	const struct memory_region *region = memory_find(vm->memory, pos, true);
	uint64_t to;

	if (!region || region->gpa > last)
		return false;
	pos = max(pos, region->gpa);
	to = min(last, memory_region_last(region));
	*ret = (struct iommu_map){
		.iova = pos,
		.size = to - pos + 1,
		.vaddr = (char *)region->vaddr + (pos - region->gpa),
		.prot = region->prot,
	};
	return true;
}

/* A granule that is not within one region: count what there is. */
static void cut_shape(const struct vm *vm, uint64_t first, uint64_t last,
		      struct extent_shape *ret)
{
	struct iommu_map piece;

	*ret = (struct extent_shape){ 0 };
	while (next_piece(vm, first, last, &piece)) {
		ret->count = 1;
		ret->pieces++;
		ret->bytes += piece.size;
		first = piece.iova + (piece.size - 1);
		if (first == last)
			break;
		first++;
	}
}

void extent_shape(const struct vm *vm, uint64_t granule, uint64_t end,
		  uint64_t window, struct extent_shape *ret)
{
	uint8_t shift = vm_shift(vm);
	uint64_t gpa = granule << shift;
	uint64_t last = gpa + (((uint64_t)1 << shift) - 1);
	const struct memory_region *region;
	uint64_t whole;

	region = memory_find(vm->memory, gpa, false);
	if (!region || memory_region_last(region) < last) {
		cut_shape(vm, gpa, last, ret);
		return;
	}
	whole = (memory_region_last(region) - gpa + 1) >> shift;
	whole = min(whole, end - granule);
	whole = min(whole, window - (granule & (window - 1)));
	assert(whole > 0 && whole <= UINT32_MAX);
	*ret = (struct extent_shape){
		.count = (uint32_t)whole,
		.pieces = 1,
		.bytes = whole << shift,
	};
}

static int map_piece(struct vm *vm, const struct iommu_map *piece)
{
	int r;

	vm->root->stats.iommu_maps++;
	crash_point("map-intended");
	r = iommu_map(vm->iommu, piece);
	crash_point("map-called");
	PROBE3(map, piece->iova, piece->size, r);
	return r;
}

/* All that is mapped in a range; a failure is told to the operator. */
static int unmap_bytes(struct vm *vm, uint64_t iova, uint64_t size,
		       uint64_t *ret_bytes)
{
	int r;

	vm->root->stats.iommu_unmaps++;
	r = iommu_unmap(vm->iommu, iova, size, ret_bytes);
	PROBE3(unmap, iova, size, r);
	if (r < 0)
		log_ratelimited(LOG_ERR,
				"cannot unmap 0x%llx bytes at 0x%llx: error %d",
				(unsigned long long)size,
				(unsigned long long)iova, -r);
	return r;
}

static void check_bytes(uint64_t iova, uint64_t bytes, uint64_t expected)
{
	if (bytes != expected)
		log_ratelimited(
			LOG_ERR,
			"the IOMMU had %llu bytes mapped from 0x%llx on, not %llu",
			(unsigned long long)bytes, (unsigned long long)iova,
			(unsigned long long)expected);
}

int extent_map(struct vm *vm, uint32_t extent)
{
	struct ledger_extent *e = ledger_get(vm->ledger, extent);
	uint64_t start = ledger_first(e) << vm_shift(vm);
	uint64_t last = start + (((uint64_t)e->count << vm_shift(vm)) - 1);
	uint64_t pos = start, bytes = 0;
	struct iommu_map piece;
	uint32_t pieces = 0;
	int r;

	while (next_piece(vm, pos, last, &piece)) {
		r = map_piece(vm, &piece);
		if (r < 0) {
			/* What does not go away again stays in the books. */
			if (pieces > 0 &&
			    unmap_bytes(vm, start, pos - start, NULL) < 0)
				e->pieces = pieces;
			return r;
		}
		pieces++;
		bytes += piece.size;
		pos = piece.iova + piece.size;
		if (pos - 1 == last)
			break;
	}
	assert(bytes == e->charge.bytes);
	e->pieces = pieces;
	return 0;
}

int extent_unmap(struct vm *vm, uint64_t first, uint64_t end, uint64_t bytes)
{
	struct vm_leaving *leaving = &vm->root->leaving;
	uint64_t iova = first << vm_shift(vm);
	uint64_t unmapped;
	int r;

	assert(!leaving->valid);
	leaving->first = first;
	leaving->end = end;
	durable_store(&leaving->valid, 1u);
	crash_point("unmap-intended");
	r = unmap_bytes(vm, iova, (end - first) << vm_shift(vm), &unmapped);
	crash_point("unmap-called");
	if (r == 0)
		check_bytes(iova, unmapped, bytes);
	else
		extent_unmap_done(vm);
	return r;
}

void extent_unmap_done(struct vm *vm)
{
	crash_point("unmap-in-books");
	durable_store(&vm->root->leaving.valid, 0u);
}

int extent_add_piece(struct vm *vm, uint32_t extent, uint64_t from,
		     uint64_t last)
{
	struct ledger_extent *e = ledger_get(vm->ledger, extent);
	struct granules keep = { ledger_first(e), ledger_first(e) };
	struct iommu_map piece;
	int r;

	ahead_ended(vm, e);
	if (!next_piece(vm, from, last, &piece))
		return 0;
	assert(piece.iova == from && piece.size == last - from + 1);
	r = reclaim_room(vm, piece.size, 1, &keep, 1);
	if (r != 0)
		return r;
	if (quota_charge(&vm->root->quota, &e->charge, piece.size) != 0)
		return VERDICT_QUOTA;
	r = map_piece(vm, &piece);
	if (r < 0) {
		quota_uncharge_part(&vm->root->quota, &e->charge, piece.size);
		return r;
	}
	ledger_set_pieces(vm->ledger, extent, e->pieces + 1);
	return 0;
}

int extent_lose_piece(struct vm *vm, uint32_t extent, uint64_t from,
		      uint64_t last)
{
	struct ledger_extent *e = ledger_get(vm->ledger, extent);
	uint64_t bytes;
	int r;

	ahead_ended(vm, e);
	r = unmap_bytes(vm, from, last - from + 1, &bytes);
	crash_point("piece-unmapped");
	if (r < 0 || bytes == 0)
		return r;
	bytes = min(bytes, e->charge.bytes);
	quota_uncharge_part(&vm->root->quota, &e->charge, bytes);
	ledger_set_pieces(vm->ledger, extent, e->pieces - 1);
	return 0;
}

void extent_forget(struct vm *vm, uint32_t extent)
{
	struct ledger_extent *e = ledger_get(vm->ledger, extent);

	ahead_ended(vm, e);
	/* evicted, and told so, or ended for another cause */
	observe_ended(vm, e);
	if (!(e->flags & LEDGER_VICTIM))
		policy_removed(vm->policy, extent);
	if (e->flags & LEDGER_KEPT)
		vm->root->kept--;
	crash_point("forget");
	quota_uncharge(&vm->root->quota, &e->charge);
	ledger_remove(vm->ledger, extent);
}
