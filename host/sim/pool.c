// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pool.c - the memory that a simulated driver copies to, as bounce.c has it
 *
 * Owns the books of its chunks; the memory is guest.c's. Locks: none.
 */
#include "host/sim/pool.h"

int sim_pool_add(struct sim_pool *pool, uint64_t bytes)
{
	int r;

	if (pool->n == SIM_POOL_CHUNKS)
		return -ENOSPC;
	r = pvdma_slots_init(&pool->chunk[pool->n], pool->base + pool->bytes,
			     bytes, GFP_KERNEL);
	if (r)
		return r;
	pool->n++;
	pool->bytes += bytes;
	return 0;
}

bool sim_pool_take(struct sim_pool *pool, uint64_t phys, uint64_t size,
		   uint64_t keep, enum pvdma_slot_use use, uint64_t *ret_addr)
{
	for (uint32_t i = 0; i < pool->n; i++)
		if (pvdma_slots_take(&pool->chunk[i], phys, size, keep,
				     PAGE_SIZE - 1, use, ret_addr))
			return true;
	return false;
}

void sim_pool_give(struct sim_pool *pool, uint64_t addr)
{
	for (uint32_t i = 0; i < pool->n; i++)
		if (pvdma_slots_has(&pool->chunk[i], addr))
			(void)pvdma_slots_give(&pool->chunk[i], addr);
}

void sim_pool_done(struct sim_pool *pool)
{
	for (uint32_t i = 0; i < pool->n; i++)
		pvdma_slots_done(&pool->chunk[i]);
}
