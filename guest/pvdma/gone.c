// SPDX-License-Identifier: GPL-2.0-only
/*
 * gone.c - mappings that outlive their device
 *
 * Owns: pvdma.gone, endpoints whose devices were taken out while something of
 * theirs was mapped.
 *
 * Theory of operation: a driver may hand pages on, mapped as they are, and
 * leave it to whoever has them last to unmap them: page_pool does, which holds
 * on to the device's struct for that. So the operations stay, and so do the
 * holds in the table until they are given up one by one; else these granules
 * would be held for ever. The device does no DMA any more, and the host does
 * not know the endpoint. It ends when nothing is mapped, which is looked for
 * once a second, or with the pvdma device.
 *
 * Locks: pvdma_lock.
 */
#include "pvdma.h"

#define PVDMA_GONE_MS 1000

/* The device was taken out: true if the endpoint stays. Under pvdma_lock. */
bool pvdma_gone_keep(struct pvdma_endpoint *ep)
{
	struct pvdma *pv = ep->pv;
	u64 live = pvdma_endpoint_live(ep);

	if (!live)
		return false;
	pci_info(ep->pdev, "pvdma: %llu DMA mappings outlive the device\n",
		 live);
	pvdma_debugfs_remove_endpoint(ep);
	list_move_tail(&ep->node, &pv->gone);
	schedule_delayed_work(&pv->gone_work, msecs_to_jiffies(PVDMA_GONE_MS));
	return true;
}

void pvdma_gone_review(struct work_struct *work)
{
	struct pvdma *pv =
		container_of(to_delayed_work(work), struct pvdma, gone_work);
	struct pvdma_endpoint *ep, *next;

	mutex_lock(&pvdma_lock);
	list_for_each_entry_safe(ep, next, &pv->gone, node) {
		if (pvdma_endpoint_live(ep))
			continue;
		pci_info(ep->pdev, "pvdma: the last DMA mapping has ended\n");
		pvdma_strict_settle(ep);
		pvdma_endpoint_release(ep);
	}
	if (!list_empty(&pv->gone))
		schedule_delayed_work(&pv->gone_work,
				      msecs_to_jiffies(PVDMA_GONE_MS));
	mutex_unlock(&pvdma_lock);
}

/* The pvdma device goes: what is mapped still has nobody to look after it. */
void pvdma_gone_end(struct pvdma *pv)
{
	struct pvdma_endpoint *ep, *next;

	cancel_delayed_work_sync(&pv->gone_work);
	mutex_lock(&pvdma_lock);
	list_for_each_entry_safe(ep, next, &pv->gone, node) {
		pvdma_strict_settle(ep);
		pvdma_endpoint_release(ep);
	}
	mutex_unlock(&pvdma_lock);
}
