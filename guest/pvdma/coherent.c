// SPDX-License-Identifier: GPL-2.0-only
/*
 * coherent.c - memory that a driver shares with its device for long
 *
 * Owns nothing: the memory belongs to the driver from allocation to free, and
 * is held in the table for that time, so it stays mapped.
 *
 * DMA is cache-coherent where this module runs, so coherent memory is pages
 * from below the device's mask, kept as the kernel maps them. dma_pool and
 * dmam_alloc_* stand on these functions. Allocation may be atomic; free may
 * run in softirq.
 */
#include <linux/dma-map-ops.h>
#include <linux/scatterlist.h>

#include "pvdma.h"
#include "trace.h"

static bool pvdma_coherent_reaches(struct device *dev, struct page *page,
				   size_t size)
{
	u64 limit = min_not_zero(dev->coherent_dma_mask, dev->bus_dma_limit);

	return page_to_phys(page) + size - 1 <= limit;
}

/*
 * @size bytes (whole pages) that the device reaches. The core has taken zone
 * flags away, so they are chosen here: the zone that the mask asks for, and
 * those below where its memory happens to lie too high.
 */
static struct page *pvdma_coherent_get(struct device *dev, size_t size,
				       gfp_t gfp)
{
	static const gfp_t zones[] = { 0, GFP_DMA32, GFP_DMA };
	u64 limit = min_not_zero(dev->coherent_dma_mask, dev->bus_dma_limit);
	unsigned int order = get_order(size), i = 0;
	struct page *page;
	size_t tail;

	gfp &= ~(__GFP_DMA | __GFP_DMA32 | __GFP_HIGHMEM | __GFP_COMP);
	if (limit < READ_ONCE(pvdma_endpoint_of(dev)->pv->ram_last) &&
	    limit <= DMA_BIT_MASK(32))
		i = limit <= DMA_BIT_MASK(24) ? 2 : 1;
	for (;;) {
		page = alloc_pages_node(dev_to_node(dev),
					gfp | zones[i] | __GFP_ZERO, order);
		if (!page)
			return NULL;
		if (pvdma_coherent_reaches(dev, page, size))
			break;
		__free_pages(page, order);
		if (++i == ARRAY_SIZE(zones))
			return NULL;
	}
	/* single pages, so that the rest of the last power of two is free */
	split_page(page, order);
	for (tail = size; tail < PAGE_SIZE << order; tail += PAGE_SIZE)
		__free_page(page + (tail >> PAGE_SHIFT));
	return page;
}

static void pvdma_coherent_put(struct page *page, size_t size)
{
	size_t i;

	for (i = 0; i < size >> PAGE_SHIFT; i++)
		__free_page(page + i);
}

/* Has @size bytes at @addr mapped, and holds them: all, or nothing. */
static int pvdma_coherent_hold(struct pvdma_endpoint *ep, u64 addr, size_t size,
			       gfp_t gfp)
{
	struct pvdma_track *track = &ep->pv->track;
	struct pvdma_batch b;
	int err;

	pvdma_endpoint_batch(ep, &b, gfp);
	err = pvdma_batch_hold(&b, addr, size);
	if (!err) {
		err = pvdma_batch_end(&b);
		if (err)
			pvdma_track_drop(track,
					 pvdma_track_granule(track, addr),
					 pvdma_track_last(track, addr, size));
	}
	if (err) {
		if (ep->strict)
			pvdma_strict_undo(ep, addr, size);
		return err;
	}
	pvdma_count(ep, hits, b.hits);
	pvdma_count(ep, misses, b.misses);
	if (b.misses)
		trace_pvdma_miss(&ep->pdev->dev, b.hits, b.misses);
	return 0;
}

struct page *pvdma_coherent_alloc_pages(struct device *dev, size_t size,
					dma_addr_t *handle,
					enum dma_data_direction dir, gfp_t gfp)
{
	struct pvdma_endpoint *ep = pvdma_endpoint_of(dev);
	struct page *page;
	int err = -ENOMEM;
	u64 addr = 0;

	size = PAGE_ALIGN(size);
	page = pvdma_coherent_get(dev, size, gfp);
	if (!page)
		goto fail;
	addr = page_to_phys(page);
	/* who must not wait for I/O does not for a leaf of the table, either */
	gfp = gfpflags_allow_blocking(gfp) ?
		      gfp & (__GFP_RECLAIM | __GFP_IO | __GFP_FS) :
		      GFP_ATOMIC;
	err = pvdma_coherent_hold(ep, addr, size, gfp);
	/* this can't be copied: what is there for copies makes room */
	if (unlikely(err == -ENOMEM) &&
	    pvdma_pool_shrink(ep->pv, PVDMA_POOL_MAPPED, 0)) {
		err = pvdma_coherent_hold(ep, addr, size, gfp);
		pvdma_reserve_later(ep->pv);
	}
	if (err)
		goto fail_put;
	pvdma_count(ep, allocs, 1);
	*handle = addr;
	return page;

fail_put:
	pvdma_coherent_put(page, size);
fail:
	pvdma_count(ep, failures, 1);
	trace_pvdma_fail(dev, addr, size, err);
	return NULL;
}

void pvdma_coherent_free_pages(struct device *dev, size_t size,
			       struct page *page, dma_addr_t handle,
			       enum dma_data_direction dir)
{
	struct pvdma_endpoint *ep = pvdma_endpoint_of(dev);
	struct pvdma_track *track = &ep->pv->track;

	size = PAGE_ALIGN(size);
	if (ep->strict)
		pvdma_strict_drop(ep, handle, size);
	else
		pvdma_track_drop(track, pvdma_track_granule(track, handle),
				 pvdma_track_last(track, handle, size));
	pvdma_coherent_put(page, size);
	pvdma_count(ep, frees, 1);
}

void *pvdma_coherent_alloc(struct device *dev, size_t size, dma_addr_t *handle,
			   gfp_t gfp, unsigned long attrs)
{
	struct page *page;

	if (attrs & DMA_ATTR_NO_WARN)
		gfp |= __GFP_NOWARN;
	page = pvdma_coherent_alloc_pages(dev, size, handle, DMA_BIDIRECTIONAL,
					  gfp);
	return page ? page_address(page) : NULL;
}

void pvdma_coherent_free(struct device *dev, size_t size, void *vaddr,
			 dma_addr_t handle, unsigned long attrs)
{
	pvdma_coherent_free_pages(dev, size, virt_to_page(vaddr), handle,
				  DMA_BIDIRECTIONAL);
}

int pvdma_coherent_mmap(struct device *dev, struct vm_area_struct *vma,
			void *vaddr, dma_addr_t handle, size_t size,
			unsigned long attrs)
{
	unsigned long pages = PAGE_ALIGN(size) >> PAGE_SHIFT;
	unsigned long want = vma_pages(vma);

	if (vma->vm_pgoff >= pages || want > pages - vma->vm_pgoff)
		return -ENXIO;
	return remap_pfn_range(vma, vma->vm_start,
			       PHYS_PFN(handle) + vma->vm_pgoff,
			       want << PAGE_SHIFT, vma->vm_page_prot);
}

int pvdma_coherent_get_sgtable(struct device *dev, struct sg_table *sgt,
			       void *vaddr, dma_addr_t handle, size_t size,
			       unsigned long attrs)
{
	int err = sg_alloc_table(sgt, 1, GFP_KERNEL);

	if (!err)
		sg_set_page(sgt->sgl, virt_to_page(vaddr), PAGE_ALIGN(size), 0);
	return err;
}
