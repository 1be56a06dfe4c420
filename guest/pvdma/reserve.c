// SPDX-License-Identifier: GPL-2.0-only
/*
 * reserve.c - memory that is mapped for good, so that a mapping need not fail
 *
 * Owns: the size of bounce.c's mapped pool, and the time for which it is there.
 *
 * While an endpoint is attached whose mappings may be kept, some of the quota
 * is held for copies. What is not mapped and finds no room, or no host that
 * answers, is copied there instead of failing (dma_ops.c): a NIC whose rings
 * hold all that may be mapped would else wait for a packet that it can't
 * receive. Such memory is mapped and held like any other (DRV-MAP-1), so
 * nothing of it is special to the host.
 *
 * It is given up when the host wants memory back (DRV-QUOTA-1), as far as it is
 * idle, when an allocation of a driver fails, and before the last endpoint is
 * detached (all that is mapped ends with that). It comes back with the next
 * endpoint, or with the next news of the quota.
 *
 * Endpoints that are strict have no part in it: what their devices may reach
 * ends with its use, and a copy's place does not. Locks: pvdma_lock.
 */
#include <linux/moduleparam.h>

#include "pvdma.h"
#include "reserve.h"

static int bounce_kb = -1;
module_param(bounce_kb, int, 0644);
MODULE_PARM_DESC(
	bounce_kb,
	"KiB of the quota that are kept mapped for copies (-1: 1/128, from 16 to 1024; 0: none)");

static unsigned int copy_after_us = 2000;
module_param(copy_after_us, uint, 0644);
MODULE_PARM_DESC(
	copy_after_us,
	"microseconds after which a mapping that waits for the host is copied instead (0: never)");

#define PVDMA_RESERVE_CHUNK SZ_256K

/* How many bytes to keep: 0, or a power of two and whole granules. */
static u64 pvdma_reserve_bytes(const struct pvdma *pv)
{
	u64 quota = READ_ONCE(pv->conf.quota);
	u32 shift = pv->conf.granule_shift;
	int kb = READ_ONCE(bounce_kb);

	BUILD_BUG_ON(PVDMA_RESERVE_UNIT % PVDMA_BOUNCE_UNIT);
	if (!kb)
		return 0;
	if (kb < 0)
		return pvdma_reserve_auto(quota, shift);
	/* more may be asked for; nobody wants to be left without the rest */
	return pvdma_reserve_round(min_t(u64, (u64)kb << 10, PVDMA_RESERVE_MAX),
				   quota, shift, 2);
}

/* An endpoint in whose name to map; NULL if none is to have a part in it. */
static struct pvdma_endpoint *pvdma_reserve_user(struct pvdma *pv)
{
	struct pvdma_endpoint *ep;

	list_for_each_entry(ep, &pv->endpoints, node)
		if (ep->attached && !ep->strict &&
		    ep->strategy != VIRTIO_PVDMA_S_DIRECT_MAP)
			return ep;
	return NULL;
}

/*
 * Makes sure that there is something if there is to be. Where it fails, there
 * is nothing to copy to: that is no error. Under pvdma_lock.
 */
void pvdma_reserve_open(struct pvdma *pv)
{
	struct pvdma_endpoint *ep = pvdma_reserve_user(pv);
	u64 bytes, chunk, done;

	if (!ep || pvdma_bounce_has_spare(pv) || READ_ONCE(pv->conf.excess))
		return;
	bytes = pvdma_reserve_bytes(pv);
	chunk = min_t(u64, bytes,
		      max_t(u64, PVDMA_RESERVE_CHUNK,
			    1ull << pv->conf.granule_shift));
	for (done = 0; done < bytes; done += chunk)
		if (pvdma_bounce_add_mapped(ep, chunk))
			break;
	if (done < bytes)
		dev_info(
			&pv->vdev->dev,
			"%llu of %llu KiB are mapped for copies: what finds no room in the quota may fail\n",
			done >> 10, bytes >> 10);
}

/*
 * How long to wait for a mapping that could be copied; 0: as long as it takes.
 */
u32 pvdma_reserve_patience(struct pvdma *pv)
{
	return pvdma_bounce_has_spare(pv) ? READ_ONCE(copy_after_us) : 0;
}

/* Gives up what is idle, unless somebody is left to use it. */
void pvdma_reserve_close(struct pvdma *pv)
{
	if (!pvdma_reserve_user(pv))
		(void)pvdma_bounce_shrink(pv, PVDMA_POOL_MAPPED);
}
