// SPDX-License-Identifier: GPL-2.0-only
/*
 * copying.c - step 4 of a mapping's way: is it worth more to copy than to wait?
 *
 * Owns: what an endpoint may copy to save waits (pvdma_copying, per CPU), and
 * what is known of how far the quota goes (pvdma.pressure).
 *
 * Theory of operation: a copy of some KiB is cheaper than a round trip to the
 * host, but it is paid for at each use, and a mapping once. So as long as what
 * is mapped stays mapped, a small share of all bytes may be copied, and the
 * host told to map them (throttle.h). Under a quota that is too small for what
 * is used (pressure.h) a mapping lasts for a use or two, and another one has to
 * go for it: all that is small is copied then, and the host hears of some of
 * it, which is more often what is used more often.
 *
 * Locks: none. The pressure is the device's, and written only where something
 * is missed.
 */
#include <linux/moduleparam.h>
#include <linux/virtio_config.h>

#include "compat/dma.h"
#include "pvdma.h"

static bool copy_scarce = true;
module_param(copy_scarce, bool, 0644);
MODULE_PARM_DESC(
	copy_scarce,
	"copy all small transfers that are not mapped while the quota is too small for what is used");

static bool pvdma_copying_scarce(const struct pvdma *pv)
{
	return READ_ONCE(copy_scarce) && pvdma_pressed(&pv->pressure);
}

/*
 * May what is mapped with @dir and @attrs be copied, where that saves a wait?
 * Not what is mapped in both directions: rings and doorbells of user space are,
 * which the device and the program look at without a sync.
 */
bool pvdma_copying_may(struct pvdma_endpoint *ep, enum dma_data_direction dir,
		       unsigned long attrs)
{
	/* what a driver keeps, and syncs by itself, is worth a mapping */
	return !ep->strict && dir != DMA_BIDIRECTIONAL &&
	       !(attrs & (PVDMA_ATTR_NO_BOUNCE | DMA_ATTR_SKIP_CPU_SYNC)) &&
	       pvdma_pool_has_spare(ep->pv);
}

/* For @b, of a mapping of @ep: where to note what is asked for. */
void pvdma_copying_begin(struct pvdma_endpoint *ep, struct pvdma_batch *b)
{
	/* what ends with its use is asked for each time */
	if (unlikely(ep->strict))
		return;
	pvdma_pressure_scale(&ep->pv->pressure, READ_ONCE(ep->pv->conf.quota),
			     ep->pv->track.shift);
	b->asked = &ep->pv->pressure;
}

/*
 * @b is to ask for something, and not sent yet: is it worth more to copy the
 * segments of which something is missing, @bytes in all, and let the host map
 * it when it has the time?
 */
bool pvdma_copying_wishes(struct pvdma_endpoint *ep,
			  const struct pvdma_batch *b, size_t bytes,
			  enum dma_data_direction dir, unsigned long attrs)
{
	struct pvdma *pv = ep->pv;
	u64 mapped, since, again;
	struct pvdma_copying *c;
	unsigned long flags;
	bool yes;

	if (ep->strict)
		return false;
	again = pvdma_batch_again(b);
	/* of new leaves the host has to be told, and that is waited for */
	yes = pvdma_copying_may(ep, dir, attrs) &&
	      !pvdma_encode_count(b->slot->leaf) &&
	      virtio_has_feature(pv->vdev, VIRTIO_PVDMA_F_PREFETCH);
	local_irq_save(flags);
	c = this_cpu_ptr(ep->copying);
	mapped = this_cpu_read(ep->counters->mapped_bytes);
	since = mapped - c->seen;
	c->seen = mapped;
	pvdma_pressure_note(&pv->pressure, since, again);
	pvdma_throttle_earn(&c->throttle, since);
	yes = yes && pvdma_throttle_spend(&c->throttle, bytes,
					  pvdma_copying_scarce(pv));
	local_irq_restore(flags);
	return yes;
}

/* The host had no room for a mapping. */
void pvdma_copying_refused(struct pvdma_endpoint *ep)
{
	unsigned long flags;

	local_irq_save(flags);
	pvdma_throttle_refused(&this_cpu_ptr(ep->copying)->throttle);
	local_irq_restore(flags);
}

/* Granules [@first, @last] were copied: the host is told, if it is to know. */
void pvdma_copying_done(struct pvdma_endpoint *ep, u64 first, u64 last)
{
	struct pvdma *pv = ep->pv;
	bool scarce = pvdma_copying_scarce(pv), tells;
	unsigned long flags;

	if (!virtio_has_feature(pv->vdev, VIRTIO_PVDMA_F_PREFETCH))
		return;
	local_irq_save(flags);
	tells = pvdma_throttle_tells(&this_cpu_ptr(ep->copying)->throttle,
				     scarce);
	local_irq_restore(flags);
	if (tells)
		pvdma_request_hint(pv, ep->number,
				   scarce ? PVDMA_THROTTLE_TELL_SHIFT : 0,
				   first, last);
}

/*
 * There was no room for a copy of @size bytes: more is worth having where many
 * are made, if it would be of use for this one.
 */
void pvdma_copying_short(struct pvdma_endpoint *ep, size_t size)
{
	struct device *dev = &ep->pdev->dev;

	if (size <= PVDMA_THROTTLE_SCARCE_SIZE &&
	    min_not_zero(dma_get_mask(dev), dev->bus_dma_limit) >=
		    DMA_BIT_MASK(32) &&
	    dma_get_min_align_mask(dev) < PAGE_SIZE &&
	    pvdma_copying_scarce(ep->pv))
		pvdma_reserve_short(ep->pv);
}
