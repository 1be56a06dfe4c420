// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of guest/pvdma/copying.c and reserve.c: a quota that is too small for
 * what is used, and one that is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/guest/kernel/machine.h"

#include "pvdma.h"
#include "reserve.h"

#define PAGE(n)	     ((u64)(n) << 12)
#define LOW_BUF	     MACHINE_LOW
#define map	     machine_map
#define unmap	     machine_unmap
#define at	     machine_at
#define mem	     machine_mem
#define assert_bytes machine_assert_bytes

static int setup(void **state)
{
	(void)state;
	machine_start();
	machine.prefetches = true;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	machine_stop();
	KERNEL_SET(bool, copy_scarce, true);
	return 0;
}

/* Pages of @n, at random, each written by the device and looked at. */
static void use_pages(u64 n, unsigned int times)
{
	static u32 seed = 1;

	while (times--) {
		u64 page = LOW_BUF + PAGE((seed >> 8) % n);
		dma_addr_t addr = map(page, 4096, DMA_FROM_DEVICE, 0);

		assert_true(addr != DMA_MAPPING_ERROR);
		memset(at(addr, 4096), (int)(seed >> 24), 4096);
		unmap(addr, 4096, DMA_FROM_DEVICE, 0);
		assert_bytes(mem(page), (u8)(seed >> 24), 4096);
		seed = seed * 1664525 + 1013904223;
		kernel_now += NSEC_PER_MSEC;
		(void)kernel_work(&pv.post_work);
	}
}

/*
 * What is used does not fit: what is not there is copied, and hardly anybody
 * waits. Something is mapped all the same; and once it fits all of it is.
 */
static void test_scarce(void **state)
{
	const u64 quota = machine.quota;
	u64 requests, bounces, hinted, told;

	(void)state;
	use_pages(4 * quota, 10000);
	requests = traffic.map_requests;
	bounces = counters.bounces;
	hinted = machine.hinted;
	told = machine.told;
	use_pages(4 * quota, 10000);
	assert_true(traffic.map_requests - requests < 1000);
	bounces = counters.bounces - bounces;
	assert_in_range(bounces, 5000, 10000);
	assert_in_range(machine.hinted - hinted, bounces / 64, bounces / 16);
	/* DRV-PREFETCH-3: ... how many copies each granule [...] stands for */
	assert_in_range(machine.told - told, bounces / 2, bounces * 2);
	/* not if the operator does not want it */
	KERNEL_SET(bool, copy_scarce, false);
	requests = traffic.map_requests;
	use_pages(4 * quota, 10000);
	assert_true(traffic.map_requests - requests > 5000);
	KERNEL_SET(bool, copy_scarce, true);
	/* it fits */
	use_pages(quota / 2, 100000);
	bounces = counters.bounces;
	requests = traffic.map_requests;
	use_pages(quota / 2, 10000);
	assert_int_equal(traffic.map_requests, requests);
	assert_int_equal(counters.bounces, bounces);
	assert_int_equal(counters.failures, 0);
}

/* Holds pages from @page on until the quota is full; behind the last one. */
static u64 fill(u64 page)
{
	for (; machine.n_mapped < machine.quota; page++)
		assert_int_equal(map(LOW_BUF + PAGE(page), 4096, DMA_TO_DEVICE,
				     DMA_ATTR_SKIP_CPU_SYNC),
				 LOW_BUF + PAGE(page));
	return page;
}

/*
 * What device and driver look at without a sync is mapped, however scarce that is;
 * where there is no room at all it fails.
 */
static void test_both_ways(void **state)
{
	u64 page, full, bounces;

	(void)state;
	use_pages(4 * machine.quota, 10000);
	bounces = counters.bounces;
	for (page = LOW_BUF; page < LOW_BUF + PAGE(1000); page += 4096) {
		assert_int_equal(map(page, 4096, DMA_BIDIRECTIONAL, 0), page);
		unmap(page, 4096, DMA_BIDIRECTIONAL, 0);
	}
	assert_int_equal(counters.bounces, bounces);
	machine_evict();
	full = fill(0);
	/* what is kept for copies makes room, as long as there is any */
	page = LOW_BUF + PAGE(full);
	assert_int_equal(map(page, 4096, DMA_BIDIRECTIONAL, 0), page);
	unmap(page, 4096, DMA_BIDIRECTIONAL, 0);
	machine_evict();
	full = fill(full);
	page = LOW_BUF + PAGE(full);
	assert_true(map(page, 4096, DMA_BIDIRECTIONAL, 0) == DMA_MAPPING_ERROR);
	assert_int_equal(counters.bounces, bounces);
	assert_int_equal(counters.failures, 1);
	while (full-- > 0)
		unmap(LOW_BUF + PAGE(full), 4096, DMA_TO_DEVICE,
		      DMA_ATTR_SKIP_CPU_SYNC);
}

/* A working set that fits, if only just, is mapped, and copied by no means. */
static void test_fits(void **state)
{
	u64 bounces = 0, page;
	unsigned int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		bounces = counters.bounces;
		for (page = 0; page < machine.quota - 80; page++) {
			unmap(map(LOW_BUF + PAGE(page), 4096, DMA_TO_DEVICE, 0),
			      4096, DMA_TO_DEVICE, 0);
			(void)kernel_work(&pv.post_work);
		}
	}
	assert_int_equal(counters.bounces, bounces);
	assert_true(counters.bounced_bytes <=
		    PVDMA_THROTTLE_FIRST +
			    2 * machine.quota * 4096 / PVDMA_THROTTLE_SHARE);
	assert_false(pvdma_pressed(&pv.pressure));
}

/* Many copies at once: there is more memory for them, until nobody wants it. */
static void test_grows(void **state)
{
	dma_addr_t addr[128];
	const u64 least = pvdma_reserve_auto(pv.conf.quota, 12);
	u64 before, page, n = 0;

	(void)state;
	KERNEL_SET(int, bounce_kb, -1);
	before = pvdma_pool_bytes(&pv, PVDMA_POOL_MAPPED);
	use_pages(4 * machine.quota, 10000);
	/* no page of these is mapped */
	page = LOW_BUF + (64ull << 20);
	for (unsigned int i = 0; i < ARRAY_SIZE(addr); i++, page += 4096) {
		addr[i] = map(page, 4096, DMA_FROM_DEVICE, 0);
		n += addr[i] != page;
		(void)kernel_work(&pv.reserve_work);
	}
	assert_int_equal(pvdma_pool_bytes(&pv, PVDMA_POOL_MAPPED), 2 * before);
	/* of each half, the first half: what is received leaves as much free */
	assert_int_equal(n, before / 4096);
	/* there is no more, and nobody asks for it again and again */
	assert_true(pv.reserve_full);
	assert_false(kernel_work(&pv.reserve_work));
	for (unsigned int i = 0; i < ARRAY_SIZE(addr); i++)
		unmap(addr[i], 4096, DMA_FROM_DEVICE, 0);
	/* all of it was needed */
	kernel_now += 11000 * NSEC_PER_MSEC;
	assert_true(kernel_work(&pv.reserve_work));
	assert_int_equal(pvdma_pool_bytes(&pv, PVDMA_POOL_MAPPED), 2 * before);
	/* of what was not meanwhile nothing is left, though there are copies */
	use_pages(4 * machine.quota, 100);
	kernel_now += 11000 * NSEC_PER_MSEC;
	assert_true(kernel_work(&pv.reserve_work));
	assert_int_equal(pvdma_pool_bytes(&pv, PVDMA_POOL_MAPPED), before);
	/* nor of the chunk that is too large, if it is not used either */
	kernel_now += 11000 * NSEC_PER_MSEC;
	assert_true(kernel_work(&pv.reserve_work));
	assert_int_equal(pvdma_pool_bytes(&pv, PVDMA_POOL_MAPPED), least);
	assert_false(pv.reserve_work.pending);
	KERNEL_SET(int, bounce_kb, 256);
}

/*
 * Chunks come and go while copies are at work in some: each ends as a copy, and
 * none that was in use is gone. A quota that is lowered takes what is too much.
 */
static void test_comes_and_goes(void **state)
{
	dma_addr_t addr[96];
	u64 page, bytes, grown = 0;

	(void)state;
	KERNEL_SET(int, bounce_kb, -1);
	for (u64 round = 0; round < 64; round++) {
		use_pages(4 * machine.quota, 400);
		page = LOW_BUF + (64ull << 20) + PAGE(round * 128);
		for (unsigned int i = 0; i < ARRAY_SIZE(addr); i++) {
			addr[i] = map(page + PAGE(i), 4096, DMA_FROM_DEVICE, 0);
			memset(at(addr[i], 4096), (int)(round + i), 4096);
			if (i % 2)
				(void)kernel_work(&pv.reserve_work);
			else if (i % 32 == round % 32)
				(void)pvdma_pool_shrink(&pv, PVDMA_POOL_MAPPED,
							0);
		}
		grown = max(grown, pvdma_pool_bytes(&pv, PVDMA_POOL_MAPPED));
		for (unsigned int i = 0; i < ARRAY_SIZE(addr); i++) {
			unmap(addr[i], 4096, DMA_FROM_DEVICE, 0);
			assert_bytes(mem(page + PAGE(i)), (u8)(round + i),
				     4096);
			if (i % 32 == round % 31)
				(void)pvdma_pool_shrink(&pv, PVDMA_POOL_MAPPED,
							0);
		}
		pvdma_reserve_later(&pv);
		kernel_now += 11000 * NSEC_PER_MSEC;
		(void)kernel_work(&pv.reserve_work);
		assert_true(pvdma_pool_has_spare(&pv));
	}
	assert_true(grown > 4 * pvdma_reserve_auto(pv.conf.quota, 12));
	assert_int_equal(counters.failures, 0);

	use_pages(4 * machine.quota, 1000);
	pv.conf.quota /= 16;
	pvdma_reserve_later(&pv);
	kernel_now += 11000 * NSEC_PER_MSEC;
	assert_true(kernel_work(&pv.reserve_work));
	bytes = pvdma_pool_bytes(&pv, PVDMA_POOL_MAPPED);
	assert_true(bytes <= pv.conf.quota / PVDMA_RESERVE_PART);
	KERNEL_SET(int, bounce_kb, 256);
}

/* What was lost to somebody else comes back, also where it is only a part. */
static void test_comes_back(void **state)
{
	u64 least = pvdma_pool_bytes(&pv, PVDMA_POOL_MAPPED);

	(void)state;
	(void)pvdma_pool_shrink(&pv, PVDMA_POOL_MAPPED, 0);
	assert_false(pvdma_pool_has_spare(&pv));
	/* there is no room */
	for (u64 g = 0; g < machine.quota; g++)
		assert_int_equal(map(LOW_BUF + PAGE(g), 4096, DMA_TO_DEVICE,
				     DMA_ATTR_SKIP_CPU_SYNC),
				 LOW_BUF + PAGE(g));
	pvdma_reserve_later(&pv);
	kernel_now += 11000 * NSEC_PER_MSEC;
	assert_true(kernel_work(&pv.reserve_work));
	assert_int_equal(pvdma_pool_bytes(&pv, PVDMA_POOL_MAPPED), 0);
	/* there is */
	for (u64 g = 0; g < machine.quota; g++)
		unmap(LOW_BUF + PAGE(g), 4096, DMA_TO_DEVICE,
		      DMA_ATTR_SKIP_CPU_SYNC);
	kernel_now += 11000 * NSEC_PER_MSEC;
	assert_true(kernel_work(&pv.reserve_work));
	assert_int_equal(pvdma_pool_bytes(&pv, PVDMA_POOL_MAPPED), least);
	assert_false(pv.reserve_work.pending);
}

/* After a reset of the device nothing of what was known holds. */
static void test_renewed(void **state)
{
	(void)state;
	use_pages(4 * machine.quota, 10000);
	assert_true(pvdma_pressed(&pv.pressure));
	pv.reserve_short = true;
	pv.reserve_full = true;
	pvdma_reserve_renew(&pv);
	assert_false(pvdma_pressed(&pv.pressure));
	assert_false(pv.reserve_short || pv.reserve_full);
	assert_true(pv.reserve_work.pending);
}

/* A host that takes no hints: what fits is mapped all the same, in the end. */
static void test_no_hints(void **state)
{
	u64 bounces;

	(void)state;
	machine.prefetches = false;
	use_pages(4 * machine.quota, 10000);
	assert_true(pvdma_pressed(&pv.pressure));
	use_pages(machine.quota / 2, 100000);
	assert_false(pvdma_pressed(&pv.pressure));
	bounces = counters.bounces;
	use_pages(machine.quota / 2, 10000);
	assert_in_range(counters.bounces - bounces, 0, 10000 / 19);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_scarce),     TEST(test_fits),
		TEST(test_grows),      TEST(test_comes_and_goes),
		TEST(test_comes_back), TEST(test_renewed),
		TEST(test_no_hints),   TEST(test_both_ways),
	};

	return cmocka_run_group_tests_name("scarce", tests, NULL, NULL);
}
