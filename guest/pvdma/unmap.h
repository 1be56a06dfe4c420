/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * unmap.h - the way back of a mapping whose endpoint is strict
 */
#ifndef PVDMA_UNMAP_H
#define PVDMA_UNMAP_H

#include "env.h"

struct pvdma;
struct pvdma_msg;
struct pvdma_slot;
struct pvdma_track;

/*
 * What waits to be unmapped, of one endpoint: an UNMAP that is filled up until
 * somebody sends it.
 */
struct pvdma_defer {
	raw_spinlock_t lock; /* for all that follows */
	struct pvdma_msg *msg;
	u16 max;	    /* items of a request */
	unsigned int calls; /* unmaps that wait in it */
};

/* @page, a page that stays the caller's, holds the request. */
void pvdma_defer_init(struct pvdma_defer *d, void *page, u16 max, u32 endpoint);

/*
 * Sends what waits, and waits for the answer. 0, also where nothing waited; or
 * the error of the request. Where it cannot be sent, it goes on waiting. Any
 * context but NMI; no slot is held.
 */
int pvdma_defer_flush(struct pvdma_defer *d, struct pvdma *pv, u32 endpoint);

/* One unmap on its caller's stack, from begin to end. */
struct pvdma_unmap {
	struct pvdma *pv;
	struct pvdma_track *track;
	struct pvdma_defer *defer; /* or NULL: at once */
	struct pvdma_slot *slot;   /* NULL while there is nothing to send */
	u32 endpoint;
	bool every; /* name all granules, not only those that became idle */
	bool named; /* something was */
	int err;    /* the first; the mapping is given up all the same */
};

static inline void pvdma_unmap_begin(struct pvdma_unmap *u, struct pvdma *pv,
				     struct pvdma_track *track, u32 endpoint)
{
	*u = (struct pvdma_unmap){
		.pv = pv,
		.track = track,
		.endpoint = endpoint,
	};
}

/*
 * Gives up what was held for [@addr, @addr + @size), and notes which granules
 * the host is to unmap. Once something is noted preemption is off until the
 * end, unless the unmap is deferred.
 */
void pvdma_unmap_drop(struct pvdma_unmap *u, u64 addr, u64 size);

/* Notes all granules of a range whose holds are given up already. */
void pvdma_unmap_name(struct pvdma_unmap *u, u64 addr, u64 size);

/*
 * Has the host unmap what was noted, or adds the unmap to those that wait. 0,
 * or the first error: then the host may not have unmapped all of it.
 */
int pvdma_unmap_end(struct pvdma_unmap *u);

#endif
