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
#include <sys/stat.h>
#include <unistd.h>

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
	uint32_t by_key[KEYS], count = 0, above;
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
		assert_int_equal(treap_around(&treap, (uint64_t)key, &above),
				 model_below(by_key, key));
		assert_int_equal(above, model_above(by_key, key + 1));
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

static bool is_marked(const void *slot)
{
	return ((const struct slot *)slot)->node.mark != 0;
}

/* Takes a slot that says that it is taken, as its user does. */
static uint32_t take_marked(struct state *state, uint64_t payload)
{
	struct slot *s;
	uint32_t slot;

	assert_int_equal(state_prepare(state, STATE_EXTENTS, 1), 0);
	slot = state_take(state, STATE_EXTENTS);
	s = state_slot(state, STATE_EXTENTS, slot);
	s->payload = payload;
	s->node.mark = 1;
	return slot;
}

/* The next process: another mapping of the same memfd. */
static int take_over(const struct state *state, struct state **ret)
{
	int fd = dup(state_fd(state));
	int r = state_open(fd, LAYOUT(100), ret);

	if (r < 0)
		close(fd);
	return r;
}

static void test_taken_over(void **unused)
{
	struct state *first, *next;
	uint32_t slots[5];
	struct slot *s;

	(void)unused;
	assert_int_equal(state_make(LAYOUT(100), &first), 0);
	memset(state_root(first), 0x11, 100);
	memset(state_extra(first), 0x22, 5000);
	for (uint32_t i = 0; i < ARRAY_SIZE(slots); i++)
		slots[i] = take_marked(first, 1000 + i);
	/* One was taken and not given a meaning, when the kill came ... */
	s = state_slot(first, STATE_EXTENTS, slots[1]);
	s->node.mark = 0;
	/* ... another given back in its own words only. */
	s = state_slot(first, STATE_EXTENTS, slots[3]);
	s->node.mark = 0;

	assert_int_equal(take_over(first, &next), 0);
	assert_int_equal(((uint8_t *)state_root(next))[99], 0x11);
	assert_int_equal(((uint8_t *)state_extra(next))[4999], 0x22);
	/* Twice: the second may be killed over it, too. */
	for (int i = 0; i < 2; i++) {
		state_recover(next, STATE_EXTENTS, is_marked);
		assert_int_equal(state_taken(next, STATE_EXTENTS), 3);
		assert_int_equal(state_top(next, STATE_EXTENTS), 5);
	}
	s = state_slot(next, STATE_EXTENTS, slots[2]);
	assert_int_equal(s->payload, 1002);
	assert_int_equal(take_marked(next, 1), slots[1]);
	assert_int_equal(take_marked(next, 2), slots[3]);
	assert_int_equal(take_marked(next, 3), 5);
	state_free(next);
	state_free(first);
}

/* @at is made another value for as long as it takes to be refused. */
static void refused(struct state *state, uint64_t at, uint64_t value)
{
	struct state *next;
	uint64_t was;

	assert_int_equal(pread(state_fd(state), &was, 8, (off_t)at), 8);
	assert_int_equal(pwrite(state_fd(state), &value, 8, (off_t)at), 8);
	assert_int_equal(take_over(state, &next), -EUCLEAN);
	assert_int_equal(pwrite(state_fd(state), &was, 8, (off_t)at), 8);
}

/* Where in the head the pools are; each begins with two words of 64 bits. */
#define POOLS	  (6 * 8 + sizeof(struct state_layout))
#define POOL_SIZE 40

static void test_refused(void **unused)
{
	struct state *state, *next;
	struct stat st;
	int fd;

	(void)unused;
	assert_int_equal(state_make(LAYOUT(100), &state), 0);
	/* Magic, version, size, offsets, layout. */
	for (uint64_t at = 0; at < 9 * 8; at += 8)
		refused(state, at, 0x123456789abcULL);
	/* Of each pool its place, its memory, its sizes, and how far it reaches. */
	for (uint64_t at = POOLS; at < POOLS + STATE_POOLS * POOL_SIZE;
	     at += POOL_SIZE) {
		refused(state, at, 0x123456789abcULL);
		refused(state, at + 8, 1);
		refused(state, at + 8, 1ULL << 50);
		refused(state, at + 16, 0x123456789abcULL);
		refused(state, at + 24, 1ULL << 32);
	}
	/* A file that ends early would be a SIGBUS. */
	assert_int_equal(fstat(state_fd(state), &st), 0);
	assert_int_equal(ftruncate(state_fd(state), st.st_size - 4096), 0);
	assert_int_equal(take_over(state, &next), -EUCLEAN);
	assert_int_equal(ftruncate(state_fd(state), st.st_size), 0);
	assert_int_equal(take_over(state, &next), 0);
	state_free(next);
	fd = dup(state_fd(state));
	assert_int_equal(state_open(fd, LAYOUT(200), &next), -EUCLEAN);
	close(fd);
	state_free(state);
}

static void test_sparse(void **unused)
{
	struct state *state;
	struct stat st;
	blkcnt_t blocks;

	(void)unused;
	assert_int_equal(state_make(LAYOUT(100), &state), 0);
	assert_int_equal(fstat(state_fd(state), &st), 0);
	blocks = st.st_blocks;
	assert_int_equal(state_back(state, 65536, 65536), 0);
	assert_int_equal(fstat(state_fd(state), &st), 0);
	assert_int_equal(st.st_blocks - blocks, 65536 / 512);
	((uint8_t *)state_sparse(state))[65536] = 1;
	state_unback(state, 65536, 65536);
	assert_int_equal(fstat(state_fd(state), &st), 0);
	assert_int_equal(st.st_blocks, blocks);
	assert_int_equal(((uint8_t *)state_sparse(state))[65536], 0);
	state_free(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_root),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_treap_model),
		cmocka_unit_test(test_treap_depth),
		cmocka_unit_test(test_taken_over),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_sparse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
