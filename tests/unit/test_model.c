// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A naive model of the device, and the device, side by side, for a hundred
 * thousand moves of support/game.h each. Of what happens in the background,
 * hints above all, it is checked that it takes nothing that is held, nor more
 * than the quota, nor maps what nobody named.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "host/lib/log.h"
#include "tests/unit/support/game.h"

#define OK    VIRTIO_PVDMA_R_OK
#define RANGE VIRTIO_PVDMA_R_RANGE
#define NOENT VIRTIO_PVDMA_R_NOENT
#define STATE VIRTIO_PVDMA_R_STATE
#define QUOTA VIRTIO_PVDMA_R_QUOTA
#define LIMIT VIRTIO_PVDMA_R_LIMIT

#define STEPS 100000

/* A generator of our own: the same numbers on every machine. */
static uint64_t seed;

static uint32_t pick(uint32_t n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)((seed >> 33) % n);
}

/* PVDMA_MODEL_SEED=N plays another game than the one that is always played. */
static uint64_t other_seed(uint64_t usual)
{
	const char *text = getenv("PVDMA_MODEL_SEED");

	return text ? usual + 3 * strtoull(text, NULL, 0) : usual;
}

static void play(uint64_t usual, const struct game *game)
{
	const struct model *m = game_model();
	struct vm_stats stats;

	seed = other_seed(usual);
	game_start(game);
	log_set_max_level(LOG_CRIT); /* faults are injected by the thousand */
	for (int i = 0; i < STEPS; i++)
		game_step();
	stats = guest_stats(&m->g);
	log_set_max_level(LOG_INFO);
	print_message(
		"answers: %llu OK, %llu RANGE, %llu NOENT, %llu STATE, %llu QUOTA, %llu LIMIT; %llu evictions; %llu granules hinted at\n",
		(unsigned long long)m->answers[OK],
		(unsigned long long)m->answers[RANGE],
		(unsigned long long)m->answers[NOENT],
		(unsigned long long)m->answers[STATE],
		(unsigned long long)m->answers[QUOTA],
		(unsigned long long)m->answers[LIMIT],
		(unsigned long long)stats.evictions,
		(unsigned long long)stats.hinted_granules);
	/* A run in which something never happened proves little. */
	assert_true(m->answers[OK] > 1000 && m->answers[RANGE] > 100);
	assert_true(m->answers[NOENT] > 10 && m->answers[STATE] > 100);
	assert_true(m->answers[QUOTA] > 100 && m->answers[LIMIT] > 10);
	assert_int_equal(stats.revocations > 10, game->revokes);
	assert_int_equal(stats.ahead_granules > 100, game->ahead);
	assert_true(stats.hinted_granules > 100);
	assert_true(stats.hints_dropped > 100);
	game_end();
}

static void test_small_granules(void **state)
{
	(void)state;
	play(1, &(struct game){ .pick = pick, .shift = 12 });
}

static void test_cut_granules(void **state)
{
	(void)state;
	play(2, &(struct game){ .pick = pick, .shift = 15, .revokes = true });
}

static void test_fallback_direct(void **state)
{
	(void)state;
	play(3, &(struct game){
			.pick = pick,
			.shift = 13,
			.fallback = VM_FALLBACK_DIRECT,
			.revokes = true,
		});
}

static void test_ahead(void **state)
{
	(void)state;
	play(4, &(struct game){ .pick = pick, .shift = 12, .ahead = true });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small_granules),
		cmocka_unit_test(test_cut_granules),
		cmocka_unit_test(test_fallback_direct),
		cmocka_unit_test(test_ahead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
