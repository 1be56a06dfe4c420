// SPDX-License-Identifier: GPL-2.0-only
/*
 * strict.c - endpoints whose mappings end with their use
 *
 * Owns: the operations in which such an endpoint differs from others, and the
 * work by which deferred unmaps end in time.
 *
 * Under the strategies single-use and shared a driver's unmap returns when the
 * host has unmapped what became idle by it (DRV-STRICT-1). Under deferred it
 * returns at once, and the host is told of many unmaps in one request: after
 * defer_unmaps of them, or defer_ms after the first, whichever comes first
 * (DRV-STRICT-3). An endpoint has these operations in place of those in
 * dma_ops.c, so that others pay nothing for the choice.
 *
 * Where the host does not answer there is nothing that the guest could do about
 * it: the wait is bounded, the message says so once, and the driver goes on.
 * The counts are zero, so the host may evict.
 *
 * Contexts: as in dma_ops.c. An unmap waits for the host with preemption off,
 * in a hard interrupt too, as a mapping that misses does.
 *
 * Locks: none but those of unmap.c.
 */
#include <linux/moduleparam.h>
#include <linux/scatterlist.h>
#include <linux/virtio_config.h>

#include "compat/dma.h"
#include "pvdma.h"
#include "unmap.h"

static unsigned int defer_unmaps = 250;
module_param(defer_unmaps, uint, 0644);
MODULE_PARM_DESC(
	defer_unmaps,
	"strategy deferred: unmaps that wait, at most, for each endpoint");

static unsigned int defer_ms = 10;
module_param(defer_ms, uint, 0644);
MODULE_PARM_DESC(defer_ms, "strategy deferred: how long they wait, at most");

#define PVDMA_DEFER_MAX_MS 10000
/* While the host does not answer */
#define PVDMA_DEFER_RETRY_MS 1000

static struct workqueue_struct *pvdma_strict_wq;

static void pvdma_strict_failed(struct pvdma_endpoint *ep)
{
	pvdma_count(ep, unmap_failures, 1);
	if (!xchg(&ep->unmap_failed, true))
		pci_err(ep->pdev,
			"pvdma: the host has not ended mappings: the device may reach memory that its driver has given up\n");
}

static void pvdma_strict_defer_in(struct pvdma_endpoint *ep, unsigned int ms)
{
	queue_delayed_work(pvdma_strict_wq, &ep->defer_work,
			   msecs_to_jiffies(ms));
}

static void pvdma_strict_flush(struct pvdma_endpoint *ep)
{
	if (!pvdma_defer_flush(&ep->defer, ep->pv, ep->number))
		return;
	pvdma_strict_failed(ep);
	pvdma_strict_defer_in(ep, PVDMA_DEFER_RETRY_MS);
}

static void pvdma_strict_work(struct work_struct *work)
{
	pvdma_strict_flush(container_of(to_delayed_work(work),
					struct pvdma_endpoint, defer_work));
}

/* An unmap was added to those that wait. */
static void pvdma_strict_deferred(struct pvdma_endpoint *ep)
{
	unsigned int most = READ_ONCE(defer_unmaps);

	if (READ_ONCE(ep->defer.calls) >= max(most, 1u))
		pvdma_strict_flush(ep);
	else
		/* it may be queued already: then it runs earlier */
		pvdma_strict_defer_in(ep, clamp(READ_ONCE(defer_ms), 1u,
						PVDMA_DEFER_MAX_MS));
}

static void pvdma_strict_begin(struct pvdma_endpoint *ep, struct pvdma_unmap *u)
{
	pvdma_unmap_begin(u, ep->pv, &ep->pv->track, ep->number);
	u->every = ep->strategy == VIRTIO_PVDMA_S_SINGLE_USE;
	if (ep->strategy == VIRTIO_PVDMA_S_DEFERRED)
		u->defer = &ep->defer;
}

static void pvdma_strict_end(struct pvdma_endpoint *ep, struct pvdma_unmap *u)
{
	if (unlikely(pvdma_unmap_end(u)))
		pvdma_strict_failed(ep);
	if (u->defer && u->named)
		pvdma_strict_deferred(ep);
}

static void pvdma_strict_release(struct pvdma_endpoint *ep,
				 struct pvdma_unmap *u, dma_addr_t addr,
				 size_t size, enum dma_data_direction dir,
				 unsigned long attrs)
{
	if (pvdma_may_be_copy(ep, addr))
		pvdma_bounce_unmap(ep, addr, size, dir, attrs, true);
	pvdma_unmap_drop(u, addr, size);
}

static void pvdma_strict_unmap_phys(struct device *dev, dma_addr_t addr,
				    size_t size, enum dma_data_direction dir,
				    unsigned long attrs)
{
	struct pvdma_endpoint *ep = pvdma_endpoint_of(dev);
	struct pvdma_unmap u;

	if (unlikely(attrs & PVDMA_ATTR_MMIO))
		return;
	pvdma_strict_begin(ep, &u);
	pvdma_strict_release(ep, &u, addr, size, dir, attrs);
	pvdma_strict_end(ep, &u);
	pvdma_count(ep, unmaps, 1);
}

static void pvdma_strict_unmap_sg(struct device *dev, struct scatterlist *sgl,
				  int nents, enum dma_data_direction dir,
				  unsigned long attrs)
{
	struct pvdma_endpoint *ep = pvdma_endpoint_of(dev);
	struct scatterlist *sg;
	struct pvdma_unmap u;
	int i;

	pvdma_strict_begin(ep, &u);
	for_each_sg(sgl, sg, nents, i)
		pvdma_strict_release(ep, &u, sg_dma_address(sg), sg_dma_len(sg),
				     dir, attrs);
	pvdma_strict_end(ep, &u);
	pvdma_count(ep, sg_unmaps, 1);
}

/* The end of memory that was allocated; it is the caller's to free. */
void pvdma_strict_drop(struct pvdma_endpoint *ep, u64 addr, size_t size)
{
	struct pvdma_unmap u;

	pvdma_strict_begin(ep, &u);
	pvdma_unmap_drop(&u, addr, size);
	pvdma_strict_end(ep, &u);
}

/*
 * A mapping has failed, and its holds are given up; but a part of it may have
 * been mapped.
 */
void pvdma_strict_undo(struct pvdma_endpoint *ep, u64 addr, size_t size)
{
	struct pvdma_unmap u;

	pvdma_strict_begin(ep, &u);
	pvdma_unmap_name(&u, addr, size);
	pvdma_strict_end(ep, &u);
}

/* The same, of @n segments. */
void pvdma_strict_undo_sg(struct pvdma_endpoint *ep, struct scatterlist *sgl,
			  int n)
{
	struct scatterlist *sg;
	struct pvdma_unmap u;
	int i;

	pvdma_strict_begin(ep, &u);
	for_each_sg(sgl, sg, n, i)
		pvdma_unmap_name(&u, sg_dma_address(sg), sg_dma_len(sg));
	pvdma_strict_end(ep, &u);
}

/*
 * The endpoint will be attached with @strategy: 0, or -EOPNOTSUPP where the
 * host cannot do what it takes. No driver maps meanwhile.
 */
int pvdma_strict_choose(struct pvdma_endpoint *ep, u8 strategy)
{
	ep->strategy = strategy;
	ep->strict = VIRTIO_PVDMA_S_IS_STRICT(strategy);
	ep->unmap_failed = false;
	ep->ops = pvdma_dma_ops;
	if (!ep->strict)
		return 0;
	if (!virtio_has_feature(ep->pv->vdev, VIRTIO_PVDMA_F_UNMAP)) {
		pci_err(ep->pdev,
			"pvdma: strategy %s: the host takes no UNMAP\n",
			pvdma_strategy_name(strategy));
		return -EOPNOTSUPP;
	}
#ifdef PVDMA_HAVE_MAP_PHYS
	ep->ops.unmap_phys = pvdma_strict_unmap_phys;
#else
	ep->ops.unmap_page = pvdma_strict_unmap_phys;
#endif
	ep->ops.unmap_sg = pvdma_strict_unmap_sg;
	return 0;
}

/* The endpoint is about to be detached: nothing waits any longer. */
void pvdma_strict_settle(struct pvdma_endpoint *ep)
{
	cancel_delayed_work_sync(&ep->defer_work);
	if (ep->strategy == VIRTIO_PVDMA_S_DEFERRED && ep->defer.calls)
		(void)pvdma_defer_flush(&ep->defer, ep->pv, ep->number);
}

/* 0 or -ENOMEM. */
int pvdma_strict_init(struct pvdma_endpoint *ep)
{
	void *page = (void *)get_zeroed_page(GFP_KERNEL);

	INIT_DELAYED_WORK(&ep->defer_work, pvdma_strict_work);
	if (!page)
		return -ENOMEM;
	pvdma_defer_init(&ep->defer, page, ep->pv->max_items, ep->number);
	return 0;
}

void pvdma_strict_done(struct pvdma_endpoint *ep)
{
	free_page((unsigned long)ep->defer.msg);
}

int pvdma_strict_module_init(void)
{
	pvdma_strict_wq =
		alloc_workqueue("pvdma_defer", WQ_UNBOUND | WQ_HIGHPRI, 0);
	return pvdma_strict_wq ? 0 : -ENOMEM;
}

void pvdma_strict_module_exit(void)
{
	destroy_workqueue(pvdma_strict_wq);
}
