/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pool.h - the memory that a simulated driver copies to: areas of slots
 */
#ifndef PVDMA_SIM_POOL_H
#define PVDMA_SIM_POOL_H

#include "host/sim/guest_env.h"

#include "guest/pvdma/slots.h"

#define SIM_POOL_CHUNKS 16u

struct sim_pool {
	struct pvdma_slots chunk[SIM_POOL_CHUNKS];
	uint32_t n;
	uint64_t base; /* of all chunks, which lie in a row */
	uint64_t bytes;
};

/* Adds @bytes behind what there is; they are mapped. 0, -ENOMEM or -ENOSPC. */
int sim_pool_add(struct sim_pool *pool, uint64_t bytes);

/* See pvdma_slots_take(): in the first chunk that has the room. */
bool sim_pool_take(struct sim_pool *pool, uint64_t phys, uint64_t size,
		   uint64_t keep, enum pvdma_slot_use use, uint64_t *ret_addr);

/* The copy at @addr ends. */
void sim_pool_give(struct sim_pool *pool, uint64_t addr);

void sim_pool_done(struct sim_pool *pool);

#endif
