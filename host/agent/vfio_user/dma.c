// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dma.c: the guest's memory layout, as the client tells it.
 *
 * Owns the list of what this client announced. Memory, which comes with a
 * file, is handed on to the VM (vm.h) and mapped nowhere: that is the guest's
 * driver's to ask for. Regions without a file are other devices' BARs; no
 * mapping to them is offered (no peer-to-peer), but they are remembered, since
 * they will be taken back like the others.
 *
 * Invariants: the regions are sorted and disjoint; those that are backed are
 * exactly those that the VM holds on behalf of this session.
 *
 * Locks: none.
 *
 * In a request's way: before all requests; a request reaches only what was
 * announced here. A region that is taken back is unmapped before the reply:
 * the client may then do with the memory what it likes. One that is announced
 * costs an mmap() and no more, because clients wait for the reply with
 * everything stopped.
 */
#include "vfio_user/dma.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "iommu/iommu.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/crash.h"
#include "lib/durable.h"
#include "lib/keeper.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "state.h"
#include "vfio_user/session_impl.h"
#include "vfio_user/vfio_user.h"
#include "vm.h"

/* As announced to clients (version.c). */
#define REGIONS_MAX 65535u

/* An announcement in the state. All regions of all sessions are in one pool. */
struct region_slot {
	uint64_t address;
	uint64_t last;
	uint64_t offset;
	uint64_t file;	/* in the keeper; 0: none */
	uint64_t order; /* in which they were announced */
	uint32_t endpoint;
	uint32_t flags; /* VFIO_USER_DMA_* */
	uint32_t taken; /* by one store */
	uint32_t backed;
	uint64_t reserved;
};

static_assert(sizeof(struct region_slot) == VM_REGION_SLOT_SIZE, "see vm.h");

static struct region_slot *slot_at(struct vm *vm, uint32_t slot)
{
	return state_slot(vm_state(vm), STATE_REGIONS, slot);
}

/* Notes an announcement; there is room. */
static uint32_t note(struct vfu_session *session,
		     const struct vfio_user_dma_map *map, uint64_t last, int fd)
{
	uint32_t slot = state_take(vm_state(session->vm), STATE_REGIONS);
	struct region_slot *s = slot_at(session->vm, slot);

	*s = (struct region_slot){
		.address = map->address,
		.last = last,
		.offset = map->offset,
		.file = keeper_put(session->keeper, KEEPER_MEMORY, fd),
		.order = clock_ns(),
		.endpoint = session->endpoint,
		.flags = map->flags,
		.backed = fd >= 0,
	};
	crash_point("region");
	durable_store(&s->taken, 1u);
	crash_point("region-noted");
	return slot;
}

static void forget(struct vfu_session *session, uint32_t slot)
{
	struct region_slot *s = slot_at(session->vm, slot);
	uint64_t file = s->file;

	durable_store(&s->taken, 0u);
	crash_point("region-forgotten");
	keeper_drop(session->keeper, file);
	state_give(vm_state(session->vm), STATE_REGIONS, slot);
}

void vfu_dma_drop(struct vfu_session *session)
{
	struct vfu_dma *dma = &session->dma;

	for (size_t i = 0; i < dma->count; i++)
		forget(session, dma->regions[i].slot);
	dma->count = 0;
}

void vfu_dma_done(struct vfu_dma *dma)
{
	free(dma->regions);
	*dma = (struct vfu_dma){ 0 };
}

/* The first region that ends at or above @address. */
static size_t find(const struct vfu_dma *dma, uint64_t address)
{
	size_t low = 0, high = dma->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (dma->regions[mid].last < address)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int reserve_one(struct vfu_dma *dma)
{
	struct vfu_dma_region *p;
	size_t capacity;

	if (dma->count < dma->capacity)
		return 0;
	if (dma->count >= REGIONS_MAX)
		return ENOSPC;
	capacity = max(dma->capacity * 2, (size_t)16);
	p = realloc(dma->regions, capacity * sizeof(*p));
	if (!p)
		return -ENOMEM;
	dma->regions = p;
	dma->capacity = capacity;
	return 0;
}

/* There is room. */
static void insert(struct vfu_dma *dma, const struct vfu_dma_region *region)
{
	size_t at = find(dma, region->address);

	memmove(&dma->regions[at + 1], &dma->regions[at],
		(dma->count - at) * sizeof(*region));
	dma->regions[at] = *region;
	dma->count++;
}

static uint32_t prot_of(uint32_t flags)
{
	return (flags & VFIO_USER_DMA_READ ? IOMMU_READ : 0) |
	       (flags & VFIO_USER_DMA_WRITE ? IOMMU_WRITE : 0);
}

static int check_map(const struct vfio_user_dma_map *map, uint64_t *ret_last)
{
	uint64_t offset_last;

	if (map->argsz < sizeof(*map))
		return EINVAL;
	if (map->flags == 0 ||
	    map->flags & ~(VFIO_USER_DMA_READ | VFIO_USER_DMA_WRITE))
		return EINVAL;
	if (!range_last(map->address, map->size, ret_last) ||
	    !range_last(map->offset, map->size, &offset_last))
		return EINVAL;
	return 0;
}

int vfu_dma_map(struct vfu_session *session, struct vfu_message *msg,
		struct vfu_reply *reply)
{
	struct vfu_dma *dma = &session->dma;
	struct vfu_dma_region region;
	struct vfio_user_dma_map map;
	size_t at;
	int r;

	(void)reply;
	memcpy(&map, msg->body, sizeof(map));
	r = check_map(&map, &region.last);
	if (r)
		return r;
	region.address = map.address;
	region.backed = msg->nfds > 0;

	at = find(dma, region.address);
	/* It was noted, and then we were killed. */
	if (session->again && at < dma->count &&
	    dma->regions[at].address == region.address &&
	    dma->regions[at].last == region.last)
		return 0;
	if (at < dma->count && dma->regions[at].address <= region.last)
		return EEXIST;
	r = reserve_one(dma);
	if (r == 0)
		r = state_prepare(vm_state(session->vm), STATE_REGIONS, 1);
	if (r)
		return r;
	if (region.backed) {
		r = vm_memory_add(session->vm, session->source, map.address,
				  map.size, msg->fds[0], map.offset,
				  prot_of(map.flags));
		if (r)
			return r;
	}
	region.slot = note(session, &map, region.last,
			   region.backed ? msg->fds[0] : -1);
	insert(dma, &region);
	session->stats->dma_maps++;
	return 0;
}

/*
 * The regions [*@first, *@end) are those within [address, last]. 0, or EINVAL
 * (one is only partly within), or ENOENT (there is none).
 */
static int find_within(const struct vfu_dma *dma, uint64_t address,
		       uint64_t last, size_t *ret_first, size_t *ret_end)
{
	size_t first = find(dma, address);
	size_t end = first;

	while (end < dma->count && dma->regions[end].address <= last) {
		if (dma->regions[end].address < address ||
		    dma->regions[end].last > last)
			return EINVAL;
		end++;
	}
	*ret_first = first;
	*ret_end = end;
	return first == end ? ENOENT : 0;
}

/* As for the ioctl, a range may take back several regions, but cut none. */
static int unmap_range(struct vfu_session *session, uint64_t address,
		       uint64_t size)
{
	struct vfu_dma *dma = &session->dma;
	bool backed = false;
	size_t first, end;
	uint64_t last;
	int r;

	if (!range_last(address, size, &last))
		return EINVAL;
	r = find_within(dma, address, last, &first, &end);
	if (r == ENOENT && session->again)
		return 0;
	if (r)
		return r;
	for (size_t i = first; i < end; i++)
		backed |= dma->regions[i].backed;
	if (backed) {
		r = vm_memory_remove(session->vm, session->source, address,
				     size);
		if (r)
			return r;
	}
	for (size_t i = first; i < end; i++)
		forget(session, dma->regions[i].slot);
	memmove(&dma->regions[first], &dma->regions[end],
		(dma->count - end) * sizeof(*dma->regions));
	dma->count -= end - first;
	return 0;
}

int vfu_dma_unmap(struct vfu_session *session, struct vfu_message *msg,
		  struct vfu_reply *reply)
{
	struct vfio_user_dma_unmap unmap, *answer;
	int r = 0;

	memcpy(&unmap, msg->body, sizeof(unmap));
	if (unmap.argsz < sizeof(unmap))
		return EINVAL;
	if (unmap.flags & ~VFIO_DMA_UNMAP_FLAG_ALL)
		return EOPNOTSUPP;
	answer = vfu_reply_payload(session, reply, sizeof(*answer));
	if (!answer)
		return -ENOMEM;
	if (unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL) {
		if (unmap.address != 0 || unmap.size != 0)
			return EINVAL;
		r = vm_memory_drop(session->vm, session->source);
		if (r == 0)
			vfu_dma_drop(session);
	} else {
		r = unmap_range(session, unmap.address, unmap.size);
	}
	if (r)
		return r;
	*answer = unmap;
	session->stats->dma_unmaps++;
	return 0;
}

/* --- after a kill --- */

static bool is_taken(const void *slot)
{
	return ((const struct region_slot *)slot)->taken == 1;
}

static int compare_order(const void *a, const void *b)
{
	const struct region_slot *x = *(struct region_slot *const *)a;
	const struct region_slot *y = *(struct region_slot *const *)b;

	return x->order < y->order ? -1 : x->order > y->order;
}

/* All announcements, in their order; to be freed. 0 or -ENOMEM. */
static int list_slots(struct vm *vm, struct region_slot ***ret, size_t *ret_n)
{
	struct state *state = vm_state(vm);
	uint32_t top;
	struct region_slot **list;
	size_t n = 0;

	state_recover(state, STATE_REGIONS, is_taken);
	top = state_top(state, STATE_REGIONS);
	list = calloc(top + 1u, sizeof(struct region_slot *));
	if (!list)
		return -ENOMEM;
	for (uint32_t i = 0; i < top; i++)
		if (is_taken(slot_at(vm, i)))
			list[n++] = slot_at(vm, i);
	qsort(list, n, sizeof(struct region_slot *), compare_order);
	*ret = list;
	*ret_n = n;
	return 0;
}

static int restore(struct vfu_session *session, struct region_slot *s)
{
	const struct vfu_dma_region region = {
		.address = s->address,
		.last = s->last,
		.backed = s->backed,
		.slot = (uint32_t)(s - slot_at(session->vm, 0)),
	};
	_cleanup_close_ int fd = -EBADF;
	int r = reserve_one(&session->dma);

	if (r != 0)
		return r < 0 ? r : -EUCLEAN;
	if (s->backed) {
		fd = keeper_claim(session->keeper, s->file);
		if (fd < 0)
			return -EBADF;
		r = vm_memory_restore(session->vm, session->source, s->address,
				      s->last - s->address + 1, fd, s->offset,
				      prot_of(s->flags));
		if (r != 0)
			return r < 0 ? r : -EUCLEAN;
	}
	insert(&session->dma, &region);
	return 0;
}

int vfu_dma_resume(struct vm *vm,
		   struct vfu_session *(*find)(void *userdata,
					       uint32_t endpoint),
		   void *userdata)
{
	_cleanup_free_ struct region_slot **list = NULL;
	size_t n;
	int r = list_slots(vm, &list, &n);

	for (size_t i = 0; r == 0 && i < n; i++) {
		struct vfu_session *session = find(userdata, list[i]->endpoint);

		r = session ? restore(session, list[i]) : -EUCLEAN;
	}
	if (r < 0)
		return log_err_errno(
			r, "the guest's memory cannot be announced again");
	return 0;
}
