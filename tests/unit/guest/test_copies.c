// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of guest/pvdma/dma_ops.c, bounce.c and reserve.c: mappings that
 * are copies, and that their drivers and devices need not know it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/guest/kernel/machine.h"

#include "pvdma.h"

#define PAGE(n)	     ((u64)(n) << 12)
#define GB4	     MACHINE_4G
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
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	machine_stop();
	return 0;
}

/* Others' mappings take all of the quota that is left. */
#define FULL (LOW_BUF + (64ull << 20))
static u64 full;

static void fill_quota(void)
{
	for (full = 0; machine.n_mapped < machine.quota; full++)
		assert_int_equal(map(FULL + PAGE(full), 4096, DMA_TO_DEVICE,
				     DMA_ATTR_SKIP_CPU_SYNC),
				 FULL + PAGE(full));
}

static void empty_quota(void)
{
	while (full > 0)
		unmap(FULL + PAGE(--full), 4096, DMA_TO_DEVICE, 0);
}

/* A mapping that has to be a copy. */
static dma_addr_t copy_of(u64 phys, size_t size, enum dma_data_direction dir)
{
	dma_addr_t addr = map(phys, size, dir, 0);

	assert_true(addr != DMA_MAPPING_ERROR);
	assert_true(addr != phys);
	return addr;
}

/* What a device writes is seen after the unmap, what it does not stays. */
static void test_from_device(void **state)
{
	u64 buf = LOW_BUF + 100;
	dma_addr_t addr;

	(void)state;
	fill_quota();
	memset(mem(buf) - 100, 0x11, 8192);
	addr = copy_of(buf, 5000, DMA_FROM_DEVICE);
	/* what was there, and nothing of what others had */
	assert_bytes(at(addr, 5000), 0x11, 5000);
	memset(at(addr, 5000) + 10, 0x22, 3000);
	unmap(addr, 5000, DMA_FROM_DEVICE, 0);
	assert_bytes(mem(buf) - 100, 0x11, 110);
	assert_bytes(mem(buf) + 10, 0x22, 3000);
	assert_bytes(mem(buf) + 3010, 0x11, 8192 - 3110);
	/* a driver that has looked already, or does not want to */
	addr = copy_of(buf, 5000, DMA_FROM_DEVICE);
	memset(at(addr, 5000), 0x33, 5000);
	unmap(addr, 5000, DMA_FROM_DEVICE, DMA_ATTR_SKIP_CPU_SYNC);
	assert_bytes(mem(buf) + 10, 0x22, 3000);
	/* and what was read only does not come back */
	addr = copy_of(buf, 5000, DMA_TO_DEVICE);
	memset(mem(buf), 0x44, 5000);
	unmap(addr, 5000, DMA_TO_DEVICE, 0);
	assert_bytes(mem(buf), 0x44, 5000);
	empty_quota();
}

/* Syncs of a part, in the middle of it: that part, and in the right direction. */
static void test_sync(void **state)
{
	u64 buf = GB4 + 300;
	dma_addr_t addr;

	(void)state;
	dev->dma_mask = DMA_BIT_MASK(32);
	fill_quota();
	memset(mem(buf), 0x11, 9000);
	addr = copy_of(buf, 9000, DMA_BIDIRECTIONAL);
	memset(at(addr, 9000), 0x22, 9000);
	ep.ops.sync_single_for_cpu(dev, addr + 4090, 10, DMA_BIDIRECTIONAL);
	assert_bytes(mem(buf), 0x11, 4090);
	assert_bytes(mem(buf) + 4090, 0x22, 10);
	assert_bytes(mem(buf) + 4100, 0x11, 4900);
	memset(mem(buf), 0x33, 9000);
	ep.ops.sync_single_for_device(dev, addr + 2000, 3000,
				      DMA_BIDIRECTIONAL);
	assert_bytes(at(addr, 9000), 0x22, 2000);
	assert_bytes(at(addr, 9000) + 2000, 0x33, 3000);
	assert_bytes(at(addr, 9000) + 5000, 0x22, 4000);
	/* directions in which there is nothing to do */
	ep.ops.sync_single_for_cpu(dev, addr, 9000, DMA_TO_DEVICE);
	assert_bytes(mem(buf), 0x33, 9000);
	ep.ops.sync_single_for_device(dev, addr, 9000, DMA_FROM_DEVICE);
	assert_bytes(at(addr, 9000), 0x22, 2000);
	unmap(addr, 9000, DMA_BIDIRECTIONAL, 0);
	assert_bytes(mem(buf), 0x22, 2000);
	assert_bytes(mem(buf) + 2000, 0x33, 3000);
	assert_bytes(mem(buf) + 5000, 0x22, 4000);
	empty_quota();
}

/* Some segments are mapped, some copied; the list is given back as it came. */
static void test_list(void **state)
{
	struct scatterlist sg[4];
	dma_addr_t kept;
	int i;

	(void)state;
	dev->dma_mask = DMA_BIT_MASK(32);
	kept = map(LOW_BUF, 8192, DMA_TO_DEVICE, DMA_ATTR_SKIP_CPU_SYNC);
	fill_quota();
	for (i = 0; i < 4; i++)
		sg_init_one(&sg[i],
			    mem((i < 2 ? LOW_BUF : GB4) + PAGE(i) + 512 * i),
			    1000);
	for (i = 0; i < 4; i++)
		memset(sg[i].virt, i + 1, 1000);
	assert_int_equal(ep.ops.map_sg(dev, sg, 4, DMA_BIDIRECTIONAL, 0), 4);
	for (i = 0; i < 4; i++) {
		assert_int_equal(sg_dma_len(&sg[i]), 1000);
		assert_int_equal(sg_dma_address(&sg[i]) == sg_phys(&sg[i]),
				 i < 2);
		assert_int_equal(sg_dma_address(&sg[i]) % 512,
				 sg_phys(&sg[i]) % 512);
		assert_bytes(at(sg_dma_address(&sg[i]), 1000), i + 1, 1000);
		memset(at(sg_dma_address(&sg[i]), 1000), 0x80 + i, 1000);
	}
	ep.ops.sync_sg_for_cpu(dev, sg, 3, DMA_BIDIRECTIONAL);
	for (i = 0; i < 4; i++)
		assert_bytes(sg[i].virt, i < 3 ? 0x80 + i : 4, 1000);
	memset(sg[2].virt, 0x55, 1000);
	ep.ops.sync_sg_for_device(dev, sg + 2, 1, DMA_BIDIRECTIONAL);
	assert_bytes(at(sg_dma_address(&sg[2]), 1000), 0x55, 1000);
	ep.ops.unmap_sg(dev, sg, 4, DMA_BIDIRECTIONAL, 0);
	assert_bytes(sg[3].virt, 0x83, 1000);
	/* one was in vain, where nothing is mapped */
	assert_in_range(counters.bounces, 2, 3);
	/* where the copies do not suffice there is nothing left of it */
	sg_init_one(&sg[3], mem(LOW_BUF + PAGE(100)), 256 << 10);
	assert_true(ep.ops.map_sg(dev, sg, 4, DMA_BIDIRECTIONAL, 0) < 0);
	empty_quota();
	unmap(kept, 8192, DMA_TO_DEVICE, 0);
}

/* The copy keeps the low bits that the device's driver asks for. */
static void test_align(void **state)
{
	dma_addr_t addr;

	(void)state;
	fill_quota();
	dev->min_align_mask = 4095;
	for (u64 offset = 0; offset < 4096; offset += 321) {
		addr = copy_of(LOW_BUF + offset, 6000, DMA_FROM_DEVICE);
		assert_int_equal(addr % 4096, offset);
		memset(at(addr, 6000), 0x5a, 6000);
		unmap(addr, 6000, DMA_FROM_DEVICE, 0);
		assert_bytes(mem(LOW_BUF + offset), 0x5a, 6000);
	}
	/* ... within what there is */
	dev->min_align_mask = SZ_64M - 1;
	assert_int_equal(map(LOW_BUF, 4096, DMA_FROM_DEVICE, 0),
			 DMA_MAPPING_ERROR);
	empty_quota();
}

/* A segment that lies within its device's boundary does so as a copy, too. */
static void test_boundary(void **state)
{
	dma_addr_t addr[6];
	unsigned int i;

	(void)state;
	fill_quota();
	dev->seg_boundary = 0xffff;
	for (i = 0; i < ARRAY_SIZE(addr); i++) {
		addr[i] = copy_of(LOW_BUF + i * 0x10000 + 0x2000, 24 << 10,
				  DMA_TO_DEVICE);
		assert_int_equal(addr[i] >> 16,
				 (addr[i] + (24 << 10) - 1) >> 16);
	}
	for (i = 0; i < ARRAY_SIZE(addr); i++)
		unmap(addr[i], 24 << 10, DMA_TO_DEVICE, 0);
	/* one that does not is its driver's business */
	addr[0] = copy_of(LOW_BUF + 0xe000, 80 << 10, DMA_TO_DEVICE);
	unmap(addr[0], 80 << 10, DMA_TO_DEVICE, 0);
	empty_quota();
}

/* Likewise where the device does not reach the memory. */
static void test_boundary_mask(void **state)
{
	dma_addr_t addr[12];
	unsigned int i;
	u64 bytes, used;

	(void)state;
	dev->dma_mask = DMA_BIT_MASK(32);
	dev->seg_boundary = 0xffff;
	for (i = 0; i < ARRAY_SIZE(addr); i++) {
		addr[i] = copy_of(GB4 + i * 0x10000 + 0x800, 40 << 10,
				  DMA_TO_DEVICE);
		assert_int_equal(addr[i] >> 16,
				 (addr[i] + (40 << 10) - 1) >> 16);
	}
	pvdma_pool_stats(&pv, &bytes, &used);
	assert_true(bytes <= 5 * SZ_256K);
	for (i = 0; i < ARRAY_SIZE(addr); i++)
		unmap(addr[i], 40 << 10, DMA_TO_DEVICE, 0);
}

/* Mappings that lie in the page at @page, some of which are there at once. */
static void check_page(u64 page)
{
	static const size_t sizes[] = { 54, 1500, 2048, 600, 3000 };
	dma_addr_t addr[7];
	size_t size[ARRAY_SIZE(addr)] = {}, offset;
	unsigned int n = 0, i;

	for (offset = 0; offset < 4096; offset += 32, n++) {
		i = n % ARRAY_SIZE(addr);
		if (size[i])
			unmap(addr[i], size[i], DMA_FROM_DEVICE, 0);
		size[i] = min(sizes[n % ARRAY_SIZE(sizes)], 4096 - offset);
		addr[i] = copy_of(page + offset, size[i], DMA_FROM_DEVICE);
		assert_int_equal(addr[i] >> 12, (addr[i] + size[i] - 1) >> 12);
		/* 512, or what @offset has */
		assert_int_equal(addr[i] & ((offset - 1) & ~offset & 511), 0);
	}
	for (i = 0; i < ARRAY_SIZE(addr); i++)
		unmap(addr[i], size[i], DMA_FROM_DEVICE, 0);
}

/* A copy of what lies in a page does so, too, and is as well aligned. */
static void test_page(void **state)
{
	(void)state;
	fill_quota();
	check_page(LOW_BUF);
	dev->seg_boundary = 0xffff;
	check_page(LOW_BUF);
	empty_quota();
	dev->dma_mask = DMA_BIT_MASK(32);
	check_page(GB4);
	dev->min_align_mask = 255;
	check_page(GB4);
}

/* What the device does not reach is copied to where it does. */
static void test_mask(void **state)
{
	size_t most;
	dma_addr_t addr;

	(void)state;
	dev->dma_mask = DMA_BIT_MASK(32);
	assert_true(ep.ops.dma_supported(dev, dev->dma_mask));
	assert_false(ep.ops.dma_supported(dev, DMA_BIT_MASK(20)));
	memset(mem(GB4), 0x11, 8192);
	addr = copy_of(GB4 + 3, 5000, DMA_BIDIRECTIONAL);
	assert_bytes(at(addr, 5000), 0x11, 5000);
	memset(at(addr, 5000), 0x22, 5000);
	unmap(addr, 5000, DMA_BIDIRECTIONAL, 0);
	assert_bytes(mem(GB4 + 3), 0x22, 5000);
	/* the largest one there is fits, whatever it must keep */
	for (dev->min_align_mask = 0; dev->min_align_mask < 8192;
	     dev->min_align_mask = dev->min_align_mask * 2 + 1) {
		most = ep.ops.max_mapping_size(dev);
		assert_true(most >= (128 << 10));
		addr = copy_of(GB4 + 4095, most, DMA_TO_DEVICE);
		assert_int_equal((addr ^ (GB4 + 4095)) & dev->min_align_mask,
				 0);
		unmap(addr, most, DMA_TO_DEVICE, 0);
	}
	dev->min_align_mask = 0;
}

/*
 * A device that reaches half of the memory, in a full quota: a copy somewhere
 * would need a mapping, too. One in memory that is mapped does not.
 */
static void test_mask_full(void **state)
{
	dma_addr_t addr;

	(void)state;
	dev->dma_mask = DMA_BIT_MASK(32);
	fill_quota();
	memset(mem(GB4), 0x11, 4096);
	addr = copy_of(GB4 + 5, 1500, DMA_BIDIRECTIONAL);
	assert_bytes(at(addr, 1500), 0x11, 1500);
	memset(at(addr, 1500), 0x22, 1500);
	unmap(addr, 1500, DMA_BIDIRECTIONAL, 0);
	assert_bytes(mem(GB4 + 5), 0x22, 1500);
	assert_int_equal(counters.failures, 0);
	empty_quota();
}

/* Who must not be copied is not; nor what is no memory. */
static void test_refused(void **state)
{
	(void)state;
	fill_quota();
	assert_int_equal(map(LOW_BUF, 4096, DMA_TO_DEVICE,
			     DMA_ATTR_REQUIRE_COHERENT),
			 DMA_MAPPING_ERROR);
	assert_int_equal(map(MACHINE_MEMORY - 4096, 8192, DMA_TO_DEVICE, 0),
			 DMA_MAPPING_ERROR);
	assert_int_equal(map(LOW_BUF, 4096, DMA_TO_DEVICE, DMA_ATTR_MMIO),
			 DMA_MAPPING_ERROR);
	assert_int_equal(counters.failures, 3);
	empty_quota();
}

/* A mapping that has waited for copy_after_us is copied instead. */
static void test_late(void **state)
{
	u64 since;
	dma_addr_t addr;

	(void)state;
	/* a leaf is waited for; what is kept is worth a mapping */
	unmap(map(LOW_BUF, 4096, DMA_TO_DEVICE, 0), 4096, DMA_TO_DEVICE, 0);
	machine.silent = true;
	memset(mem(LOW_BUF + PAGE(9)), 0x11, 64 << 10);
	since = kernel_now;
	/* more than what is copied without a try */
	addr = map(LOW_BUF + PAGE(9), 64 << 10, DMA_TO_DEVICE, 0);
	assert_in_range(kernel_now - since, 2000 * NSEC_PER_USEC,
			2100 * NSEC_PER_USEC);
	assert_true(addr != LOW_BUF + PAGE(9));
	assert_bytes(at(addr, 64 << 10), 0x11, 64 << 10);
	assert_int_equal(traffic.left, 1);
	/* the host is back, and maps what nobody needs any more */
	machine.silent = false;
	machine_host();
	unmap(addr, 64 << 10, DMA_TO_DEVICE, 0);
	assert_int_equal(map(LOW_BUF + PAGE(9), 64 << 10, DMA_TO_DEVICE, 0),
			 LOW_BUF + PAGE(9));
	unmap(LOW_BUF + PAGE(9), 64 << 10, DMA_TO_DEVICE, 0);
	assert_int_equal(counters.failures, 0);
}

/* A host that does not answer at all, and never did since the start. */
static void test_no_host(void **state)
{
	dma_addr_t addr[2];
	u64 since;

	(void)state;
	KERNEL_SET(unsigned int, timeout_ms, 5);
	machine.silent = true;
	memset(mem(LOW_BUF), 0x11, 9000);
	addr[0] = copy_of(LOW_BUF, 1500, DMA_TO_DEVICE);
	assert_bytes(at(addr[0], 1500), 0x11, 1500);
	since = kernel_now;
	addr[1] = copy_of(LOW_BUF + 4000, 5000, DMA_TO_DEVICE);
	assert_bytes(at(addr[1], 5000), 0x11, 5000);
	/* whoever comes later knows it */
	assert_int_equal(kernel_now, since);
	unmap(addr[0], 1500, DMA_TO_DEVICE, 0);
	unmap(addr[1], 5000, DMA_TO_DEVICE, 0);
	assert_int_equal(counters.failures, 0);
	assert_int_equal(traffic.timeouts, 1);
	KERNEL_SET(unsigned int, timeout_ms, 5000);
}

/* The same of a list: what of it is mapped is not copied. */
static void test_late_list(void **state)
{
	struct scatterlist sg[2];

	(void)state;
	unmap(map(LOW_BUF, 4096, DMA_TO_DEVICE, 0), 4096, DMA_TO_DEVICE, 0);
	machine.silent = true;
	sg_init_one(&sg[0], mem(LOW_BUF), 4096);
	sg_init_one(&sg[1], mem(LOW_BUF + PAGE(9)), 64 << 10);
	assert_int_equal(ep.ops.map_sg(dev, sg, 2, DMA_FROM_DEVICE, 0), 2);
	assert_int_equal(sg_dma_address(&sg[0]), LOW_BUF);
	assert_true(sg_dma_address(&sg[1]) != LOW_BUF + PAGE(9));
	assert_int_equal(traffic.left, 1);
	ep.ops.unmap_sg(dev, sg, 2, DMA_FROM_DEVICE, 0);
	machine.silent = false;
}

/* Small ones are copied at once, and hinted at; not those that are kept. */
static void test_wished(void **state)
{
	dma_addr_t addr;
	u64 maps;

	(void)state;
	unmap(map(LOW_BUF, 4096, DMA_TO_DEVICE, 0), 4096, DMA_TO_DEVICE, 0);
	maps = traffic.map_requests;
	addr = copy_of(LOW_BUF + PAGE(3) + 7, 2000, DMA_FROM_DEVICE);
	memset(at(addr, 2000), 0x77, 2000);
	unmap(addr, 2000, DMA_FROM_DEVICE, 0);
	assert_bytes(mem(LOW_BUF + PAGE(3) + 7), 0x77, 2000);
	assert_int_equal(traffic.map_requests, maps);
	assert_int_equal(map(LOW_BUF + PAGE(4), 2000, DMA_FROM_DEVICE,
			     DMA_ATTR_SKIP_CPU_SYNC),
			 LOW_BUF + PAGE(4));
	assert_int_equal(traffic.map_requests, maps + 1);
	assert_int_equal(machine.hinted, 1);
	unmap(LOW_BUF + PAGE(4), 2000, DMA_FROM_DEVICE, 0);
}

/* --- a random game --- */

#define STEPS 30000
#define LIVE  24

static u64 seed = 1;

static u32 pick(u32 n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)((seed >> 33) % n);
}

/* A mapping; what its driver's memory must look like after a sync, or unmap. */
struct live {
	u64 phys;
	size_t size;
	dma_addr_t addr;
	enum dma_data_direction dir;
	unsigned long attrs;
	u8 *device; /* what the device has written, where it has */
	bool *wrote;
};

/* Places are apart, so that each is one mapping's. */
static u64 place(unsigned int i)
{
	return (i % 3 ? LOW_BUF : GB4) + i * PAGE(16);
}

static void game_map(struct live *l, unsigned int i)
{
	const unsigned long attrs[] = { 0, 0, DMA_ATTR_SKIP_CPU_SYNC };

	l->phys = place(i) + pick(4096);
	l->size = 1 + pick(pick(2) ? 2000 : 40000);
	l->dir = pick(3);
	l->attrs = attrs[pick(3)];
	for (size_t k = 0; k < l->size; k++)
		mem(l->phys)[k] = (u8)pick(256);
	l->addr = map(l->phys, l->size, l->dir, l->attrs);
	if (l->addr == DMA_MAPPING_ERROR) {
		l->size = 0;
		return;
	}
	if (l->addr != l->phys)
		assert_int_equal((l->addr ^ l->phys) & dev->min_align_mask, 0);
	assert_memory_equal(at(l->addr, l->size), mem(l->phys), l->size);
	l->device = calloc(1, l->size);
	l->wrote = calloc(l->size, sizeof(*l->wrote));
}

/* The device writes somewhere, and the driver looks at a part that it names. */
static void game_write(struct live *l)
{
	size_t from = pick((u32)l->size), n = 1 + pick((u32)(l->size - from));

	if (l->dir == DMA_TO_DEVICE)
		return;
	for (size_t k = from; k < from + n; k++) {
		l->device[k] = (u8)pick(256);
		l->wrote[k] = true;
		at(l->addr + k, 1)[0] = l->device[k];
	}
	from = pick((u32)l->size);
	n = 1 + pick((u32)(l->size - from));
	ep.ops.sync_single_for_cpu(dev, l->addr + from, n, l->dir);
	for (size_t k = from; k < from + n; k++)
		if (l->wrote[k])
			assert_int_equal(mem(l->phys)[k], l->device[k]);
}

/* The driver writes a part, and the device reads it. */
static void game_read(struct live *l)
{
	size_t from = pick((u32)l->size), n = 1 + pick((u32)(l->size - from));

	if (l->dir == DMA_FROM_DEVICE)
		return;
	for (size_t k = from; k < from + n; k++) {
		mem(l->phys)[k] = (u8)pick(256);
		l->wrote[k] = false;
	}
	ep.ops.sync_single_for_device(dev, l->addr + from, n, l->dir);
	assert_memory_equal(at(l->addr + from, n), mem(l->phys + from), n);
}

static void game_unmap(struct live *l)
{
	/* who maps like that has synced what it wants to see */
	unmap(l->addr, l->size, l->dir, l->attrs);
	for (size_t k = 0; k < l->size && !l->attrs; k++)
		if (l->wrote[k])
			assert_int_equal(mem(l->phys)[k], l->device[k]);
	free(l->device);
	free(l->wrote);
	*l = (struct live){};
}

static void test_game(void **state)
{
	static struct live live[LIVE], *l;
	unsigned int i;

	(void)state;
	machine.quota = 100;
	KERNEL_SET(unsigned int, timeout_ms, 20);
	dev->dma_mask = DMA_BIT_MASK(32);
	dev->min_align_mask = 511;
	for (int step = 0; step < STEPS; step++) {
		KERNEL_SET(bool, copy_scarce, step < STEPS / 2);
		i = pick(LIVE);
		l = &live[i];
		if (!l->size)
			game_map(l, i);
		else if (pick(3))
			pick(2) ? game_write(l) : game_read(l);
		else
			game_unmap(l);
		machine_host();
		machine.silent = pick(64) == 0;
		if (pick(32) == 0)
			machine_evict();
		kernel_now += 100 * NSEC_PER_USEC;
		(void)kernel_work(&pv.post_work);
	}
	machine.silent = false;
	for (i = 0; i < LIVE; i++)
		if (live[i].size)
			game_unmap(&live[i]);
	print_message("%lu maps, %lu copied, %lu failed, %lu left\n",
		      (unsigned long)counters.maps,
		      (unsigned long)counters.bounces,
		      (unsigned long)counters.failures,
		      (unsigned long)traffic.left);
	/* a game in which something never happened proves little */
	assert_true(counters.bounces > 500 && counters.maps > 1000 &&
		    counters.failures > 10);
	assert_true(traffic.left > 5 && traffic.timeouts > 5);
	KERNEL_SET(bool, copy_scarce, true);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_from_device), TEST(test_sync),
		TEST(test_list),	TEST(test_align),
		TEST(test_boundary),	TEST(test_boundary_mask),
		TEST(test_page),	TEST(test_mask),
		TEST(test_mask_full),	TEST(test_refused),
		TEST(test_late),	TEST(test_late_list),
		TEST(test_no_host),	TEST(test_wished),
		TEST(test_game),
	};

	return cmocka_run_group_tests_name("copies", tests, NULL, NULL);
}
