// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of enforce_resume() in host/agent/enforce.c: an agent is killed
 * over a quota that is lowered. What can be left of that is all that
 * tests/model/enforce.pml comes across.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/lib/macros.h"
#include "tests/unit/support/enforce.h"

/* What enforce_root may be when another process goes on, and what it does. */
static void go_on(uint64_t excess, uint64_t until, uint8_t pending)
{
	struct enforce_root *e = &g.vm->root->enforce;

	e->excess = excess;
	e->until = until;
	e->pending = pending;
	g.timer = VM_NEVER;
	enforce_resume(g.vm);
	if (pending != ENFORCE_NOTHING)
		assert_int_equal(space().excess, 0);
	/* What is due may come before what is to be done. */
	if (g.timer <= vm_now())
		guest_tick(&g, vm_now());
	guest_work(&g);
}

/*
 * DEV-QUOTA-4: A device that takes what is held MUST NOT do so before
 * `deadline_ms` have passed since it announced them. Killed before it did that, it
 * announces them anew, however long it was away.
 */
static void test_killed_untold(void **state)
{
	static const uint8_t pending[] = { ENFORCE_WITH_QUOTA, ENFORCE_ALONE,
					   ENFORCE_ASKED };
	uint32_t count;

	(void)state;
	fill(3);
	assert_int_equal(vm_set_quota(g.vm, MB(1)), 0);
	for (size_t i = 0; i < ARRAY_SIZE(pending); i++) {
		count = le32toh(space().quota_news);
		go_on(KB(512), 1, pending[i]);
		assert_true(deadline() > vm_now());
		guest_tick(&g, deadline() - 1);
		assert_int_equal(mapped(), KB(1536));
		assert_int_equal(le64toh(space().excess), KB(512));
		assert_int_equal(le32toh(space().deadline_ms), DEADLINE / 1000);
		assert_int_equal(le32toh(space().quota_news), count + 1);
		assert_int_equal(g.vm->root->enforce.pending, ENFORCE_NOTHING);
	}
	guest_tick(&g, deadline());
	assert_int_equal(mapped(), MB(1));
	assert_int_equal(guest_stats(&g).revocations, 1);
}

/* Killed as it forgot an older deadline, or a quota that is no news any more. */
static void test_killed_unasked(void **state)
{
	(void)state;
	fill(3);
	assert_int_equal(vm_set_quota(g.vm, MB(1)), 0);
	go_on(0, 0, ENFORCE_NOTHING);
	assert_int_equal(le64toh(space().excess), KB(512));
	assert_true(g.timer <= deadline() && deadline() > vm_now());
	guest_tick(&g, deadline());
	assert_int_equal(mapped(), MB(1));
	/* There is nothing to ask for, and nothing is. */
	go_on(0, 0, ENFORCE_WITH_QUOTA);
	assert_int_equal(space().excess, 0);
	assert_int_equal(g.timer, VM_NEVER);
	assert_int_equal(g.vm->root->enforce.pending, ENFORCE_NOTHING);
}

/* The guest was told: no kill gives it more time. */
static void test_killed_told(void **state)
{
	uint64_t until;
	uint32_t count;

	(void)state;
	fill(3);
	assert_int_equal(vm_set_quota(g.vm, MB(1)), 0);
	until = deadline();
	count = le32toh(space().quota_news);
	go_on(KB(512), until, ENFORCE_NOTHING);
	assert_int_equal(deadline(), until);
	assert_true(g.timer <= until);
	assert_int_equal(le32toh(space().quota_news), count);
	assert_int_equal(mapped(), KB(1536));
	guest_tick(&g, until);
	assert_int_equal(mapped(), MB(1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_revoke, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_killed_untold),
		TEST(test_killed_unasked),
		TEST(test_killed_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
