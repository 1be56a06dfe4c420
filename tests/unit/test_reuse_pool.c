// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of the candidates of host/agent/policy/reuse.c, which nobody sees
 * from outside: so it is part of this program.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "host/agent/policy/reuse.c" /* NOLINT(bugprone-suspicious-include) */
#include "host/agent/state.h"

#define EXTENTS 300u
#define ROUNDS	2000u

struct fixture {
	struct policy *policy;
	struct state *state;
	struct policy_node nodes[EXTENTS];
	bool referenced[EXTENTS];
};

static const uint32_t sizes[STATE_POOLS] = {
	[STATE_EXTENTS] = 8,
	[STATE_LEAVES] = 8,
	[STATE_GHOSTS] = GHOSTS_SLOT_SIZE,
};

static struct policy_node *env_node(void *userdata, uint32_t extent)
{
	return &((struct fixture *)userdata)->nodes[extent];
}

static bool env_referenced(void *userdata, uint32_t extent)
{
	struct fixture *f = userdata;
	bool was = f->referenced[extent];

	f->referenced[extent] = false;
	return was;
}

static uint64_t env_key(void *userdata, uint32_t extent)
{
	(void)userdata;
	return extent;
}

/* Extents of many ages, in a policy that has learnt what ages are worth. */
static int setup(void **state)
{
	static struct fixture f;
	struct policy_env env = {
		.node = env_node,
		.test_and_clear_referenced = env_referenced,
		.key = env_key,
		.userdata = &f,
	};

	memset(&f, 0, sizeof(f));
	*state = &f;
	if (state_new(sizeof(struct policy_root), sizes, &f.state) < 0)
		return -1;
	env.root = state_root(f.state);
	env.state = f.state;
	if (policy_new("reuse", &env, &f.policy) < 0)
		return -1;
	srand(1);
	for (uint32_t i = 0; i < EXTENTS; i++)
		policy_inserted(f.policy, i);
	for (uint32_t i = 0; i < 10 * EXTENTS; i++) {
		uint32_t steps = policy_round(f.policy);
		uint32_t victim = policy_victim(f.policy, &steps);

		f.referenced[(uint32_t)rand() % (EXTENTS / 3)] = true;
		policy_removed(f.policy, victim);
		policy_inserted(f.policy, victim);
	}
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	policy_free(f->policy);
	state_free(f->state);
	return 0;
}

static bool pooled(const struct fixture *f, uint32_t extent)
{
	return f->nodes[extent].data & REUSE_POOLED;
}

/* Nobody who was offered is worth less than who is kept. */
static void check_least(const struct fixture *f, const uint32_t *offered,
			uint32_t n)
{
	const struct reuse_root *root = root_of(f->policy);
	float most = worth(f->policy, root->pool[0]);

	assert_int_equal(root->n_pool, REUSE_POOL);
	for (uint32_t i = 0; i < REUSE_POOL; i++) {
		assert_true(pooled(f, root->pool[i]));
		most = max(most, worth(f->policy, root->pool[i]));
	}
	for (uint32_t i = 0; i < n; i++)
		assert_true(pooled(f, offered[i]) ||
			    worth(f->policy, offered[i]) >= most);
}

/* Whoever is offered in whatever order, the least stay, and their standings. */
static void test_least_stay(void **state)
{
	struct fixture *f = *state;
	const struct reuse_root *root = root_of(f->policy);
	uint32_t offered[EXTENTS];
	struct standings st;

	for (uint32_t i = 0; i < EXTENTS; i++)
		offered[i] = i;
	for (uint32_t round = 0; round < ROUNDS / 10; round++) {
		while (root->n_pool > 0)
			pool_remove_at(f->policy, 0);
		take_standings(f->policy, &st);
		for (uint32_t i = 0; i < EXTENTS; i++) {
			uint32_t other = (uint32_t)rand() % EXTENTS;
			uint32_t swap = offered[i];

			offered[i] = offered[other];
			offered[other] = swap;
		}
		for (uint32_t i = 0; i < EXTENTS; i++) {
			pool_add(f->policy, offered[i], &st);
			for (uint32_t k = 0; k < root->n_pool; k++)
				assert_true(st.worths[k] ==
					    worth(f->policy, root->pool[k]));
		}
		check_least(f, offered, EXTENTS);
	}
}

/* A candidate that turns out to be used has to stand back for others. */
static void test_used_candidate(void **state)
{
	struct fixture *f = *state;
	struct reuse_root *root = root_of(f->policy);
	uint32_t stood_back = 0;

	for (uint32_t round = 0; round < ROUNDS; round++) {
		uint32_t steps = policy_round(f->policy);
		uint32_t looked[REUSE_LOOKS], idle = 0, n = 0, at;
		struct standings st;

		take_standings(f->policy, &st);
		gather(f->policy, &steps, &st);
		assert_int_equal(root->n_pool, REUSE_POOL);
		/* the first one that will be looked at */
		at = root->pool[(uint32_t)rand() % REUSE_POOL];
		root->hand = at + 1;
		f->referenced[at] = true;
		while (n < REUSE_LOOKS && idle < REUSE_IDLE) {
			looked[n++] = at;
			idle += !f->referenced[at];
			at = f->nodes[at].next;
		}
		gather(f->policy, &steps, &st);
		check_least(f, looked, n);
		stood_back += !pooled(f, looked[0]);
		root->now++;
	}
	assert_true(stood_back > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_least_stay, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_used_candidate, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
