// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/agent/policy: the contract, and CLOCK's order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/agent/policy/policy.h"
#include "host/lib/macros.h"

#define EXTENTS 64

struct fixture {
	struct policy *policy;
	struct policy_node nodes[EXTENTS];
	bool referenced[EXTENTS];
	bool always; /* the guest sets REFERENCED again and again */
	uint32_t root[POLICY_ROOT_WORDS];
	unsigned int asked;
};

static struct policy_node *env_node(void *userdata, uint32_t extent)
{
	struct fixture *f = userdata;

	assert_true(extent < EXTENTS);
	return &f->nodes[extent];
}

static bool env_referenced(void *userdata, uint32_t extent)
{
	struct fixture *f = userdata;
	bool was = f->referenced[extent];

	f->asked++;
	f->referenced[extent] = false;
	return was || f->always;
}

static void start(struct fixture *f, const char *name)
{
	struct policy_env env = {
		.node = env_node,
		.test_and_clear_referenced = env_referenced,
		.userdata = f,
		.root = f->root,
	};

	memset(f, 0, sizeof(*f));
	assert_int_equal(policy_new(name, &env, &f->policy), 0);
}

static uint32_t victim(struct fixture *f)
{
	uint32_t steps = policy_round(f->policy);

	return policy_victim(f->policy, &steps);
}

static void test_names(void **state)
{
	const char *const *names = policy_names();
	struct policy_env env = { 0 };
	struct policy *policy;

	(void)state;
	assert_string_equal(names[0], "clock");
	assert_int_equal(policy_new("belady", &env, &policy), -ENOENT);
	policy_free(NULL);
}

/* --- what each policy must do --- */

static void each(void (*check)(struct fixture *f))
{
	for (const char *const *name = policy_names(); *name; name++) {
		struct fixture f;

		start(&f, *name);
		check(&f);
		policy_free(f.policy);
	}
}

static void check_empty(struct fixture *f)
{
	assert_int_equal(policy_round(f->policy), 0);
	assert_int_equal(victim(f), POLICY_NONE);
	policy_inserted(f->policy, 3);
	assert_int_equal(victim(f), 3);
	assert_int_equal(victim(f), 3); /* alone, it comes again */
	policy_removed(f->policy, 3);
	assert_int_equal(victim(f), POLICY_NONE);
}

/* All held: each is proposed before the steps run out, and it ends. */
static void check_all_busy(struct fixture *f)
{
	for (int always = 0; always < 2; always++) {
		bool proposed[EXTENTS] = { false };
		uint32_t steps, n = 0, extent;

		f->always = always != 0;
		for (uint32_t i = 0; !always && i < EXTENTS; i++)
			policy_inserted(f->policy, i);
		steps = policy_round(f->policy);
		while ((extent = policy_victim(f->policy, &steps)) !=
		       POLICY_NONE) {
			proposed[extent] = true;
			assert_true(++n <= 2 * EXTENTS);
		}
		for (uint32_t i = 0; i < EXTENTS; i++)
			assert_true(proposed[i]);
	}
}

/* Victims are distinct while each is removed when it is proposed. */
static void check_random(struct fixture *f)
{
	bool in[EXTENTS] = { false };
	uint32_t n = 0;

	srand(5);
	for (int i = 0; i < 20000; i++) {
		uint32_t e = (uint32_t)rand() % EXTENTS;

		f->referenced[(uint32_t)rand() % EXTENTS] = true;
		if (!in[e]) {
			policy_inserted(f->policy, e);
			in[e] = true;
			n++;
		} else if (rand() % 4 == 0) {
			policy_cold(f->policy, e);
		} else if (rand() % 4 == 0) {
			policy_removed(f->policy, e);
			in[e] = false;
			n--;
		} else {
			e = victim(f);
			assert_true(in[e]);
			policy_removed(f->policy, e);
			in[e] = false;
			n--;
		}
		assert_int_equal(policy_round(f->policy), 2 * n);
	}
}

static void test_contract(void **state)
{
	(void)state;
	each(check_empty);
	each(check_all_busy);
	each(check_random);
}

/* --- CLOCK --- */

static void test_clock_order(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, "clock");
	for (uint32_t i = 0; i < 4; i++)
		policy_inserted(f.policy, i);
	/* First in, first out, when nobody uses anything. */
	assert_int_equal(victim(&f), 0);
	policy_removed(f.policy, 0);
	/* Used: spared once. */
	f.referenced[1] = true;
	assert_int_equal(victim(&f), 2);
	policy_removed(f.policy, 2);
	/* New ones are last. */
	policy_inserted(f.policy, 0);
	assert_int_equal(victim(&f), 3);
	assert_int_equal(victim(&f), 1);
	assert_int_equal(victim(&f), 0);
	assert_int_equal(victim(&f), 3);
	policy_free(f.policy);
}

/*
 * DEV-RELEASE-1: The device MUST treat RELEASE as advice: it prefers these
 * granules as victims, and MUST NOT unmap one that is held.
 */
static void test_clock_cold(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, "clock");
	for (uint32_t i = 0; i < 4; i++)
		policy_inserted(f.policy, i);
	f.referenced[2] = true;
	policy_cold(f.policy, 2);
	assert_false(f.referenced[2]);
	assert_int_equal(victim(&f), 2);
	assert_int_equal(victim(&f), 0);
	policy_free(f.policy);
}

/* Looking at extents is bounded, whatever the guest does. */
static void test_clock_steps(void **state)
{
	struct fixture f;
	uint32_t steps;

	(void)state;
	start(&f, "clock");
	for (uint32_t i = 0; i < EXTENTS; i++)
		policy_inserted(f.policy, i);
	f.always = true;
	steps = policy_round(f.policy);
	while (policy_victim(f.policy, &steps) != POLICY_NONE)
		;
	assert_int_equal(steps, 0);
	assert_true(f.asked <= 2 * EXTENTS);
	policy_free(f.policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_contract),
		cmocka_unit_test(test_clock_order),
		cmocka_unit_test(test_clock_cold),
		cmocka_unit_test(test_clock_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
