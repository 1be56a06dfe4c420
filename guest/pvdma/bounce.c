// SPDX-License-Identifier: GPL-2.0-only
/*
 * bounce.c - step 4 of a mapping's way: copies for what the device cannot reach
 *
 * Owns: pools of chunks, and their contents: one pool for each zone of low
 * memory, and one of memory that is mapped for good.
 *
 * A device whose DMA mask ends below the guest's memory gets the address of a
 * copy, as the kernel's direct mode does it (whose pool modules cannot use).
 * These chunks are 256 KiB; they are allocated when a driver sets a mask that
 * is too small, and later as they are needed, and kept until the host wants
 * memory back or the device goes. Holds and MAPs of the copies are the business
 * of dma_ops.c, as for any other memory.
 *
 * The mapped pool is for what could be reached but is not mapped: reserve.c
 * fills it. Nothing is allocated for a copy there.
 *
 * A chunk is made of slots of 512 bytes (slots.c), a copy is a run of them.
 *
 * Locks: pvdma_bounce_pool.lock (raw) for the slots; the index of chunks is an
 * xarray, with its own lock. Copies are made without locks: a slot in use
 * belongs to one mapping, and a chunk with a slot in use stays.
 */
#include <linux/dma-map-ops.h>

#include "compat/dma.h"
#include "pvdma.h"
#include "slots.h"

#define PVDMA_BOUNCE_CHUNK  SZ_256K /* for masks */
#define PVDMA_BOUNCE_CHUNKS 256	    /* at most: 64 MiB */
#define PVDMA_BOUNCE_FIRST  8	    /* when a mask turns out too small */

struct pvdma_bounce_chunk {
	struct pvdma_slots slots;
	u8 *vaddr;
	size_t bytes;
};

struct pvdma_bounce_pool {
	raw_spinlock_t lock;
	gfp_t zone;
	unsigned int nr;
	struct xarray index; /* phys / PVDMA_BOUNCE_UNIT -> chunk */
	struct pvdma_bounce_chunk *chunk[PVDMA_BOUNCE_CHUNKS];
};

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

static struct pvdma_bounce_pool *
pvdma_bounce_pool(struct pvdma *pv, enum pvdma_pool_kind kind, gfp_t gfp)
{
	struct pvdma_bounce_pool *pool = READ_ONCE(pv->pool[kind]), *old;

	if (pool)
		return pool;
	pool = kzalloc(sizeof(*pool), gfp | __GFP_NOWARN);
	if (!pool)
		return NULL;
	raw_spin_lock_init(&pool->lock);
	xa_init_flags(&pool->index, XA_FLAGS_LOCK_IRQ);
	/* of the mapped pool most devices shall have something */
	pool->zone = kind == PVDMA_POOL_DMA ? GFP_DMA : GFP_DMA32;
	old = cmpxchg(&pv->pool[kind], NULL, pool);
	if (old) {
		kfree(pool);
		pool = old;
	}
	return pool;
}

static void pvdma_bounce_free_chunk(struct pvdma_bounce_chunk *c)
{
	if (c->vaddr)
		free_pages_exact(c->vaddr, c->bytes);
	pvdma_slots_done(&c->slots);
	kfree(c);
}

/* Enters @c, or NULL, for all of @c's memory. */
static int pvdma_bounce_enter(struct pvdma_bounce_pool *pool,
			      struct pvdma_bounce_chunk *c, bool in)
{
	u64 at = c->slots.base / PVDMA_BOUNCE_UNIT, i;
	unsigned long flags;
	int err = 0;

	xa_lock_irqsave(&pool->index, flags);
	for (i = 0; i < c->bytes / PVDMA_BOUNCE_UNIT && !err; i++)
		if (in)
			err = xa_err(__xa_store(&pool->index, at + i, c,
						GFP_ATOMIC | __GFP_NOWARN));
		else
			__xa_erase(&pool->index, at + i);
	xa_unlock_irqrestore(&pool->index, flags);
	return err;
}

static struct pvdma_bounce_chunk *
pvdma_bounce_new_chunk(struct pvdma_bounce_pool *pool, size_t bytes, gfp_t gfp)
{
	struct pvdma_bounce_chunk *c = kzalloc(sizeof(*c), gfp | __GFP_NOWARN);

	if (!c)
		return NULL;
	c->bytes = bytes;
	c->vaddr = alloc_pages_exact(bytes, gfp | pool->zone | __GFP_NOWARN |
						    __GFP_NORETRY | __GFP_ZERO);
	if (c->vaddr && !pvdma_slots_init(&c->slots, virt_to_phys(c->vaddr),
					  bytes, gfp | __GFP_NOWARN))
		return c;
	pvdma_bounce_free_chunk(c);
	return NULL;
}

/* Makes @c one of the pool's. */
static int pvdma_bounce_add_chunk(struct pvdma_bounce_pool *pool,
				  struct pvdma_bounce_chunk *c)
{
	unsigned long flags;
	/* before anybody can get a slot of it: an unmap looks it up */
	int err = pvdma_bounce_enter(pool, c, true);

	if (!err) {
		raw_spin_lock_irqsave(&pool->lock, flags);
		if (pool->nr < PVDMA_BOUNCE_CHUNKS)
			pool->chunk[pool->nr++] = c;
		else
			err = -ENOSPC;
		raw_spin_unlock_irqrestore(&pool->lock, flags);
	}
	if (err)
		(void)pvdma_bounce_enter(pool, c, false);
	return err;
}

/* Adds a chunk; the size of the pool is the caller's business. */
static int pvdma_bounce_grow(struct pvdma_bounce_pool *pool, gfp_t gfp)
{
	struct pvdma_bounce_chunk *c =
		pvdma_bounce_new_chunk(pool, PVDMA_BOUNCE_CHUNK, gfp);
	int err = c ? pvdma_bounce_add_chunk(pool, c) : -ENOMEM;

	if (c && err)
		pvdma_bounce_free_chunk(c);
	return err;
}

/*
 * Can a device with this mask be served? Prepares the pool if it will be
 * needed; a pool that does not come up now may do so later.
 */
bool pvdma_bounce_prepare(struct pvdma_endpoint *ep, u64 mask)
{
	u64 limit = pvdma_bounce_limit(&ep->pdev->dev, mask);
	enum pvdma_pool_kind kind = pvdma_bounce_zone(limit);
	struct pvdma_bounce_pool *pool;

	if (limit >= READ_ONCE(ep->pv->ram_last))
		return true;
	if (kind == PVDMA_NR_POOLS)
		return false;
	pool = pvdma_bounce_pool(ep->pv, kind, GFP_KERNEL);
	while (pool && READ_ONCE(pool->nr) < PVDMA_BOUNCE_FIRST &&
	       !READ_ONCE(ep->pv->conf.excess))
		if (pvdma_bounce_grow(pool, GFP_KERNEL))
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
static struct pvdma_bounce_chunk *
pvdma_bounce_take(struct pvdma_bounce_pool *pool, struct device *dev, u64 phys,
		  u64 size, u64 keep, enum pvdma_slot_use use, u64 *addr)
{
	u64 limit = pvdma_bounce_limit(dev, dma_get_mask(dev));
	u64 boundary = pvdma_bounce_boundary(dev, phys, size);
	struct pvdma_bounce_chunk *c, *found = NULL;
	unsigned long flags;
	unsigned int i;

	raw_spin_lock_irqsave(&pool->lock, flags);
	for (i = 0; i < pool->nr && !found; i++) {
		c = pool->chunk[i];
		if (c->slots.base + c->bytes - 1 <= limit &&
		    pvdma_slots_take(&c->slots, phys, size, keep, boundary, use,
				     addr))
			found = c;
	}
	raw_spin_unlock_irqrestore(&pool->lock, flags);
	return found;
}

/*
 * Copied whatever the direction: a device that writes less than it could must
 * not uncover old contents.
 */
static void pvdma_bounce_fill(struct pvdma_endpoint *ep,
			      struct pvdma_bounce_chunk *c, u64 addr,
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
	struct pvdma_bounce_chunk *c;
	struct pvdma_bounce_pool *pool;

	if (kind == PVDMA_NR_POOLS || keep >= PVDMA_BOUNCE_CHUNK ||
	    size > PVDMA_BOUNCE_CHUNK - (phys & keep))
		return DMA_MAPPING_ERROR;
	pool = pvdma_bounce_pool(ep->pv, kind, GFP_ATOMIC);
	if (!pool)
		return DMA_MAPPING_ERROR;
	while (!(c = pvdma_bounce_take(pool, dev, phys, size, keep,
				       PVDMA_SLOT_NEEDED, &addr)))
		if (pvdma_bounce_grow(pool, GFP_ATOMIC))
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
	struct pvdma_bounce_pool *pool =
		READ_ONCE(ep->pv->pool[PVDMA_POOL_MAPPED]);
	struct pvdma_bounce_chunk *c;
	u64 addr;

	if (!pool || !READ_ONCE(pool->nr) || keep >= PVDMA_BOUNCE_UNIT)
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

/* The chunk that @addr lies in, or NULL if it is no copy. */
static struct pvdma_bounce_chunk *
pvdma_bounce_find(struct pvdma *pv, dma_addr_t addr,
		  struct pvdma_bounce_pool **p)
{
	struct pvdma_bounce_chunk *c = NULL;
	int kind;

	for (kind = 0; !c && kind < PVDMA_NR_POOLS; kind++) {
		*p = READ_ONCE(pv->pool[kind]);
		if (*p)
			c = xa_load(&(*p)->index, addr / PVDMA_BOUNCE_UNIT);
	}
	return c;
}

static void pvdma_bounce_copy(struct pvdma_bounce_chunk *c, dma_addr_t addr,
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
	struct pvdma_bounce_pool *pool;
	struct pvdma_bounce_chunk *c;
	unsigned long flags;
	bool was;

	c = pvdma_bounce_find(ep->pv, addr, &pool);
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

	return PVDMA_BOUNCE_CHUNK - round_up(keep, PVDMA_SLOT_BYTES);
}

/* The memory of all pools, and how much of it is in use now. */
void pvdma_bounce_stats(struct pvdma *pv, u64 *bytes, u64 *used)
{
	struct pvdma_bounce_pool *pool;
	unsigned long flags;
	unsigned int i;
	int kind;

	*bytes = 0;
	*used = 0;
	for (kind = 0; kind < PVDMA_NR_POOLS; kind++) {
		pool = READ_ONCE(pv->pool[kind]);
		if (!pool)
			continue;
		raw_spin_lock_irqsave(&pool->lock, flags);
		for (i = 0; i < pool->nr; i++) {
			*bytes += pool->chunk[i]->bytes;
			*used += (u64)pool->chunk[i]->slots.used *
				 PVDMA_SLOT_BYTES;
		}
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
		if (pool->chunk[i]->slots.used)
			continue;
		c = pool->chunk[i];
		pool->chunk[i] = pool->chunk[--pool->nr];
	}
	raw_spin_unlock_irqrestore(&pool->lock, flags);
	/* before its memory can be anybody else's, whose unmap looks here */
	if (c)
		(void)pvdma_bounce_enter(pool, c, false);
	return c;
}

/*
 * Holds all of @c for good: as it is, by its blocks where it has some, and the
 * first granule by a word of its own. So the leaf of granules is registered
 * before all is mapped, which is what small copies look at: they neither wait
 * for a host nor need one that answers.
 */
static int pvdma_bounce_hold(struct pvdma_batch *b,
			     const struct pvdma_bounce_chunk *c)
{
	int err = pvdma_batch_hold(b, c->slots.base, 1);

	if (err)
		return err;
	err = pvdma_batch_hold(b, c->slots.base, c->bytes);
	if (err)
		pvdma_track_release(b->track, c->slots.base, 1);
	return err;
}

static void pvdma_bounce_drop(struct pvdma_track *track,
			      const struct pvdma_bounce_chunk *c)
{
	pvdma_track_release(track, c->slots.base, 1);
	pvdma_track_release(track, c->slots.base, c->bytes);
}

/* Frees what holds no copy; returns how many bytes that was. */
u64 pvdma_bounce_shrink(struct pvdma *pv, enum pvdma_pool_kind kind)
{
	struct pvdma_bounce_pool *pool = READ_ONCE(pv->pool[kind]);
	struct pvdma_bounce_chunk *c;
	u64 bytes = 0;

	while (pool && (c = pvdma_bounce_take_idle(pool))) {
		bytes += c->bytes;
		if (kind == PVDMA_POOL_MAPPED)
			pvdma_bounce_drop(&pv->track, c);
		pvdma_bounce_free_chunk(c);
	}
	return bytes;
}

/*
 * Maps @bytes, a multiple of PVDMA_BOUNCE_UNIT, for good, and adds them to the
 * mapped pool: by a request of @ep, which is attached. May sleep.
 */
int pvdma_bounce_add_mapped(struct pvdma_endpoint *ep, size_t bytes)
{
	struct pvdma *pv = ep->pv;
	struct pvdma_bounce_pool *pool =
		pvdma_bounce_pool(pv, PVDMA_POOL_MAPPED, GFP_KERNEL);
	struct pvdma_bounce_chunk *c;
	struct pvdma_batch b;
	int err;

	c = pool ? pvdma_bounce_new_chunk(pool, bytes, GFP_KERNEL) : NULL;
	if (!c)
		return -ENOMEM;
	pvdma_endpoint_batch(ep, &b, GFP_KERNEL);
	err = pvdma_bounce_hold(&b, c);
	if (err)
		goto fail;
	err = pvdma_batch_end(&b);
	if (!err)
		err = pvdma_bounce_add_chunk(pool, c);
	if (!err)
		return 0;
	pvdma_bounce_drop(&pv->track, c);
fail:
	pvdma_bounce_free_chunk(c);
	return err;
}

/* Has the mapped pool anything to give? */
bool pvdma_bounce_has_spare(struct pvdma *pv)
{
	struct pvdma_bounce_pool *pool = READ_ONCE(pv->pool[PVDMA_POOL_MAPPED]);

	return pool && READ_ONCE(pool->nr);
}

/* Frees the pools; nobody maps any more. */
void pvdma_bounce_free(struct pvdma *pv)
{
	struct pvdma_bounce_pool *pool;
	unsigned int i;
	int kind;

	for (kind = 0; kind < PVDMA_NR_POOLS; kind++) {
		pool = pv->pool[kind];
		if (!pool)
			continue;
		xa_destroy(&pool->index);
		for (i = 0; i < pool->nr; i++)
			pvdma_bounce_free_chunk(pool->chunk[i]);
		kfree(pool);
		pv->pool[kind] = NULL;
	}
}
