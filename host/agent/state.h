/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * state.h - the arena that holds all of a VM's mutable state
 *
 * One memfd: a root of the caller's layout, then pools of slots of one size
 * each. What lies in it refers to other parts by slot numbers, never by
 * pointers, so that another process can take it over. The pools reserve
 * address space for as many slots as there could ever be; memory is taken in
 * chunks as slots are used, and given back when a pool runs empty. Pointers
 * to slots stay valid as long as the slot is taken.
 */
#ifndef PVDMA_AGENT_STATE_H
#define PVDMA_AGENT_STATE_H

#include <stddef.h>
#include <stdint.h>

struct state;

enum state_pool_id {
	STATE_EXTENTS, /* ledger.c */
	STATE_LEAVES,  /* table.c */
	STATE_GHOSTS,  /* policy/ghosts.c */
	STATE_POOLS,
};

/*
 * A fresh arena: a root of @root_size zero bytes, and for each pool slots of
 * @slot_sizes[] bytes (multiples of 8). 0 or a negative errno.
 */
int state_new(size_t root_size, const uint32_t slot_sizes[static STATE_POOLS],
	      struct state **ret);
/* Takes NULL. */
void state_free(struct state *state);

void *state_root(struct state *state);

/* A random number that peers do not know. */
uint64_t state_random(struct state *state);

/*
 * Makes sure that the next @n state_take() of this pool succeed. The only
 * step that can fail: -ENOMEM, with nothing changed.
 */
int state_prepare(struct state *state, enum state_pool_id id, uint32_t n);

/* A zeroed slot, prepared before. */
uint32_t state_take(struct state *state, enum state_pool_id id);
void state_give(struct state *state, enum state_pool_id id, uint32_t slot);

/* The address of @slot; slot 0 is the base of the pool. */
void *state_slot(struct state *state, enum state_pool_id id, uint32_t slot);

/* Slots taken now, and the bytes that the pool has of the system. */
uint32_t state_taken(const struct state *state, enum state_pool_id id);
uint64_t state_backed_bytes(const struct state *state, enum state_pool_id id);

#endif
