// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/agent/headroom.c: a quota that is too small has some room
 * before it is asked for; one that suffices is used to the last byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/lib/log.h"
#include "host/lib/macros.h"
#include "tests/unit/support/guest.h"

#define OK    VIRTIO_PVDMA_R_OK
#define PAGES 1024u /* of the quota */

static struct guest g;

/* 64 MiB, a quota of 4 MiB, granules of 4 KiB; the driver is up. */
static int setup(void **state)
{
	(void)state;
	log_set_max_level(-1);
	guest_start(&g, &(struct guest_options){
				.size = MB(64),
				.quota = MB(4),
				.shift = 12,
			});
	guest_boot(&g);
	guest_boot_blocks(&g);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guest_check(&g, false);
	guest_stop(&g);
	return 0;
}

/* Requests for one granule each, apart from each other; the background in between. */
static void map_each(uint64_t first, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(guest_map(&g, first + 2 * i, 1), OK);
		guest_work(&g);
	}
}

static void test_a_quota_that_suffices(void **state)
{
	(void)state;
	map_each(0, PAGES);
	assert_int_equal(guest_stats(&g).mapped_bytes, MB(4));
	/* a few too many are no reason yet */
	map_each(2 * PAGES, PAGES / 16);
	assert_int_equal(guest_stats(&g).mapped_bytes, MB(4));
	assert_int_equal(guest_stats(&g).map_waited_evictions, PAGES / 16);
}

static void test_one_that_does_not(void **state)
{
	uint64_t waited, evictions;

	(void)state;
	map_each(0, 2 * PAGES);
	waited = guest_stats(&g).map_waited_evictions;
	evictions = guest_stats(&g).evictions;
	assert_true(waited > 0 && waited < PAGES / 2);
	map_each(4 * PAGES, 2 * PAGES);
	assert_int_equal(guest_stats(&g).map_waited_evictions, waited);
	assert_true(guest_stats(&g).evictions - evictions >= 2 * PAGES - 16);
	assert_true(guest_stats(&g).mapped_bytes < MB(4));
	assert_true(guest_stats(&g).mapped_bytes > MB(4) - KB(64));
}

static void test_what_is_held_stays(void **state)
{
	(void)state;
	map_each(0, 2 * PAGES);
	for (uint64_t at = 0; at < 8 * PAGES; at++)
		if (guest_look(&g, at) & VIRTIO_PVDMA_W_MAPPED)
			(void)guest_hold(&g, at);
	/* the room that there is, and not a byte more */
	for (uint64_t at = 5 * PAGES; at < 6 * PAGES; at += 2) {
		(void)guest_hold(&g, at);
		if (guest_map(&g, at, 1) != OK)
			guest_drop(&g, at);
		guest_work(&g);
	}
	assert_int_equal(guest_stats(&g).mapped_bytes, MB(4));
}

static void test_a_larger_quota_is_another_one(void **state)
{
	(void)state;
	map_each(0, 2 * PAGES);
	assert_int_equal(vm_set_quota(g.vm, MB(8)), 0);
	map_each(4 * PAGES, PAGES + 16);
	assert_int_equal(guest_stats(&g).mapped_bytes, MB(8));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_quota_that_suffices),
		TEST(test_one_that_does_not),
		TEST(test_what_is_held_stays),
		TEST(test_a_larger_quota_is_another_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
