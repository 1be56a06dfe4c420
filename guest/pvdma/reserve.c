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
 * Where the quota is too small for what is used, copies do much of the work
 * (copying.c), and those in flight need more memory: it grows to an eighth of
 * the quota by what is wished for, and each ten seconds what was not reached
 * meanwhile is given up. A size that was asked for stays.
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
	"KiB of the quota that are kept mapped for copies (-1: 1/128, from 16 to 1024, and up to 1/8 and 8192 while the quota is too small; 0: none)");

static unsigned int copy_after_us = 2000;
module_param(copy_after_us, uint, 0644);
MODULE_PARM_DESC(
	copy_after_us,
	"microseconds after which a mapping that waits for the host is copied instead (0: never)");

#define PVDMA_RESERVE_CHUNK SZ_256K

/*
 * How long what was added is kept for nobody. What is missing, and could not be
 * had, is asked for less and less often.
 */
#define PVDMA_RESERVE_IDLE_MS  10000u
#define PVDMA_RESERVE_RETRY_MS 3600000u

/* How many bytes to keep: 0, or a power of two and whole granules. */
static u64 pvdma_reserve_bytes(const struct pvdma *pv)
{
	u64 quota = READ_ONCE(pv->conf.quota);
	u32 shift = pv->conf.granule_shift;
	int kb = READ_ONCE(bounce_kb);

	BUILD_BUG_ON(PVDMA_RESERVE_UNIT % PVDMA_POOL_UNIT);
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

/* Adds @bytes by requests of @ep; returns how many there are more then. */
static u64 pvdma_reserve_add(struct pvdma_endpoint *ep, u64 bytes)
{
	u64 most = max_t(u64, PVDMA_RESERVE_CHUNK,
			 1ull << ep->pv->conf.granule_shift);
	u64 done, chunk;

	for (done = 0; done < bytes; done += chunk) {
		chunk = min(bytes - done, most);
		if (pvdma_pool_add_mapped(ep, chunk))
			break;
	}
	return done;
}

/*
 * Makes sure that there is as much as is to be. Where it fails, there is little
 * or nothing to copy to: that is no error. Returns how many bytes are missing.
 */
static u64 pvdma_reserve_fill(struct pvdma *pv)
{
	struct pvdma_endpoint *ep = pvdma_reserve_user(pv);
	u64 bytes = pvdma_reserve_bytes(pv);
	u64 have = pvdma_pool_bytes(pv, PVDMA_POOL_MAPPED);

	if (!ep || have >= bytes || READ_ONCE(pv->conf.excess))
		return 0;
	return bytes - have - pvdma_reserve_add(ep, bytes - have);
}

/* The same, and says what is missing. Under pvdma_lock. */
void pvdma_reserve_open(struct pvdma *pv)
{
	u64 missing = pvdma_reserve_fill(pv);

	if (!missing)
		return;
	dev_info(
		&pv->vdev->dev,
		"%llu of %llu KiB are mapped for copies: what finds no room in the quota may fail\n",
		pvdma_pool_bytes(pv, PVDMA_POOL_MAPPED) >> 10,
		pvdma_reserve_bytes(pv) >> 10);
	pvdma_reserve_later(pv);
}

/* A copy found no room, and the quota is too small. Any context. */
void pvdma_reserve_short(struct pvdma *pv)
{
	if (READ_ONCE(pv->reserve_short) || READ_ONCE(pv->reserve_full) ||
	    READ_ONCE(bounce_kb) >= 0)
		return;
	WRITE_ONCE(pv->reserve_short, true);
	/* not when it would have been reviewed */
	cancel_delayed_work(&pv->reserve_work);
	schedule_delayed_work(&pv->reserve_work, 0);
}

/* False: there is no more to be had. */
static bool pvdma_reserve_grow(struct pvdma *pv)
{
	struct pvdma_endpoint *ep = pvdma_reserve_user(pv);
	u64 have = pvdma_pool_bytes(pv, PVDMA_POOL_MAPPED), more;

	if (!ep || READ_ONCE(pv->conf.excess))
		return false;
	more = pvdma_reserve_more(READ_ONCE(pv->conf.quota), have);
	return more && pvdma_reserve_add(ep, more) == more;
}

/* Gives up what is more than there is to be, or than was needed of late. */
static void pvdma_reserve_trim(struct pvdma *pv)
{
	u64 most = pvdma_reserve_most(READ_ONCE(pv->conf.quota));
	u64 reached = pvdma_pool_reached(pv, PVDMA_POOL_MAPPED);
	u64 least = pvdma_reserve_bytes(pv);
	u64 keep = max(least, min(reached, most));

	(void)pvdma_pool_shrink(pv, PVDMA_POOL_MAPPED, keep);
	/* in chunks that are too large: smaller ones come instead */
	if (keep == least && pvdma_pool_bytes(pv, PVDMA_POOL_MAPPED) > least)
		(void)pvdma_pool_shrink(pv, PVDMA_POOL_MAPPED, 0);
}

/*
 * The memory was short; or it is time to see how much of it is used. (What
 * could not be had is not asked for again before that.)
 */
void pvdma_reserve_review(struct work_struct *work)
{
	struct pvdma *pv =
		container_of(to_delayed_work(work), struct pvdma, reserve_work);
	bool grows;

	mutex_lock(&pvdma_lock);
	grows = xchg(&pv->reserve_short, false) && !pv->reserve_full;
	WRITE_ONCE(pv->reserve_full, grows && !pvdma_reserve_grow(pv));
	if (!grows)
		pvdma_reserve_trim(pv);
	if (pvdma_reserve_fill(pv)) {
		pv->reserve_retry_ms = clamp(2 * pv->reserve_retry_ms,
					     PVDMA_RESERVE_IDLE_MS,
					     PVDMA_RESERVE_RETRY_MS);
		schedule_delayed_work(&pv->reserve_work,
				      msecs_to_jiffies(pv->reserve_retry_ms));
	} else {
		pv->reserve_retry_ms = 0;
		if (pv->reserve_full ||
		    pvdma_pool_bytes(pv, PVDMA_POOL_MAPPED) >
			    pvdma_reserve_bytes(pv))
			pvdma_reserve_later(pv);
	}
	mutex_unlock(&pvdma_lock);
}

/* A review, after a while. Any context. */
void pvdma_reserve_later(struct pvdma *pv)
{
	schedule_delayed_work(&pv->reserve_work,
			      msecs_to_jiffies(PVDMA_RESERVE_IDLE_MS));
}

/* Mappings have ended, and the work was cancelled: what is known is void. */
void pvdma_reserve_renew(struct pvdma *pv)
{
	mutex_lock(&pvdma_lock);
	pvdma_pressure_reset(&pv->pressure);
	WRITE_ONCE(pv->reserve_full, false);
	WRITE_ONCE(pv->reserve_short, false);
	pvdma_reserve_later(pv);
	mutex_unlock(&pvdma_lock);
}

/*
 * How long to wait for a mapping that could be copied; 0: as long as it takes.
 */
u32 pvdma_reserve_patience(struct pvdma *pv)
{
	return pvdma_pool_has_spare(pv) ? READ_ONCE(copy_after_us) : 0;
}

/* Gives up what is idle, unless somebody is left to use it. */
void pvdma_reserve_close(struct pvdma *pv)
{
	if (pvdma_reserve_user(pv))
		return;
	(void)pvdma_pool_shrink(pv, PVDMA_POOL_MAPPED, 0);
	pvdma_pressure_reset(&pv->pressure);
}
