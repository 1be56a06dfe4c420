/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pool.h - memory for copies
 */
#ifndef PVDMA_POOL_H
#define PVDMA_POOL_H

#include <linux/xarray.h>

#include "pvdma.h"
#include "slots.h"

#define PVDMA_POOL_CHUNK  SZ_256K /* for masks */
#define PVDMA_POOL_CHUNKS 256	  /* at most: 64 MiB of these */

struct pvdma_pool_chunk {
	struct pvdma_slots slots;
	u8 *vaddr;
	size_t bytes;
};

struct pvdma_pool {
	struct pvdma *pv;
	enum pvdma_pool_kind kind;
	raw_spinlock_t lock;
	gfp_t zone;
	struct xarray index; /* phys / PVDMA_POOL_UNIT -> chunk */
	unsigned int nr;
	unsigned int reached; /* of them, used since pvdma_pool_reached() */
	struct pvdma_pool_chunk *chunk[PVDMA_POOL_CHUNKS];
};

/* The pool of a kind, made if need be; NULL if there is no memory. */
struct pvdma_pool *pvdma_pool_get(struct pvdma *pv, enum pvdma_pool_kind kind,
				  gfp_t gfp);

/* Adds a chunk of PVDMA_POOL_CHUNK bytes: 0, -ENOMEM or -ENOSPC. */
int pvdma_pool_grow(struct pvdma_pool *pool, gfp_t gfp);

/* The chunk that @addr lies in, and its pool; NULL if it is no copy. */
struct pvdma_pool_chunk *pvdma_pool_find(struct pvdma *pv, dma_addr_t addr,
					 struct pvdma_pool **ret_pool);

#endif
