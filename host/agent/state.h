/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * state.h - the arena that holds all of a VM's mutable state
 *
 * One memfd: a root and an extra part of the callers' layouts, a part that takes
 * memory only where that is asked for, then pools of slots of one size each. What lies in it refers to other parts by slot numbers, never by
 * pointers, so that another process can take it over (state_open()). The pools reserve
 * address space for as many slots as there could ever be; memory is taken in
 * chunks as slots are used, and given back when a pool runs empty. Pointers
 * to slots stay valid as long as the slot is taken.
 */
#ifndef PVDMA_AGENT_STATE_H
#define PVDMA_AGENT_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct state;

enum state_pool_id {
	STATE_EXTENTS, /* ledger.c */
	STATE_LEAVES,  /* table.c */
	STATE_GHOSTS,  /* policy/ghosts.c */
	STATE_REGIONS, /* vfio_user/dma.c */
	STATE_POOLS,
};

/* Changes with the meaning of anything that lies in an arena. */
#define STATE_VERSION 4u

/* Sizes in bytes; those of slots are multiples of 8. */
struct state_layout {
	uint64_t root_size;
	uint64_t extra_size;
	uint64_t sparse_size; /* see state_back() */
	uint32_t slot_sizes[STATE_POOLS];
};

/* A fresh arena, all of it zero. 0 or a negative errno. */
int state_make(const struct state_layout *layout, struct state **ret);
/* The same with no more than a root; pools of slots of size 0 are not there. */
int state_new(size_t root_size, const uint32_t slot_sizes[static STATE_POOLS],
	      struct state **ret);

/*
 * Takes over the arena in @fd (owned on success), which another process of the
 * same layout and version made. Its pools are to be recovered before they are
 * used. 0; -EUCLEAN: it is none of those, which is logged; or another negative
 * errno.
 */
int state_open(int fd, const struct state_layout *layout, struct state **ret);

/* Takes NULL. */
void state_free(struct state *state);

/* The memfd becomes the caller's. And: the memfd; borrowed. */
void state_disown(struct state *state);
int state_fd(const struct state *state);

void *state_root(struct state *state);
void *state_extra(struct state *state);
void *state_sparse(struct state *state);

/*
 * Gives [@offset, @offset + @size) of the sparse part memory; or takes it away
 * again. Offsets are multiples of 4096. 0 or -ENOMEM.
 */
int state_back(struct state *state, uint64_t offset, uint64_t size);
void state_unback(struct state *state, uint64_t offset, uint64_t size);

/*
 * Finds out which slots of a pool are taken: those of which @taken says so, by
 * what their user left in them (zeros in a slot that was never given a meaning).
 */
void state_recover(struct state *state, enum state_pool_id id,
		   bool (*taken)(const void *slot));
/* Slots of the pool that can be taken are below this one. */
uint32_t state_top(const struct state *state, enum state_pool_id id);

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
