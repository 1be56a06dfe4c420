/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hints.h - what was copied because it was not mapped, for the host to map
 */
#ifndef PVDMA_HINTS_H
#define PVDMA_HINTS_H

#include "encode.h"
#include "env.h"

#define PVDMA_HINTS_MAX 16

struct pvdma_hints {
	u32 max; /* of one request; at most PVDMA_HINTS_MAX */
	u32 n;
	u32 endpoint; /* of all of them */
	u8 sample;    /* log2 of the copies that each stands for */
	struct {
		u64 first; /* granule */
		u32 n;
	} range[PVDMA_HINTS_MAX];
};

/*
 * Notes granules [@first, @last] of @endpoint, for 1 << @sample copies. False:
 * there is no room, or another endpoint's are there, or such that stand for
 * more or less: they go first.
 */
bool pvdma_hints_add(struct pvdma_hints *h, u32 endpoint, u8 sample, u64 first,
		     u64 last);

/* Makes a PREFETCH of all of them, of which there is one, and forgets them. */
void pvdma_hints_encode(struct pvdma_hints *h, struct pvdma_msg *msg);

#endif
