// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * table.c - words of guest memory, changed by atomic operations only
 *
 * Owns the index of leaves (in the state, by guest-physical address) and the
 * pointers that follow from it (not in the state). Invariants: a pointer leads
 * into a region that is announced now; near[] names leaves of the index only; no
 * word is written while the table is not writable (DEV-RESET-1). Locks: none
 * here; the guest's CPUs change the same words at any time, which is what the
 * atomic operations are for. In a request's way: sets MAPPED at the commit,
 * claims victims.
 *
 * Eviction against a driver that takes a hold, both on one word: either its
 * increment comes first in the word's modification order, then our
 * compare-exchange sees a count and fails; or ours comes first, then its
 * increment returns MAPPED clear and it asks. There is no third order.
 *
 * A granule may be held by its own word or by that of its block, so both are
 * claimed. Which of them first does not matter: a driver that found MAPPED in
 * the one has its count there when we come to it.
 */
#include "host/agent/table.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/agent/iommu/iommu.h"
#include "host/agent/memory.h"
#include "host/agent/state.h"
#include "host/agent/table_words.h"
#include "host/lib/durable.h"
#include "host/lib/macros.h"

/* In node.mark: the leaf is registered. */
#define LEAF_TAKEN 1u

struct leaf {
	struct treap_node node; /* key: leaf number */
	uint64_t gpa;
};

static_assert(sizeof(struct leaf) == TABLE_SLOT_SIZE, "see table.h");

struct table {
	struct state *state;
	struct table_root *root;
	const struct memory *memory;
	table_mapped_fn mapped;
	void *userdata;
	struct treap index;
	uint32_t **words;   /* by slot */
	uint32_t *near;	    /* slots, by place_near(); TREAP_NONE: look it up */
	uint32_t words_max; /* of both; a power of two, or 0 */
};

void table_root_init(struct table_root *root, uint8_t granule_shift,
		     uint64_t seed)
{
	*root = (struct table_root){ .granule_shift = granule_shift };
	treap_root_init(&root->index, seed);
}

int table_new(struct state *state, struct table_root *root,
	      const struct memory *memory, table_mapped_fn mapped,
	      void *userdata, struct table **ret)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->state = state;
	table->root = root;
	table->memory = memory;
	table->mapped = mapped;
	table->userdata = userdata;
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
	free(table->near);
	free(table);
}

static struct leaf *leaf_at(const struct table *table, uint32_t slot)
{
	return (void *)treap_node(&table->index, slot);
}

/*
 * Where in near[] a leaf may be found. Numbers in a row have places of their own,
 * those of blocks from the end on; whatever numbers a guest chooses, who is
 * not found there is found in the tree.
 */
static uint32_t *place_near(const struct table *table, uint64_t index)
{
	uint64_t at = index & LEAF_BLOCKS ? ~index : index;

	return &table->near[at & (table->words_max - 1)];
}

static inline uint32_t leaf_find(const struct table *table, uint64_t index)
{
	uint32_t *near, slot;

	if (table->words_max == 0)
		return TREAP_NONE;
	near = place_near(table, index);
	if (*near != TREAP_NONE && leaf_at(table, *near)->node.key == index)
		return *near;
	slot = treap_at_or_below(&table->index, index);
	if (slot == TREAP_NONE || leaf_at(table, slot)->node.key != index)
		return TREAP_NONE;
	*near = slot;
	return slot;
}

static void leaf_forget(struct table *table, uint32_t slot)
{
	uint32_t *near = place_near(table, leaf_at(table, slot)->node.key);

	if (*near == slot)
		*near = TREAP_NONE;
	durable_store(&leaf_at(table, slot)->node.mark, 0u);
	treap_remove(&table->index, slot);
	table->words[slot] = NULL;
	state_give(table->state, STATE_LEAVES, slot);
}

/* Is there memory among the granules of leaf @index? */
static bool leaf_has_memory(const struct table *table, uint64_t index)
{
	unsigned int shift = table->root->granule_shift + LEAF_SHIFT;
	const struct memory_region *region;

	if (index & LEAF_BLOCKS) {
		index &= ~LEAF_BLOCKS;
		shift += BLOCK_SHIFT;
	}
	if (index > UINT64_MAX >> shift)
		return false;
	region = memory_find(table->memory, index << shift, true);
	return region && region->gpa >> shift <= index;
}

/* Room for pointers of slots below @needed. */
static int reserve_words(struct table *table, uint32_t needed)
{
	uint32_t max = table->words_max ? table->words_max : 64;
	uint32_t **words, *near;

	if (needed <= table->words_max)
		return 0;
	while (max < needed)
		max *= 2;
	words = reallocarray(table->words, max, sizeof(*words));
	if (!words)
		return -ENOMEM;
	table->words = words;
	near = reallocarray(table->near, max, sizeof(*near));
	if (!near)
		return -ENOMEM;
	memset(near, 0xff, max * sizeof(*near));
	table->near = near;
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
		r = reserve_words(table,
				  state_top(table->state, STATE_LEAVES) + 1);
	if (r < 0)
		return r;
	slot = state_take(table->state, STATE_LEAVES);
	assert(slot < table->words_max);
	table->words[slot] = words;
	leaf_at(table, slot)->gpa = gpa;
	treap_insert(&table->index, slot, index);
	durable_store(&leaf_at(table, slot)->node.mark, LEAF_TAKEN);
	return 0;
}

static bool is_taken(const void *slot)
{
	return ((const struct leaf *)slot)->node.mark == LEAF_TAKEN;
}

/* The leaf in @slot is as table_register() left it. */
static int readmit(struct table *table, uint32_t slot)
{
	struct leaf *leaf = leaf_at(table, slot);

	if (!is_aligned(leaf->gpa, VIRTIO_PVDMA_LEAF_SIZE) ||
	    leaf_find(table, leaf->node.key) != TREAP_NONE)
		return -EUCLEAN;
	table->words[slot] = memory_translate(table->memory, leaf->gpa,
					      VIRTIO_PVDMA_LEAF_SIZE,
					      IOMMU_READ | IOMMU_WRITE);
	treap_insert(&table->index, slot, leaf->node.key);
	if (!table->words[slot])
		leaf_forget(table, slot);
	return 0;
}

int table_recover(struct table *table)
{
	uint32_t top;
	int r;

	treap_root_init(&table->root->index, state_random(table->state));
	state_recover(table->state, STATE_LEAVES, is_taken);
	top = state_top(table->state, STATE_LEAVES);
	r = reserve_words(table, top);
	for (uint32_t slot = 0; r == 0 && slot < top; slot++)
		if (is_taken(leaf_at(table, slot)))
			r = readmit(table, slot);
	return r;
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

/* The leaf of granule-leaf @index's blocks. */
static uint64_t leaf_of_blocks(uint64_t index)
{
	return LEAF_BLOCKS | index >> BLOCK_SHIFT;
}

bool table_covers(const struct table *table, uint64_t first, uint64_t last)
{
	for (uint64_t i = first >> LEAF_SHIFT; i <= last >> LEAF_SHIFT; i++) {
		if (leaf_find(table, i) == TREAP_NONE &&
		    leaf_find(table, leaf_of_blocks(i)) == TREAP_NONE)
			return false;
	}
	return true;
}

bool table_is_writable(const struct table *table)
{
	return table->root->writable || table_leaves(table) == 0;
}

/*
 * Takes the next @*n words, as many as lie in one leaf, off @w. NULL where
 * there is no such leaf.
 */
static inline uint32_t *next_words(const struct table *table, struct words *w,
				   uint64_t *n)
{
	uint64_t at = w->first & (LEAF_WORDS - 1);
	uint32_t slot = leaf_find(table, w->level | w->first >> LEAF_SHIFT);

	*n = min(w->count, LEAF_WORDS - at);
	w->first += *n;
	w->count -= *n;
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

static bool any_set(const struct table *table, struct words w, uint32_t bits)
{
	uint64_t n;

	while (w.count > 0) {
		const uint32_t *words = next_words(table, &w, &n);

		for (uint64_t i = 0; words && i < n; i++) {
			if (__atomic_load_n(&words[i], __ATOMIC_RELAXED) & bits)
				return true;
		}
	}
	return false;
}

/* The same, of granules and their blocks. */
static bool any_set_at(const struct table *table, uint64_t first,
		       uint64_t count, uint32_t bits)
{
	return any_set(table, of_granules(first, count), bits) ||
	       any_set(table, of_blocks(first, count), bits);
}

bool table_any_used(const struct table *table, uint64_t first, uint64_t count)
{
	return any_set_at(table, first, count, W_COUNT | W_MAPPED);
}

bool table_any_held(const struct table *table, uint64_t first, uint64_t count)
{
	return any_set_at(table, first, count, W_COUNT);
}

static uint32_t count_set(const struct table *table, struct words w,
			  uint32_t bits)
{
	uint32_t sum = 0;
	uint64_t n;

	while (w.count > 0) {
		const uint32_t *words = next_words(table, &w, &n);

		for (uint64_t i = 0; words && i < n; i++)
			sum += (__atomic_load_n(&words[i], __ATOMIC_RELAXED) &
				bits) != 0;
	}
	return sum;
}

/* By granules and by blocks; who uses a block seldom uses its granules, too. */
static uint32_t count_set_at(const struct table *table, uint64_t first,
			     uint64_t count, uint32_t bits)
{
	uint64_t sum = count_set(table, of_granules(first, count), bits);

	sum += count_set(table, of_blocks(first, count), bits) * BLOCK;
	return (uint32_t)min(sum, count);
}

uint32_t table_referenced(const struct table *table, uint64_t first,
			  uint64_t count)
{
	return count_set_at(table, first, count, W_REFERENCED);
}

uint32_t table_held(const struct table *table, uint64_t first, uint64_t count)
{
	return count_set_at(table, first, count, W_COUNT);
}

static void set_all(struct table *table, struct words w)
{
	uint64_t n;

	while (w.count > 0) {
		uint32_t *words = next_words(table, &w, &n);

		for (uint64_t i = 0; words && i < n; i++)
			(void)__atomic_fetch_or(&words[i], W_MAPPED,
						__ATOMIC_SEQ_CST);
	}
}

/* Sets MAPPED in a block that is not wholly within what was just mapped. */
static void set_block(struct table *table, uint64_t block)
{
	struct words w = { LEAF_BLOCKS, block, 1 };
	uint64_t end;

	if (table->mapped(table->userdata, block << BLOCK_SHIFT, BLOCK, &end))
		set_all(table, w);
}

/* Blocks within [first, first + count) are whole; at its ends, ask. */
static void set_blocks(struct table *table, uint64_t first, uint64_t count)
{
	struct words w = of_blocks(first, count);

	if (w.count > 0 && w.first << BLOCK_SHIFT < first) {
		set_block(table, w.first++);
		w.count--;
	}
	if (w.count > 0 && (w.first + w.count) << BLOCK_SHIFT > first + count)
		set_block(table, w.first + --w.count);
	set_all(table, w);
}

void table_set_mapped(struct table *table, uint64_t first, uint64_t count)
{
	if (!table->root->writable)
		return; /* it says too little, which only costs a request */
	set_all(table, of_granules(first, count));
	set_blocks(table, first, count);
}

/* Claims words until one is held; those done are gone from @w. */
static bool claim_words(struct table *table, struct words *w)
{
	uint64_t n;

	while (w->count > 0) {
		struct words before = *w;
		uint32_t *words = next_words(table, w, &n);

		for (uint64_t i = 0; words && i < n; i++) {
			if (word_claim(&words[i]))
				continue;
			w->first = before.first + i;
			w->count = before.count - i;
			return false;
		}
	}
	return true;
}

bool table_claim(struct table *table, uint64_t first, uint64_t count)
{
	struct words granules = of_granules(first, count);
	struct words blocks = of_blocks(first, count);

	/* Most that fail do so here, without a write to the guest's words. */
	if (!table_is_writable(table) || table_any_held(table, first, count))
		return false;
	if (claim_words(table, &blocks) && claim_words(table, &granules))
		return true;
	set_all(table, of_granules(first, granules.first - first));
	set_blocks(table, first, count);
	return false;
}

static void clear_all(struct table *table, struct words w, uint32_t bits,
		      bool *any)
{
	uint64_t n;

	while (w.count > 0) {
		uint32_t *words = next_words(table, &w, &n);

		for (uint64_t i = 0; words && i < n; i++)
			*any |= word_clear(&words[i], bits);
	}
}

/* Of granules and their blocks. True if any bit was set. */
static bool clear_all_at(struct table *table, uint64_t first, uint64_t count,
			 uint32_t bits)
{
	bool any = false;

	clear_all(table, of_blocks(first, count), bits, &any);
	clear_all(table, of_granules(first, count), bits, &any);
	return any;
}

void table_clear_mapped(struct table *table, uint64_t first, uint64_t count)
{
	if (table->root->writable)
		(void)clear_all_at(table, first, count, W_MAPPED);
	else if (table_leaves(table) > 0)
		table->root->stale = true;
}

bool table_test_and_clear_referenced(struct table *table, uint64_t first,
				     uint64_t count)
{
	if (!table->root->writable)
		return any_set_at(table, first, count, W_REFERENCED);
	return clear_all_at(table, first, count, W_REFERENCED);
}

/* What was last heard of granules: up to @end all are like that. */
struct heard {
	uint64_t end;
	bool mapped;
};

/*
 * Is what word @at of leaf @index stands for mapped? Leaves and words come in
 * order, so that there is one question for each extent, not for each granule.
 */
static bool is_mapped(const struct table *table, uint64_t index, uint64_t at,
		      struct heard *heard)
{
	uint64_t unit = ((index & ~LEAF_BLOCKS) << LEAF_SHIFT) + at, end;

	if (index & LEAF_BLOCKS)
		return table->mapped(table->userdata, unit << BLOCK_SHIFT,
				     BLOCK, &end);
	if (unit >= heard->end)
		heard->mapped =
			table->mapped(table->userdata, unit, 1, &heard->end);
	return heard->mapped;
}

/* Makes up for table_clear_mapped() calls that could not write. */
static void refresh(struct table *table)
{
	uint32_t slot = treap_at_or_above(&table->index, 0);
	struct heard heard = { 0 };

	while (slot != TREAP_NONE) {
		uint64_t index = leaf_at(table, slot)->node.key;
		uint32_t *words = table->words[slot];

		for (uint32_t i = 0; i < LEAF_WORDS; i++) {
			uint32_t old =
				__atomic_load_n(&words[i], __ATOMIC_RELAXED);

			if ((old & W_MAPPED) &&
			    !is_mapped(table, index, i, &heard))
				(void)word_clear(&words[i], W_MAPPED);
		}
		slot = treap_at_or_above(&table->index, index + 1);
	}
	table->root->stale = false;
}

void table_set_writable(struct table *table, bool writable)
{
	table->root->writable = writable;
	if (writable && table->root->stale)
		refresh(table);
}
