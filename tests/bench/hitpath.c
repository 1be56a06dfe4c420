// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hitpath.c - what a mapping of one granule that is mapped costs a driver
 *
 * The module's own track.c and track.h, as guest/pvdma/dma_ops.c uses them: the
 * mask, the hold, the counters; then the same way back. tests/bench/hitpath
 * counts the instructions of map() and unmap() under callgrind: no clock, no
 * noise.
 */
#include <stdio.h>
#include <stdlib.h>

#include "track.h"

/* What dma_ops.c reads and counts on its way; counters there are per CPU. */
struct endpoint {
	struct pvdma_track track;
	u64 reach; /* of the device's mask, and of the table */
	u64 hits, unmaps;
};

/* For callgrind to find: whole, and for any caller. */
u64 map(struct endpoint *ep, u64 addr, u64 size);
void unmap(struct endpoint *ep, u64 addr, u64 size);

/* No address is wrong here. */
int pvdma_env_check(u64 addr)
{
	(void)addr;
	return 0;
}

__attribute__((noinline)) u64 map(struct endpoint *ep, u64 addr, u64 size)
{
	if (unlikely(addr + size - 1 > ep->reach ||
		     !pvdma_track_hit(&ep->track, addr, size)))
		abort();
	ep->hits++;
	return addr;
}

__attribute__((noinline)) void unmap(struct endpoint *ep, u64 addr, u64 size)
{
	ep->unmaps++;
	pvdma_track_release(&ep->track, addr, size);
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 1;
	/* nothing that the compiler could know beforehand */
	volatile u64 size = 1500, mask = (4ull << 20) - 1;
	struct endpoint ep = { .reach = (64ull << 20) - 1 };
	u64 i;

	if (pvdma_track_init(&ep.track, 12, 64ull << 20) ||
	    pvdma_track_add_leaf(&ep.track, 0, GFP_KERNEL))
		return 1;
	for (i = 0; i < VIRTIO_PVDMA_LEAF_WORDS; i++)
		atomic_or(VIRTIO_PVDMA_W_MAPPED | VIRTIO_PVDMA_W_REFERENCED,
			  pvdma_track_word(&ep.track, PVDMA_GRANULES, i));
	for (i = 0; i < rounds; i++)
		unmap(&ep, map(&ep, (i * 4096 + 64) & mask, size), size);
	if (ep.hits != rounds || ep.unmaps != rounds)
		return 1;
	pvdma_track_done(&ep.track);
	return 0;
}
