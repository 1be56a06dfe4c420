// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of strategies on the host: what strict, persistent and direct
 * mapping mean for extents, for evictions and for endpoints that differ.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "host/agent/strategy.h"
#include "tests/unit/support/assert_mapped.h"
#include "tests/unit/support/guest.h"

#define OK	   VIRTIO_PVDMA_R_OK
#define INVAL	   VIRTIO_PVDMA_R_INVAL
#define QUOTA	   VIRTIO_PVDMA_R_QUOTA
#define LIMIT	   VIRTIO_PVDMA_R_LIMIT
#define MAPPED	   VIRTIO_PVDMA_W_MAPPED
#define SINGLE_USE VIRTIO_PVDMA_S_SINGLE_USE
#define SHARED	   VIRTIO_PVDMA_S_SHARED
#define DEFERRED   VIRTIO_PVDMA_S_DEFERRED
#define ON_DEMAND  VIRTIO_PVDMA_S_ON_DEMAND
#define PERSISTENT VIRTIO_PVDMA_S_PERSISTENT
#define DIRECT_MAP VIRTIO_PVDMA_S_DIRECT_MAP

static struct guest g;

/* A VM of this strategy: 64 MiB, a quota of 4 MiB (1024 granules). */
static void boot(uint8_t strategy, uint64_t quota, uint64_t entries_max)
{
	guest_start(&g,
		    &(struct guest_options){
			    .size = MB(64),
			    .quota = quota,
			    .shift = 12,
			    .strategy = strategy ? strategy : GUEST_SINGLE_USE,
			    .entries_max = entries_max,
		    });
	guest_boot(&g);
	guest_boot_blocks(&g);
	assert_int_equal(vm_endpoint_add(g.vm, 1), 0);
}

static int teardown(void **state)
{
	(void)state;
	guest_check(&g, true);
	guest_stop(&g);
	return 0;
}

static void hold(uint64_t first, uint64_t count)
{
	while (count--)
		(void)guest_hold(&g, first++);
}

static void drop(uint64_t first, uint64_t count)
{
	while (count--)
		guest_drop(&g, first++);
}

/*
 * DEV-ATTACH-1, the order of strategies: the numbers, and for each VM all that
 * is as strict as it is, or stricter.
 */
static void test_order(void **state)
{
	static const uint8_t order[] = { SINGLE_USE, SHARED,	 DEFERRED,
					 ON_DEMAND,  PERSISTENT, DIRECT_MAP };

	(void)state;
	for (uint8_t vm = 0; vm < VIRTIO_PVDMA_STRATEGIES; vm++) {
		struct virtio_pvdma_config config;

		assert_int_equal(order[vm], vm);
		boot(vm, MB(64), 0);
		vm_config_read(g.vm, &config);
		assert_int_equal(config.strategy, vm);
		for (unsigned int s = 0; s <= 0xff; s++)
			assert_int_equal(guest_attach_as(&g, 1, (uint8_t)s),
					 s <= vm ? OK : INVAL);
		if (vm < VIRTIO_PVDMA_STRATEGIES - 1)
			guest_stop(&g);
	}
}

static void test_names(void **state)
{
	uint8_t found = 0xff;

	(void)state;
	for (uint8_t s = 0; s < VIRTIO_PVDMA_STRATEGIES; s++) {
		assert_int_equal(strategy_parse(strategy_name(s), &found), 0);
		assert_int_equal(found, s);
	}
	assert_int_equal(strategy_parse("strict", &found), -EINVAL);
	assert_int_equal(found, VIRTIO_PVDMA_STRATEGIES - 1);
}

/*
 * DEV-STRICT-1: While an endpoint is attached with a strict strategy, the device
 * MUST map each granule of a MAP by an IOMMU mapping of its own.
 */
static void test_own_mappings(void **state)
{
	(void)state;
	for (uint8_t s = SINGLE_USE; s <= DEFERRED; s++) {
		boot(s, MB(4), 0);
		hold(100, 40);
		assert_int_equal(guest_map(&g, 100, 40), OK);
		assert_int_equal(guest_stats(&g).extents, 40);
		/* A neighbour is held still: it alone stays. */
		drop(100, 20);
		drop(121, 19);
		assert_int_equal(guest_unmap(&g, 100, 40), OK);
		assert_mapped(&g, 100, 20, false);
		assert_mapped(&g, 120, 1, true);
		assert_mapped(&g, 121, 19, false);
		drop(120, 1);
		assert_int_equal(guest_unmap(&g, 120, 1), OK);
		assert_int_equal(guest_stats(&g).mapped_bytes, 0);
		if (s < DEFERRED)
			guest_stop(&g);
	}
}

/* A block that ends under a granule of it that is held by itself. */
static void test_block(void **state)
{
	(void)state;
	boot(SHARED, MB(4), 0);
	(void)guest_hold_block(&g, 2);
	assert_int_equal(guest_map(&g, 32, 16), OK);
	assert_int_equal(guest_look_block(&g, 2), MAPPED | 1);
	hold(40, 1);
	guest_drop_block(&g, 2);
	assert_int_equal(guest_unmap(&g, 32, 16), OK);
	assert_int_equal(guest_look_block(&g, 2), 0);
	assert_mapped(&g, 32, 8, false);
	assert_mapped(&g, 40, 1, true);
	assert_mapped(&g, 41, 7, false);
	/* ... and the other way: the block's hold keeps all of it. */
	(void)guest_hold_block(&g, 2);
	assert_int_equal(guest_map(&g, 32, 16), OK);
	drop(40, 1);
	assert_int_equal(guest_unmap(&g, 40, 1), OK);
	assert_mapped(&g, 32, 16, true);
	guest_drop_block(&g, 2);
	assert_int_equal(guest_unmap(&g, 32, 16), OK);
	assert_mapped(&g, 32, 16, false);
}

/*
 * DEV-STRICT-2: Before it answers the first ATTACH with a strict strategy, the
 * device MUST end each mapping of several granules of which none is held.
 */
static void test_coarse_end(void **state)
{
	(void)state;
	boot(ON_DEMAND, MB(4), 0);
	assert_int_equal(guest_map(&g, 0, 64), OK);
	hold(130, 1);
	assert_int_equal(guest_map(&g, 128, 8), OK);
	assert_int_equal(guest_map(&g, 200, 1), OK);
	assert_int_equal(guest_stats(&g).extents, 3);
	assert_int_equal(guest_attach_as(&g, 1, SHARED), OK);
	assert_mapped(&g, 0, 64, false);
	assert_mapped(&g, 128, 8, true);
	assert_mapped(&g, 200, 1, true);
	/* From now on both map in granules; the other one's are kept. */
	assert_int_equal(guest_map(&g, 0, 64), OK);
	assert_int_equal(guest_stats(&g).extents, 66);
	assert_int_equal(guest_attach_as(&g, 1, SHARED), OK);
	assert_mapped(&g, 0, 64, true);
	drop(130, 1);
	assert_int_equal(guest_unmap(&g, 130, 1), OK);
	assert_mapped(&g, 128, 8, false);
	/* The strict one goes: large mappings again. */
	assert_int_equal(guest_detach(&g, 1), OK);
	assert_int_equal(guest_map(&g, 512, 64), OK);
	assert_int_equal(guest_stats(&g).extents, 66);
}

/*
 * DEV-PERSIST-1: The device MUST NOT evict for a MAP what an endpoint attached
 * as persistent asked for, as long as one is attached; it answers QUOTA.
 */
static void test_persistent(void **state)
{
	(void)state;
	boot(PERSISTENT, MB(4), 0);
	assert_int_equal(guest_attach_as(&g, 0, PERSISTENT), OK);
	for (uint64_t i = 0; i < 1024; i += 64)
		assert_int_equal(guest_map(&g, i, 64), OK);
	assert_int_equal(guest_map(&g, 2000, 1), QUOTA);
	assert_int_equal(guest_stats(&g).evictions, 0);
	assert_mapped(&g, 0, 1024, true);
	/* Not for another endpoint either, nor by advice. */
	assert_int_equal(guest_attach_as(&g, 1, ON_DEMAND), OK);
	assert_int_equal(guest_release(&g, 0, 1024), OK);
	assert_int_equal(guest_map(&g, 2000, 1), QUOTA);
	/* The driver may give up what it does not need. */
	assert_int_equal(guest_unmap(&g, 0, 64), OK);
	assert_int_equal(guest_map(&g, 2000, 1), OK);
	/* The operator's word counts. */
	assert_int_equal(vm_set_quota(g.vm, MB(1)), 0);
	guest_work(&g);
	assert_true(guest_stats(&g).mapped_bytes <= MB(1));
	assert_int_equal(vm_set_quota(g.vm, MB(4)), 0);
	/* No persistent driver is left: they are mappings like any other. */
	assert_int_equal(guest_map(&g, 0, 700), OK);
	assert_int_equal(guest_detach(&g, 0), OK);
	assert_int_equal(guest_attach_as(&g, 0, ON_DEMAND), OK);
	for (uint64_t i = 4096; i < 5120; i += 64)
		assert_int_equal(guest_map(&g, i, 64), OK);
	assert_mapped(&g, 4096, 1024, true);
}

/* What was there before a persistent driver asked for it is kept as well. */
static void test_persistent_takes_over(void **state)
{
	(void)state;
	boot(PERSISTENT, MB(4), 0);
	assert_int_equal(guest_attach_as(&g, 0, ON_DEMAND), OK);
	assert_int_equal(guest_map(&g, 0, 1000), OK);
	assert_int_equal(guest_attach_as(&g, 0, PERSISTENT), OK);
	assert_int_equal(guest_map(&g, 0, 512), OK);
	assert_int_equal(guest_map(&g, 2048, 512), OK);
	assert_mapped(&g, 0, 512, true);
	assert_mapped(&g, 512, 488, false);
	assert_int_equal(guest_map(&g, 4096, 1), QUOTA);
	/* The same driver changes its mind. */
	assert_int_equal(guest_attach_as(&g, 0, ON_DEMAND), OK);
	assert_int_equal(guest_map(&g, 4096, 1), OK);
}

/* DEV-PERSIST-1: ... as long as any is attached, and no longer. */
static void test_persistent_gone(void **state)
{
	(void)state;
	boot(DIRECT_MAP, MB(64), 0);
	guest_work(&g);
	assert_int_equal(guest_attach_as(&g, 0, PERSISTENT), OK);
	assert_int_equal(guest_map(&g, 0, 1024), OK);
	assert_int_equal(guest_detach(&g, 0), OK);
	assert_int_equal(guest_attach_as(&g, 0, ON_DEMAND), OK);
	assert_int_equal(guest_map(&g, 0, 1024), OK);
	/* what was asked for stays when the direct mapping ends */
	vm_set_strategy(g.vm, ON_DEMAND);
	guest_work(&g);
	assert_int_equal(guest_stats(&g).mapped_bytes, MB(4));
	assert_int_equal(vm_set_quota(g.vm, MB(4)), 0);
	assert_int_equal(guest_map(&g, 4096, 8), OK);
}

/* DEV-PERSIST-1, where the host's system is what limits. */
static void test_persistent_entries(void **state)
{
	(void)state;
	boot(PERSISTENT, MB(4), 4);
	assert_int_equal(guest_attach_as(&g, 0, PERSISTENT), OK);
	for (uint64_t i = 0; i < 8; i += 2)
		assert_int_equal(guest_map(&g, i, 1), OK);
	assert_int_equal(guest_map(&g, 100, 1), LIMIT);
	for (uint64_t i = 0; i < 8; i += 2)
		assert_mapped(&g, i, 1, true);
}

/* What ends with its use is waited for each time, whatever the quota. */
static void test_curve(void **state)
{
	uint64_t now = 10000 * UINT64_C(1000000);
	struct vm_curve curve;

	(void)state;
	boot(SHARED, MB(4), 0);
	assert_int_equal(guest_attach_as(&g, 0, SHARED), OK);
	(void)vm_observe(g.vm, now);
	for (uint64_t i = 0; i < 4000; i++) {
		hold(i % 200, 1);
		assert_int_equal(guest_map(&g, i % 200, 1), OK);
		drop(i % 200, 1);
		assert_int_equal(guest_unmap(&g, i % 200, 1), OK);
	}
	(void)vm_observe(g.vm, now + 1000000);
	vm_get_curve(g.vm, &curve);
	assert_true(curve.n > 1);
	assert_true(curve.points[0].waits_per_s > 100);
	assert_true(curve.points[curve.n - 1].waits_per_s >
		    0.9 * curve.points[0].waits_per_s);
}

/*
 * DEV-STRICT-3: The device MUST NOT keep memory mapped for the VM's strategy
 * direct-map while an endpoint is attached with a strict one.
 */
static void test_direct_yields(void **state)
{
	(void)state;
	boot(DIRECT_MAP, MB(64), 0);
	guest_work(&g);
	assert_int_equal(guest_stats(&g).mapped_bytes, MB(64));
	hold(40, 1);
	assert_int_equal(guest_map(&g, 40, 1), OK);
	assert_int_equal(guest_attach_as(&g, 1, SHARED), OK);
	/* before the answer: DEV-STRICT-2 */
	assert_int_equal(guest_stats(&g).mapped_bytes, MB(2));
	guest_work(&g);
	assert_int_equal(guest_stats(&g).mapped_bytes, MB(2));
	drop(40, 1);
	assert_int_equal(guest_unmap(&g, 40, 1), OK);
	assert_int_equal(guest_stats(&g).mapped_bytes, 0);
	hold(40, 2);
	assert_int_equal(guest_map(&g, 40, 2), OK);
	drop(40, 1);
	assert_int_equal(guest_unmap(&g, 40, 2), OK);
	assert_mapped(&g, 40, 1, false);
	assert_mapped(&g, 41, 1, true);
	drop(41, 1);
	/* It goes, and everything is mapped again. */
	assert_int_equal(guest_detach(&g, 1), OK);
	guest_work(&g);
	assert_int_equal(guest_stats(&g).mapped_bytes, MB(64));
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_order),
		cmocka_unit_test(test_names),
		TEST(test_own_mappings),
		TEST(test_block),
		TEST(test_coarse_end),
		TEST(test_persistent),
		TEST(test_persistent_takes_over),
		TEST(test_persistent_gone),
		TEST(test_persistent_entries),
		TEST(test_curve),
		TEST(test_direct_yields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
