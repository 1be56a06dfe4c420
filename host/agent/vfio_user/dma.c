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
#include "lib/log.h"
#include "lib/macros.h"
#include "vfio_user/session_impl.h"
#include "vfio_user/vfio_user.h"
#include "vm.h"

/* As announced to clients (version.c). */
#define REGIONS_MAX 65535u

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
	if (at < dma->count && dma->regions[at].address <= region.last)
		return EEXIST;
	r = reserve_one(dma);
	if (r)
		return r;
	if (region.backed) {
		r = vm_memory_add(session->vm, session, map.address, map.size,
				  msg->fds[0], map.offset, prot_of(map.flags));
		if (r)
			return r;
	}
	memmove(&dma->regions[at + 1], &dma->regions[at],
		(dma->count - at) * sizeof(region));
	dma->regions[at] = region;
	dma->count++;
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
	if (r)
		return r;
	for (size_t i = first; i < end; i++)
		backed |= dma->regions[i].backed;
	if (backed) {
		r = vm_memory_remove(session->vm, session, address, size);
		if (r)
			return r;
	}
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
		vm_memory_drop(session->vm, session);
		session->dma.count = 0;
	} else {
		r = unmap_range(session, unmap.address, unmap.size);
	}
	if (r)
		return r;
	*answer = unmap;
	session->stats->dma_unmaps++;
	return 0;
}
