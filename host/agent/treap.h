/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * treap.h - an ordered index over the slots of a pool, linked by slot numbers
 *
 * Each slot begins with a struct treap_node. The tree holds no pointers, so
 * that it can live in memory that another process maps elsewhere. Balance
 * comes from random priorities that no peer can foresee, not from the keys:
 * whatever keys a guest chooses, a look-up takes O(log n) steps.
 */
#ifndef PVDMA_AGENT_TREAP_H
#define PVDMA_AGENT_TREAP_H

#include <stddef.h>
#include <stdint.h>

#define TREAP_NONE UINT32_MAX

struct treap_node {
	uint64_t key;
	uint32_t left;	/* slot */
	uint32_t right; /* slot */
	uint32_t prio;
	uint32_t mark; /* not the tree's: what the slot is; 0: not in use */
};

/* The part that is state; zero is not a valid one, see treap_root_init(). */
struct treap_root {
	uint64_t seed;	/* of the priorities; never 0 */
	uint32_t top;	/* slot */
	uint32_t count; /* nodes */
};

/* How this process sees it. */
struct treap {
	struct treap_root *root;
	void *slots;	  /* slot 0 */
	size_t slot_size; /* bytes */
};

/* An empty tree; @seed is any random number. */
void treap_root_init(struct treap_root *root, uint64_t seed);

static inline struct treap_node *treap_node(const struct treap *treap,
					    uint32_t slot)
{
	return (void *)((char *)treap->slots + slot * treap->slot_size);
}

/* Adds @slot under @key, which must not be there yet. Cannot fail. */
void treap_insert(struct treap *treap, uint32_t slot, uint64_t key);

/* Takes @slot out, which must be in the tree. */
void treap_remove(struct treap *treap, uint32_t slot);

/* The slot with the greatest key <= @key, or TREAP_NONE. */
uint32_t treap_at_or_below(const struct treap *treap, uint64_t key);

/* The slot with the least key >= @key, or TREAP_NONE. */
uint32_t treap_at_or_above(const struct treap *treap, uint64_t key);

/*
 * Both in one descent: the slot with the greatest key <= @key, and in
 * *@ret_above the one with the least key > @key; each may be TREAP_NONE.
 */
uint32_t treap_around(const struct treap *treap, uint64_t key,
		      uint32_t *ret_above);

#endif
