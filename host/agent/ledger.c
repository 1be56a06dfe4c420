// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ledger.c - extents in the arena, ordered by their first granule
 *
 * Owns the extents. Invariants: extents in the index never overlap; memory
 * grows with the number of extents, thus with what is mapped, never with the
 * size of the guest. Locks: none. In a request's way: what is mapped already,
 * the last allocation, and the commit.
 */
#include "host/agent/ledger.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "host/agent/state.h"
#include "host/lib/durable.h"

struct ledger {
	struct state *state;
	struct ledger_root *root;
	struct treap index;
};

void ledger_root_init(struct ledger_root *root, uint64_t seed)
{
	treap_root_init(&root->index, seed);
	root->pieces = 0;
}

int ledger_new(struct state *state, struct ledger_root *root,
	       struct ledger **ret)
{
	struct ledger *ledger = calloc(1, sizeof(*ledger));

	if (!ledger)
		return -ENOMEM;
	ledger->state = state;
	ledger->root = root;
	ledger->index = (struct treap){
		.root = &root->index,
		.slots = state_slot(state, STATE_EXTENTS, 0),
		.slot_size = sizeof(struct ledger_extent),
	};
	*ret = ledger;
	return 0;
}

void ledger_free(struct ledger *ledger)
{
	if (!ledger)
		return;
	assert(ledger_extents(ledger) == 0 && ledger->root->pieces == 0);
	assert(state_taken(ledger->state, STATE_EXTENTS) == 0);
	free(ledger);
}

struct ledger_extent *ledger_get(const struct ledger *ledger, uint32_t extent)
{
	return (void *)treap_node(&ledger->index, extent);
}

int ledger_draft(struct ledger *ledger, uint64_t first, uint32_t count,
		 uint32_t *ret)
{
	struct ledger_extent *e;
	int r;

	assert(count > 0);
	r = state_prepare(ledger->state, STATE_EXTENTS, 1);
	if (r < 0)
		return r;
	*ret = state_take(ledger->state, STATE_EXTENTS);
	e = ledger_get(ledger, *ret);
	e->node.key = first;
	e->count = count;
	durable_store(&e->node.mark, (uint32_t)LEDGER_DRAFT);
	return 0;
}

void ledger_enter(struct ledger *ledger, uint32_t extent)
{
	struct ledger_extent *e = ledger_get(ledger, extent);

	assert(ledger_find(ledger, ledger_first(e)) == LEDGER_NONE);
	treap_insert(&ledger->index, extent, ledger_first(e));
	ledger->root->pieces += e->pieces;
	durable_store(&e->node.mark, (uint32_t)LEDGER_ENTERED);
}

void ledger_drop(struct ledger *ledger, uint32_t extent)
{
	struct ledger_extent *e = ledger_get(ledger, extent);

	assert(e->charge.bytes == 0);
	durable_store(&e->node.mark, (uint32_t)LEDGER_FREE);
	state_give(ledger->state, STATE_EXTENTS, extent);
}

void ledger_remove(struct ledger *ledger, uint32_t extent)
{
	ledger_set_pieces(ledger, extent, 0);
	treap_remove(&ledger->index, extent);
	ledger_drop(ledger, extent);
}

static bool is_taken(const void *slot)
{
	return ((const struct ledger_extent *)slot)->node.mark != LEDGER_FREE;
}

void ledger_recover(struct ledger *ledger)
{
	treap_root_init(&ledger->root->index, state_random(ledger->state));
	ledger->root->pieces = 0;
	state_recover(ledger->state, STATE_EXTENTS, is_taken);
}

int ledger_readmit(struct ledger *ledger, uint32_t extent)
{
	struct ledger_extent *e = ledger_get(ledger, extent);
	uint64_t first = ledger_first(e);
	uint32_t next;

	if (e->node.mark != LEDGER_ENTERED || e->count == 0 ||
	    first > UINT64_MAX - e->count)
		return -EUCLEAN;
	next = ledger_seek(ledger, first);
	if (next != LEDGER_NONE &&
	    ledger_first(ledger_get(ledger, next)) < ledger_end(e))
		return -EUCLEAN;
	treap_insert(&ledger->index, extent, first);
	ledger->root->pieces += e->pieces;
	return 0;
}

uint32_t ledger_slots(const struct ledger *ledger)
{
	return state_top(ledger->state, STATE_EXTENTS);
}

enum ledger_mark ledger_mark(const struct ledger *ledger, uint32_t extent)
{
	return (enum ledger_mark)ledger_get(ledger, extent)->node.mark;
}

void ledger_set_pieces(struct ledger *ledger, uint32_t extent, uint32_t pieces)
{
	struct ledger_extent *e = ledger_get(ledger, extent);

	assert(ledger->root->pieces >= e->pieces);
	ledger->root->pieces += pieces;
	ledger->root->pieces -= e->pieces;
	e->pieces = pieces;
}

uint32_t ledger_find(const struct ledger *ledger, uint64_t granule)
{
	uint32_t extent = treap_at_or_below(&ledger->index, granule);

	if (extent == LEDGER_NONE ||
	    ledger_end(ledger_get(ledger, extent)) <= granule)
		return LEDGER_NONE;
	return extent;
}

uint32_t ledger_seek(const struct ledger *ledger, uint64_t granule)
{
	uint32_t above;
	uint32_t extent = treap_around(&ledger->index, granule, &above);

	if (extent == LEDGER_NONE ||
	    ledger_end(ledger_get(ledger, extent)) <= granule)
		return above;
	return extent;
}

uint32_t ledger_before(const struct ledger *ledger, uint32_t extent)
{
	uint64_t first = ledger_first(ledger_get(ledger, extent));

	return first > 0 ? ledger_find(ledger, first - 1) : LEDGER_NONE;
}

uint32_t ledger_after(const struct ledger *ledger, uint32_t extent)
{
	return ledger_find(ledger, ledger_end(ledger_get(ledger, extent)));
}

uint32_t ledger_extents(const struct ledger *ledger)
{
	return ledger->root->index.count;
}

uint64_t ledger_pieces(const struct ledger *ledger)
{
	return ledger->root->pieces;
}
