// SPDX-License-Identifier: GPL-2.0-only
/*
 * dma_ops.c - step 1 of a mapping's way: where the DMA API comes in
 *
 * Owns: the table of operations that each endpoint gets a copy of.
 *
 * A mapping: what is mapped is held and handed out as it is (pvdma_hit()). Else
 * choose the address (the memory itself, or bounce.c's copy where the device's
 * mask does not reach); hold its granules and have the missing ones mapped
 * (batch.c, track.c); hand out the address. Where that fails for
 * want of room or of a host that answers, it is tried once more, with copies of
 * what is not mapped as long as reserve.c's memory lasts. What is small may be
 * copied there without asking (copying.c). Anything that fails on the way gives
 * back all that was taken, and the driver sees the DMA API's own error.
 *
 * Contexts: map and unmap run anywhere but in NMI, with interrupts off too.
 * Unmap neither allocates nor talks to the host. (Endpoints whose strategy
 * wants the latter have operations of their own for it: strict.c.)
 */
#include <linux/dma-map-ops.h>
#include <linux/scatterlist.h>

#include "compat/dma.h"
#include "pvdma.h"
#include "trace.h"

/* What may be copied that the device reaches */
enum pvdma_copy {
	PVDMA_COPY_NOTHING,
	PVDMA_COPY_WISHED, /* what is not mapped, to save a wait */
	PVDMA_COPY_NEEDED, /* what is not mapped, since it can't be */
};

static bool pvdma_reaches(struct device *dev, u64 addr, size_t size)
{
	u64 limit = min_not_zero(dma_get_mask(dev), dev->bus_dma_limit);

	return addr + (size ? size : 1) - 1 <= limit;
}

/*
 * Not a hit: perhaps because the device's mask grew, or the table did. What
 * makes a mask smaller goes through pvdma_dma_supported().
 */
static void pvdma_reach_out(struct pvdma_endpoint *ep)
{
	struct device *dev = &ep->pdev->dev;
	u64 limit = min_not_zero(dma_get_mask(dev), dev->bus_dma_limit);
	u64 reach = min(limit, pvdma_track_end(&ep->pv->track) - 1);

	/* each use is to be asked for: no address has the short way */
	if (unlikely(ep->strategy == VIRTIO_PVDMA_S_SINGLE_USE))
		return;
	if (READ_ONCE(ep->reach) != reach)
		/* the directory that reaches so far is seen before */
		smp_store_release(&ep->reach, reach);
}

/* Are the first byte and the last one memory that may be copied? */
static int pvdma_check_ends(phys_addr_t phys, size_t size)
{
	int err = pvdma_env_check(phys);

	return err ? err : pvdma_env_check(phys + (size ? size : 1) - 1);
}

/*
 * The address of a copy in mapped memory, in place of what is not mapped.
 * False: there is no room for it.
 */
static bool pvdma_place_copy(struct pvdma_endpoint *ep, phys_addr_t phys,
			     size_t size, enum dma_data_direction dir,
			     dma_addr_t *addr)
{
	struct pvdma_track *track = &ep->pv->track;
	u64 first = pvdma_track_granule(track, phys);
	u64 last = pvdma_track_last(track, phys, size);
	dma_addr_t copy;

	if (pvdma_track_try(track, first, last)) {
		/* the batch is going to hold it */
		pvdma_track_drop(track, first, last);
		return true;
	}
	/* not asked for yet: it may be no memory, or another device's */
	if (pvdma_check_ends(phys, size))
		return false;
	copy = pvdma_bounce_map_spare(ep, phys, size, dir);
	if (copy == DMA_MAPPING_ERROR) {
		pvdma_copying_short(ep, size);
		return false;
	}
	trace_pvdma_bounce(&ep->pdev->dev, phys, copy, size);
	*addr = copy;
	pvdma_copying_done(ep, first, last);
	return true;
}

/*
 * The address for @phys under the device's mask: its own, or that of a copy.
 * May need memory: preemption must not be off because of @b.
 */
static int pvdma_place(struct pvdma_endpoint *ep, struct pvdma_batch *b,
		       phys_addr_t phys, size_t size,
		       enum dma_data_direction dir, unsigned long attrs,
		       enum pvdma_copy copy, dma_addr_t *addr)
{
	struct device *dev = &ep->pdev->dev;
	int err;

	*addr = phys;
	if (likely(pvdma_reaches(dev, phys, size))) {
		if (unlikely(copy) && dir != DMA_BIDIRECTIONAL &&
		    !pvdma_place_copy(ep, phys, size, dir, addr) &&
		    copy == PVDMA_COPY_NEEDED)
			return -ENOMEM;
		return 0;
	}
	if (attrs & PVDMA_ATTR_NO_BOUNCE)
		return -EIO;
	err = pvdma_check_ends(phys, size);
	if (err)
		return err;
	*addr = DMA_MAPPING_ERROR;
	if (copy)
		/* the first one would have had to wait, or found no room */
		*addr = pvdma_bounce_map_spare(ep, phys, size, dir);
	if (*addr == DMA_MAPPING_ERROR) {
		err = pvdma_batch_flush(b);
		if (err)
			return err;
		*addr = pvdma_bounce_map(ep, phys, size);
	}
	if (*addr == DMA_MAPPING_ERROR)
		return -ENOMEM;
	trace_pvdma_bounce(dev, phys, *addr, size);
	return 0;
}

/* A batch for one try at a mapping. */
static void pvdma_begin(struct pvdma_endpoint *ep, struct pvdma_batch *b,
			enum dma_data_direction dir, unsigned long attrs,
			enum pvdma_copy copy)
{
	pvdma_endpoint_batch(ep, b, GFP_ATOMIC);
	pvdma_copying_begin(ep, b);
	if (!copy && pvdma_copying_may(ep, dir, attrs))
		b->patience_us = pvdma_reserve_patience(ep->pv);
}

/* What can't be copied: what is there for copies makes room for it. */
static bool pvdma_makes_room(struct pvdma *pv)
{
	if (!pvdma_pool_shrink(pv, PVDMA_POOL_MAPPED, 0))
		return false;
	pvdma_reserve_later(pv);
	return true;
}

/* After @err with @copy: is it worth to try again? Then *@copy is how. */
static bool pvdma_tries_again(struct pvdma_endpoint *ep,
			      enum dma_data_direction dir, unsigned long attrs,
			      int err, enum pvdma_copy *copy)
{
	u64 last = READ_ONCE(ep->pv->ram_last);

	if (attrs & PVDMA_ATTR_NO_BOUNCE)
		return false;
	if (err == -EAGAIN) {
		*copy = PVDMA_COPY_WISHED;
		return true;
	}
	if (ep->strict || *copy == PVDMA_COPY_NEEDED ||
	    (err != -ENOMEM && err != -EIO) || !pvdma_pool_has_spare(ep->pv))
		return false;
	*copy = PVDMA_COPY_NEEDED;
	if (dir == DMA_BIDIRECTIONAL && pvdma_reaches(&ep->pdev->dev, last, 1))
		return err == -ENOMEM && pvdma_makes_room(ep->pv);
	if (err == -ENOMEM)
		pvdma_copying_refused(ep);
	return true;
}

/* Gives up one segment; @done: the device has been at it. */
static void pvdma_release(struct pvdma_endpoint *ep, dma_addr_t addr,
			  size_t size, enum dma_data_direction dir,
			  unsigned long attrs, bool done)
{
	struct pvdma_track *track = &ep->pv->track;

	if (pvdma_may_be_copy(ep, addr))
		pvdma_bounce_unmap(ep, addr, size, dir, attrs, done);
	pvdma_track_release(track, addr, size);
}

/*
 * The short way, of most mappings: all of [@phys, @phys + @size) is mapped, and
 * nothing is allocated, asked or set up. How many granules are held by it; 0,
 * and none is, where it is anything else.
 */
static inline u64 pvdma_hit(struct pvdma_endpoint *ep, phys_addr_t phys,
			    size_t size)
{
	struct pvdma_track *track = &ep->pv->track;
	u64 first, last;

	/* pairs with pvdma_reach_out(): the directory covers it */
	if (unlikely(phys + size - 1 > smp_load_acquire(&ep->reach)))
		return 0;
	if (likely(pvdma_track_hit(track, phys, size)))
		return 1;
	first = pvdma_track_granule(track, phys);
	last = pvdma_track_last(track, phys, size);
	/* one granule has been looked at; none are those of a size too large */
	if (first >= last || !pvdma_track_try(track, first, last))
		return 0;
	return last - first + 1;
}

static void pvdma_settle(struct pvdma_endpoint *ep, const struct pvdma_batch *b)
{
	pvdma_count(ep, hits, b->hits);
	if (unlikely(b->misses)) {
		pvdma_count(ep, misses, b->misses);
		trace_pvdma_miss(&ep->pdev->dev, b->hits, b->misses);
	}
}

static void pvdma_fail(struct pvdma_endpoint *ep, phys_addr_t phys, size_t size,
		       int err)
{
	pvdma_count(ep, failures, 1);
	trace_pvdma_fail(&ep->pdev->dev, phys, size, err);
}

/*
 * One mapping: all of it, or an error and nothing. -EAGAIN: it would have to be
 * waited for, and a copy be better.
 */
static int pvdma_map_one(struct pvdma_endpoint *ep, struct pvdma_batch *b,
			 phys_addr_t phys, size_t size,
			 enum dma_data_direction dir, unsigned long attrs,
			 enum pvdma_copy copy, dma_addr_t *addr)
{
	int err = pvdma_place(ep, b, phys, size, dir, attrs, copy, addr);

	if (unlikely(err))
		return err;
	err = pvdma_batch_hold(b, *addr, size);
	if (unlikely(err))
		goto fail;
	if (b->slot && !copy && pvdma_copying_wishes(ep, b, size, dir, attrs)) {
		pvdma_batch_cancel(b);
		err = -EAGAIN;
	} else {
		err = pvdma_batch_end(b);
	}
	if (likely(!err))
		return 0;
	pvdma_track_release(&ep->pv->track, *addr, size);
fail:
	if (unlikely(ep->strict))
		pvdma_strict_undo(ep, *addr, size);
	if (pvdma_may_be_copy(ep, *addr))
		pvdma_bounce_unmap(ep, *addr, size, dir, attrs, false);
	return err;
}

static dma_addr_t pvdma_map_phys(struct device *dev, phys_addr_t phys,
				 size_t size, enum dma_data_direction dir,
				 unsigned long attrs)
{
	struct pvdma_endpoint *ep = pvdma_endpoint_of(dev);
	enum pvdma_copy copy = PVDMA_COPY_NOTHING;
	struct pvdma_batch b;
	dma_addr_t addr;
	int err = -EREMOTEIO;
	u64 hits;

	if (unlikely(attrs & PVDMA_ATTR_MMIO))
		goto fail;
	hits = pvdma_hit(ep, phys, size);
	if (likely(hits)) {
		pvdma_count(ep, hits, hits);
		pvdma_count(ep, maps, 1);
		pvdma_count(ep, mapped_bytes, size);
		return phys;
	}
	pvdma_reach_out(ep);
again:
	pvdma_begin(ep, &b, dir, attrs, copy);
	err = pvdma_map_one(ep, &b, phys, size, dir, attrs, copy, &addr);
	if (err != -EAGAIN)
		pvdma_settle(ep, &b);
	if (likely(!err)) {
		pvdma_count(ep, maps, 1);
		pvdma_count(ep, mapped_bytes, size);
		return addr;
	}
	if (pvdma_tries_again(ep, dir, attrs, err, &copy))
		goto again;
fail:
	pvdma_fail(ep, phys, size, err);
	return DMA_MAPPING_ERROR;
}

static void pvdma_unmap_phys(struct device *dev, dma_addr_t addr, size_t size,
			     enum dma_data_direction dir, unsigned long attrs)
{
	struct pvdma_endpoint *ep = pvdma_endpoint_of(dev);

	/* only a mapping can be unmapped, and of MMIO there was none */
	if (unlikely(attrs & PVDMA_ATTR_MMIO))
		return;
	pvdma_release(ep, addr, size, dir, attrs, true);
	pvdma_count(ep, unmaps, 1);
}

#ifndef PVDMA_HAVE_MAP_PHYS
static dma_addr_t pvdma_map_page(struct device *dev, struct page *page,
				 unsigned long offset, size_t size,
				 enum dma_data_direction dir,
				 unsigned long attrs)
{
	return pvdma_map_phys(dev, page_to_phys(page) + offset, size, dir,
			      attrs);
}

/* Peer-to-peer: the host maps memory of the VM, and nothing else. */
static dma_addr_t pvdma_map_resource(struct device *dev, phys_addr_t phys,
				     size_t size, enum dma_data_direction dir,
				     unsigned long attrs)
{
	pvdma_fail(pvdma_endpoint_of(dev), phys, size, -EREMOTEIO);
	return DMA_MAPPING_ERROR;
}
#endif

/* A list on its way */
struct pvdma_list {
	struct scatterlist *sgl;
	int nents;
	enum dma_data_direction dir;
	unsigned long attrs;
	int held;		/* segments that are, from the first on */
	struct scatterlist *at; /* the next one, where there is one */
	size_t bytes;		/* held */
};

/* Holds what is mapped, up to the first segment that is not. The granules. */
static u64 pvdma_hit_list(struct pvdma_endpoint *ep, struct pvdma_list *l)
{
	u64 hits = 0, n;

	l->bytes = 0;
	l->at = l->sgl;
	for (l->held = 0; l->held < l->nents; l->held++) {
		n = pvdma_hit(ep, sg_phys(l->at), l->at->length);
		if (unlikely(!n))
			break;
		sg_dma_address(l->at) = sg_phys(l->at);
		sg_dma_len(l->at) = l->at->length;
		hits += n;
		l->bytes += l->at->length;
		l->at = sg_next(l->at);
	}
	return hits;
}

/*
 * The rest of a list, as one mapping above: all of the list, or an error and
 * nothing of it. Where it fails l->held and l->at say where it stopped.
 */
static int pvdma_map_list(struct pvdma_endpoint *ep, struct pvdma_batch *b,
			  struct pvdma_list *l, enum pvdma_copy copy)
{
	int i, tried = l->held, err = 0;
	struct scatterlist *sg;
	size_t missing = 0;
	dma_addr_t addr;
	u32 misses;

	for (; l->held < l->nents; l->at = sg_next(l->at)) {
		sg = l->at;
		misses = b->misses;
		err = pvdma_place(ep, b, sg_phys(sg), sg->length, l->dir,
				  l->attrs, copy, &addr);
		if (unlikely(err))
			goto fail;
		sg_dma_address(sg) = addr;
		sg_dma_len(sg) = sg->length;
		tried++;
		err = pvdma_batch_hold(b, addr, sg->length);
		if (unlikely(err)) {
			if (pvdma_may_be_copy(ep, addr))
				pvdma_bounce_unmap(ep, addr, sg->length, l->dir,
						   l->attrs, false);
			goto fail;
		}
		l->held++;
		l->bytes += sg->length;
		if (b->misses != misses)
			missing += sg->length;
	}
	if (b->slot && !copy &&
	    pvdma_copying_wishes(ep, b, missing, l->dir, l->attrs))
		err = -EAGAIN;
	else
		err = pvdma_batch_end(b);
	if (likely(!err))
		return 0;
fail:
	pvdma_batch_cancel(b);
	for_each_sg(l->sgl, sg, l->held, i)
		pvdma_release(ep, sg_dma_address(sg), sg_dma_len(sg), l->dir,
			      l->attrs, false);
	if (unlikely(ep->strict))
		pvdma_strict_undo_sg(ep, l->sgl, tried);
	return err;
}

static int pvdma_map_sg(struct device *dev, struct scatterlist *sgl, int nents,
			enum dma_data_direction dir, unsigned long attrs)
{
	struct pvdma_endpoint *ep = pvdma_endpoint_of(dev);
	struct pvdma_list l = { sgl, nents, dir, attrs, .at = sgl };
	enum pvdma_copy copy = PVDMA_COPY_NOTHING;
	struct pvdma_batch b;
	bool within;
	int err;
	u64 hits;

	if (unlikely(nents <= 0)) {
		pvdma_fail(ep, 0, 0, -EINVAL);
		return -EINVAL;
	}
again:
	hits = pvdma_hit_list(ep, &l);
	if (likely(l.held == nents)) {
		pvdma_count(ep, hits, hits);
		goto done;
	}
	pvdma_reach_out(ep);
	pvdma_begin(ep, &b, dir, attrs, copy);
	b.hits = hits;
	err = pvdma_map_list(ep, &b, &l, copy);
	if (err != -EAGAIN)
		pvdma_settle(ep, &b);
	if (likely(!err))
		goto done;
	if (pvdma_tries_again(ep, dir, attrs, err, &copy))
		goto again;
	/* or all of it waited for the host */
	within = l.held < nents;
	pvdma_fail(ep, within ? sg_phys(l.at) : 0, within ? l.at->length : 0,
		   err);
	return err;
done:
	pvdma_count(ep, mapped_bytes, l.bytes);
	pvdma_count(ep, sg_maps, 1);
	return nents;
}

static void pvdma_unmap_sg(struct device *dev, struct scatterlist *sgl,
			   int nents, enum dma_data_direction dir,
			   unsigned long attrs)
{
	struct pvdma_endpoint *ep = pvdma_endpoint_of(dev);
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, nents, i)
		pvdma_release(ep, sg_dma_address(sg), sg_dma_len(sg), dir,
			      attrs, true);
	pvdma_count(ep, sg_unmaps, 1);
}

static void pvdma_sync_for_cpu(struct device *dev, dma_addr_t addr, size_t size,
			       enum dma_data_direction dir)
{
	struct pvdma_endpoint *ep = pvdma_endpoint_of(dev);

	if (pvdma_may_be_copy(ep, addr))
		pvdma_bounce_sync(ep, addr, size, dir, false);
}

static void pvdma_sync_for_device(struct device *dev, dma_addr_t addr,
				  size_t size, enum dma_data_direction dir)
{
	struct pvdma_endpoint *ep = pvdma_endpoint_of(dev);

	if (pvdma_may_be_copy(ep, addr))
		pvdma_bounce_sync(ep, addr, size, dir, true);
}

static void pvdma_sync_sg_for_cpu(struct device *dev, struct scatterlist *sgl,
				  int nents, enum dma_data_direction dir)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, nents, i)
		pvdma_sync_for_cpu(dev, sg_dma_address(sg), sg_dma_len(sg),
				   dir);
}

static void pvdma_sync_sg_for_device(struct device *dev,
				     struct scatterlist *sgl, int nents,
				     enum dma_data_direction dir)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, nents, i)
		pvdma_sync_for_device(dev, sg_dma_address(sg), sg_dma_len(sg),
				      dir);
}

/*
 * A mask that does not reach all of the memory is fine as long as there is a
 * zone below it to copy to.
 */
static int pvdma_dma_supported(struct device *dev, u64 mask)
{
	struct pvdma_endpoint *ep = pvdma_endpoint_of(dev);

	/*
	 * It may be either mask that is about to change. The slow path knows
	 * the one that counts, and looks at it next.
	 */
	WRITE_ONCE(ep->reach, 0);
	return pvdma_bounce_prepare(ep, mask);
}

static u64 pvdma_get_required_mask(struct device *dev)
{
	u64 last = READ_ONCE(pvdma_endpoint_of(dev)->pv->ram_last);

	return DMA_BIT_MASK(fls64(last));
}

/*
 * One mapping should leave room for others in the quota, for it is held as a
 * whole. A quota that is too small for anything fails mappings, and needs no
 * funny size here.
 */
static size_t pvdma_max_mapping_size(struct device *dev)
{
	struct pvdma *pv = pvdma_endpoint_of(dev)->pv;
	u64 size = max_t(u64, READ_ONCE(pv->conf.quota) / 4, SZ_256K);
	u64 last = READ_ONCE(pv->ram_last);

	size = min_t(u64, size, SIZE_MAX);
	/*
	 * Drivers ask once. What is plugged in later lies above 4 GiB, and what
	 * is copied must not be too large then.
	 */
	if (IS_ENABLED(CONFIG_MEMORY_HOTPLUG))
		last = max_t(u64, last, 1ull << 32);
	if (!pvdma_reaches(dev, last, 1))
		size = min_t(u64, size, pvdma_bounce_max_size(dev));
	return size;
}

/*
 * No opt_mapping_size: the larger a mapping, the fewer requests. No
 * alloc_noncontiguous: where it exists, the core falls back on alloc_pages.
 */
const struct dma_map_ops pvdma_dma_ops = {
	.alloc = pvdma_coherent_alloc,
	.free = pvdma_coherent_free,
#ifdef PVDMA_HAVE_ALLOC_PAGES_OP
	.alloc_pages_op = pvdma_coherent_alloc_pages,
#else
	.alloc_pages = pvdma_coherent_alloc_pages,
#endif
	.free_pages = pvdma_coherent_free_pages,
	.mmap = pvdma_coherent_mmap,
	.get_sgtable = pvdma_coherent_get_sgtable,
#ifdef PVDMA_HAVE_MAP_PHYS
	.map_phys = pvdma_map_phys,
	.unmap_phys = pvdma_unmap_phys,
#else
	.map_page = pvdma_map_page,
	.unmap_page = pvdma_unmap_phys,
	.map_resource = pvdma_map_resource,
#endif
	.map_sg = pvdma_map_sg,
	.unmap_sg = pvdma_unmap_sg,
	.sync_single_for_cpu = pvdma_sync_for_cpu,
	.sync_single_for_device = pvdma_sync_for_device,
	.sync_sg_for_cpu = pvdma_sync_sg_for_cpu,
	.sync_sg_for_device = pvdma_sync_sg_for_device,
	.dma_supported = pvdma_dma_supported,
	.get_required_mask = pvdma_get_required_mask,
	.max_mapping_size = pvdma_max_mapping_size,
};
