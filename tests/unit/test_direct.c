// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/agent/mode.c: strategy direct-map and fallback=direct. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "tests/unit/support/guest.h"

#define OK     VIRTIO_PVDMA_R_OK
#define QUOTA  VIRTIO_PVDMA_R_QUOTA
#define MAPPED VIRTIO_PVDMA_W_MAPPED

static struct guest g;

static void start(uint8_t strategy, enum vm_fallback fallback, uint64_t quota)
{
	guest_start(&g, &(struct guest_options){
				.size = MB(64),
				.quota = quota,
				.shift = 12,
				.strategy = strategy,
				.fallback = fallback,
			});
}

static void start_fallback(uint64_t quota)
{
	start(VIRTIO_PVDMA_S_ON_DEMAND, VM_FALLBACK_DIRECT, quota);
}

static int teardown(void **state)
{
	(void)state;
	guest_check(&g, true);
	guest_stop(&g);
	return 0;
}

static uint64_t mapped(void)
{
	return guest_stats(&g).mapped_bytes;
}

/* Everything, without a request: charged, in pieces of 2 MiB. */
static void test_strategy(void **state)
{
	(void)state;
	start(VIRTIO_PVDMA_S_DIRECT_MAP, VM_FALLBACK_DENY, MB(64));
	assert_true(g.work_news > 0);
	assert_int_equal(mapped(), 0); /* nothing from within a message */
	guest_work(&g);
	assert_int_equal(mapped(), MB(64));
	assert_int_equal(guest_stats(&g).extents, 32);
	assert_false(vm_work(g.vm));
	/* Requests find it there. */
	guest_boot(&g);
	assert_int_equal(guest_map(&g, 100, 1000), OK);
	assert_int_equal(g.mapped, 0);
	assert_int_equal(guest_look(&g, 100), MAPPED);
	/* The driver is stricter; for it the mapping ends, not for others. */
	assert_int_equal(guest_unmap(&g, 100, 1000), OK);
	assert_int_equal(guest_look(&g, 100), 0);
	assert_int_equal(mapped(), MB(64));
	assert_int_equal(guest_detach(&g, 0), OK);
	assert_int_equal(mapped(), MB(64));
	assert_int_equal(guest_attach_as(&g, 0, VIRTIO_PVDMA_S_DIRECT_MAP), OK);
	assert_int_equal(guest_init(&g), OK);
	guest_work(&g);
	assert_int_equal(mapped(), MB(64));
}

static uint64_t told(uint64_t first, uint64_t count)
{
	uint64_t sum = 0;

	for (uint64_t i = first; i < first + count; i++)
		sum += (guest_look(&g, i) & MAPPED) != 0;
	return sum;
}

static uint64_t blocks_told(uint64_t first, uint64_t count)
{
	uint64_t sum = 0;

	for (uint64_t i = first; i < first + count; i++)
		sum += (guest_look_block(&g, i) & MAPPED) != 0;
	return sum;
}

/*
 * DEV-LEAF-4: While it maps all memory for the strategy DIRECT_MAP, the device
 * MUST set MAPPED in the words of a leaf that it registers, for all that it
 * maps, before it answers OK.
 */
static void test_leaf_told(void **state)
{
	uint64_t all = MB(64) >> 12, blocks = all >> VIRTIO_PVDMA_BLOCK_SHIFT;

	(void)state;
	start(VIRTIO_PVDMA_S_DIRECT_MAP, VM_FALLBACK_DENY, MB(64));
	guest_work(&g);
	assert_int_equal(told(0, all), 0);
	guest_boot(&g);
	assert_int_equal(told(0, all), all);
	guest_boot_blocks(&g);
	assert_int_equal(told(0, all), all);
	assert_int_equal(blocks_told(0, blocks), blocks);
	assert_int_equal(guest_stats(&g).map_requests, 0);
	/* Not by one that is there: this ended for the driver. */
	assert_int_equal(guest_unmap(&g, 100, 16), OK);
	assert_int_equal(guest_leaf(&g, 0), OK);
	assert_int_equal(told(100, 16), 0);
	assert_int_equal(told(0, all), all - 16);
	/* By a hold, without a request, as by any other; not for a strict one. */
	assert_int_equal(guest_hold(&g, 5000), MAPPED);
	assert_int_equal(guest_attach_as(&g, 0, VIRTIO_PVDMA_S_SHARED), OK);
	guest_work(&g);
	assert_int_equal(mapped(), MB(2));
	assert_int_equal(told(0, all), 512);
	assert_int_equal(told(5000 & ~511, 512), 512);
	assert_int_equal(blocks_told(0, blocks), 32);
	guest_drop(&g, 5000);
	assert_int_equal(guest_unmap(&g, 5000, 1), OK);
	assert_int_equal(mapped(), 0);
	assert_int_equal(told(0, all), 0);
}

/* Only what is there: a hole in memory, and what is not mapped yet. */
static void test_leaf_told_part(void **state)
{
	(void)state;
	guest_start(&g, &(struct guest_options){
				.size = MB(64),
				.quota = MB(64),
				.shift = 12,
				.strategy = VIRTIO_PVDMA_S_DIRECT_MAP,
				.no_memory = true,
			});
	assert_int_equal(guest_plug(&g, &g, 0, KB(84), GUEST_RW), 0);
	assert_int_equal(guest_plug(&g, &g, MB(48), MB(16), GUEST_RW), 0);
	guest_work(&g);
	assert_int_equal(guest_plug(&g, &g, MB(2), MB(1), GUEST_RW), 0);
	assert_int_equal(vm_endpoint_add(g.vm, 0), 0);
	vm_set_features(g.vm, vm_features(g.vm));
	vm_queues_start(g.vm);
	assert_int_equal(guest_init(&g), OK);
	assert_int_equal(guest_leaf(&g, 0), OK);
	assert_int_equal(told(0, 1024), 21);
	guest_boot_blocks(&g);
	assert_int_equal(blocks_told(0, 1024), 1 + 256);
	assert_int_equal(guest_look_block(&g, 1), 0); /* a part of it */
}

/* The fallback ends when drivers come, and then keeps what they asked for. */
static void test_leaf_not_told(void **state)
{
	(void)state;
	start_fallback(MB(64));
	assert_int_equal(vm_endpoint_add(g.vm, 0), 0);
	assert_int_equal(vm_endpoint_add(g.vm, 1), 0);
	guest_work(&g);
	guest_boot(&g);
	guest_work(&g);
	assert_int_equal(mapped(), MB(64));
	assert_int_equal(told(0, MB(64) >> 12), 0);
	assert_int_equal(guest_map(&g, 700, 1), OK);
	assert_int_equal(guest_attach(&g, 1), OK);
	guest_work(&g);
	assert_int_equal(mapped(), MB(2));
}

/* A request that comes before the work is done maps for itself. */
static void test_strategy_early(void **state)
{
	(void)state;
	start(VIRTIO_PVDMA_S_DIRECT_MAP, VM_FALLBACK_DENY, MB(64));
	guest_boot(&g);
	assert_int_equal(guest_map(&g, 1000, 4), OK);
	assert_int_equal(g.mapped, 4);
	guest_work(&g);
	assert_int_equal(mapped(), MB(64));
	/* It was adopted: no gap opens where the driver does not need it. */
	assert_int_equal(guest_unmap(&g, 1000, 4), OK);
	assert_int_equal(mapped(), MB(64));
	assert_int_equal(guest_look(&g, 1000), 0);
}

static void test_refused(void **state)
{
	(void)state;
	start(VIRTIO_PVDMA_S_DIRECT_MAP, VM_FALLBACK_DENY, MB(64) - 4096);
	guest_work(&g);
	assert_int_equal(mapped(), 0);
	/* On demand, within the quota, it still serves. */
	guest_boot(&g);
	assert_int_equal(guest_map(&g, 0, 8), OK);
	assert_int_equal(mapped(), KB(32));
	/* A higher quota allows it; a lower one ends it again. */
	assert_int_equal(vm_set_quota(g.vm, MB(64)), 0);
	guest_work(&g);
	assert_int_equal(mapped(), MB(64));
	assert_int_equal(vm_set_quota(g.vm, MB(16)), 0);
	guest_work(&g);
	assert_int_equal(mapped(), KB(32));
	assert_int_equal(guest_look(&g, 0), MAPPED);
}

/* Until each endpoint has a driver; then only what is used stays. */
static void test_fallback(void **state)
{
	(void)state;
	start_fallback(MB(64));
	guest_work(&g);
	assert_int_equal(mapped(), 0); /* no device, no need */
	assert_int_equal(vm_endpoint_add(g.vm, 0), 0);
	guest_work(&g);
	assert_int_equal(mapped(), MB(64));
	vm_set_features(g.vm, vm_features(g.vm));
	vm_queues_start(g.vm);
	assert_int_equal(guest_init(&g), OK);
	for (uint64_t i = 0; i < guest_leaf_count(&g); i++)
		assert_int_equal(guest_leaf(&g, i), OK);
	assert_int_equal(vm_endpoint_add(g.vm, 1), 0);
	assert_int_equal(guest_attach(&g, 0), OK);
	guest_work(&g);
	assert_int_equal(mapped(), MB(64)); /* endpoint 1 has none yet */
	/* One extent mapped by a request, one held, the rest idle. */
	assert_int_equal(guest_map(&g, 0, 1), OK);
	assert_int_equal(guest_look(&g, 0), MAPPED);
	guest_hold(&g, 1024);
	assert_int_equal(guest_attach(&g, 1), OK);
	assert_int_equal(mapped(), MB(64)); /* later */
	guest_work(&g);
	assert_int_equal(mapped(), MB(4));
	assert_true(guest_in_iommu(&g, 0));
	assert_true(guest_in_iommu(&g, 1024));
	/* Both are like any others now. */
	guest_drop(&g, 1024);
	assert_int_equal(guest_unmap(&g, 0, 2048), OK);
	assert_int_equal(mapped(), 0);
	assert_int_equal(guest_map(&g, 0, 1), OK);
	assert_int_equal(mapped(), KB(4));
}

/* The driver goes, the firmware comes: everything is there again. */
static void test_fallback_again(void **state)
{
	(void)state;
	start_fallback(MB(64));
	guest_boot(&g);
	guest_work(&g);
	assert_int_equal(mapped(), 0);
	assert_int_equal(guest_map(&g, 0, 600), OK);
	assert_int_equal(guest_detach(&g, 0), OK);
	guest_work(&g);
	assert_int_equal(mapped(), MB(64));
	assert_int_equal(guest_look(&g, 0), 0);
	assert_int_equal(guest_attach(&g, 0), OK);
	guest_work(&g);
	assert_int_equal(mapped(), 0);
	assert_int_equal(guest_map(&g, 0, 600), OK);
	/* The VM is reset: device reset, queues stop, memory moves. */
	vm_device_reset(g.vm);
	vm_queues_stop(g.vm);
	assert_int_equal(vm_memory_remove(g.vm, &g, 0, g.size), 0);
	assert_int_equal(guest_plug(&g, &g, 0, g.size, GUEST_RW), 0);
	guest_work(&g);
	assert_int_equal(mapped(), MB(64));
	assert_int_equal(guest_look(&g, 0), MAPPED); /* not written to */
	memset(g.mem + guest_leaves(&g), 0, g.size - guest_leaves(&g));
	guest_boot(&g);
	guest_work(&g);
	assert_int_equal(mapped(), 0);
}

/* Quotas that do not cover memory leave it at on-demand. */
static void test_fallback_refused(void **state)
{
	(void)state;
	start_fallback(MB(32));
	assert_int_equal(vm_endpoint_add(g.vm, 0), 0);
	guest_work(&g);
	assert_int_equal(mapped(), 0);
	guest_boot(&g);
	assert_int_equal(guest_map(&g, 0, 600), OK);
	assert_int_equal(mapped(), KB(2400));
}

/* fallback=deny: without requests nothing is mapped, ever. */
static void test_deny(void **state)
{
	(void)state;
	start(VIRTIO_PVDMA_S_ON_DEMAND, VM_FALLBACK_DENY, MB(64));
	assert_int_equal(vm_endpoint_add(g.vm, 0), 0);
	guest_work(&g);
	vm_queues_start(g.vm);
	assert_int_equal(guest_init(&g), OK);
	vm_queues_stop(g.vm);
	vm_device_reset(g.vm);
	guest_work(&g);
	assert_int_equal(guest_stats(&g).mapped_peak, 0);
}

/* Memory that is plugged while everything is mapped is mapped, too. */
static void test_hotplug(void **state)
{
	(void)state;
	start_fallback(MB(72));
	assert_int_equal(vm_endpoint_add(g.vm, 0), 0);
	guest_work(&g);
	assert_int_equal(
		vm_memory_add(g.vm, &g, MB(1024), MB(8), g.fd, 0, GUEST_RW), 0);
	guest_work(&g);
	assert_int_equal(mapped(), MB(72));
	assert_int_equal(vm_memory_remove(g.vm, &g, MB(1024), MB(8)), 0);
	assert_int_equal(mapped(), MB(64));
	/* More than the quota covers: nothing idle stays. */
	assert_int_equal(vm_memory_add(g.vm, &g, MB(1024), MB(16), g.fd, 0,
				       GUEST_RW),
			 0);
	guest_work(&g);
	assert_int_equal(mapped(), 0);
}

/* Holes, read-only parts and cut granules: all of memory, nothing else. */
static void test_holes(void **state)
{
	(void)state;
	guest_start(&g, &(struct guest_options){
				.size = MB(64),
				.quota = MB(64),
				.shift = 21,
				.fallback = VM_FALLBACK_DIRECT,
				.no_memory = true,
			});
	assert_int_equal(guest_plug(&g, &g, 0, KB(640), GUEST_RW), 0);
	assert_int_equal(guest_plug(&g, &g, KB(768), KB(256), IOMMU_READ), 0);
	assert_int_equal(guest_plug(&g, &g, MB(1), MB(10), GUEST_RW), 0);
	assert_int_equal(guest_plug(&g, &g, MB(32), MB(5), GUEST_RW), 0);
	assert_int_equal(vm_endpoint_add(g.vm, 0), 0);
	guest_work(&g);
	assert_int_equal(mapped(), KB(640) + KB(256) + MB(15));
	assert_true(null_iommu_mapped(g.iommu, KB(768)));
	assert_false(null_iommu_mapped(g.iommu, KB(640)));
	assert_false(null_iommu_mapped(g.iommu, MB(11)));
	/* A part of granule 0 goes and comes back. */
	assert_int_equal(vm_memory_remove(g.vm, &g, KB(768), KB(256)), 0);
	assert_int_equal(mapped(), KB(640) + MB(15));
	assert_int_equal(guest_plug(&g, &g, KB(768), KB(256), GUEST_RW), 0);
	guest_work(&g);
	assert_int_equal(mapped(), KB(640) + KB(256) + MB(15));
}

/* Few entries: larger pieces, and never more than half of the entries. */
static void test_few_entries(void **state)
{
	uint64_t entries;

	(void)state;
	guest_start(&g, &(struct guest_options){
				.size = MB(64),
				.quota = MB(64),
				.shift = 12,
				.strategy = VIRTIO_PVDMA_S_DIRECT_MAP,
				.entries_max = 16,
			});
	guest_work(&g);
	assert_int_equal(mapped(), MB(64));
	null_iommu_usage(g.iommu, &entries, NULL);
	assert_int_equal(entries, 8);
}

/*
 * A driver goes, another stays, and what they had mapped is in more pieces than
 * there are entries: what is idle of it becomes part of larger ones.
 */
static void test_many_pieces(void **state)
{
	uint64_t entries;

	(void)state;
	guest_start(&g, &(struct guest_options){
				.size = MB(64),
				.quota = MB(64),
				.shift = 12,
				.fallback = VM_FALLBACK_DIRECT,
				.entries_max = 16,
			});
	guest_boot(&g);
	assert_int_equal(vm_endpoint_add(g.vm, 2), 0);
	assert_int_equal(guest_attach(&g, 2), OK);
	guest_work(&g);
	assert_int_equal(mapped(), 0);
	for (uint64_t i = 0; i < 16; i++)
		assert_int_equal(guest_map(&g, 100 + 64 * i, 1), OK);
	guest_hold(&g, 100);
	guest_hold(&g, 100 + 64 * 10);
	assert_int_equal(guest_detach(&g, 2), OK);
	guest_work(&g);
	assert_int_equal(mapped(), MB(64));
	null_iommu_usage(g.iommu, &entries, NULL);
	assert_int_equal(entries, 12);
	assert_true(guest_look(&g, 100) & MAPPED);
	assert_false(guest_look(&g, 100 + 64 * 3) & MAPPED);
	assert_int_equal(guest_map(&g, 100 + 64 * 3, 1), OK);
	assert_true(guest_look(&g, 100 + 64 * 3) & MAPPED);
}

/* The host gives less than the quota promises: all or nothing. */
static void test_memlock(void **state)
{
	(void)state;
	guest_start(&g, &(struct guest_options){
				.size = MB(64),
				.quota = MB(64),
				.shift = 12,
				.fallback = VM_FALLBACK_DIRECT,
				.bytes_max = MB(20),
			});
	assert_int_equal(vm_endpoint_add(g.vm, 0), 0);
	guest_work(&g);
	assert_int_equal(mapped(), 0);
	assert_true(guest_stats(&g).mapped_peak <= MB(22));
	guest_boot(&g);
	assert_int_equal(guest_map(&g, 0, 512), OK);
}

/* What no IOMMU maps is left out; the rest is there. */
static void test_untranslatable(void **state)
{
	(void)state;
	start_fallback(MB(128));
	assert_int_equal(vm_memory_add(g.vm, &g, 0xfec00000, MB(8), g.fd, 0,
				       GUEST_RW),
			 0);
	assert_int_equal(vm_endpoint_add(g.vm, 0), 0);
	guest_work(&g);
	assert_int_equal(mapped(), MB(64 + 6));
	assert_false(null_iommu_mapped(g.iommu, 0xfee00000));
	assert_true(null_iommu_mapped(g.iommu, 0xff000000));
}

/* While it shrinks, what is not yet gone makes room for requests. */
static void test_shrink_under_load(void **state)
{
	(void)state;
	start_fallback(MB(64));
	assert_int_equal(vm_endpoint_add(g.vm, 0), 0);
	guest_work(&g);
	guest_boot(&g);
	assert_int_equal(mapped(), MB(64));
	assert_int_equal(
		vm_memory_add(g.vm, &g, MB(1024), MB(8), g.fd, 0, GUEST_RW), 0);
	assert_int_equal(guest_leaf_at(&g, MB(1024) >> 22, MB(50)), OK);
	assert_int_equal(guest_map(&g, MB(1024) >> 12, 512), OK);
	assert_int_equal(mapped(), MB(64));
	assert_int_equal(guest_stats(&g).evictions, 1);
	guest_work(&g);
	assert_int_equal(mapped(), MB(2));
	guest_check(&g, true);
}

/* DEV-RESET-1 holds for the work, too: it waits for the driver. */
static void test_shrink_stopped(void **state)
{
	(void)state;
	start_fallback(MB(64));
	assert_int_equal(vm_endpoint_add(g.vm, 0), 0);
	guest_work(&g);
	guest_boot(&g);
	guest_hold(&g, 0);
	vm_queues_stop(g.vm);
	guest_work(&g);
	assert_int_equal(mapped(), MB(64));
	vm_queues_start(g.vm);
	guest_work(&g);
	assert_int_equal(mapped(), MB(64));
	g.work_news = 0;
	assert_int_equal(guest_map(&g, 0, 1), OK);
	assert_true(g.work_news > 0);
	guest_work(&g);
	assert_int_equal(mapped(), MB(2));
	guest_drop(&g, 0);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_leaf_told),	      TEST(test_leaf_told_part),
		TEST(test_leaf_not_told),     TEST(test_strategy),
		TEST(test_strategy_early),    TEST(test_refused),
		TEST(test_fallback),	      TEST(test_fallback_again),
		TEST(test_fallback_refused),  TEST(test_deny),
		TEST(test_hotplug),	      TEST(test_holes),
		TEST(test_few_entries),	      TEST(test_many_pieces),
		TEST(test_memlock),	      TEST(test_untranslatable),
		TEST(test_shrink_under_load), TEST(test_shrink_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
