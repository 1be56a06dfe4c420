// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/agent/ledger.c: extents, drafts, look-up, memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "host/agent/ledger.h"
#include "host/agent/state.h"

static const uint32_t sizes[STATE_POOLS] = {
	[STATE_EXTENTS] = sizeof(struct ledger_extent),
	[STATE_LEAVES] = 32,
	[STATE_GHOSTS] = 40,
};

struct fixture {
	struct state *state;
	struct ledger *ledger;
};

static int setup(void **unused)
{
	static struct fixture f;

	*unused = &f;
	if (state_new(sizeof(struct ledger_root), sizes, &f.state) < 0)
		return -1;
	ledger_root_init(state_root(f.state), 7);
	return ledger_new(f.state, state_root(f.state), &f.ledger);
}

static int teardown(void **unused)
{
	struct fixture *f = *unused;

	ledger_free(f->ledger);
	ledger_free(NULL);
	state_free(f->state);
	return 0;
}

static uint32_t put(struct fixture *f, uint64_t first, uint32_t count,
		    uint32_t pieces)
{
	uint32_t extent;

	assert_int_equal(ledger_draft(f->ledger, first, count, &extent), 0);
	ledger_get(f->ledger, extent)->pieces = pieces;
	ledger_enter(f->ledger, extent);
	return extent;
}

static void test_lookup(void **unused)
{
	struct fixture *f = *unused;
	uint32_t a = put(f, 10, 5, 1), b = put(f, 15, 1, 3),
		 c = put(f, 30, 2, 1);

	assert_int_equal(ledger_find(f->ledger, 9), LEDGER_NONE);
	assert_int_equal(ledger_find(f->ledger, 10), a);
	assert_int_equal(ledger_find(f->ledger, 14), a);
	assert_int_equal(ledger_find(f->ledger, 15), b);
	assert_int_equal(ledger_find(f->ledger, 16), LEDGER_NONE);
	assert_int_equal(ledger_seek(f->ledger, 0), a);
	assert_int_equal(ledger_seek(f->ledger, 12), a);
	assert_int_equal(ledger_seek(f->ledger, 16), c);
	assert_int_equal(ledger_seek(f->ledger, 32), LEDGER_NONE);
	assert_int_equal(ledger_before(f->ledger, b), a);
	assert_int_equal(ledger_after(f->ledger, a), b);
	assert_int_equal(ledger_after(f->ledger, b), LEDGER_NONE);
	assert_int_equal(ledger_before(f->ledger, a), LEDGER_NONE);
	assert_int_equal(ledger_extents(f->ledger), 3);
	assert_int_equal(ledger_pieces(f->ledger), 5);
	ledger_set_pieces(f->ledger, b, 1);
	assert_int_equal(ledger_pieces(f->ledger), 3);
	ledger_remove(f->ledger, b);
	assert_int_equal(ledger_find(f->ledger, 15), LEDGER_NONE);
	assert_int_equal(ledger_pieces(f->ledger), 2);
	ledger_remove(f->ledger, a);
	ledger_remove(f->ledger, c);
}

static void test_draft(void **unused)
{
	struct fixture *f = *unused;
	uint32_t draft;

	assert_int_equal(ledger_draft(f->ledger, 0, 4, &draft), 0);
	/* It is nowhere to be found until it is entered. */
	assert_int_equal(ledger_find(f->ledger, 0), LEDGER_NONE);
	assert_int_equal(ledger_extents(f->ledger), 0);
	ledger_drop(f->ledger, draft);
	/* Granule 0, and the highest that 4 KiB granules have. */
	draft = put(f, 0, 1, 1);
	assert_int_equal(ledger_before(f->ledger, draft), LEDGER_NONE);
	ledger_remove(f->ledger, draft);
	draft = put(f, UINT64_MAX >> 12, 1, 1);
	assert_int_equal(ledger_find(f->ledger, UINT64_MAX >> 12), draft);
	ledger_remove(f->ledger, draft);
}

/* Books grow with what is mapped, not with where it is. */
static void test_memory(void **unused)
{
	struct fixture *f = *unused;
	uint32_t extents[1000];

	for (uint32_t i = 0; i < 1000; i++)
		extents[i] = put(f, (uint64_t)i << 40, 512, 1);
	assert_true(state_backed_bytes(f->state, STATE_EXTENTS) <= 128 * 1024);
	for (uint32_t i = 0; i < 1000; i++)
		ledger_remove(f->ledger, extents[i]);
	assert_int_equal(ledger_extents(f->ledger), 0);
	assert_true(sizeof(struct ledger_extent) <= 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lookup, setup, teardown),
		cmocka_unit_test_setup_teardown(test_draft, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
