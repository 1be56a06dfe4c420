/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * request.h - requests to the host: slots, one kick, a bounded wait
 */
#ifndef PVDMA_REQUEST_H
#define PVDMA_REQUEST_H

#include "encode.h"

struct pvdma;

#define PVDMA_SLOT_LEAVES 16

/*
 * Room for one request, and for a LEAF that goes before it. Whoever has got
 * it fills in both; a LEAF of no items is not sent.
 */
struct pvdma_slot {
	struct pvdma_msg *main;
	struct pvdma_msg *leaf;
	u16 max_items;		    /* of main */
	u16 max_leaves;		    /* of leaf */
	struct pvdma_levels levels; /* of main, a MAP */
	u32 patience_us; /* wait no longer, if it can be helped; 0: do wait */
};

/*
 * Takes a slot of this CPU's queue and turns preemption off until it is put
 * back. NULL where the device is gone, does not answer, or has all slots.
 * Never sleeps; any context but NMI.
 */
struct pvdma_slot *pvdma_request_get(struct pvdma *pv);

/*
 * Sends what is in the slot, with one kick, and waits for the answer, for the
 * time of parameter timeout_ms at most. 0, or -EINVAL, -ENOMEM, -EIO; -EAGAIN
 * when the slot's patience is over. After a time-out, and after that, the
 * messages belong to the host and must not be looked at; the slot is put back
 * all the same.
 */
int pvdma_request_run(struct pvdma_slot *slot);
void pvdma_request_put(struct pvdma_slot *slot);

#endif
