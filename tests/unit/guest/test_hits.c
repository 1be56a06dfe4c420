// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of guest/pvdma/dma_ops.c: what is mapped is held without a word to
 * anybody, and whatever is not goes the long way, all of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/guest/kernel/machine.h"

#include "pvdma.h"

#define PAGE(n) ((u64)(n) << 12)
#define BUF	MACHINE_LOW
#define OUTSIDE MACHINE_MEMORY /* where there is no memory */
#define BLOCK	VIRTIO_PVDMA_BLOCK_GRANULES
/* Whatever misses is waited for here, and not copied. */
#define WAITS DMA_ATTR_SKIP_CPU_SYNC

static int teardown(void **state)
{
	(void)state;
	machine_stop();
	return 0;
}

static bool held(u64 page)
{
	return pvdma_track_held(&pv.track, (BUF >> 12) + page);
}

static u32 holds(enum pvdma_level level, u64 at)
{
	at += level == PVDMA_BLOCKS ? (BUF >> 12) / BLOCK : BUF >> 12;
	return atomic_read(pvdma_track_word(&pv.track, level, at)) &
	       VIRTIO_PVDMA_W_COUNT;
}

/* Has [@page, @page + @n) mapped, and nobody hold it. */
static void have(u64 page, u64 n)
{
	machine_unmap(machine_map(BUF + PAGE(page), n << 12, DMA_TO_DEVICE,
				  WAITS),
		      n << 12, DMA_TO_DEVICE, WAITS);
	assert_false(held(page) || held(page + n - 1));
}

static int setup(void **state)
{
	(void)state;
	machine_start();
	/* leaves of both levels are there */
	have(0, 1);
	have(0, BLOCK);
	machine_evict();
	memset(&counters, 0, sizeof(counters));
	return 0;
}

/*
 * From here on a batch would leave a mark: it looks at how large the quota is
 * (pvdma_copying_begin()).
 */
static void mark(void)
{
	pv.conf.quota = 2 * pv.pressure.quota;
}

static bool marked(void)
{
	return pv.pressure.quota == pv.conf.quota;
}

/* What was counted since. */
struct seen {
	u64 requests, hits, misses, bytes, failures;
};

static struct seen seen_now(void)
{
	return (struct seen){ traffic.map_requests, counters.hits,
			      counters.misses, counters.mapped_bytes,
			      counters.failures };
}

static void assert_since(struct seen since, u64 requests, u64 hits, u64 misses,
			 u64 bytes)
{
	assert_int_equal(traffic.map_requests - since.requests, requests);
	assert_int_equal(counters.hits - since.hits, hits);
	assert_int_equal(counters.misses - since.misses, misses);
	assert_int_equal(counters.mapped_bytes - since.bytes, bytes);
}

/* A mapping of many granules, that begins and ends within one. */
static void test_long(void **state)
{
	const u64 from = BUF + PAGE(1) + 100, size = PAGE(40);
	struct seen since;

	(void)state;
	have(0, 44);
	mark();
	since = seen_now();
	assert_int_equal(machine_map(from, size, DMA_TO_DEVICE, WAITS), from);
	assert_false(marked());
	assert_since(since, 0, 41, 0, size);
	assert_true(held(1) && held(BLOCK) && held(41));
	assert_false(held(0) || held(42));
	/* a block within it by the block's word */
	assert_int_equal(holds(PVDMA_BLOCKS, BLOCK / BLOCK), 1);
	assert_int_equal(holds(PVDMA_GRANULES, BLOCK), 0);
	assert_int_equal(holds(PVDMA_GRANULES, 41), 1);
	machine_unmap(from, size, DMA_TO_DEVICE, WAITS);
	assert_false(held(1) || held(BLOCK) || held(41));
	/* one of its granules is not mapped, and is what is asked for */
	machine_evict();
	have(0, 40);
	since = seen_now();
	assert_int_equal(machine_map(from, size, DMA_TO_DEVICE, WAITS), from);
	assert_since(since, 1, 39, 2, size);
	machine_unmap(from, size, DMA_TO_DEVICE, WAITS);
}

/* No size, and one that ends before it begins. */
static void test_sizes(void **state)
{
	struct seen since;

	(void)state;
	have(0, 2);
	since = seen_now();
	assert_int_equal(machine_map(BUF + PAGE(1), 0, DMA_TO_DEVICE, WAITS),
			 BUF + PAGE(1));
	assert_since(since, 0, 1, 0, 0);
	assert_true(held(1));
	machine_unmap(BUF + PAGE(1), 0, DMA_TO_DEVICE, WAITS);
	assert_int_equal(machine_map(BUF + PAGE(1), -PAGE(1), DMA_TO_DEVICE,
				     WAITS),
			 DMA_MAPPING_ERROR);
	assert_int_equal(counters.failures - since.failures, 1);
}

#define SEGMENTS 4

/* Segment i touches two pages, 10 i and the next. */
static void list(struct scatterlist *sg)
{
	for (int i = 0; i < SEGMENTS; i++)
		sg_init_one(&sg[i], machine_mem(BUF + PAGE(10 * i) + 512),
			    4096);
}

static int map_list(struct scatterlist *sg, int n)
{
	int r = ep.ops.map_sg(dev, sg, n, DMA_FROM_DEVICE, WAITS);

	assert_int_equal(kernel_preempt, 0);
	return r;
}

static void assert_mapped(struct scatterlist *sg, bool yes)
{
	for (int i = 0; i < SEGMENTS; i++) {
		assert_int_equal(held(10 * i), yes);
		assert_int_equal(held(10 * i + 1), yes);
		if (!yes)
			continue;
		assert_int_equal(sg_dma_address(&sg[i]), sg_phys(&sg[i]));
		assert_int_equal(sg_dma_len(&sg[i]), 4096);
	}
}

/* Whatever of a list is mapped, the rest is one request. */
static void test_lists(void **state)
{
	struct scatterlist sg[SEGMENTS];

	(void)state;
	list(sg);
	/* bit i: segment i is mapped beforehand */
	for (unsigned int set = 0; set < 1u << SEGMENTS; set++) {
		u64 hits = 0;
		struct seen since;

		machine_evict();
		for (int i = 0; i < SEGMENTS; i++) {
			if (!(set & 1u << i))
				continue;
			have(10 * i, 2);
			hits += 2;
		}
		mark();
		since = seen_now();
		assert_int_equal(map_list(sg, SEGMENTS), SEGMENTS);
		assert_int_equal(marked(), hits < 2 * SEGMENTS);
		assert_since(since, hits < 2 * SEGMENTS, hits,
			     2 * SEGMENTS - hits, 4096 * SEGMENTS);
		assert_mapped(sg, true);
		ep.ops.unmap_sg(dev, sg, SEGMENTS, DMA_FROM_DEVICE, WAITS);
		assert_mapped(sg, false);
	}
	assert_int_equal(counters.sg_maps, 1u << SEGMENTS);
	assert_int_equal(counters.sg_unmaps, 1u << SEGMENTS);
}

/* Segments below @wrong of @set, bit by bit. */
static u64 mapped_before(unsigned int set, int wrong)
{
	return 2 * (u64)__builtin_popcount(set & ((1u << wrong) - 1));
}

/*
 * A list that fails, wherever it does, leaves nothing that is held. What a
 * strict endpoint has tried is named, for it may be mapped.
 */
static void test_lists_fail(void **state)
{
	struct scatterlist sg[SEGMENTS];

	(void)state;
	for (unsigned int set = 0; set < 1u << SEGMENTS; set++) {
		for (int wrong = 0; wrong < SEGMENTS; wrong++) {
			struct seen since;
			u64 hits = mapped_before(set, wrong);

			machine_evict();
			for (int i = 0; i < SEGMENTS; i++)
				if (set & 1u << i)
					have(10 * i, 2);
			list(sg);
			sg_init_one(&sg[wrong], machine_mem(OUTSIDE), 4096);
			since = seen_now();
			machine.undone = -1;
			ep.strict = set & 1;
			assert_true(map_list(sg, SEGMENTS) < 0);
			assert_int_equal(machine.undone,
					 ep.strict ? wrong + 1 : -1);
			ep.strict = false;
			assert_since(since, 0, hits, 2 * wrong - hits, 0);
			assert_int_equal(counters.failures - since.failures, 1);
			assert_mapped(sg, false);
		}
	}
	assert_int_equal(counters.sg_maps, 0);
	/* no list */
	assert_true(map_list(sg, 0) < 0);
	assert_true(map_list(NULL, -1) < 0);
}

/* All of it waits for a host that has no room: copies, or what was there before. */
static void test_lists_refused(void **state)
{
	struct scatterlist sg[SEGMENTS];

	(void)state;
	list(sg);
	have(0, 2);
	machine.quota = machine.n_mapped + 5;
	assert_true(ep.ops.map_sg(dev, sg, SEGMENTS, DMA_FROM_DEVICE,
				  DMA_ATTR_REQUIRE_COHERENT) < 0);
	assert_int_equal(kernel_preempt, 0);
	assert_int_equal(counters.failures, 1);
	assert_mapped(sg, false);
	assert_int_equal(map_list(sg, SEGMENTS), SEGMENTS);
	assert_in_range(counters.bounces, 1, SEGMENTS);
	ep.ops.unmap_sg(dev, sg, SEGMENTS, DMA_FROM_DEVICE, WAITS);
	assert_mapped(sg, false);
}

/* Each use is to be asked for: nothing has the short way. */
static void test_single_use(void **state)
{
	struct scatterlist sg[SEGMENTS];
	struct seen since;

	(void)state;
	have(0, 2 * BLOCK);
	for (int i = 0; i < SEGMENTS; i++)
		have(10 * i, 2);
	ep.strategy = VIRTIO_PVDMA_S_SINGLE_USE;
	ep.ops.dma_supported(dev, DMA_BIT_MASK(64));
	since = seen_now();
	machine_unmap(machine_map(BUF, PAGE(20), DMA_TO_DEVICE, WAITS),
		      PAGE(20), DMA_TO_DEVICE, WAITS);
	assert_since(since, 1, 0, BLOCK + 4, PAGE(20));
	list(sg);
	since = seen_now();
	assert_int_equal(map_list(sg, SEGMENTS), SEGMENTS);
	assert_since(since, 1, 0, 2 * SEGMENTS, 4096 * SEGMENTS);
	ep.ops.unmap_sg(dev, sg, SEGMENTS, DMA_FROM_DEVICE, WAITS);
}

/* What lies beyond a device's mask has not either, though it is mapped. */
static void test_mask(void **state)
{
	struct scatterlist sg[SEGMENTS];

	(void)state;
	list(sg);
	for (int i = 0; i < SEGMENTS; i++)
		have(10 * i, 2);
	dev->dma_mask = BUF + PAGE(10 * (SEGMENTS - 1)) - 1;
	(void)ep.ops.dma_supported(dev, dev->dma_mask);
	assert_int_equal(map_list(sg, SEGMENTS), SEGMENTS);
	for (int i = 0; i < SEGMENTS; i++)
		assert_int_equal(sg_dma_address(&sg[i]) == sg_phys(&sg[i]),
				 i < SEGMENTS - 1);
	/* the device reaches, and reads, what is there */
	(void)machine_at(sg_dma_address(&sg[SEGMENTS - 1]), 4096);
	ep.ops.unmap_sg(dev, sg, SEGMENTS, DMA_FROM_DEVICE, WAITS);
	assert_mapped(sg, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lists, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lists_fail, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_lists_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_single_use, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_mask, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
