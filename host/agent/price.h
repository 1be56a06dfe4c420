/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * price.h - what mapping costs on this host, in nanoseconds
 *
 * How much is worth mapping in one piece, or before it is asked for, follows
 * from what a call of the IOMMU backend costs by its size, and from what a
 * guest loses that waits for one. The former is measured when the agent starts,
 * the latter estimated from it.
 */
#ifndef PVDMA_AGENT_PRICE_H
#define PVDMA_AGENT_PRICE_H

#include <stdbool.h>
#include <stdint.h>

struct iommu;

/* 4 KiB, 8 KiB, ... 2 MiB */
#define PRICE_SIZES 10u

struct price {
	uint64_t trip; /* a request and its answer, without the work */
	uint64_t map[PRICE_SIZES];
	uint64_t unmap[PRICE_SIZES];
};

/* What was measured once; only the ratios matter. */
void price_init(struct price *price);

/*
 * Measures with scratch memory at an IOVA that nothing is mapped at: before the
 * VMM announces memory. Never maps more than @most bytes, the VM's quota. The
 * largest size that was measured, in bytes: larger ones are taken to relate to it as
 * in *@price before; 0: nothing was, and *@price stays as it is. What a miss costs
 * beside the calls follows from those.
 */
uint64_t price_measure(struct price *price, struct iommu *iommu, uint64_t most);

/* One call for @bytes, > 0. */
uint64_t price_map(const struct price *price, uint64_t bytes);
uint64_t price_unmap(const struct price *price, uint64_t bytes);

#endif
