/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ghosts.h - what a policy remembers of extents that are gone
 *
 * A ghost is known by the extent's first granule. Ghosts lie in the state's
 * arena, in the order in which they came; how many there may be is up to the
 * policy, which has to keep to a multiple of the extents that are mapped.
 */
#ifndef PVDMA_AGENT_POLICY_GHOSTS_H
#define PVDMA_AGENT_POLICY_GHOSTS_H

#include <stdbool.h>
#include <stdint.h>

#include "host/agent/treap.h"

struct state;

/* Bytes of a slot in the pool STATE_GHOSTS. */
#define GHOSTS_SLOT_SIZE 40

/* The part that is state; zero at first. */
struct ghosts_root {
	struct treap_root index;
	uint32_t oldest; /* slot */
	uint32_t newest; /* slot */
};

/* How this process sees it. */
struct ghosts {
	struct state *state;
	struct ghosts_root *root;
	struct treap index;
};

/* The policy's own words. */
struct ghost_note {
	uint32_t time;
	uint32_t data;
};

/* Borrows both; takes over what is in @root. */
void ghosts_init(struct ghosts *ghosts, struct state *state,
		 struct ghosts_root *root);

/*
 * Remembers @key, which is not remembered yet. Does nothing where there is no
 * memory: a ghost is a help, not a duty.
 */
void ghosts_add(struct ghosts *ghosts, uint64_t key,
		const struct ghost_note *note);

/* Forgets @key. False: it was not there, and *@ret is as before. */
bool ghosts_take(struct ghosts *ghosts, uint64_t key, struct ghost_note *ret);

/* Forgets the one that came first. False: there is none. */
bool ghosts_take_oldest(struct ghosts *ghosts, struct ghost_note *ret);

static inline uint32_t ghosts_count(const struct ghosts *ghosts)
{
	return ghosts->root->index.count;
}

#endif
