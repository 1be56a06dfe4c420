// SPDX-License-Identifier: GPL-2.0-only
/*
 * bounce.c - step 4 of a mapping's way: copies for devices that do not reach
 *
 * Owns: for each zone of low memory a pool of chunks, and their contents.
 *
 * A device whose DMA mask ends below the guest's memory gets the address of a
 * copy, as the kernel's direct mode does it (whose pool modules cannot use). A
 * chunk is 256 KiB, aligned to its size, in slots of 2 KiB; a mapping is a run
 * of slots. Chunks are allocated when a driver sets a mask that is too small,
 * and later as they are needed, and kept until the host wants memory back or
 * the device goes. Holds and MAPs
 * of the copies are the business of dma_ops.c, as for any other memory.
 *
 * Invariant: orig[i] of a slot in use is the address of the memory that the
 * slot's first byte stands for.
 *
 * Locks: pvdma_bounce_pool.lock (raw) for the bitmaps; the index of chunks is
 * an xarray, with its own lock. Copies are made without locks: a slot in use
 * belongs to one mapping, and a chunk with a slot in use stays.
 */
#include <linux/bitmap.h>
#include <linux/dma-map-ops.h>

#include "compat/dma.h"
#include "pvdma.h"

#define PVDMA_BOUNCE_SHIFT  11
#define PVDMA_BOUNCE_SLOT   BIT(PVDMA_BOUNCE_SHIFT)
#define PVDMA_BOUNCE_SLOTS  128
#define PVDMA_BOUNCE_CHUNK  (PVDMA_BOUNCE_SLOTS * PVDMA_BOUNCE_SLOT)
#define PVDMA_BOUNCE_CHUNKS 256 /* at most: 64 MiB */
#define PVDMA_BOUNCE_FIRST  8	/* when a mask turns out too small */

struct pvdma_bounce_chunk {
	u64 phys;
	u8 *vaddr;
	unsigned int used; /* slots */
	DECLARE_BITMAP(map, PVDMA_BOUNCE_SLOTS);
	u64 orig[PVDMA_BOUNCE_SLOTS];
	u16 run[PVDMA_BOUNCE_SLOTS]; /* at a mapping's first slot: length */
};

struct pvdma_bounce_pool {
	raw_spinlock_t lock;
	gfp_t zone;
	unsigned int nr;
	struct xarray index; /* phys / CHUNK -> chunk */
	struct pvdma_bounce_chunk *chunk[PVDMA_BOUNCE_CHUNKS];
};

static u64 pvdma_bounce_limit(struct device *dev, u64 mask)
{
	return min_not_zero(mask, dev->bus_dma_limit);
}

/* The pool whose memory lies below @limit; PVDMA_NR_ZONES if there is none. */
static enum pvdma_zone pvdma_bounce_zone(u64 limit)
{
	if (limit >= DMA_BIT_MASK(32))
		return PVDMA_ZONE_DMA32;
	if (IS_ENABLED(CONFIG_ZONE_DMA) && limit >= DMA_BIT_MASK(24))
		return PVDMA_ZONE_DMA;
	return PVDMA_NR_ZONES;
}

static struct pvdma_bounce_pool *
pvdma_bounce_pool(struct pvdma *pv, enum pvdma_zone zone, gfp_t gfp)
{
	struct pvdma_bounce_pool *pool = READ_ONCE(pv->pool[zone]), *old;

	if (pool)
		return pool;
	pool = kzalloc(sizeof(*pool), gfp | __GFP_NOWARN);
	if (!pool)
		return NULL;
	raw_spin_lock_init(&pool->lock);
	xa_init_flags(&pool->index, XA_FLAGS_LOCK_IRQ);
	pool->zone = zone == PVDMA_ZONE_DMA32 ? GFP_DMA32 : GFP_DMA;
	old = cmpxchg(&pv->pool[zone], NULL, pool);
	if (old) {
		kfree(pool);
		pool = old;
	}
	return pool;
}

static void pvdma_bounce_free_chunk(struct pvdma_bounce_chunk *c)
{
	free_pages((unsigned long)c->vaddr, get_order(PVDMA_BOUNCE_CHUNK));
	kfree(c);
}

/* Adds a chunk; the size of the pool is the caller's business. */
static int pvdma_bounce_grow(struct pvdma_bounce_pool *pool, gfp_t gfp)
{
	unsigned int order = get_order(PVDMA_BOUNCE_CHUNK);
	struct pvdma_bounce_chunk *c;
	struct page *page = NULL;
	unsigned long flags;
	int err = -ENOMEM;

	c = kzalloc(sizeof(*c), gfp | __GFP_NOWARN);
	if (c)
		page = alloc_pages(gfp | pool->zone | __GFP_NOWARN |
					   __GFP_NORETRY | __GFP_ZERO,
				   order);
	if (!page)
		goto fail;
	c->vaddr = page_address(page);
	c->phys = page_to_phys(page);

	/* before anybody can get a slot of it: an unmap looks it up */
	xa_lock_irqsave(&pool->index, flags);
	err = xa_err(__xa_store(&pool->index, c->phys / PVDMA_BOUNCE_CHUNK, c,
				GFP_ATOMIC | __GFP_NOWARN));
	xa_unlock_irqrestore(&pool->index, flags);
	if (err)
		goto fail;

	raw_spin_lock_irqsave(&pool->lock, flags);
	if (pool->nr < PVDMA_BOUNCE_CHUNKS)
		pool->chunk[pool->nr++] = c;
	else
		err = -ENOSPC;
	raw_spin_unlock_irqrestore(&pool->lock, flags);
	if (!err)
		return 0;
	xa_lock_irqsave(&pool->index, flags);
	__xa_erase(&pool->index, c->phys / PVDMA_BOUNCE_CHUNK);
	xa_unlock_irqrestore(&pool->index, flags);
fail:
	if (page)
		__free_pages(page, order);
	kfree(c);
	return err;
}

/*
 * Can a device with this mask be served? Prepares the pool if it will be
 * needed; a pool that does not come up now may do so later.
 */
bool pvdma_bounce_prepare(struct pvdma_endpoint *ep, u64 mask)
{
	u64 limit = pvdma_bounce_limit(&ep->pdev->dev, mask);
	enum pvdma_zone zone = pvdma_bounce_zone(limit);
	struct pvdma_bounce_pool *pool;

	if (limit >= READ_ONCE(ep->pv->ram_last))
		return true;
	if (zone == PVDMA_NR_ZONES)
		return false;
	pool = pvdma_bounce_pool(ep->pv, zone, GFP_KERNEL);
	while (pool && READ_ONCE(pool->nr) < PVDMA_BOUNCE_FIRST &&
	       !READ_ONCE(ep->pv->conf.excess))
		if (pvdma_bounce_grow(pool, GFP_KERNEL))
			break;
	return true;
}

/* A run of @n free slots; @align is a mask in slots. Under the lock. */
static bool pvdma_bounce_take(struct pvdma_bounce_pool *pool, unsigned int n,
			      unsigned int align,
			      struct pvdma_bounce_chunk **chunk,
			      unsigned int *slot)
{
	struct pvdma_bounce_chunk *c;
	unsigned int i;

	for (i = 0; i < pool->nr; i++) {
		c = pool->chunk[i];
		if (c->used + n > PVDMA_BOUNCE_SLOTS)
			continue;
		*slot = bitmap_find_next_zero_area(c->map, PVDMA_BOUNCE_SLOTS,
						   0, n, align);
		if (*slot >= PVDMA_BOUNCE_SLOTS)
			continue;
		bitmap_set(c->map, *slot, n);
		c->used += n;
		c->run[*slot] = n;
		*chunk = c;
		return true;
	}
	return false;
}

/*
 * Copies @size bytes at @phys to where the endpoint's mask reaches; returns
 * that address, or DMA_MAPPING_ERROR. It keeps those low bits of the address
 * that the device's driver asked to be kept. Copied whatever the direction:
 * a device that writes less than it could must not uncover old contents.
 */
dma_addr_t pvdma_bounce_map(struct pvdma_endpoint *ep, phys_addr_t phys,
			    size_t size)
{
	struct device *dev = &ep->pdev->dev;
	u64 limit = pvdma_bounce_limit(dev, dma_get_mask(dev));
	unsigned int keep = dma_get_min_align_mask(dev);
	enum pvdma_zone zone = pvdma_bounce_zone(limit);
	unsigned int n, align, slot, i, offset;
	struct pvdma_bounce_chunk *c = NULL;
	struct pvdma_bounce_pool *pool;
	unsigned long flags;
	bool ok;

	if (zone == PVDMA_NR_ZONES || keep >= PVDMA_BOUNCE_CHUNK)
		return DMA_MAPPING_ERROR;
	offset = phys & keep;
	if (size > PVDMA_BOUNCE_CHUNK - offset)
		return DMA_MAPPING_ERROR;
	n = max_t(unsigned int, 1,
		  DIV_ROUND_UP(offset + size, PVDMA_BOUNCE_SLOT));
	align = keep >> PVDMA_BOUNCE_SHIFT;
	pool = pvdma_bounce_pool(ep->pv, zone, GFP_ATOMIC);
	if (!pool)
		return DMA_MAPPING_ERROR;
	for (;;) {
		raw_spin_lock_irqsave(&pool->lock, flags);
		ok = pvdma_bounce_take(pool, n, align, &c, &slot);
		raw_spin_unlock_irqrestore(&pool->lock, flags);
		if (ok)
			break;
		if (pvdma_bounce_grow(pool, GFP_ATOMIC))
			return DMA_MAPPING_ERROR;
	}
	for (i = 0; i < n; i++)
		c->orig[slot + i] = phys - offset + i * PVDMA_BOUNCE_SLOT;
	offset += slot * PVDMA_BOUNCE_SLOT;
	memcpy(c->vaddr + offset, phys_to_virt(phys), size);
	WRITE_ONCE(ep->bounced, true);
	pvdma_count(ep, bounces, 1);
	return c->phys + offset;
}

/* The chunk that @addr lies in, or NULL if it is no copy. */
static struct pvdma_bounce_chunk *
pvdma_bounce_find(struct pvdma *pv, dma_addr_t addr,
		  struct pvdma_bounce_pool **p)
{
	struct pvdma_bounce_chunk *c = NULL;
	int zone;

	for (zone = 0; !c && zone < PVDMA_NR_ZONES; zone++) {
		*p = READ_ONCE(pv->pool[zone]);
		if (*p)
			c = xa_load(&(*p)->index, addr / PVDMA_BOUNCE_CHUNK);
	}
	return c;
}

static void pvdma_bounce_copy(struct pvdma_bounce_chunk *c, dma_addr_t addr,
			      size_t size, bool to_device)
{
	unsigned int offset = addr - c->phys;
	unsigned int slot = offset >> PVDMA_BOUNCE_SHIFT;
	void *orig = phys_to_virt(c->orig[slot] +
				  (offset & (PVDMA_BOUNCE_SLOT - 1)));

	/* the memory behind one mapping is contiguous, and so are its slots */
	if (size > PVDMA_BOUNCE_CHUNK - offset)
		size = PVDMA_BOUNCE_CHUNK - offset;
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
	unsigned int keep = dma_get_min_align_mask(&ep->pdev->dev);
	struct pvdma_bounce_pool *pool;
	struct pvdma_bounce_chunk *c;
	unsigned int slot, n;
	unsigned long flags;

	c = pvdma_bounce_find(ep->pv, addr, &pool);
	if (!c)
		return;
	slot = ((addr - c->phys) & ~(u64)keep) >> PVDMA_BOUNCE_SHIFT;
	if (done && !(attrs & DMA_ATTR_SKIP_CPU_SYNC) &&
	    (dir == DMA_FROM_DEVICE || dir == DMA_BIDIRECTIONAL))
		pvdma_bounce_copy(c, addr, size, false);

	raw_spin_lock_irqsave(&pool->lock, flags);
	n = c->run[slot];
	c->run[slot] = 0;
	bitmap_clear(c->map, slot, n);
	c->used -= n;
	raw_spin_unlock_irqrestore(&pool->lock, flags);
	WARN_ONCE(!n, "pvdma: a driver unmaps what it has not mapped\n");
}

void pvdma_bounce_sync(struct pvdma_endpoint *ep, dma_addr_t addr, size_t size,
		       enum dma_data_direction dir, bool to_device)
{
	struct pvdma_bounce_pool *pool;
	struct pvdma_bounce_chunk *c;

	if (dir != DMA_BIDIRECTIONAL &&
	    dir != (to_device ? DMA_TO_DEVICE : DMA_FROM_DEVICE))
		return;
	c = pvdma_bounce_find(ep->pv, addr, &pool);
	if (c)
		pvdma_bounce_copy(c, addr, size, to_device);
}

/* The largest mapping that can be copied for this device. */
size_t pvdma_bounce_max_size(struct device *dev)
{
	unsigned int keep = dma_get_min_align_mask(dev);

	return PVDMA_BOUNCE_CHUNK - round_up(keep, PVDMA_BOUNCE_SLOT);
}

/* The memory of all pools, and how much of it is in use now. */
void pvdma_bounce_stats(struct pvdma *pv, u64 *bytes, u64 *used)
{
	struct pvdma_bounce_pool *pool;
	unsigned long flags;
	unsigned int i;
	int zone;

	*bytes = 0;
	*used = 0;
	for (zone = 0; zone < PVDMA_NR_ZONES; zone++) {
		pool = READ_ONCE(pv->pool[zone]);
		if (!pool)
			continue;
		raw_spin_lock_irqsave(&pool->lock, flags);
		*bytes += pool->nr * PVDMA_BOUNCE_CHUNK;
		for (i = 0; i < pool->nr; i++)
			*used += pool->chunk[i]->used * PVDMA_BOUNCE_SLOT;
		raw_spin_unlock_irqrestore(&pool->lock, flags);
	}
}

/* Takes a chunk out that holds no copy. NULL: there is none. */
static struct pvdma_bounce_chunk *
pvdma_bounce_take_idle(struct pvdma_bounce_pool *pool)
{
	struct pvdma_bounce_chunk *c = NULL;
	unsigned long flags;
	unsigned int i;

	raw_spin_lock_irqsave(&pool->lock, flags);
	for (i = 0; i < pool->nr && !c; i++) {
		if (pool->chunk[i]->used)
			continue;
		c = pool->chunk[i];
		pool->chunk[i] = pool->chunk[--pool->nr];
	}
	raw_spin_unlock_irqrestore(&pool->lock, flags);
	if (!c)
		return NULL;
	/* before its memory can be anybody else's, whose unmap looks here */
	xa_lock_irqsave(&pool->index, flags);
	__xa_erase(&pool->index, c->phys / PVDMA_BOUNCE_CHUNK);
	xa_unlock_irqrestore(&pool->index, flags);
	return c;
}

/* Frees what holds no copy; returns how many bytes that was. */
u64 pvdma_bounce_shrink(struct pvdma *pv)
{
	struct pvdma_bounce_pool *pool;
	struct pvdma_bounce_chunk *c;
	u64 bytes = 0;
	int zone;

	for (zone = 0; zone < PVDMA_NR_ZONES; zone++) {
		pool = READ_ONCE(pv->pool[zone]);
		while (pool && (c = pvdma_bounce_take_idle(pool))) {
			pvdma_bounce_free_chunk(c);
			bytes += PVDMA_BOUNCE_CHUNK;
		}
	}
	return bytes;
}

/* Frees the pools; nobody maps any more. */
void pvdma_bounce_free(struct pvdma *pv)
{
	struct pvdma_bounce_pool *pool;
	unsigned int i;
	int zone;

	for (zone = 0; zone < PVDMA_NR_ZONES; zone++) {
		pool = pv->pool[zone];
		if (!pool)
			continue;
		xa_destroy(&pool->index);
		for (i = 0; i < pool->nr; i++)
			pvdma_bounce_free_chunk(pool->chunk[i]);
		kfree(pool);
		pv->pool[zone] = NULL;
	}
}
