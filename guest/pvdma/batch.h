/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * batch.h - all holds, and all misses, of one DMA mapping
 */
#ifndef PVDMA_BATCH_H
#define PVDMA_BATCH_H

#include "env.h"
#include "pressure.h"

struct pvdma;
struct pvdma_run;
struct pvdma_slot;
struct pvdma_track;

/* On the caller's stack, from begin to end or cancel. */
struct pvdma_batch {
	struct pvdma *pv;
	struct pvdma_track *track;
	struct pvdma_slot *slot; /* NULL while nothing is missing */
	u32 endpoint;
	gfp_t gfp;	 /* for leaves */
	u32 hits;	 /* granules found mapped */
	u32 misses;	 /* granules asked for */
	bool every;	 /* ask for all, mapped or not (single-use) */
	u32 patience_us; /* of its requests: see struct pvdma_slot */
	struct pvdma_pressure *asked; /* where what was mapped is noted */
};

static inline void pvdma_batch_begin(struct pvdma_batch *b, struct pvdma *pv,
				     struct pvdma_track *track, u32 endpoint,
				     gfp_t gfp)
{
	*b = (struct pvdma_batch){
		.pv = pv,
		.track = track,
		.endpoint = endpoint,
		.gfp = gfp,
	};
}

/*
 * Holds each granule of [@addr, @addr + @size) and notes those that are not
 * mapped. 0; or -EINVAL, -EREMOTEIO (not memory for a device), -ENOMEM, -EIO,
 * and then none of these granules is held. The holds of earlier calls are the
 * caller's in any case.
 *
 * After a miss preemption is off until the batch is flushed, ended or
 * cancelled.
 */
int pvdma_batch_hold(struct pvdma_batch *b, u64 addr, u64 size);

/* The same of these words, and of no others that hold the same granules. */
int pvdma_batch_hold_words(struct pvdma_batch *b, const struct pvdma_run *run);

/*
 * Has everything mapped that was noted so far; preemption is on afterwards.
 * 0, or the error of the request (-EAGAIN: it was not waited for); then the
 * caller gives up all its holds.
 */
int pvdma_batch_flush(struct pvdma_batch *b);

/*
 * Of what was noted and not sent: how many bytes had been mapped before, and
 * missed now for the first time since. 0 where that is not noted (@asked).
 */
u64 pvdma_batch_again(const struct pvdma_batch *b);

/* Forgets what was noted and not sent. */
void pvdma_batch_cancel(struct pvdma_batch *b);

/*
 * The last flush. After 0 each granule held by this batch is mapped, and the
 * addresses may go to the device (DRV-TABLE-2).
 */
static inline int pvdma_batch_end(struct pvdma_batch *b)
{
	return likely(!b->slot) ? 0 : pvdma_batch_flush(b);
}

#endif
