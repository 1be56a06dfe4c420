// SPDX-License-Identifier: GPL-2.0-only
/*
 * hints.c - what was copied because it was not mapped, for the host to map
 *
 * Owns nothing; the lock is the owner's. What is noted here is held by nobody:
 * it is advice (SPEC.md, "PREFETCH"), and nobody waits for what becomes of it.
 */
#include "hints.h"

bool pvdma_hints_add(struct pvdma_hints *h, u32 endpoint, u8 sample, u64 first,
		     u64 last)
{
	u32 i;

	if (last - first >= U32_MAX ||
	    (h->n && (h->endpoint != endpoint || h->sample != sample)))
		return false;
	for (i = 0; i < h->n; i++)
		if (first >= h->range[i].first &&
		    last < h->range[i].first + h->range[i].n)
			return true;
	if (h->n >= h->max)
		return false;
	h->endpoint = endpoint;
	h->sample = sample;
	h->range[h->n].first = first;
	h->range[h->n].n = last - first + 1;
	h->n++;
	return true;
}

void pvdma_hints_encode(struct pvdma_hints *h, struct pvdma_msg *msg)
{
	u32 i;

	pvdma_encode_begin(msg, VIRTIO_PVDMA_T_PREFETCH, h->endpoint);
	msg->head.flags = h->sample;
	for (i = 0; i < h->n; i++)
		pvdma_encode_granules(msg, PVDMA_HINTS_MAX, h->range[i].first,
				      h->range[i].n);
	h->n = 0;
}
