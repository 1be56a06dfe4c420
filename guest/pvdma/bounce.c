// SPDX-License-Identifier: GPL-2.0-only
/*
 * bounce.c - step 4 of a mapping's way, too: copies for what is not mapped
 *
 * Owns: what is in the pools' slots (pool.c).
 *
 * A device whose DMA mask ends below the guest's memory gets the address of a
 * copy, as the kernel's direct mode does it (whose pool modules cannot use).
 * There is memory for them once a driver sets a mask that is too small, and
 * more as it is needed. Holds and MAPs of the copies are the business of
 * dma_ops.c, as for any other memory.
 *
 * What could be reached but is not mapped is copied to the mapped pool, which
 * reserve.c fills. Nothing is allocated for a copy there.
 *
 * Locks: pvdma_pool.lock (raw) for the slots. Copies are made without locks: a
 * slot in use belongs to one mapping, and a chunk with a slot in use stays.
 */
#include <linux/dma-map-ops.h>

#include "compat/dma.h"
#include "pool.h"
#include "pvdma.h"

#define PVDMA_BOUNCE_FIRST 8 /* chunks, when a mask turns out too small */

static u64 pvdma_bounce_limit(struct device *dev, u64 mask)
{
	return min_not_zero(mask, dev->bus_dma_limit);
}

/* The pool whose memory lies below @limit; PVDMA_NR_POOLS if there is none. */
static enum pvdma_pool_kind pvdma_bounce_zone(u64 limit)
{
	if (limit >= DMA_BIT_MASK(32))
		return PVDMA_POOL_DMA32;
	if (IS_ENABLED(CONFIG_ZONE_DMA) && limit >= DMA_BIT_MASK(24))
		return PVDMA_POOL_DMA;
	return PVDMA_NR_POOLS;
}

/*
 * Can a device with this mask be served? Prepares the pool if it will be
 * needed; a pool that does not come up now may do so later.
 */
bool pvdma_bounce_prepare(struct pvdma_endpoint *ep, u64 mask)
{
	u64 limit = pvdma_bounce_limit(&ep->pdev->dev, mask);
	enum pvdma_pool_kind kind = pvdma_bounce_zone(limit);
	struct pvdma_pool *pool;

	if (limit >= READ_ONCE(ep->pv->ram_last))
		return true;
	if (kind == PVDMA_NR_POOLS)
		return false;
	pool = pvdma_pool_get(ep->pv, kind, GFP_KERNEL);
	while (pool && READ_ONCE(pool->nr) < PVDMA_BOUNCE_FIRST &&
	       !READ_ONCE(ep->pv->conf.excess))
		if (pvdma_pool_grow(pool, GFP_KERNEL))
			break;
	return true;
}

/*
 * What a copy must not cross where the memory does not: the boundary of
 * segments that the driver has set; and a page, at which devices have limits
 * that no driver states (of buffers that are halves of one, say).
 */
static u64 pvdma_bounce_boundary(struct device *dev, u64 phys, u64 size)
{
	u64 boundary = dma_get_seg_boundary(dev);

	if ((phys & ~PAGE_MASK) + size > PAGE_SIZE)
		return boundary;
	return min_t(u64, boundary, PAGE_SIZE - 1);
}

/* Room for @size bytes from @phys on, where @dev reaches it and likes it. */
static struct pvdma_pool_chunk *
pvdma_bounce_take(struct pvdma_pool *pool, struct device *dev, u64 phys,
		  u64 size, u64 keep, enum pvdma_slot_use use, u64 *addr)
{
	u64 limit = pvdma_bounce_limit(dev, dma_get_mask(dev));
	u64 boundary = pvdma_bounce_boundary(dev, phys, size);
	struct pvdma_pool_chunk *c, *found = NULL;
	unsigned long flags;
	unsigned int i;

	raw_spin_lock_irqsave(&pool->lock, flags);
	for (i = 0; i < pool->nr && !found; i++) {
		c = pool->chunk[i];
		if (c->slots.base + c->bytes - 1 <= limit &&
		    pvdma_slots_take(&c->slots, phys, size, keep, boundary, use,
				     addr)) {
			found = c;
			pool->reached = max(pool->reached, i + 1);
		}
	}
	raw_spin_unlock_irqrestore(&pool->lock, flags);
	return found;
}

/*
 * Copied whatever the direction: a device that writes less than it could must
 * not uncover old contents.
 */
static void pvdma_bounce_fill(struct pvdma_endpoint *ep,
			      struct pvdma_pool_chunk *c, u64 addr,
			      phys_addr_t phys, size_t size)
{
	memcpy(c->vaddr + (addr - c->slots.base), phys_to_virt(phys), size);
	WRITE_ONCE(ep->bounced, true);
	pvdma_count(ep, bounces, 1);
	pvdma_count(ep, bounced_bytes, size);
}

/*
 * Copies @size bytes at @phys to where the endpoint's mask reaches; returns
 * that address, or DMA_MAPPING_ERROR. It keeps those low bits of the address
 * that the device's driver asked to be kept, and crosses neither the boundary
 * of segments nor that of a page where the memory does not. Up to 512 bytes it
 * is as well aligned as the memory: it begins at a slot, but for those bits.
 */
dma_addr_t pvdma_bounce_map(struct pvdma_endpoint *ep, phys_addr_t phys,
			    size_t size)
{
	struct device *dev = &ep->pdev->dev;
	u64 limit = pvdma_bounce_limit(dev, dma_get_mask(dev));
	u64 keep = dma_get_min_align_mask(dev), addr;
	enum pvdma_pool_kind kind = pvdma_bounce_zone(limit);
	struct pvdma_pool_chunk *c;
	struct pvdma_pool *pool;

	if (kind == PVDMA_NR_POOLS || keep >= PVDMA_POOL_CHUNK ||
	    size > PVDMA_POOL_CHUNK - (phys & keep))
		return DMA_MAPPING_ERROR;
	pool = pvdma_pool_get(ep->pv, kind, GFP_ATOMIC);
	if (!pool)
		return DMA_MAPPING_ERROR;
	while (!(c = pvdma_bounce_take(pool, dev, phys, size, keep,
				       PVDMA_SLOT_NEEDED, &addr)))
		if (pvdma_pool_grow(pool, GFP_ATOMIC))
			return DMA_MAPPING_ERROR;
	pvdma_bounce_fill(ep, c, addr, phys, size);
	return addr;
}

/*
 * Likewise, to memory that is mapped already. DMA_MAPPING_ERROR: there is none
 * that is free and that the endpoint reaches. Keeps the offset in a slot, too,
 * which is that in a sector; and that in a page of what is a page or more.
 */
dma_addr_t pvdma_bounce_map_spare(struct pvdma_endpoint *ep, phys_addr_t phys,
				  size_t size, enum dma_data_direction dir)
{
	struct device *dev = &ep->pdev->dev;
	u64 keep = dma_get_min_align_mask(dev) |
		   (size < PAGE_SIZE ? PVDMA_SLOT_BYTES - 1 : ~PAGE_MASK);
	struct pvdma_pool *pool = READ_ONCE(ep->pv->pool[PVDMA_POOL_MAPPED]);
	struct pvdma_pool_chunk *c;
	u64 addr;

	if (!pool || !READ_ONCE(pool->nr) || keep >= PVDMA_POOL_UNIT)
		return DMA_MAPPING_ERROR;
	c = pvdma_bounce_take(pool, dev, phys, size, keep,
			      dir == DMA_TO_DEVICE ? PVDMA_SLOT_SEND :
						     PVDMA_SLOT_RECEIVE,
			      &addr);
	if (!c)
		return DMA_MAPPING_ERROR;
	pvdma_bounce_fill(ep, c, addr, phys, size);
	return addr;
}

static void pvdma_bounce_copy(struct pvdma_pool_chunk *c, dma_addr_t addr,
			      size_t size, bool to_device)
{
	u64 offset = addr - c->slots.base;
	void *orig = phys_to_virt(pvdma_slots_orig(&c->slots, addr));

	/* the memory behind one mapping is contiguous, and so are its slots */
	if (size > c->bytes - offset)
		size = c->bytes - offset;
	if (to_device)
		memcpy(c->vaddr + offset, orig, size);
	else
		memcpy(orig, c->vaddr + offset, size);
}

/*
 * Ends a copy, if @addr is one; @done: the device may have written to it. The
 * slots are free afterwards, so the caller's hold must not matter any more to
 * anybody but the table.
 */
void pvdma_bounce_unmap(struct pvdma_endpoint *ep, dma_addr_t addr, size_t size,
			enum dma_data_direction dir, unsigned long attrs,
			bool done)
{
	struct pvdma_pool *pool;
	struct pvdma_pool_chunk *c;
	unsigned long flags;
	bool was;

	c = pvdma_pool_find(ep->pv, addr, &pool);
	if (!c)
		return;
	if (done && !(attrs & DMA_ATTR_SKIP_CPU_SYNC) &&
	    (dir == DMA_FROM_DEVICE || dir == DMA_BIDIRECTIONAL))
		pvdma_bounce_copy(c, addr, size, false);

	raw_spin_lock_irqsave(&pool->lock, flags);
	was = pvdma_slots_give(&c->slots, addr);
	raw_spin_unlock_irqrestore(&pool->lock, flags);
	WARN_ONCE(!was, "pvdma: a driver unmaps what it has not mapped\n");
}

void pvdma_bounce_sync(struct pvdma_endpoint *ep, dma_addr_t addr, size_t size,
		       enum dma_data_direction dir, bool to_device)
{
	struct pvdma_pool *pool;
	struct pvdma_pool_chunk *c;

	if (dir != DMA_BIDIRECTIONAL &&
	    dir != (to_device ? DMA_TO_DEVICE : DMA_FROM_DEVICE))
		return;
	c = pvdma_pool_find(ep->pv, addr, &pool);
	if (c)
		pvdma_bounce_copy(c, addr, size, to_device);
}

/* The largest mapping that can be copied for this device. */
size_t pvdma_bounce_max_size(struct device *dev)
{
	unsigned int keep = dma_get_min_align_mask(dev);

	return PVDMA_POOL_CHUNK - round_up(keep, PVDMA_SLOT_BYTES);
}
