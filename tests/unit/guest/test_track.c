// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of guest/pvdma/track.c: words, leaves, and a host that evicts. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "track.h"

#define MIB(n)	   ((u64)(n) << 20)
#define MAPPED	   VIRTIO_PVDMA_W_MAPPED
#define REFERENCED VIRTIO_PVDMA_W_REFERENCED

int pvdma_env_check(u64 addr)
{
	(void)addr;
	return 0;
}

/* What is live in the test that runs; freed even where it fails. */
static struct pvdma_track track;

static int setup(void **state)
{
	(void)state;
	env_warnings = 0;
	env_allocations = -1;
	return pvdma_track_init(&track, 12, MIB(64));
}

static int teardown(void **state)
{
	(void)state;
	env_allocations = -1;
	pvdma_track_done(&track);
	return 0;
}

static atomic_t *new_word(u64 granule)
{
	u64 leaf = pvdma_track_leaf_of(PVDMA_GRANULES, granule);

	assert_int_equal(pvdma_track_add_leaf(&track, leaf, GFP_ATOMIC), 0);
	return pvdma_track_word(&track, PVDMA_GRANULES, granule);
}

/* DRV-TABLE-2, DRV-TABLE-4: the hold's own operation says whether it hit. */
static void test_hold(void **state)
{
	atomic_t *word = new_word(3);

	(void)state;
	assert_false(pvdma_track_hold(word));
	assert_int_equal(atomic_read(word), REFERENCED | 1);
	atomic_or(MAPPED, word);
	assert_true(pvdma_track_hold(word));
	assert_int_equal(atomic_read(word), MAPPED | REFERENCED | 2);

	/* the device's scan clears it, the next hold sets it */
	atomic_and(~REFERENCED, word);
	assert_true(pvdma_track_hold(word));
	assert_int_equal(atomic_read(word), MAPPED | REFERENCED | 3);
}

/* DRV-TABLE-1, DRV-TABLE-3: giving up is one decrement and no more. */
static void test_unhold(void **state)
{
	atomic_t *word = new_word(3);

	(void)state;
	pvdma_track_hold(word);
	pvdma_track_hold(word);
	atomic_or(MAPPED, word);
	assert_true(pvdma_track_unhold(word));
	assert_int_equal(atomic_read(word), MAPPED | REFERENCED | 1);
	assert_true(pvdma_track_unhold(word));
	assert_int_equal(atomic_read(word), MAPPED | REFERENCED);

	/* a driver that unmaps twice does not take MAPPED with it */
	assert_false(pvdma_track_unhold(word));
	assert_int_equal(atomic_read(word), MAPPED | REFERENCED);
}

static void test_drop(void **state)
{
	atomic_t *word;
	u64 g;

	(void)state;
	/* across a leaf's end */
	new_word(1022);
	new_word(1024);
	for (g = 1022; g < 1027; g++)
		pvdma_track_hold(pvdma_track_word(&track, PVDMA_GRANULES, g));
	pvdma_track_hold_words(&track, PVDMA_GRANULES, 1023, 2);
	pvdma_track_drop(&track, 1022, 1026);
	assert_int_equal(env_warnings, 0);
	for (g = 1022; g < 1027; g++) {
		word = pvdma_track_word(&track, PVDMA_GRANULES, g);
		assert_int_equal(atomic_read(word) & VIRTIO_PVDMA_W_COUNT,
				 g == 1023 || g == 1024);
	}

	pvdma_track_drop(&track, 1022, 1023);
	assert_int_equal(env_warnings, 1);
	/* nobody ever mapped there: no leaf */
	pvdma_track_drop(&track, 4096, 4100);
	assert_int_equal(env_warnings, 2);
	/* beyond all memory */
	pvdma_track_drop(&track, 1ull << 40, 1ull << 40);
	assert_int_equal(env_warnings, 3);
}

/*
 * How a range is held: what is before its first whole block, the blocks, what
 * is behind them; and each beginning of it in the same way.
 */
static void check_runs(u64 first, u64 last)
{
	struct pvdma_run run;
	u64 at = first, words = 0, covered = 0, n;

	while (at <= last) {
		run = pvdma_track_run(at, last);
		assert_true(run.n > 0);
		assert_int_equal(pvdma_track_granules(run.level, run.at), at);
		n = pvdma_track_granules(run.level, run.n);
		assert_true(at + n - 1 <= last);
		if (run.level == PVDMA_GRANULES && at + n <= last)
			assert_int_equal((at + n) % 16, 0);
		words += run.n;
		covered += n;
		at += n;
	}
	assert_int_equal(covered, last - first + 1);
	/* at most 15 words before the blocks, 15 behind them, or 30 without */
	assert_true(words <= (last - first + 1) / 16 + 30);
}

static void test_runs(void **state)
{
	u64 first, last;

	(void)state;
	for (first = 0; first < 40; first++)
		for (last = first; last < 100; last++)
			check_runs(first, last);
	check_runs(UINT64_MAX - 100, UINT64_MAX - 1);
}

/* All that takes and gives up holds of a range comes to the same words. */
static void hold_range(u64 first, u64 last)
{
	struct pvdma_run run;

	while (first <= last) {
		run = pvdma_track_run(first, last);
		pvdma_track_hold_words(&track, run.level, run.at, run.n);
		first += pvdma_track_granules(run.level, run.n);
	}
}

static void test_hold_range(void **state)
{
	u64 first, last, g;
	atomic_t *block;

	(void)state;
	new_word(0);
	assert_int_equal(pvdma_track_add_leaf(
				 &track, pvdma_track_leaf_of(PVDMA_BLOCKS, 0),
				 GFP_ATOMIC),
			 0);
	block = pvdma_track_word(&track, PVDMA_BLOCKS, 1);
	assert_non_null(block);
	for (first = 0; first < 20; first++)
		for (last = first; last < 70; last += 3) {
			hold_range(first, last);
			for (g = 0; g < 80; g++)
				assert_int_equal(pvdma_track_held(&track, g),
						 g >= first && g <= last);
			assert_int_equal(atomic_read(block) &
						 VIRTIO_PVDMA_W_COUNT,
					 first <= 16 && last >= 31);
			pvdma_track_drop(&track, first, last);
			for (g = 0; g < 80; g++)
				assert_false(pvdma_track_held(&track, g));
		}
	assert_int_equal(env_warnings, 0);
}

/* One granule, mapped: no more than its word, and nothing held if not. */
static void test_hit(void **state)
{
	atomic_t *word;

	(void)state;
	assert_false(pvdma_track_hit(&track, 0x3000, 100));
	word = new_word(3);
	assert_false(pvdma_track_hit(&track, 0x3000, 100));
	assert_int_equal(atomic_read(word) & VIRTIO_PVDMA_W_COUNT, 0);
	atomic_or(MAPPED, word);
	assert_false(pvdma_track_hit(&track, 0x3ff0, 100));
	assert_int_equal(atomic_read(word) & VIRTIO_PVDMA_W_COUNT, 0);
	assert_true(pvdma_track_hit(&track, 0x3ff0, 16));
	assert_int_equal(atomic_read(word), MAPPED | REFERENCED | 1);
	pvdma_track_release(&track, 0x3ff0, 16);
	assert_int_equal(atomic_read(word), MAPPED | REFERENCED);
	assert_int_equal(env_warnings, 0);
	pvdma_track_release(&track, 0x3ff0, 16);
	assert_int_equal(env_warnings, 1);
}

/* The granules of a transfer: [addr >> shift, (addr + size - 1) >> shift]. */
static void test_granules(void **state)
{
	(void)state;
	assert_int_equal(pvdma_track_granule(&track, 0x1fff), 1);
	assert_int_equal(pvdma_track_last(&track, 0x1fff, 1), 1);
	assert_int_equal(pvdma_track_last(&track, 0x1fff, 2), 2);
	assert_int_equal(pvdma_track_last(&track, 0x1000, 0x1000), 1);
	assert_int_equal(pvdma_track_last(&track, 0x1000, 0), 1);
}

/* DRV-LEAF-1: a new leaf has no MAPPED word, and stays where it is. */
static void test_leaves(void **state)
{
	u64 addr, g;

	(void)state;
	assert_null(pvdma_track_word(&track, PVDMA_GRANULES, 1024));
	new_word(1024);
	addr = pvdma_track_leaf_addr(&track, 1);
	assert_int_equal(addr % VIRTIO_PVDMA_LEAF_SIZE, 0);
	for (g = 1024; g < 2048; g++)
		assert_int_equal(atomic_read(pvdma_track_word(
					 &track, PVDMA_GRANULES, g)),
				 0);

	assert_int_equal(pvdma_track_add_leaf(&track, 1, GFP_ATOMIC), 0);
	assert_int_equal(pvdma_track_leaf_addr(&track, 1), addr);
	assert_int_equal(track.nr_leaves, 1);

	assert_false(pvdma_track_registered(&track, 1));
	assert_false(pvdma_track_first_registered(&track, &g));
	pvdma_track_set_registered(&track, 1);
	assert_true(pvdma_track_registered(&track, 1));
	assert_true(pvdma_track_first_registered(&track, &g));
	assert_int_equal(g, 1);
	assert_int_equal(pvdma_track_leaf_addr(&track, 1), addr);
	assert_ptr_equal(pvdma_track_word(&track, PVDMA_GRANULES, 1024),
			 (void *)addr);

	assert_int_equal(pvdma_track_add_leaf(&track, 16, GFP_ATOMIC), -ERANGE);
	env_allocations = 0;
	assert_int_equal(pvdma_track_add_leaf(&track, 2, GFP_ATOMIC), -ENOMEM);
	assert_null(pvdma_track_word(&track, PVDMA_GRANULES, 2048));
}

static void test_grow(void **state)
{
	u64 addr, leaves = track.dir[PVDMA_GRANULES]->leaves;

	(void)state;
	assert_int_equal(leaves, 16);
	new_word(0);
	pvdma_track_set_registered(&track, 0);
	addr = pvdma_track_leaf_addr(&track, 0);

	env_allocations = 0;
	assert_int_equal(pvdma_track_grow(&track, MIB(65), GFP_KERNEL),
			 -ENOMEM);
	assert_int_equal(track.dir[PVDMA_GRANULES]->leaves, 16);
	env_allocations = -1;

	assert_int_equal(pvdma_track_grow(&track, MIB(65), GFP_ATOMIC), 0);
	assert_int_equal(track.dir[PVDMA_GRANULES]->leaves, 32);
	assert_int_equal(pvdma_track_grow(&track, MIB(1024), GFP_KERNEL), 0);
	assert_int_equal(track.dir[PVDMA_GRANULES]->leaves, 256);
	assert_int_equal(pvdma_track_grow(&track, MIB(64), GFP_KERNEL), 0);
	assert_int_equal(track.dir[PVDMA_GRANULES]->leaves, 256);

	assert_true(pvdma_track_registered(&track, 0));
	assert_int_equal(pvdma_track_leaf_addr(&track, 0), addr);
	new_word(MIB(1023) >> 12);
	assert_int_equal(track.nr_leaves, 2);
}

/* After a reset: nothing is mapped or registered, but holds are holds. */
static void test_forget(void **state)
{
	atomic_t *a = new_word(5), *b = new_word(3000);
	u64 g = 0;

	(void)state;
	pvdma_track_hold(a);
	pvdma_track_hold(b);
	pvdma_track_unhold(b);
	atomic_or(MAPPED, a);
	atomic_or(MAPPED, b);
	pvdma_track_set_registered(&track, 0);
	pvdma_track_set_registered(&track, 2);

	pvdma_track_forget(&track);
	assert_false(pvdma_track_registered(&track, 0));
	assert_false(pvdma_track_registered(&track, 2));
	assert_int_equal(atomic_read(a), REFERENCED | 1);
	assert_int_equal(atomic_read(b), REFERENCED);

	assert_true(pvdma_track_next_held(&track, PVDMA_GRANULES, &g));
	assert_int_equal(g, 5);
	g = 6;
	assert_false(pvdma_track_next_held(&track, PVDMA_GRANULES, &g));
	pvdma_track_hold(b);
	assert_true(pvdma_track_next_held(&track, PVDMA_GRANULES, &g));
	assert_int_equal(g, 3000);
}

/* Tables of the coarsest granule, of nothing, and of no memory at all. */
static void test_sizes(void **state)
{
	struct pvdma_track t;

	(void)state;
	assert_int_equal(pvdma_track_init(&t, 21, MIB(2048)), 0);
	assert_int_equal(t.dir[PVDMA_GRANULES]->leaves, 1);
	pvdma_track_done(&t);
	assert_int_equal(pvdma_track_init(&t, 12, 0), 0);
	assert_int_equal(t.dir[PVDMA_GRANULES]->leaves, 1);
	pvdma_track_done(&t);
	env_allocations = 0;
	assert_int_equal(pvdma_track_init(&t, 12, MIB(2048)), -ENOMEM);
}

/* --- threads: mappers against a host that evicts all the time --- */

#define RACE_GRANULES 8
#define RACE_MAPPERS  2
#define RACE_ROUNDS   1000000

/* Does the IOMMU map this granule? What a device would find out. */
static bool iommu[RACE_GRANULES];
static bool race_over;
static unsigned int race_blocked, race_hits;

static void host_map(u64 g)
{
	/* DEV-MAP-1: first the IOMMU, then the bit */
	__atomic_store_n(&iommu[g], true, __ATOMIC_SEQ_CST);
	atomic_or(MAPPED, pvdma_track_word(&track, PVDMA_GRANULES, g));
}

static void *race_host(void *arg)
{
	atomic_t *word;
	u32 old;
	u64 g = 0;

	(void)arg;
	while (!__atomic_load_n(&race_over, __ATOMIC_ACQUIRE)) {
		g = (g + 3) % RACE_GRANULES;
		word = pvdma_track_word(&track, PVDMA_GRANULES, g);
		old = atomic_read(word);
		if (!(old & MAPPED)) {
			host_map(g);
			continue;
		}
		if (old & VIRTIO_PVDMA_W_COUNT)
			continue;
		/* DEV-EVICT-1 */
		if (__atomic_compare_exchange_n(
			    &word->counter, (int *)&old, (int)(old & ~MAPPED),
			    false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			__atomic_store_n(&iommu[g], false, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

/*
 * Maps, lets "the device" look, unmaps. A miss only gives up its hold here:
 * mapping and evicting are the host's, which does one thing at a time.
 */
static void *race_mapper(void *arg)
{
	unsigned int seed = (uintptr_t)arg, hits = 0, blocked = 0, i;
	unsigned int look;
	atomic_t *word;
	u64 g;

	for (i = 0; i < RACE_ROUNDS; i++) {
		g = rand_r(&seed) % RACE_GRANULES;
		word = pvdma_track_word(&track, PVDMA_GRANULES, g);
		if (pvdma_track_hold(word)) {
			hits++;
			for (look = 0; look < 16; look++)
				blocked += !__atomic_load_n(&iommu[g],
							    __ATOMIC_SEQ_CST);
		}
		pvdma_track_unhold(word);
	}
	__atomic_fetch_add(&race_hits, hits, __ATOMIC_RELAXED);
	__atomic_fetch_add(&race_blocked, blocked, __ATOMIC_RELAXED);
	return NULL;
}

/* DRV-TABLE-2, DEV-EVICT-1: who has a hit is never blocked by the IOMMU. */
static void test_race(void **state)
{
	pthread_t mapper[RACE_MAPPERS], host;
	uintptr_t i;
	u64 g;

	(void)state;
	new_word(0);
	pthread_create(&host, NULL, race_host, NULL);
	for (i = 0; i < RACE_MAPPERS; i++)
		pthread_create(&mapper[i], NULL, race_mapper, (void *)i);
	for (i = 0; i < RACE_MAPPERS; i++)
		pthread_join(mapper[i], NULL);
	__atomic_store_n(&race_over, true, __ATOMIC_RELEASE);
	pthread_join(host, NULL);
	assert_true(race_hits > 0);
	assert_int_equal(race_blocked, 0);
	for (g = 0; g < RACE_GRANULES; g++)
		assert_int_equal(atomic_read(pvdma_track_word(
					 &track, PVDMA_GRANULES, g)) &
					 VIRTIO_PVDMA_W_COUNT,
				 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_hold),     TEST(test_unhold),	    TEST(test_drop),
		TEST(test_granules), TEST(test_leaves),	    TEST(test_grow),
		TEST(test_forget),   TEST(test_sizes),	    TEST(test_race),
		TEST(test_runs),     TEST(test_hold_range), TEST(test_hit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
