// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/agent/policy: the contract, by every name, and what is
 * each policy's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/agent/policy/policy.h"
#include "host/agent/state.h"
#include "host/lib/macros.h"

#define EXTENTS 1024 /* in the fixture */
#define FEW	64u

struct fixture {
	const char *name;
	struct policy *policy;
	struct policy_node nodes[EXTENTS];
	bool referenced[EXTENTS];
	bool always; /* the guest sets REFERENCED again and again */
	bool in[EXTENTS];
	uint32_t n;
	struct state *state;
	unsigned int asked;
};

static const uint32_t sizes[STATE_POOLS] = {
	[STATE_EXTENTS] = 8,
	[STATE_LEAVES] = 8,
	[STATE_GHOSTS] = GHOSTS_SLOT_SIZE,
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

static uint64_t env_key(void *userdata, uint32_t extent)
{
	(void)userdata;
	return UINT64_C(1000000) - extent;
}

static struct policy *policy_of(struct fixture *f, const char *name)
{
	struct policy_env env = {
		.node = env_node,
		.test_and_clear_referenced = env_referenced,
		.key = env_key,
		.userdata = f,
		.root = state_root(f->state),
		.state = f->state,
	};
	struct policy *policy;

	assert_int_equal(policy_new(name, &env, &policy), 0);
	return policy;
}

static void start(struct fixture *f, const char *name)
{
	memset(f, 0, sizeof(*f));
	assert_int_equal(
		state_new(sizeof(struct policy_root), sizes, &f->state), 0);
	f->name = name;
	f->policy = policy_of(f, name);
}

static void end(struct fixture *f)
{
	policy_free(f->policy);
	state_free(f->state);
}

static void insert(struct fixture *f, uint32_t extent)
{
	assert_false(f->in[extent]);
	policy_inserted(f->policy, extent);
	f->in[extent] = true;
	f->n++;
}

static void take_out(struct fixture *f, uint32_t extent)
{
	assert_true(f->in[extent]);
	policy_removed(f->policy, extent);
	f->in[extent] = false;
	f->n--;
}

static uint32_t victim(struct fixture *f)
{
	uint32_t steps = policy_round(f->policy);

	return policy_victim(f->policy, &steps);
}

/* A use of @extent where @quota fit; true if it was missing. */
static bool use(struct fixture *f, uint32_t extent, uint32_t quota)
{
	f->referenced[extent] = true;
	if (f->in[extent])
		return false;
	if (f->n == quota)
		take_out(f, victim(f));
	insert(f, extent);
	return true;
}

static void test_names(void **state)
{
	const char *const *names = policy_names();
	struct policy_env env = { 0 };
	struct policy *policy;

	(void)state;
	assert_string_equal(names[0], "reuse");
	assert_string_equal(names[1], "clock");
	assert_string_equal(names[2], "slru");
	assert_null(names[3]);
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
		end(&f);
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
	for (uint32_t i = 0; i < FEW; i++)
		insert(f, i);
	for (int always = 0; always < 2; always++) {
		bool proposed[FEW] = { false };
		uint32_t steps, n = 0, extent;

		f->always = always != 0;
		steps = policy_round(f->policy);
		while ((extent = policy_victim(f->policy, &steps)) !=
		       POLICY_NONE) {
			proposed[extent] = true;
			assert_true(++n <= 3 * FEW);
		}
		assert_int_equal(steps, 0);
		for (uint32_t i = 0; i < FEW; i++)
			assert_true(proposed[i]);
	}
}

/* Each look costs a step, whatever the guest does; beyond that none is free. */
static void check_steps(struct fixture *f)
{
	for (uint32_t i = 0; i < FEW; i++)
		insert(f, i);
	f->always = true;
	for (uint32_t steps = 0; steps < 4 * FEW; steps++) {
		uint32_t left = steps;

		f->asked = 0;
		(void)policy_victim(f->policy, &left);
		assert_true(left <= steps);
		assert_true(f->asked <= steps - left);
	}
}

/* As reclaim.c: some are held; those that are not go, until there is room. */
static void reclaim(struct fixture *f, const bool *held, uint32_t wanted)
{
	bool proposed[EXTENTS] = { false }, taken[EXTENTS] = { false };
	uint32_t steps = policy_round(f->policy), last = steps, got = 0;

	f->asked = 0;
	while (got < wanted) {
		uint32_t e = policy_victim(f->policy, &steps);

		assert_true(steps <= last);
		if (e == POLICY_NONE)
			break;
		last = steps;
		assert_true(f->in[e]);
		proposed[e] = true;
		if (held[e])
			continue;
		assert_false(taken[e]);
		taken[e] = true;
		take_out(f, e);
		got++;
	}
	assert_true(f->asked <= policy_round(f->policy) + 3 * got);
	for (uint32_t i = 0; got < wanted && i < EXTENTS; i++)
		assert_true(proposed[i] || !f->in[i]);
	if (rand() % 4)
		return;
	for (uint32_t i = 0; i < EXTENTS; i++) {
		if (!taken[i])
			continue;
		policy_restored(f->policy, i);
		f->in[i] = true;
		f->n++;
	}
}

/*
 * What is given out is there, and is given out once; what was removed does not
 * come; who asks for more than there is gets all that is not held.
 */
static void random_steps(struct fixture *f, uint32_t extents, int count)
{
	bool held[EXTENTS] = { false };

	for (int i = 0; i < count; i++) {
		uint32_t e = (uint32_t)rand() % extents;

		f->referenced[(uint32_t)rand() % extents] = true;
		held[(uint32_t)rand() % extents] = rand() % 4 == 0;
		f->always = rand() % 64 == 0;
		if (!f->in[e])
			insert(f, e);
		else if (rand() % 4 == 0)
			policy_cold(f->policy, e);
		else if (rand() % 4 == 0)
			take_out(f, e);
		else
			reclaim(f, held, rand() % 16 ? 1 : f->n);
		assert_int_equal(policy_round(f->policy), 3 * f->n);
		assert_true(state_taken(f->state, STATE_GHOSTS) <= f->n);
	}
}

static void check_random(struct fixture *f)
{
	srand(5);
	random_steps(f, 3, 5000);
	random_steps(f, FEW, 20000);
	random_steps(f, EXTENTS, 20000);
}

/* Another that is made from the same state goes on with it. */
static void check_taken_over(struct fixture *f)
{
	srand(7);
	random_steps(f, FEW, 1000);
	policy_free(f->policy);
	f->policy = policy_of(f, f->name);
	random_steps(f, FEW, 1000);
}

/* RELEASE is advice, but one that all take. */
static void check_cold(struct fixture *f)
{
	for (uint32_t i = 0; i < FEW; i++)
		insert(f, i);
	for (uint32_t i = 0; i < FEW; i++)
		f->referenced[i] = true;
	policy_cold(f->policy, 40);
	assert_false(f->referenced[40]);
	assert_int_equal(victim(f), 40);
	take_out(f, 40);
	assert_int_not_equal(victim(f), 40);
}

static void test_contract(void **state)
{
	(void)state;
	each(check_empty);
	each(check_all_busy);
	each(check_steps);
	each(check_random);
	each(check_taken_over);
	each(check_cold);
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
	end(&f);
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
	end(&f);
}

/* --- SLRU --- */

/* What was used again outlives a scan; what is protected goes in the end. */
static void test_slru_scan(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, "slru");
	for (uint32_t i = 0; i < 24; i++)
		assert_true(use(&f, i, 32));
	for (uint32_t i = 0; i < 24; i++)
		assert_false(use(&f, i, 32));
	for (uint32_t i = 100; i < 1000; i++)
		assert_true(use(&f, i, 32));
	for (uint32_t i = 0; i < 24; i++)
		assert_true(f.in[i]);
	while (f.n > 0)
		take_out(&f, victim(&f));
	end(&f);
}

/* At most three quarters are protected: the first of them go back. */
static void test_slru_share(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, "slru");
	for (uint32_t i = 0; i < 32; i++)
		assert_true(use(&f, i, 32));
	for (uint32_t i = 0; i < 32; i++)
		assert_false(use(&f, i, 32));
	for (uint32_t i = 100; i < 108; i++)
		assert_true(use(&f, i, 32));
	for (uint32_t i = 0; i < 32; i++)
		assert_true(f.in[i] == (i >= 8));
	end(&f);
}

/* --- by reuse --- */

/* Misses of a loop over @length extents that goes round @rounds times. */
static uint32_t loop(struct fixture *f, uint32_t length, uint32_t quota,
		     uint32_t rounds)
{
	uint32_t misses = 0;

	for (uint32_t i = 0; i < rounds * length; i++)
		misses += use(f, i % length, quota);
	return misses;
}

/* The optimum misses (length - quota) of (length - 1) uses; LRU all. */
static void test_reuse_loops(void **state)
{
	static const uint32_t lengths[] = { 150, 200, 260, 400, 1000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		uint32_t n = lengths[i], least = n, misses;
		struct fixture f;

		start(&f, "reuse");
		least += 29 * n * (n - 128) / (n - 1);
		misses = loop(&f, n, 128, 30);
		assert_true(misses >= least);
		assert_true((double)misses < 1.3 * least);
		end(&f);
	}
}

/* Pages that are used often survive others that come once. */
static void test_reuse_scan(void **state)
{
	struct fixture f;
	uint32_t misses = 0;

	(void)state;
	start(&f, "reuse");
	srand(3);
	for (uint32_t i = 0; i < 20000; i++) {
		(void)use(&f, 100 + i % 900, 128);
		misses += use(&f, (uint32_t)rand() % 96, 128);
	}
	/* CLOCK misses 8,000 of these 20,000 */
	assert_true(misses < 2000);
	end(&f);
}

/* What it learnt in a loop does not harm what follows. */
static void test_reuse_adapts(void **state)
{
	uint32_t misses[2] = { 0, 0 };
	struct fixture f;

	(void)state;
	for (int clock = 0; clock < 2; clock++) {
		start(&f, clock ? "clock" : "reuse");
		(void)loop(&f, 260, 128, 30);
		srand(9);
		/* a window that moves: the best is to keep what is recent */
		for (uint32_t i = 0; i < 40000; i++)
			misses[clock] += use(
				&f, (i / 20 + (uint32_t)rand() % 100) % EXTENTS,
				128);
		end(&f);
	}
	assert_true(misses[0] < misses[1] + misses[1] / 10);
}

/*
 * What is mapped ahead, goes unused, and is mapped ahead again was not used
 * again: it does not make extents look precious that nobody wants.
 */
static void test_reuse_ahead(void **state)
{
	struct fixture f;
	uint32_t misses = 0;

	(void)state;
	start(&f, "reuse");
	srand(7);
	for (uint32_t i = 0; i < 40000; i++) {
		uint32_t ahead = 200 + i % 140;

		if (!f.in[ahead]) {
			if (f.n == 128)
				take_out(&f, victim(&f));
			policy_ahead(f.policy, ahead);
			f.in[ahead] = true;
			f.n++;
		}
		misses += use(&f, (uint32_t)rand() % 110, 128);
	}
	/* 12,000 if it counts as a use */
	assert_true(misses < 1000);
	end(&f);
}

/* --- ghosts --- */

static void test_ghosts(void **state)
{
	struct ghost_note note = { 0 };
	struct ghosts_root root = { 0 };
	struct ghosts ghosts;
	struct state *arena;

	(void)state;
	assert_int_equal(state_new(64, sizes, &arena), 0);
	ghosts_init(&ghosts, arena, &root);
	assert_false(ghosts_take_oldest(&ghosts, &note));
	for (uint32_t i = 0; i < 5; i++) {
		struct ghost_note added = { .time = i, .data = 10 * i };

		ghosts_add(&ghosts, UINT64_C(1) << (60 - i), &added);
	}
	assert_false(ghosts_take(&ghosts, 1, &note));
	assert_true(ghosts_take(&ghosts, UINT64_C(1) << 58, &note));
	assert_int_equal(note.time, 2);
	assert_int_equal(note.data, 20);
	assert_false(ghosts_take(&ghosts, UINT64_C(1) << 58, &note));
	assert_true(ghosts_take(&ghosts, UINT64_C(1) << 56, &note));
	/* what lies in the state is found again */
	ghosts_init(&ghosts, arena, &root);
	assert_int_equal(ghosts_count(&ghosts), 3);
	assert_true(ghosts_take_oldest(&ghosts, &note));
	assert_int_equal(note.time, 0);
	assert_true(ghosts_take(&ghosts, UINT64_C(1) << 57, &note));
	assert_true(ghosts_take_oldest(&ghosts, &note));
	assert_int_equal(note.time, 1);
	assert_false(ghosts_take_oldest(&ghosts, &note));
	assert_int_equal(state_taken(arena, STATE_GHOSTS), 0);
	state_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_contract),
		cmocka_unit_test(test_clock_order),
		cmocka_unit_test(test_clock_cold),
		cmocka_unit_test(test_slru_scan),
		cmocka_unit_test(test_slru_share),
		cmocka_unit_test(test_reuse_loops),
		cmocka_unit_test(test_reuse_scan),
		cmocka_unit_test(test_reuse_adapts),
		cmocka_unit_test(test_reuse_ahead),
		cmocka_unit_test(test_ghosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
