// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ghosts.c - a queue of ghosts with an index by key, in the state's arena
 *
 * Owns the slots of the pool STATE_GHOSTS. Invariant: each slot that is taken
 * is in the index and in the queue, once. Locks: none. In a request's way:
 * beside the policy, at the commit and at an eviction.
 */
#include "host/agent/policy/ghosts.h"

#include <assert.h>

#include "host/agent/state.h"

struct ghost {
	struct treap_node node; /* key: first granule */
	uint32_t prev;		/* slot, towards the oldest */
	uint32_t next;		/* slot, towards the newest */
	struct ghost_note note;
};

static_assert(sizeof(struct ghost) == GHOSTS_SLOT_SIZE, "the pool's slots");

static struct ghost *get(const struct ghosts *ghosts, uint32_t slot)
{
	return (void *)treap_node(&ghosts->index, slot);
}

void ghosts_init(struct ghosts *ghosts, struct state *state,
		 struct ghosts_root *root)
{
	*ghosts = (struct ghosts){
		.state = state,
		.root = root,
		.index = {
			.root = &root->index,
			.slots = state_slot(state, STATE_GHOSTS, 0),
			.slot_size = sizeof(struct ghost),
		},
	};
	if (root->index.seed != 0)
		return;
	treap_root_init(&root->index, state_random(state));
	root->oldest = TREAP_NONE;
	root->newest = TREAP_NONE;
}

void ghosts_add(struct ghosts *ghosts, uint64_t key,
		const struct ghost_note *note)
{
	struct ghosts_root *root = ghosts->root;
	struct ghost *ghost;
	uint32_t slot;

	if (state_prepare(ghosts->state, STATE_GHOSTS, 1) < 0)
		return;
	slot = state_take(ghosts->state, STATE_GHOSTS);
	treap_insert(&ghosts->index, slot, key);
	ghost = get(ghosts, slot);
	ghost->note = *note;
	ghost->prev = root->newest;
	ghost->next = TREAP_NONE;
	if (root->newest == TREAP_NONE)
		root->oldest = slot;
	else
		get(ghosts, root->newest)->next = slot;
	root->newest = slot;
}

static void take(struct ghosts *ghosts, uint32_t slot, struct ghost_note *ret)
{
	struct ghosts_root *root = ghosts->root;
	const struct ghost *ghost = get(ghosts, slot);

	if (ghost->prev == TREAP_NONE)
		root->oldest = ghost->next;
	else
		get(ghosts, ghost->prev)->next = ghost->next;
	if (ghost->next == TREAP_NONE)
		root->newest = ghost->prev;
	else
		get(ghosts, ghost->next)->prev = ghost->prev;
	*ret = ghost->note;
	treap_remove(&ghosts->index, slot);
	state_give(ghosts->state, STATE_GHOSTS, slot);
}

bool ghosts_take(struct ghosts *ghosts, uint64_t key, struct ghost_note *ret)
{
	uint32_t slot = treap_at_or_below(&ghosts->index, key);

	if (slot == TREAP_NONE || get(ghosts, slot)->node.key != key)
		return false;
	take(ghosts, slot, ret);
	return true;
}

bool ghosts_take_oldest(struct ghosts *ghosts, struct ghost_note *ret)
{
	if (ghosts->root->oldest == TREAP_NONE)
		return false;
	take(ghosts, ghosts->root->oldest, ret);
	return true;
}
