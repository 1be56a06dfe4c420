// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/agent/state.c and treap.c: the arena and the index in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/agent/state.h"
#include "host/agent/treap.h"
#include "host/lib/macros.h"

struct slot {
	struct treap_node node;
	uint64_t payload;
};

#define LAYOUT(size) \
	(&(const struct state_layout){                           \
		.root_size = (size),                             \
		.extra_size = 5000,                              \
		.sparse_size = 1 << 20,                          \
		.slot_sizes = {                                  \
			[STATE_EXTENTS] = sizeof(struct slot),   \
			[STATE_LEAVES] = 32,                     \
			[STATE_GHOSTS] = 40,                     \
			[STATE_REGIONS] = 64,                    \
		},                                               \
	})

static void test_root(void **unused)
{
	struct state *state;
	uint8_t *root;

	(void)unused;
	assert_int_equal(state_make(LAYOUT(100000), &state), 0);
	root = state_root(state);
	for (size_t i = 0; i < 100000; i++)
		assert_int_equal(root[i], 0);
	memset(root, 0xff, 100000);
	assert_int_equal(state_taken(state, STATE_EXTENTS), 0);
	assert_int_equal(state_prepare(state, STATE_EXTENTS, 1), 0);
	assert_int_equal(state_take(state, STATE_EXTENTS), 0);
	state_free(state);
	state_free(NULL);
}

static void test_slots(void **unused)
{
	enum { N = 10000 };
	struct state *state;
	uint64_t backed;
	uint32_t slot;

	(void)unused;
	assert_int_equal(state_make(LAYOUT(64), &state), 0);
	for (uint32_t i = 0; i < N; i++) {
		struct slot *s;

		assert_int_equal(state_prepare(state, STATE_EXTENTS, 1), 0);
		slot = state_take(state, STATE_EXTENTS);
		assert_int_equal(slot, i);
		s = state_slot(state, STATE_EXTENTS, slot);
		assert_int_equal(s->payload, 0);
		s->payload = i + 1;
	}
	backed = state_backed_bytes(state, STATE_EXTENTS);
	assert_true(backed >= N * sizeof(struct slot));
	assert_true(backed < 2 * N * sizeof(struct slot));
	/* A freed slot is used again, cleared; memory does not grow. */
	state_give(state, STATE_EXTENTS, 17);
	state_give(state, STATE_EXTENTS, 4711);
	assert_int_equal(state_taken(state, STATE_EXTENTS), N - 2);
	assert_int_equal(state_prepare(state, STATE_EXTENTS, 2), 0);
	slot = state_take(state, STATE_EXTENTS);
	assert_int_equal(slot, 4711);
	assert_int_equal(
		((struct slot *)state_slot(state, STATE_EXTENTS, slot))->payload,
		0);
	assert_int_equal(state_take(state, STATE_EXTENTS), 17);
	assert_int_equal(state_backed_bytes(state, STATE_EXTENTS), backed);
	/* An empty pool gives its memory back, and starts over. */
	for (uint32_t i = 0; i < N; i++)
		state_give(state, STATE_EXTENTS, i);
	assert_true(state_backed_bytes(state, STATE_EXTENTS) <= 65536);
	assert_int_equal(state_prepare(state, STATE_EXTENTS, N), 0);
	assert_int_equal(state_take(state, STATE_EXTENTS), 0);
	state_free(state);
}

static void test_too_many(void **unused)
{
	struct state *state;

	(void)unused;
	assert_int_equal(state_make(LAYOUT(64), &state), 0);
	assert_int_equal(state_prepare(state, STATE_EXTENTS, UINT32_MAX),
			 -ENOMEM);
	assert_int_equal(state_backed_bytes(state, STATE_EXTENTS), 0);
	state_free(state);
}

/* --- the treap against an array of flags --- */

#define KEYS 512

static uint32_t model_below(const uint32_t *slots, int key)
{
	while (key >= 0 && slots[key] == TREAP_NONE)
		key--;
	return key >= 0 ? slots[key] : TREAP_NONE;
}

static uint32_t model_above(const uint32_t *slots, int key)
{
	while (key < KEYS && slots[key] == TREAP_NONE)
		key++;
	return key < KEYS ? slots[key] : TREAP_NONE;
}

static void test_treap_model(void **unused)
{
	struct slot slots[KEYS];
	uint32_t by_key[KEYS], count = 0;
	struct treap_root root;
	struct treap treap = {
		.root = &root,
		.slots = slots,
		.slot_size = sizeof(slots[0]),
	};

	(void)unused;
	srand(1);
	treap_root_init(&root, 0); /* replaced by one that works */
	memset(by_key, 0xff, sizeof(by_key));
	assert_int_equal(treap_at_or_below(&treap, 5), TREAP_NONE);
	assert_int_equal(treap_at_or_above(&treap, 5), TREAP_NONE);
	for (int i = 0; i < 100000; i++) {
		int key = rand() % KEYS;

		if (by_key[key] == TREAP_NONE) {
			treap_insert(&treap, (uint32_t)key, (uint64_t)key);
			by_key[key] = (uint32_t)key;
			count++;
		} else if (rand() % 3 > 0) {
			treap_remove(&treap, by_key[key]);
			by_key[key] = TREAP_NONE;
			count--;
		}
		key = rand() % KEYS;
		assert_int_equal(treap_at_or_below(&treap, (uint64_t)key),
				 model_below(by_key, key));
		assert_int_equal(treap_at_or_above(&treap, (uint64_t)key),
				 model_above(by_key, key));
		assert_int_equal(root.count, count);
	}
}

static unsigned int depth(const struct treap *treap, uint32_t slot)
{
	const struct treap_node *node;

	if (slot == TREAP_NONE)
		return 0;
	node = treap_node(treap, slot);
	return 1 + max(depth(treap, node->left), depth(treap, node->right));
}

/* Ascending keys would make a plain tree a list. */
static void test_treap_depth(void **unused)
{
	enum { N = 1 << 16 };
	struct slot *slots = calloc(N, sizeof(*slots));
	struct treap_root root;
	struct treap treap = {
		.root = &root,
		.slots = slots,
		.slot_size = sizeof(*slots),
	};

	(void)unused;
	assert_non_null(slots);
	treap_root_init(&root, 42);
	for (uint32_t i = 0; i < N; i++)
		treap_insert(&treap, i, i);
	assert_true(depth(&treap, root.top) < 4 * 16);
	free(slots);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_root),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_treap_model),
		cmocka_unit_test(test_treap_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
