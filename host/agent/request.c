// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * request.c - the story of a request
 *
 * Owns the order of steps of each request, above all of MAP (request_map()).
 * Invariants: nothing but the caller's copy is judged; a MAP succeeds whole, or
 * fails with nothing mapped that was not mapped before; the bytes mapped never
 * exceed the quota, because room is made before anything is mapped. Locks:
 * none. No step allocates on the way but plan_add(), and that first.
 */
#include "host/agent/vm.h"

#include <endian.h>
#include <errno.h>

#include "host/agent/endpoints.h"
#include "host/agent/host_limits.h"
#include "host/agent/memory.h"
#include "host/agent/mode.h"
#include "host/agent/observe.h"
#include "host/agent/plan.h"
#include "host/agent/probe.h"
#include "host/agent/reclaim.h"
#include "host/agent/status.h"
#include "host/agent/vm_private.h"
#include "host/lib/crash.h"
#include "host/lib/macros.h"

/* The first item that contains @granule; a later step failed there. */
static uint16_t item_of(const struct request *req, uint64_t granule)
{
	for (uint16_t i = 0; i < req->count; i++) {
		if (req->ranges[i].first <= granule &&
		    granule <= req->ranges[i].last)
			return i;
	}
	return 0;
}

/* Moves the range at @i down to where it belongs in a heap of @n. */
static void sift(struct granules *ranges, size_t i, size_t n)
{
	for (;;) {
		size_t child = 2 * i + 1;
		struct granules swap = ranges[i];

		if (child + 1 < n &&
		    ranges[child + 1].first > ranges[child].first)
			child++;
		if (child >= n || ranges[child].first <= swap.first)
			return;
		ranges[i] = ranges[child];
		ranges[child] = swap;
		i = child;
	}
}

/* Copies the request's ranges into vm->sorted: sorted and disjoint. */
static size_t sort_ranges(struct vm *vm, const struct request *req)
{
	struct granules *sorted = vm->sorted;
	size_t n = req->count, last = 0;

	for (size_t i = 0; i < n; i++)
		sorted[i] = req->ranges[i];
	for (size_t i = n / 2; i-- > 0;)
		sift(sorted, i, n);
	for (size_t i = n; i-- > 1;) {
		struct granules swap = sorted[0];

		sorted[0] = sorted[i];
		sorted[i] = swap;
		sift(sorted, 0, i);
	}
	for (size_t i = 1; i < n; i++) {
		if (sorted[i].first <= sorted[last].last + 1)
			sorted[last].last =
				max(sorted[last].last, sorted[i].last);
		else
			sorted[++last] = sorted[i];
	}
	return last + 1;
}

/*
 * Is there memory in each granule of a range? More of it than can be mapped is
 * refused here, before anybody walks over it.
 */
static int check_memory(const struct vm *vm, const struct granules *range)
{
	const struct quota *quota = &vm->root->quota;
	uint8_t shift = vm_shift(vm);
	uint64_t pos = range->first << shift, next = range->first, bytes = 0;
	uint64_t highest = (range->last << shift) |
			   (((uint64_t)1 << shift) - 1);

	for (;;) {
		const struct memory_region *region;
		uint64_t last;

		region = memory_find(vm->memory, pos, true);
		if (!region || region->gpa > highest)
			break;
		if (region->gpa >> shift > next)
			return VERDICT_RANGE;
		last = min(memory_region_last(region), highest);
		bytes += last - max(pos, region->gpa) + 1;
		next = (last >> shift) + 1;
		if (last == highest)
			break;
		pos = last + 1;
	}
	if (next <= range->last)
		return VERDICT_RANGE;
	return bytes > max(quota->limit, quota->charged) ? VERDICT_QUOTA : 0;
}

/* Judges the items of a MAP in their order. */
static int check_ranges(const struct vm *vm, struct request *req)
{
	for (uint16_t i = 0; i < req->count; i++) {
		const struct granules *range = &req->ranges[i];
		int r = check_memory(vm, range);

		if (r == 0 &&
		    !table_covers(vm->table, range->first, range->last))
			r = VERDICT_NOENT;
		if (r != 0) {
			req->failed = i;
			return r;
		}
	}
	return 0;
}

static uint64_t count_granules(const struct granules *ranges, size_t n)
{
	uint64_t granules = 0;

	for (size_t i = 0; i < n; i++)
		granules += ranges[i].last - ranges[i].first + 1;
	return granules;
}

/* What cannot fail: the books, the words, the answer. */
static void map_commit(struct vm *vm, struct request *req, struct plan *plan,
		       const struct granules *ranges, size_t n)
{
	bool persistent = endpoints_strategy(vm, req->endpoint) ==
			  VIRTIO_PVDMA_S_PERSISTENT;
	struct vm_stats *stats = &vm->root->stats;

	observe_missed(vm, plan);
	plan_commit(vm, plan, 0);
	for (size_t i = 0; i < n; i++) {
		if (persistent)
			reclaim_keep(vm, &ranges[i]);
		table_set_mapped(vm->table, ranges[i].first,
				 ranges[i].last - ranges[i].first + 1);
	}
	req->mapped = (uint32_t)min(plan->granules, (uint64_t)UINT32_MAX);
	stats->map_granules += plan->granules;
	stats->map_present += count_granules(ranges, n) - plan->granules;
}

static int request_map(struct vm *vm, struct request *req)
{
	const struct granules *ranges = vm->sorted;
	uint64_t pos = 0, bytes = 0;
	struct plan plan;
	bool waited = false;
	size_t n;
	int r;

	vm->root->stats.map_requests++;
	r = endpoints_check(vm, req->endpoint);
	if (r == 0)
		r = check_ranges(vm, req);
	if (r != 0)
		return r;
	n = sort_ranges(vm, req);

	/* What is not mapped already: the last allocation. */
	plan_init(&plan);
	r = plan_add(vm, &plan, ranges, n, plan_window(vm), &pos);
	if (r == 0 && vm->config.ahead)
		plan_note_misses(vm, &plan);

	/* Room in the quota: picks victims and unmaps them. */
	if (r == 0) {
		waited = quota_missing(&vm->root->quota, plan.bytes) > 0;
		trace_evictions(&vm->trace, &vm->root->stats, true);
		r = reclaim_room(vm, plan.bytes, plan.pieces, ranges, n);
		trace_evictions(&vm->trace, &vm->root->stats, false);
		if (r != 0 && plan.head != LEDGER_NONE)
			/* what is mapped already has not failed */
			pos = ledger_first(ledger_get(vm->ledger, plan.head));
	}

	/* Charge and map; one IOMMU mapping an extent. */
	if (r == 0) {
		r = plan_map(vm, &plan, ranges, n, &pos, &bytes);
		if (r < 0)
			r = limits_verdict(vm, r, pos << vm_shift(vm), bytes);
	}
	if (r != 0) {
		req->failed = item_of(req, pos);
		plan_abandon(vm, &plan);
		if (r == VERDICT_QUOTA)
			observe_refused(vm, count_granules(ranges, n));
		return r;
	}
	trace_mapped(&vm->trace, &plan);
	crash_point("map-all-called");
	map_commit(vm, req, &plan, ranges, n);
	crash_point("map-words-set");
	trace_passed(&vm->trace, TRACE_WORDS);
	if (plan.granules > 0) {
		headroom_missed(vm, plan.bytes, waited);
		ahead_missed(vm, req->endpoint, ranges, n);
	}
	return 0;
}

/* What all but MAP begin with: *@ret_n ranges in vm->sorted, or a verdict. */
static int take_ranges(struct vm *vm, const struct request *req, size_t *ret_n)
{
	int r = endpoints_check(vm, req->endpoint);

	if (r == 0)
		*ret_n = sort_ranges(vm, req);
	return r;
}

/* Picks for unmapping what of @range is idle. */
static void unmap_range(struct vm *vm, const struct granules *range,
			struct victims *victims)
{
	uint64_t at = range->first;

	while (at <= range->last) {
		uint32_t extent = ledger_seek(vm->ledger, at);
		struct ledger_extent *e;

		if (extent == LEDGER_NONE)
			return;
		e = ledger_get(vm->ledger, extent);
		at = max(at, ledger_first(e));
		if (at > range->last)
			return;
		if (mode_active(vm)) {
			/* It stays, as the direct mapping's own. */
			(void)table_claim(vm->table, at,
					  min(range->last + 1, ledger_end(e)) -
						  at);
			e->flags |= LEDGER_DIRECT;
		} else if (!(e->flags & LEDGER_VICTIM)) {
			/* (Two ranges may touch one extent.) */
			(void)reclaim_take(vm, extent, victims);
		}
		at = ledger_end(e);
	}
}

static int request_unmap(struct vm *vm, struct request *req)
{
	struct victims victims;
	size_t n;
	int r;

	r = take_ranges(vm, req, &n);
	if (r != 0)
		return r;
	victims_init(&victims);
	for (size_t i = 0; i < n; i++)
		unmap_range(vm, &vm->sorted[i], &victims);
	return reclaim_evict(vm, &victims, RECLAIM_OTHER);
}

static void release_range(struct vm *vm, const struct granules *range)
{
	uint64_t at = range->first;
	uint32_t extent;

	while ((extent = ledger_seek(vm->ledger, at)) != LEDGER_NONE) {
		const struct ledger_extent *e = ledger_get(vm->ledger, extent);

		if (ledger_first(e) > range->last)
			return;
		policy_cold(vm->policy, extent);
		at = ledger_end(e);
	}
}

static int request_release(struct vm *vm, const struct request *req)
{
	size_t n;
	int r;

	r = take_ranges(vm, req, &n);
	if (r != 0)
		return r;
	for (size_t i = 0; i < n; i++)
		release_range(vm, &vm->sorted[i]);
	return 0;
}

static bool negotiated(const struct vm *vm, unsigned int feature)
{
	return vm->root->features & ((uint64_t)1 << feature);
}

/* Nobody waits for what becomes of it. */
static int request_prefetch(struct vm *vm, const struct request *req)
{
	size_t n;
	int r;

	if (req->sample != 0 && !negotiated(vm, VIRTIO_PVDMA_F_SAMPLE))
		return VERDICT_INVAL;
	r = take_ranges(vm, req, &n);
	if (r != 0)
		return r;
	prefetch_hinted(vm, req->endpoint, vm->sorted, n, req->sample);
	return 0;
}

/* Leaves before the one that fails stay registered. */
static int request_leaf(struct vm *vm, struct request *req)
{
	for (uint16_t i = 0; i < req->count; i++) {
		uint32_t leaves = table_leaves(vm->table);
		int r = table_register(vm->table, req->leaves[i].index,
				       req->leaves[i].addr);

		if (r == 0) {
			if (table_leaves(vm->table) > leaves)
				mode_tell_leaf(vm, req->leaves[i].index);
			continue;
		}
		req->failed = i;
		if (r < 0)
			return r;
		return r == ERANGE ? VERDICT_RANGE : VERDICT_INVAL;
	}
	return 0;
}

/* @again: it may have been served before, by a process that was killed. */
static int dispatch(struct vm *vm, struct request *req, bool again)
{
	if (req->type == VIRTIO_PVDMA_T_UNMAP &&
	    !negotiated(vm, VIRTIO_PVDMA_F_UNMAP))
		return VERDICT_UNSUPP;
	if (req->type == VIRTIO_PVDMA_T_RELEASE &&
	    !negotiated(vm, VIRTIO_PVDMA_F_RELEASE))
		return VERDICT_UNSUPP;
	if (req->type == VIRTIO_PVDMA_T_PREFETCH &&
	    !negotiated(vm, VIRTIO_PVDMA_F_PREFETCH))
		return VERDICT_UNSUPP;
	if (req->type == VIRTIO_PVDMA_T_INIT)
		return vm_init(vm, &req->init);
	if (!vm->root->inited)
		return VERDICT_STATE;
	vm_driver_lives(vm);
	switch (req->type) {
	case VIRTIO_PVDMA_T_LEAF:
		return request_leaf(vm, req);
	case VIRTIO_PVDMA_T_ATTACH:
		return endpoints_attach(vm, req->endpoint, &req->attach);
	case VIRTIO_PVDMA_T_DETACH:
		/* What was done before a kill, or after it, is no error. */
		if (again &&
		    endpoints_check(vm, req->endpoint) == VERDICT_STATE)
			return 0;
		return endpoints_detach(vm, req->endpoint);
	case VIRTIO_PVDMA_T_MAP:
		return request_map(vm, req);
	case VIRTIO_PVDMA_T_UNMAP:
		return request_unmap(vm, req);
	case VIRTIO_PVDMA_T_PREFETCH:
		return request_prefetch(vm, req);
	default:
		return request_release(vm, req);
	}
}

void vm_request(struct vm *vm, const void *buf, size_t len,
		struct virtio_pvdma_req_tail *ret_tail)
{
	struct vm_stats *stats = &vm->root->stats;
	struct request *req = &vm->request;
	bool again = vm->again;
	int r;

	vm->again = false;
	stats->requests++;
	r = decode_request(buf, len, &vm->decode_limits, req);
	trace_decoded(&vm->trace, req);
	PROBE3(request_begin, req->type, req->endpoint, req->count);
	if (r == 0)
		r = vm->root->running ? dispatch(vm, req, again) :
					VERDICT_STATE;
	*ret_tail = (struct virtio_pvdma_req_tail){
		.status = status_of(r),
		.index = htole16(r != 0 ? req->failed : 0),
		.mapped = htole32(r == 0 ? req->mapped : 0),
	};
	trace_status(&vm->trace, ret_tail->status);
	PROBE4(request_end, req->type, req->endpoint, ret_tail->status,
	       r == 0 ? req->mapped : 0);
	if (r != 0)
		stats->failed_requests++;
	if (r == VERDICT_QUOTA)
		stats->failed_quota++;
	if (r == VERDICT_LIMIT)
		stats->failed_limit++;
}

void vm_request_again(struct vm *vm)
{
	vm->again = true;
}

size_t vm_request_max(const struct vm *vm)
{
	return decode_max(&vm->decode_limits);
}
