// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/agent/table.c: leaves and their words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/agent/iommu/iommu.h"
#include "host/agent/memory.h"
#include "host/agent/state.h"
#include "host/agent/table.h"
#include "protocol/virtio_pvdma.h"

#define MAPPED	   VIRTIO_PVDMA_W_MAPPED
#define REFERENCED VIRTIO_PVDMA_W_REFERENCED
#define RW	   (IOMMU_READ | IOMMU_WRITE)

/* 16 MiB of memory at 1 MiB: leaves 0 ... 4 cover some of it. */
#define BASE (1ULL << 20)
#define SIZE (16ULL << 20)

static const uint32_t sizes[STATE_POOLS] = {
	[STATE_EXTENTS] = 64,
	[STATE_LEAVES] = TABLE_SLOT_SIZE,
	[STATE_GHOSTS] = 40,
};

struct fixture {
	struct memory *memory;
	struct state *state;
	struct table *table;
	uint8_t *mem;
	int fd;
	uint64_t mapped_first, mapped_end; /* what the books say is mapped */
};

static bool is_mapped(void *userdata, uint64_t first, uint64_t count,
		      uint64_t *ret_end)
{
	const struct fixture *f = userdata;

	*ret_end = first < f->mapped_first ? f->mapped_first :
		   first < f->mapped_end   ? f->mapped_end :
					     UINT64_MAX;
	return first >= f->mapped_first && first + count <= f->mapped_end;
}

static int leaving(const struct memory_region *region, void *userdata)
{
	struct fixture *f = userdata;

	table_forget_region(f->table, region);
	return 0;
}

static int setup(void **state)
{
	static struct fixture f;

	*state = &f;
	f.fd = memfd_create("guest", MFD_CLOEXEC);
	if (ftruncate(f.fd, SIZE) < 0)
		return -1;
	f.mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, f.fd, 0);
	if (f.mem == MAP_FAILED || memory_new(leaving, &f, &f.memory) < 0 ||
	    state_new(sizeof(struct table_root), sizes, &f.state) < 0)
		return -1;
	table_root_init(state_root(f.state), 12, 3);
	if (table_new(f.state, state_root(f.state), f.memory, is_mapped, &f,
		      &f.table) < 0)
		return -1;
	table_set_writable(f.table, true);
	return memory_add(f.memory, &f, BASE, SIZE, f.fd, 0, RW, NULL);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	table_free(f->table);
	table_free(NULL);
	memory_free(f->memory);
	state_free(f->state);
	(void)munmap(f->mem, SIZE);
	(void)close(f->fd);
	return 0;
}

/* Leaf @index in page @page of memory. */
static int put(struct fixture *f, uint64_t index, uint64_t page)
{
	return table_register(f->table, index, BASE + page * 4096);
}

static uint32_t *word(struct fixture *f, uint64_t page, uint32_t i)
{
	return (uint32_t *)(void *)(f->mem + page * 4096) + i;
}

static void set(struct fixture *f, uint64_t page, uint32_t i, uint32_t value)
{
	*word(f, page, i) = htole32(value);
}

static uint32_t get(struct fixture *f, uint64_t page, uint32_t i)
{
	return le32toh(*word(f, page, i));
}

/*
 * DEV-LEAF-1: The device MUST refuse a leaf that is not aligned (INVAL), not
 * in writable guest memory, or that covers no guest memory (RANGE).
 */
static void test_register_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(table_register(f->table, 1, BASE + 4), EINVAL);
	assert_int_equal(table_register(f->table, 1, BASE + 2048), EINVAL);
	assert_int_equal(table_register(f->table, 1, 0), ERANGE);
	assert_int_equal(table_register(f->table, 1, BASE + SIZE), ERANGE);
	assert_int_equal(table_register(f->table, 1, -4096ULL), ERANGE);
	/* Read-only memory is no place for a leaf. */
	assert_int_equal(memory_add(f->memory, f, BASE + SIZE, 4096, f->fd, 0,
				    IOMMU_READ, NULL),
			 0);
	assert_int_equal(table_register(f->table, 1, BASE + SIZE), ERANGE);
	/* Leaves 0 and 4 cover a part of memory, 5 does not. */
	assert_int_equal(put(f, 5, 0), ERANGE);
	assert_int_equal(put(f, UINT64_MAX, 0), ERANGE);
	assert_int_equal(put(f, UINT64_MAX >> 22, 0), ERANGE);
	assert_int_equal(put(f, 4, 0), 0);
	assert_int_equal(put(f, 0, 1), 0);
	assert_int_equal(table_leaves(f->table), 2);
}

/*
 * DEV-LEAF-2: The device MUST answer OK when a leaf is registered again at the
 * same address, and INVAL at another.
 */
static void test_register_again(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f, 1, 7), 0);
	assert_int_equal(put(f, 1, 7), 0);
	assert_int_equal(put(f, 1, 8), EINVAL);
	assert_int_equal(table_leaves(f->table), 1);
	table_forget(f->table);
	assert_int_equal(put(f, 1, 8), 0);
}

/*
 * DEV-LEAF-3: The device MUST resolve the address at registration, and MUST NOT
 * use the leaf after the memory that holds it was taken away.
 */
static void test_memory_goes(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(memory_add(f->memory, f, 1ULL << 32, 2 * 4096, f->fd,
				    8 * 4096, RW, NULL),
			 0);
	assert_int_equal(table_register(f->table, 1, (1ULL << 32) + 4096), 0);
	assert_int_equal(put(f, 2, 0), 0);
	set(f, 9, 5, 0);
	table_set_mapped(f->table, 1024 + 5, 1);
	assert_int_equal(get(f, 9, 5), MAPPED);
	assert_int_equal(memory_remove(f->memory, f, 1ULL << 32, 2 * 4096), 0);
	assert_int_equal(table_leaves(f->table), 1);
	assert_false(table_covers(f->table, 1024, 1024));
	set(f, 9, 5, 0);
	table_set_mapped(f->table, 1024 + 5, 1);
	assert_int_equal(get(f, 9, 5), 0);
}

static void test_covers(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f, 1, 0), 0);
	assert_int_equal(put(f, 2, 1), 0);
	assert_true(table_covers(f->table, 1024, 3071));
	assert_false(table_covers(f->table, 1023, 1024));
	assert_false(table_covers(f->table, 1024, 3072));
	assert_false(table_covers(f->table, 0, 0));
}

/*
 * DEV-EVICT-1: Before it unmaps a granule, the device MUST clear MAPPED by a
 * compare-exchange that expects a count of zero; if the exchange fails because
 * the count is not zero, it MUST leave the granule mapped.
 */
static void test_claim(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f, 1, 0), 0);
	set(f, 0, 0, MAPPED);
	set(f, 0, 1, MAPPED | REFERENCED);
	set(f, 0, 2, 0);
	assert_true(table_claim(f->table, 1024, 3));
	assert_int_equal(get(f, 0, 0), 0);
	assert_int_equal(get(f, 0, 1), REFERENCED);
	assert_int_equal(get(f, 0, 2), 0);
	set(f, 0, 0, MAPPED | 1);
	assert_false(table_claim(f->table, 1024, 1));
	assert_int_equal(get(f, 0, 0), MAPPED | 1);
	/* Held, and not shown as mapped: the driver is about to ask. */
	set(f, 0, 0, VIRTIO_PVDMA_W_COUNT);
	assert_false(table_claim(f->table, 1024, 1));
	/* No leaf, no hold. */
	assert_true(table_claim(f->table, 5 * 1024, 1));
	assert_true(table_claim(f->table, 5 * 1024 - 1, 2));
}

/*
 * DEV-EVICT-2: Where several granules are unmapped as one and one of them is
 * held, the device MUST set MAPPED again in those that it cleared: they are
 * still mapped.
 */
static void test_claim_several(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f, 1, 0), 0);
	assert_int_equal(put(f, 2, 1), 0);
	for (uint32_t i = 0; i < 1024; i++) {
		set(f, 0, i, MAPPED);
		set(f, 1, i, MAPPED);
	}
	set(f, 1, 600, MAPPED | 3);
	assert_false(table_claim(f->table, 1024, 2048));
	for (uint32_t i = 0; i < 1024; i++) {
		assert_int_equal(get(f, 0, i), MAPPED);
		assert_int_equal(get(f, 1, i) & MAPPED, MAPPED);
	}
	set(f, 1, 600, MAPPED);
	assert_true(table_claim(f->table, 1024, 2048));
	for (uint32_t i = 0; i < 1024; i++) {
		assert_int_equal(get(f, 0, i), 0);
		assert_int_equal(get(f, 1, i), 0);
	}
}

static void test_referenced(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f, 1, 0), 0);
	set(f, 0, 4, REFERENCED | MAPPED | 9);
	assert_false(table_test_and_clear_referenced(f->table, 1024, 4));
	assert_true(table_test_and_clear_referenced(f->table, 1024, 5));
	assert_int_equal(get(f, 0, 4), MAPPED | 9);
	assert_false(table_test_and_clear_referenced(f->table, 1024, 5));
}

static void test_used(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f, 1, 0), 0);
	set(f, 0, 1, REFERENCED);
	assert_false(table_any_used(f->table, 0, 4096));
	set(f, 0, 2, 1);
	assert_true(table_any_used(f->table, 0, 4096));
	assert_false(table_any_used(f->table, 0, 1024 + 2));
	set(f, 0, 2, MAPPED);
	assert_true(table_any_used(f->table, 1024 + 2, 1));
}

/* DEV-RESET-1: While no queue runs, the device MUST NOT write to the table. */
static void test_not_writable(void **state)
{
	struct fixture *f = *state;

	assert_true(table_is_writable(f->table));
	assert_int_equal(put(f, 1, 0), 0);
	set(f, 0, 0, MAPPED | REFERENCED);
	table_set_writable(f->table, false);
	assert_false(table_is_writable(f->table));
	table_set_mapped(f->table, 1024, 8);
	table_clear_mapped(f->table, 1024, 8);
	assert_true(table_test_and_clear_referenced(f->table, 1024, 8));
	assert_false(table_claim(f->table, 1024, 8));
	table_forget(f->table);
	assert_int_equal(get(f, 0, 0), MAPPED | REFERENCED);
	assert_int_equal(get(f, 0, 1), 0);
	/* Without leaves there is nothing to write to. */
	assert_true(table_is_writable(f->table));
}

/* What could not be written is made up for. */
static void test_stale(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f, 1, 0), 0);
	set(f, 0, 2, MAPPED | 1);
	set(f, 0, 3, MAPPED | 1);
	table_set_writable(f->table, false);
	table_clear_mapped(f->table, 1024 + 2, 1);
	assert_int_equal(get(f, 0, 2), MAPPED | 1);
	f->mapped_first = 1024 + 3;
	f->mapped_end = 1024 + 4;
	table_set_writable(f->table, true);
	assert_int_equal(get(f, 0, 2), 1);
	assert_int_equal(get(f, 0, 3), MAPPED | 1);
}

#define BLOCKS VIRTIO_PVDMA_LEAF_BLOCKS

/* Leaf 1 in page 0, its blocks' in page 1, and [first, end) mapped. */
static void put_blocks(struct fixture *f, uint64_t first, uint64_t end)
{
	assert_int_equal(put(f, 1, 0), 0);
	assert_int_equal(put(f, BLOCKS | 0, 1), 0);
	f->mapped_first = first;
	f->mapped_end = end;
}

/* DEV-TABLE-2: a block is marked while all of it is mapped, and only then. */
static void test_blocks_mapped(void **state)
{
	struct fixture *f = *state;

	put_blocks(f, 1024 + 8, 1024 + 56);
	table_set_mapped(f->table, 1024 + 8, 48);
	assert_int_equal(get(f, 1, 64), 0);
	assert_int_equal(get(f, 1, 65), MAPPED);
	assert_int_equal(get(f, 1, 66), MAPPED);
	assert_int_equal(get(f, 1, 67), 0);
	/* what lacks comes */
	f->mapped_end += 8;
	table_set_mapped(f->table, 1024 + 56, 8);
	assert_int_equal(get(f, 1, 67), MAPPED);
	/* a part goes: no block that it touches is whole any more */
	assert_true(table_claim(f->table, 1024 + 20, 20));
	assert_int_equal(get(f, 1, 65), 0);
	assert_int_equal(get(f, 1, 66), 0);
	assert_int_equal(get(f, 1, 67), MAPPED);
	assert_int_equal(get(f, 0, 19), MAPPED);
	table_clear_mapped(f->table, 1024 + 60, 1);
	assert_int_equal(get(f, 1, 67), 0);
}

/*
 * DEV-EVICT-1, DEV-EVICT-2: a block that is held keeps each of its granules,
 * whether it is marked or not; and all that was cleared is set again.
 */
static void test_blocks_claim(void **state)
{
	struct fixture *f = *state;

	put_blocks(f, 1024, 1024 + 64);
	table_set_mapped(f->table, 1024, 64);
	set(f, 1, 66, MAPPED | 1);
	assert_false(table_claim(f->table, 1024, 64));
	assert_false(table_claim(f->table, 1024 + 47, 1));
	for (uint32_t i = 0; i < 64; i++)
		assert_int_equal(get(f, 0, i), MAPPED);
	for (uint32_t i = 64; i < 68; i++)
		assert_int_equal(get(f, 1, i) & MAPPED, MAPPED);
	set(f, 1, 66, 1);
	assert_false(table_claim(f->table, 1024 + 32, 1));
	assert_true(table_any_held(f->table, 1024 + 32, 1));
	assert_false(table_any_held(f->table, 1024 + 48, 16));
	set(f, 1, 66, 0);
	/* held by a granule's own word */
	set(f, 0, 40, MAPPED | 1);
	assert_false(table_claim(f->table, 1024, 64));
	assert_int_equal(get(f, 1, 64), MAPPED);
	set(f, 0, 40, MAPPED);
	assert_true(table_claim(f->table, 1024, 64));
	for (uint32_t i = 64; i < 68; i++)
		assert_int_equal(get(f, 1, i), 0);
}

static void test_blocks_referenced(void **state)
{
	struct fixture *f = *state;

	put_blocks(f, 1024, 1024 + 64);
	set(f, 1, 65, MAPPED | REFERENCED);
	assert_false(table_test_and_clear_referenced(f->table, 1024, 16));
	assert_true(table_test_and_clear_referenced(f->table, 1024 + 20, 1));
	assert_false(table_test_and_clear_referenced(f->table, 1024 + 20, 1));
}

/* Either leaf will do for a MAP; stale marks of blocks go like others. */
static void test_blocks_alone(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f, BLOCKS | 0, 1), 0);
	assert_true(table_covers(f->table, 1024, 3071));
	f->mapped_first = 1024 + 16;
	f->mapped_end = 1024 + 32;
	set(f, 1, 64, MAPPED);
	set(f, 1, 65, MAPPED);
	table_set_writable(f->table, false);
	table_clear_mapped(f->table, 1024, 1);
	table_set_writable(f->table, true);
	assert_int_equal(get(f, 1, 64), 0);
	assert_int_equal(get(f, 1, 65), MAPPED);
	/* beyond all memory */
	assert_int_equal(put(f, BLOCKS | 1, 2), ERANGE);
}

static void test_many_leaves(void **state)
{
	struct fixture *f = *state;
	uint64_t more = 512ULL << 22;

	/* 512 leaves' worth of address space, one page of memory each. */
	for (uint64_t i = 0; i < 512; i++)
		assert_int_equal(memory_add(f->memory, f, more + (i << 22),
					    4096, f->fd, i * 4096, RW, NULL),
				 0);
	for (uint64_t i = 0; i < 512; i++)
		assert_int_equal(put(f, 512 + i, i), 0);
	assert_int_equal(table_leaves(f->table), 512);
	for (uint64_t i = 0; i < 512; i++) {
		set(f, i, 0, 0);
		table_set_mapped(f->table, (512 + i) << 10, 1);
		assert_int_equal(get(f, i, 0), MAPPED);
	}
	assert_int_equal(memory_drop(f->memory, f), 0);
	assert_int_equal(table_leaves(f->table), 0);
}

/* Numbers of leaves that are 64 apart are looked for in one place first. */
static void test_distant_leaves(void **state)
{
	struct fixture *f = *state;

	for (uint64_t i = 0; i < 4; i++) {
		if (i > 0)
			assert_int_equal(memory_add(f->memory, f, i << 28, 4096,
						    f->fd, 0, RW, NULL),
					 0);
		assert_int_equal(put(f, 64 * i, i), 0);
	}
	for (uint64_t i = 0; i < 8; i++)
		table_set_mapped(f->table, ((i & 3) << 16) + i, 1);
	for (uint64_t i = 0; i < 4; i++)
		for (uint32_t k = 0; k < 8; k++)
			assert_int_equal(get(f, i, k),
					 (k & 3) == i ? MAPPED : 0);
}

/* What is left of a leaf in its slot does not make it another one. */
static void test_forgotten_leaves(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
		memory_add(f->memory, f, 1 << 28, 4096, f->fd, 0, RW, NULL), 0);
	assert_int_equal(put(f, 4, 0), 0);
	assert_int_equal(put(f, 64, 1), 0);
	assert_true(table_covers(f->table, 4 << 10, 4 << 10));
	assert_true(table_covers(f->table, 64 << 10, 64 << 10));
	assert_int_equal(memory_drop(f->memory, f), 0);
	for (uint64_t i = 0; i <= 64; i++)
		assert_false(table_covers(f->table, i << 10, i << 10));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_register_refused),
		TEST(test_register_again),
		TEST(test_memory_goes),
		TEST(test_covers),
		TEST(test_claim),
		TEST(test_claim_several),
		TEST(test_referenced),
		TEST(test_used),
		TEST(test_not_writable),
		TEST(test_stale),
		TEST(test_many_leaves),
		TEST(test_distant_leaves),
		TEST(test_forgotten_leaves),
		TEST(test_blocks_mapped),
		TEST(test_blocks_claim),
		TEST(test_blocks_referenced),
		TEST(test_blocks_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
