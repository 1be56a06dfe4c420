// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * table.c - words of guest memory, changed by atomic operations only
 *
 * Owns the index of leaves (in the state, by guest-physical address) and the
 * pointers that follow from it (not in the state). Invariants: a pointer leads
 * into a region that is announced now; no word is written while the table is
 * not writable (DEV-RESET-1). Locks: none here; the guest's CPUs change the
 * same words at any time, which is what the atomic operations are for. In a
 * request's way: sets MAPPED at the commit, claims victims.
 *
 * Eviction against a driver that takes a hold, both on one word: either its
 * increment comes first in the word's modification order, then our
 * compare-exchange sees a count and fails; or ours comes first, then its
 * increment returns MAPPED clear and it asks. There is no third order.
 */
#include "host/agent/table.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>

#include "host/agent/iommu/iommu.h"
#include "host/agent/memory.h"
#include "host/agent/state.h"
#include "host/lib/macros.h"
#include "protocol/virtio_pvdma.h"

/* Constants as they stand in a little-endian word. */
#define W_MAPPED     htole32(VIRTIO_PVDMA_W_MAPPED)
#define W_REFERENCED htole32(VIRTIO_PVDMA_W_REFERENCED)
#define W_COUNT	     htole32(VIRTIO_PVDMA_W_COUNT)

#define LEAF_SHIFT VIRTIO_PVDMA_LEAF_SHIFT
#define LEAF_WORDS VIRTIO_PVDMA_LEAF_WORDS

struct leaf {
	struct treap_node node; /* key: leaf number */
	uint64_t gpa;
};

static_assert(sizeof(struct leaf) == TABLE_SLOT_SIZE, "see table.h");

struct table {
	struct state *state;
	struct table_root *root;
	const struct memory *memory;
	struct treap index;
	uint32_t **words; /* by slot */
	uint32_t words_max;
};

void table_root_init(struct table_root *root, uint8_t granule_shift,
		     uint64_t seed)
{
	*root = (struct table_root){ .granule_shift = granule_shift };
	treap_root_init(&root->index, seed);
}

int table_new(struct state *state, struct table_root *root,
	      const struct memory *memory, struct table **ret)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->state = state;
	table->root = root;
	table->memory = memory;
	table->index = (struct treap){
		.root = &root->index,
		.slots = state_slot(state, STATE_LEAVES, 0),
		.slot_size = sizeof(struct leaf),
	};
	*ret = table;
	return 0;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	table_forget(table);
	free(table->words);
	free(table);
}

static struct leaf *leaf_at(const struct table *table, uint32_t slot)
{
	return (void *)treap_node(&table->index, slot);
}

static uint32_t leaf_find(const struct table *table, uint64_t index)
{
	uint32_t slot = treap_at_or_below(&table->index, index);

	if (slot == TREAP_NONE || leaf_at(table, slot)->node.key != index)
		return TREAP_NONE;
	return slot;
}

static void leaf_forget(struct table *table, uint32_t slot)
{
	treap_remove(&table->index, slot);
	table->words[slot] = NULL;
	state_give(table->state, STATE_LEAVES, slot);
}

/* Is there memory among the granules of leaf @index? */
static bool leaf_has_memory(const struct table *table, uint64_t index)
{
	unsigned int shift = table->root->granule_shift + LEAF_SHIFT;
	const struct memory_region *region;

	if (index > UINT64_MAX >> shift)
		return false;
	region = memory_find(table->memory, index << shift, true);
	return region && region->gpa >> shift <= index;
}

/* Room for a pointer for each slot that could be taken next. */
static int reserve_words(struct table *table)
{
	uint32_t needed = state_taken(table->state, STATE_LEAVES) + 1;
	uint32_t max = table->words_max ? table->words_max : 64;
	uint32_t **words;

	if (needed <= table->words_max)
		return 0;
	while (max < needed)
		max *= 2;
	words = reallocarray(table->words, max, sizeof(*words));
	if (!words)
		return -ENOMEM;
	table->words = words;
	table->words_max = max;
	return 0;
}

int table_register(struct table *table, uint64_t index, uint64_t gpa)
{
	uint32_t slot;
	void *words;
	int r;

	if (!is_aligned(gpa, VIRTIO_PVDMA_LEAF_SIZE))
		return EINVAL;
	slot = leaf_find(table, index);
	if (slot != TREAP_NONE)
		return leaf_at(table, slot)->gpa == gpa ? 0 : EINVAL;
	words = memory_translate(table->memory, gpa, VIRTIO_PVDMA_LEAF_SIZE,
				 IOMMU_READ | IOMMU_WRITE);
	if (!words || !leaf_has_memory(table, index))
		return ERANGE;
	r = state_prepare(table->state, STATE_LEAVES, 1);
	if (r == 0)
		r = reserve_words(table);
	if (r < 0)
		return r;
	slot = state_take(table->state, STATE_LEAVES);
	assert(slot < table->words_max);
	table->words[slot] = words;
	leaf_at(table, slot)->gpa = gpa;
	treap_insert(&table->index, slot, index);
	return 0;
}

void table_forget(struct table *table)
{
	while (table->root->index.count > 0)
		leaf_forget(table, table->root->index.top);
	table->root->stale = false;
}

void table_forget_region(struct table *table,
			 const struct memory_region *region)
{
	uint32_t slot = treap_at_or_above(&table->index, 0);

	while (slot != TREAP_NONE) {
		uint64_t index = leaf_at(table, slot)->node.key;
		uint64_t gpa = leaf_at(table, slot)->gpa;

		if (gpa >= region->gpa && gpa <= memory_region_last(region))
			leaf_forget(table, slot);
		slot = treap_at_or_above(&table->index, index + 1);
	}
}

uint32_t table_leaves(const struct table *table)
{
	return table->root->index.count;
}

bool table_covers(const struct table *table, uint64_t first, uint64_t last)
{
	for (uint64_t i = first >> LEAF_SHIFT; i <= last >> LEAF_SHIFT; i++) {
		if (leaf_find(table, i) == TREAP_NONE)
			return false;
	}
	return true;
}

bool table_is_writable(const struct table *table)
{
	return table->root->writable || table_leaves(table) == 0;
}

/*
 * The words of granules [first, first + *n), or NULL where they have none:
 * as many as one leaf has, at most @count.
 */
static uint32_t *span(const struct table *table, uint64_t first, uint64_t count,
		      uint64_t *n)
{
	uint64_t at = first & (LEAF_WORDS - 1);
	uint32_t slot = leaf_find(table, first >> LEAF_SHIFT);

	*n = min(count, LEAF_WORDS - at);
	return slot == TREAP_NONE ? NULL : table->words[slot] + at;
}

/* Clears bits, and writes only if any of them is set. True if any was. */
static bool word_clear(uint32_t *word, uint32_t bits)
{
	if ((__atomic_load_n(word, __ATOMIC_RELAXED) & bits) == 0)
		return false;
	return __atomic_fetch_and(word, ~bits, __ATOMIC_SEQ_CST) & bits;
}

/* The heart: takes MAPPED away from a granule that nobody holds. */
static bool word_claim(uint32_t *word)
{
	uint32_t old = __atomic_load_n(word, __ATOMIC_SEQ_CST);

	for (int i = 0; i < TABLE_TRIES; i++) {
		if (old & W_COUNT)
			return false;
		if (!(old & W_MAPPED))
			return true;
		if (__atomic_compare_exchange_n(word, &old, old & ~W_MAPPED,
						false, __ATOMIC_SEQ_CST,
						__ATOMIC_SEQ_CST))
			return true;
	}
	return false;
}

static bool any_set(const struct table *table, uint64_t first, uint64_t count,
		    uint32_t bits)
{
	uint64_t n;

	for (; count > 0; first += n, count -= n) {
		const uint32_t *words = span(table, first, count, &n);

		for (uint64_t i = 0; words && i < n; i++) {
			if (__atomic_load_n(&words[i], __ATOMIC_RELAXED) & bits)
				return true;
		}
	}
	return false;
}

bool table_any_used(const struct table *table, uint64_t first, uint64_t count)
{
	return any_set(table, first, count, W_COUNT | W_MAPPED);
}

void table_set_mapped(struct table *table, uint64_t first, uint64_t count)
{
	uint64_t n;

	if (!table->root->writable)
		return; /* it says too little, which only costs a request */
	for (; count > 0; first += n, count -= n) {
		uint32_t *words = span(table, first, count, &n);

		for (uint64_t i = 0; words && i < n; i++)
			(void)__atomic_fetch_or(&words[i], W_MAPPED,
						__ATOMIC_SEQ_CST);
	}
}

bool table_claim(struct table *table, uint64_t first, uint64_t count)
{
	uint64_t done = 0, n;

	/* Most that fail do so here, without a write to the guest's words. */
	if (!table_is_writable(table) || any_set(table, first, count, W_COUNT))
		return false;
	for (; done < count; done += n) {
		uint32_t *words = span(table, first + done, count - done, &n);

		for (uint64_t i = 0; words && i < n; i++) {
			if (word_claim(&words[i]))
				continue;
			table_set_mapped(table, first, done + i);
			return false;
		}
	}
	return true;
}

static void clear_all(struct table *table, uint64_t first, uint64_t count,
		      uint32_t bits, bool *ret_any)
{
	uint64_t n;

	*ret_any = false;
	for (; count > 0; first += n, count -= n) {
		uint32_t *words = span(table, first, count, &n);

		for (uint64_t i = 0; words && i < n; i++)
			*ret_any |= word_clear(&words[i], bits);
	}
}

void table_clear_mapped(struct table *table, uint64_t first, uint64_t count)
{
	bool any;

	if (table->root->writable)
		clear_all(table, first, count, W_MAPPED, &any);
	else if (table_leaves(table) > 0)
		table->root->stale = true;
}

bool table_test_and_clear_referenced(struct table *table, uint64_t first,
				     uint64_t count)
{
	bool any;

	if (!table->root->writable)
		return any_set(table, first, count, W_REFERENCED);
	clear_all(table, first, count, W_REFERENCED, &any);
	return any;
}

/* Makes up for table_clear_mapped() calls that could not write. */
static void refresh(struct table *table,
		    bool (*mapped)(void *userdata, uint64_t granule),
		    void *userdata)
{
	uint32_t slot = treap_at_or_above(&table->index, 0);

	while (slot != TREAP_NONE) {
		uint64_t index = leaf_at(table, slot)->node.key;
		uint32_t *words = table->words[slot];

		for (uint32_t i = 0; i < LEAF_WORDS; i++) {
			uint32_t old =
				__atomic_load_n(&words[i], __ATOMIC_RELAXED);

			if ((old & W_MAPPED) &&
			    !mapped(userdata, (index << LEAF_SHIFT) + i))
				(void)word_clear(&words[i], W_MAPPED);
		}
		slot = treap_at_or_above(&table->index, index + 1);
	}
	table->root->stale = false;
}

void table_set_writable(struct table *table, bool writable,
			bool (*mapped)(void *userdata, uint64_t granule),
			void *userdata)
{
	table->root->writable = writable;
	if (writable && table->root->stale)
		refresh(table, mapped, userdata);
}
