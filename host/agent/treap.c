// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * treap.c - a binary search tree by key that is a heap by random priority
 *
 * Owns the links in struct treap_node. Invariant: no two nodes have one key;
 * a node's priority is not below those of its children. Locks: none. In a
 * request's way: under every look-up in the ledger and the table.
 *
 * Splitting and joining are loops over references to links: what is cut off
 * is hung to the last open link of its side.
 */
#include "host/agent/treap.h"

#include <assert.h>

void treap_root_init(struct treap_root *root, uint64_t seed)
{
	*root = (struct treap_root){
		.seed = seed ? seed : 1,
		.top = TREAP_NONE,
	};
}

/* Xorshift: cheap, and its state is never zero. */
static uint32_t next_priority(struct treap_root *root)
{
	uint64_t x = root->seed;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	root->seed = x;
	return (uint32_t)(x >> 32);
}

/* Cuts the tree at @top into keys below @key and keys above it. */
static void split(struct treap *treap, uint32_t top, uint64_t key,
		  uint32_t *below, uint32_t *above)
{
	while (top != TREAP_NONE) {
		struct treap_node *node = treap_node(treap, top);

		assert(node->key != key);
		if (node->key < key) {
			*below = top;
			below = &node->right;
			top = node->right;
		} else {
			*above = top;
			above = &node->left;
			top = node->left;
		}
	}
	*below = TREAP_NONE;
	*above = TREAP_NONE;
}

/* Joins two trees, all keys of @below being below those of @above. */
static void join(struct treap *treap, uint32_t below, uint32_t above,
		 uint32_t *link)
{
	while (below != TREAP_NONE && above != TREAP_NONE) {
		struct treap_node *b = treap_node(treap, below);
		struct treap_node *a = treap_node(treap, above);

		if (b->prio >= a->prio) {
			*link = below;
			link = &b->right;
			below = b->right;
		} else {
			*link = above;
			link = &a->left;
			above = a->left;
		}
	}
	*link = below != TREAP_NONE ? below : above;
}

void treap_insert(struct treap *treap, uint32_t slot, uint64_t key)
{
	struct treap_node *node = treap_node(treap, slot);
	uint32_t *link = &treap->root->top;

	node->key = key;
	node->prio = next_priority(treap->root);
	while (*link != TREAP_NONE) {
		struct treap_node *at = treap_node(treap, *link);

		if (at->prio < node->prio)
			break;
		assert(at->key != key);
		link = key < at->key ? &at->left : &at->right;
	}
	split(treap, *link, key, &node->left, &node->right);
	*link = slot;
	treap->root->count++;
}

void treap_remove(struct treap *treap, uint32_t slot)
{
	struct treap_node *node = treap_node(treap, slot);
	uint32_t *link = &treap->root->top;

	while (*link != slot) {
		struct treap_node *at;

		assert(*link != TREAP_NONE);
		at = treap_node(treap, *link);
		link = node->key < at->key ? &at->left : &at->right;
	}
	join(treap, node->left, node->right, link);
	treap->root->count--;
}

uint32_t treap_at_or_below(const struct treap *treap, uint64_t key)
{
	uint32_t slot = treap->root->top;
	uint32_t best = TREAP_NONE;

	while (slot != TREAP_NONE) {
		const struct treap_node *node = treap_node(treap, slot);

		if (node->key == key)
			return slot;
		if (node->key < key) {
			best = slot;
			slot = node->right;
		} else {
			slot = node->left;
		}
	}
	return best;
}

uint32_t treap_at_or_above(const struct treap *treap, uint64_t key)
{
	uint32_t slot = treap->root->top;
	uint32_t best = TREAP_NONE;

	while (slot != TREAP_NONE) {
		const struct treap_node *node = treap_node(treap, slot);

		if (node->key == key)
			return slot;
		if (node->key > key) {
			best = slot;
			slot = node->left;
		} else {
			slot = node->right;
		}
	}
	return best;
}

uint32_t treap_around(const struct treap *treap, uint64_t key,
		      uint32_t *ret_above)
{
	uint32_t slot = treap->root->top;
	uint32_t below = TREAP_NONE;

	*ret_above = TREAP_NONE;
	while (slot != TREAP_NONE) {
		const struct treap_node *node = treap_node(treap, slot);

		if (node->key <= key) {
			below = slot;
			slot = node->right;
		} else {
			*ret_above = slot;
			slot = node->left;
		}
	}
	return below;
}
