// SPDX-License-Identifier: GPL-2.0-only
/*
 * pool.c - memory for copies
 *
 * Owns: pools of chunks, one for each zone of low memory, and one of memory
 * that is mapped for good. A chunk is made of slots of 512 bytes (slots.c), a
 * copy is a run of them (bounce.c).
 *
 * An unmap has to find out whether it ends a copy. Chunks are in an index by
 * the units that they lie in, and before it stands a filter of bits, which most
 * unmaps do not pass, for most are of no copy (pvdma_may_be_copy()).
 *
 * Chunks for masks are 256 KiB and kept until the host wants memory back or the
 * device goes; those that are mapped come and go as reserve.c says.
 *
 * Locks: pvdma_pool.lock (raw) for the slots, the filter and the array; the
 * index is an xarray, with its own lock.
 */
#include <linux/dma-map-ops.h>

#include "compat/dma.h"
#include "pool.h"
#include "pvdma.h"

struct pvdma_pool *pvdma_pool_get(struct pvdma *pv, enum pvdma_pool_kind kind,
				  gfp_t gfp)
{
	struct pvdma_pool *pool = READ_ONCE(pv->pool[kind]), *old;

	if (pool)
		return pool;
	pool = kzalloc(sizeof(*pool), gfp | __GFP_NOWARN);
	if (!pool)
		return NULL;
	pool->pv = pv;
	pool->kind = kind;
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

static void pvdma_pool_free_chunk(struct pvdma_pool_chunk *c)
{
	if (c->vaddr)
		free_pages_exact(c->vaddr, c->bytes);
	pvdma_slots_done(&c->slots);
	kfree(c);
}

/* Enters @c, or NULL, for all of @c's memory. */
static int pvdma_pool_enter(struct pvdma_pool *pool, struct pvdma_pool_chunk *c,
			    bool in)
{
	u64 at = c->slots.base / PVDMA_POOL_UNIT, i;
	unsigned long flags;
	int err = 0;

	xa_lock_irqsave(&pool->index, flags);
	for (i = 0; i < c->bytes / PVDMA_POOL_UNIT && !err; i++)
		if (in)
			err = xa_err(__xa_store(&pool->index, at + i, c,
						GFP_ATOMIC | __GFP_NOWARN));
		else
			__xa_erase(&pool->index, at + i);
	xa_unlock_irqrestore(&pool->index, flags);
	return err;
}

static struct pvdma_pool_chunk *pvdma_pool_new_chunk(struct pvdma_pool *pool,
						     size_t bytes, gfp_t gfp)
{
	struct pvdma_pool_chunk *c = kzalloc(sizeof(*c), gfp | __GFP_NOWARN);

	if (!c)
		return NULL;
	c->bytes = bytes;
	c->vaddr = alloc_pages_exact(bytes, gfp | pool->zone | __GFP_NOWARN |
						    __GFP_NORETRY | __GFP_ZERO);
	if (c->vaddr && !pvdma_slots_init(&c->slots, virt_to_phys(c->vaddr),
					  bytes, gfp | __GFP_NOWARN))
		return c;
	pvdma_pool_free_chunk(c);
	return NULL;
}

/* Sets the bits of @c, a word at a time: what is set stays so meanwhile. */
static void pvdma_pool_filter_add(unsigned long *filter, unsigned int step,
				  const struct pvdma_pool_chunk *c)
{
	unsigned long *word;
	u64 i;
	u32 bit;

	for (i = 0; i < c->bytes / PVDMA_POOL_UNIT; i++) {
		bit = pvdma_pool_bit(c->slots.base + i * PVDMA_POOL_UNIT);
		word = &filter[BIT_WORD(bit) * step];
		WRITE_ONCE(*word, *word | BIT_MASK(bit));
	}
}

/* Without the chunks that are gone. Under the pool's lock. */
static void pvdma_pool_filter_renew(struct pvdma_pool *pool)
{
	unsigned long filter[PVDMA_POOL_FILTER_WORDS] = {};
	unsigned int i;

	for (i = 0; i < pool->nr; i++)
		pvdma_pool_filter_add(filter, 1, pool->chunk[i]);
	for (i = 0; i < ARRAY_SIZE(filter); i++)
		WRITE_ONCE(pool->pv->copies[i][pool->kind], filter[i]);
}

/* Makes @c one of the pool's. */
static int pvdma_pool_add_chunk(struct pvdma_pool *pool,
				struct pvdma_pool_chunk *c)
{
	unsigned long flags;
	/* before anybody can get a slot of it: an unmap looks it up */
	int err = pvdma_pool_enter(pool, c, true);

	if (!err) {
		raw_spin_lock_irqsave(&pool->lock, flags);
		pvdma_pool_filter_add(&pool->pv->copies[0][pool->kind],
				      PVDMA_NR_POOLS, c);
		if (pool->nr < PVDMA_POOL_CHUNKS)
			pool->chunk[pool->nr++] = c;
		else
			err = -ENOSPC;
		raw_spin_unlock_irqrestore(&pool->lock, flags);
	}
	if (err)
		(void)pvdma_pool_enter(pool, c, false);
	return err;
}

/* Adds a chunk; the size of the pool is the caller's business. */
int pvdma_pool_grow(struct pvdma_pool *pool, gfp_t gfp)
{
	struct pvdma_pool_chunk *c =
		pvdma_pool_new_chunk(pool, PVDMA_POOL_CHUNK, gfp);
	int err = c ? pvdma_pool_add_chunk(pool, c) : -ENOMEM;

	if (c && err)
		pvdma_pool_free_chunk(c);
	return err;
}

/* The chunk that @addr lies in, or NULL if it is no copy. */
struct pvdma_pool_chunk *pvdma_pool_find(struct pvdma *pv, dma_addr_t addr,
					 struct pvdma_pool **p)
{
	struct pvdma_pool_chunk *c = NULL;
	int kind;

	for (kind = 0; !c && kind < PVDMA_NR_POOLS; kind++) {
		*p = READ_ONCE(pv->pool[kind]);
		if (*p)
			c = xa_load(&(*p)->index, addr / PVDMA_POOL_UNIT);
	}
	return c;
}

/* Under the pool's lock. */
static u64 pvdma_pool_sum(const struct pvdma_pool *pool)
{
	unsigned int i;
	u64 bytes = 0;

	for (i = 0; i < pool->nr; i++)
		bytes += pool->chunk[i]->bytes;
	return bytes;
}

/* The memory of a pool. */
u64 pvdma_pool_bytes(struct pvdma *pv, enum pvdma_pool_kind kind)
{
	struct pvdma_pool *pool = READ_ONCE(pv->pool[kind]);
	unsigned long flags;
	u64 bytes;

	if (!pool)
		return 0;
	raw_spin_lock_irqsave(&pool->lock, flags);
	bytes = pvdma_pool_sum(pool);
	raw_spin_unlock_irqrestore(&pool->lock, flags);
	return bytes;
}

/* The memory of all pools, and how much of it is in use now. */
void pvdma_pool_stats(struct pvdma *pv, u64 *bytes, u64 *used)
{
	struct pvdma_pool *pool;
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
		*bytes += pvdma_pool_sum(pool);
		for (i = 0; i < pool->nr; i++)
			*used += (u64)pool->chunk[i]->slots.used *
				 PVDMA_SLOT_BYTES;
		raw_spin_unlock_irqrestore(&pool->lock, flags);
	}
}

/*
 * How many bytes there are up to the last chunk that was used since the last
 * such question: those before it did not suffice.
 */
u64 pvdma_pool_reached(struct pvdma *pv, enum pvdma_pool_kind kind)
{
	struct pvdma_pool *pool = READ_ONCE(pv->pool[kind]);
	unsigned long flags;
	unsigned int i;
	u64 bytes = 0;

	if (!pool)
		return 0;
	raw_spin_lock_irqsave(&pool->lock, flags);
	for (i = 0; i < pool->nr; i++)
		if (i < pool->reached || pool->chunk[i]->slots.used)
			bytes += pool->chunk[i]->bytes;
	pool->reached = 0;
	raw_spin_unlock_irqrestore(&pool->lock, flags);
	return bytes;
}

/*
 * Takes a chunk out that holds no copy, and without which there are @keep bytes
 * left: the last one that there is. NULL: there is none.
 */
static struct pvdma_pool_chunk *pvdma_pool_take_idle(struct pvdma_pool *pool,
						     u64 keep)
{
	struct pvdma_pool_chunk *c = NULL;
	unsigned long flags;
	unsigned int i;
	u64 bytes;

	raw_spin_lock_irqsave(&pool->lock, flags);
	bytes = pvdma_pool_sum(pool);
	for (i = pool->nr; i-- && !c;) {
		if (pool->chunk[i]->slots.used ||
		    bytes - pool->chunk[i]->bytes < keep)
			continue;
		c = pool->chunk[i];
		pool->chunk[i] = pool->chunk[--pool->nr];
		pvdma_pool_filter_renew(pool);
	}
	raw_spin_unlock_irqrestore(&pool->lock, flags);
	/* before its memory can be anybody else's, whose unmap looks here */
	if (c)
		(void)pvdma_pool_enter(pool, c, false);
	return c;
}

/*
 * Holds all of @c for good: as it is, by its blocks where it has some, and the
 * first granule by a word of its own. So the leaf of granules is registered
 * before all is mapped, which is what small copies look at: they neither wait
 * for a host nor need one that answers.
 */
static int pvdma_pool_hold(struct pvdma_batch *b,
			   const struct pvdma_pool_chunk *c)
{
	int err = pvdma_batch_hold(b, c->slots.base, 1);

	if (err)
		return err;
	err = pvdma_batch_hold(b, c->slots.base, c->bytes);
	if (err)
		pvdma_track_release(b->track, c->slots.base, 1);
	return err;
}

static void pvdma_pool_drop(struct pvdma_track *track,
			    const struct pvdma_pool_chunk *c)
{
	pvdma_track_release(track, c->slots.base, 1);
	pvdma_track_release(track, c->slots.base, c->bytes);
}

/*
 * Frees what holds no copy, as long as @keep bytes are left; returns how many
 * bytes that was.
 */
u64 pvdma_pool_shrink(struct pvdma *pv, enum pvdma_pool_kind kind, u64 keep)
{
	struct pvdma_pool *pool = READ_ONCE(pv->pool[kind]);
	struct pvdma_pool_chunk *c;
	u64 bytes = 0;

	while (pool && (c = pvdma_pool_take_idle(pool, keep))) {
		bytes += c->bytes;
		if (kind == PVDMA_POOL_MAPPED)
			pvdma_pool_drop(&pv->track, c);
		pvdma_pool_free_chunk(c);
	}
	return bytes;
}

/*
 * Maps @bytes, a multiple of PVDMA_POOL_UNIT, for good, and adds them to the
 * mapped pool: by a request of @ep, which is attached. May sleep.
 */
int pvdma_pool_add_mapped(struct pvdma_endpoint *ep, size_t bytes)
{
	struct pvdma *pv = ep->pv;
	struct pvdma_pool *pool =
		pvdma_pool_get(pv, PVDMA_POOL_MAPPED, GFP_KERNEL);
	struct pvdma_pool_chunk *c;
	struct pvdma_batch b;
	int err;

	c = pool ? pvdma_pool_new_chunk(pool, bytes, GFP_KERNEL) : NULL;
	if (!c)
		return -ENOMEM;
	pvdma_endpoint_batch(ep, &b, GFP_KERNEL);
	err = pvdma_pool_hold(&b, c);
	if (err)
		goto fail;
	err = pvdma_batch_end(&b);
	if (!err)
		err = pvdma_pool_add_chunk(pool, c);
	if (!err)
		return 0;
	pvdma_pool_drop(&pv->track, c);
fail:
	pvdma_pool_free_chunk(c);
	return err;
}

/* Has the mapped pool anything to give? */
bool pvdma_pool_has_spare(struct pvdma *pv)
{
	struct pvdma_pool *pool = READ_ONCE(pv->pool[PVDMA_POOL_MAPPED]);

	return pool && READ_ONCE(pool->nr);
}

/* Frees the pools; nobody maps any more. */
void pvdma_pool_free(struct pvdma *pv)
{
	struct pvdma_pool *pool;
	unsigned int i;
	int kind;

	for (kind = 0; kind < PVDMA_NR_POOLS; kind++) {
		pool = pv->pool[kind];
		if (!pool)
			continue;
		xa_destroy(&pool->index);
		for (i = 0; i < pool->nr; i++)
			pvdma_pool_free_chunk(pool->chunk[i]);
		kfree(pool);
		pv->pool[kind] = NULL;
	}
}
