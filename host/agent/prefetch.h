/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * prefetch.h - what drivers would like to be mapped, and do not wait for
 *
 * A PREFETCH names granules that a driver copied this time because they were
 * not mapped. They are mapped in the background, where nothing that is held has
 * to go for it.
 */
#ifndef PVDMA_AGENT_PREFETCH_H
#define PVDMA_AGENT_PREFETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct granules;
struct vm;

#define PREFETCH_PENDING 64u /* runs of granules that wait to be mapped */

struct prefetch_run {
	uint64_t first;
	uint16_t count;
	uint16_t sample; /* log2 of the uses that it stands for */
	uint32_t endpoint;
};

/* State; all zero at first. */
struct prefetch {
	struct prefetch_run pending[PREFETCH_PENDING];
	uint32_t n_pending, at_pending; /* a ring */
};

/*
 * A driver of @endpoint hints at @ranges (sorted, disjoint; whatever numbers the
 * guest chose), each of which stands for 1 << @sample uses.
 */
void prefetch_hinted(struct vm *vm, uint32_t endpoint,
		     const struct granules *ranges, size_t n, uint8_t sample);

/* One piece of work; true if there is more. */
bool prefetch_work(struct vm *vm);

/* INIT, reset: there is a new load. */
void prefetch_forget(struct vm *vm);

#endif
