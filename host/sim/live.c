// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * live.c - which map an unmap in a text means
 *
 * Owns a hash table with chains; entries are slots of an array, those that are
 * free are chained, too. Invariant: a chain goes from the newest entry to the
 * oldest. Locks: none.
 */
#include "host/sim/live.h"

#include <errno.h>
#include <stdlib.h>

struct entry {
	struct live_key key;
	uint32_t map;
	uint32_t next; /* LIVE_NONE: last */
};

struct live {
	struct entry *entries;
	uint32_t n, max; /* used ever, allocated */
	uint32_t free;	 /* chain of those given back */
	uint32_t *heads;
	uint32_t n_heads; /* a power of two */
};

static uint32_t *head_of(const struct live *live, const struct live_key *key)
{
	uint64_t hash = key->addr ^ (uint64_t)key->class << 52;

	hash *= UINT64_C(0x9e3779b97f4a7c15);
	return &live->heads[hash >> 32 & (live->n_heads - 1)];
}

int live_new(struct live **ret)
{
	struct live *live = calloc(1, sizeof(*live));

	if (!live)
		return -ENOMEM;
	live->free = LIVE_NONE;
	*ret = live;
	return 0;
}

void live_free(struct live *live)
{
	if (!live)
		return;
	free(live->entries);
	free(live->heads);
	free(live);
}

/* Twice the room; only when all entries are in use, and so in chains. */
static int grow(struct live *live)
{
	uint32_t max = live->max ? 2 * live->max : 1024;
	struct entry *entries;
	uint32_t *heads;

	if (max < live->max)
		return -ENOMEM;
	heads = calloc(max, sizeof(*heads));
	entries = reallocarray(live->entries, max, sizeof(*entries));
	if (entries)
		live->entries = entries;
	if (!heads || !entries) {
		free(heads);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < max; i++)
		heads[i] = LIVE_NONE;
	/*
	 * Both the old and the new number of heads are powers of two: a new
	 * chain gets entries of one old chain only. Those are taken from its
	 * newest on, and must be put behind each other in that order.
	 */
	for (uint32_t h = 0; h < live->n_heads; h++) {
		uint32_t tails[2] = { LIVE_NONE, LIVE_NONE };
		uint32_t next;

		for (uint32_t i = live->heads[h]; i != LIVE_NONE; i = next) {
			struct live bigger = { .heads = heads, .n_heads = max };
			uint32_t *head = head_of(&bigger, &entries[i].key);
			uint32_t *tail = &tails[head != &heads[h]];

			next = entries[i].next;
			entries[i].next = LIVE_NONE;
			if (*tail == LIVE_NONE)
				*head = i;
			else
				entries[*tail].next = i;
			*tail = i;
		}
	}
	free(live->heads);
	live->heads = heads;
	live->n_heads = max;
	live->max = max;
	return 0;
}

int live_add(struct live *live, const struct live_key *key, uint32_t map)
{
	uint32_t i = live->free, *head;

	if (i != LIVE_NONE) {
		live->free = live->entries[i].next;
	} else {
		if (live->n == live->max && grow(live))
			return -ENOMEM;
		i = live->n++;
	}
	head = head_of(live, key);
	live->entries[i] = (struct entry){ *key, map, *head };
	*head = i;
	return 0;
}

uint32_t live_take(struct live *live, const struct live_key *key)
{
	uint32_t *found = NULL, *similar = NULL, i, map;

	if (!live->n_heads)
		return LIVE_NONE;
	for (uint32_t *link = head_of(live, key); *link != LIVE_NONE;
	     link = &live->entries[*link].next) {
		const struct entry *e = &live->entries[*link];

		if (e->key.addr != key->addr || e->key.class != key->class)
			continue;
		similar = link;
		if (e->key.size == key->size)
			found = link;
	}
	if (!found)
		found = similar;
	if (!found)
		return LIVE_NONE;
	i = *found;
	map = live->entries[i].map;
	*found = live->entries[i].next;
	live->entries[i].next = live->free;
	live->free = i;
	return map;
}
