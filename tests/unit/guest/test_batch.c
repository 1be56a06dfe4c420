// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of guest/pvdma/batch.c against a device in miniature, which keeps
 * its own books and checks the driver's side of each request.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "batch.h"
#include "encode.h"
#include "request.h"
#include "track.h"

#define SHIFT	 12
#define GRANULES 16384ul
#define PAGE(n)	 ((u64)(n) << SHIFT)
#define ENDPOINT 9

/* The device, and what stands in for request.c. */
struct pvdma {
	struct pvdma_track track;
	struct pvdma_slot slot;
	bool taken; /* preemption is off */
	bool gone;  /* no slot for anybody */
	bool leaf[GRANULES / VIRTIO_PVDMA_LEAF_WORDS];
	bool block_leaf[1]; /* enough for all blocks */
	bool mapped[GRANULES];
	int fail; /* of the next MAP */
	u64 hole; /* address that is no memory */
	u64 peer; /* address of another device's memory */
	unsigned int runs;
	unsigned int leaf_items;
	u64 granules; /* asked for */
};

static struct pvdma pv;
static u64 main_room[PAGE_SIZE / sizeof(u64)];
static u64 leaf_room[PAGE_SIZE / sizeof(u64)];

int pvdma_env_check(u64 addr)
{
	/* nobody allocates or asks about memory with preemption off */
	if (addr >> SHIFT == pv.hole >> SHIFT)
		return -EINVAL;
	return addr >> SHIFT == pv.peer >> SHIFT ? -EREMOTEIO : 0;
}

struct pvdma_slot *pvdma_request_get(struct pvdma *p)
{
	assert_false(p->taken);
	if (p->gone)
		return NULL;
	p->taken = true;
	return &p->slot;
}

void pvdma_request_put(struct pvdma_slot *slot)
{
	assert_ptr_equal(slot, &pv.slot);
	assert_true(pv.taken);
	pv.taken = false;
}

static void device_leaf(const struct pvdma_msg *msg)
{
	u64 index, i, n = pvdma_encode_count(msg);

	assert_true(n <= pv.slot.max_leaves);
	for (i = 0; i < n; i++) {
		index = le64_to_cpu(msg->item[i].leaf.index);
		assert_int_equal(le64_to_cpu(msg->item[i].leaf.addr),
				 pvdma_track_leaf_addr(&pv.track, index));
		if (index & VIRTIO_PVDMA_LEAF_BLOCKS)
			pv.block_leaf[index & ~VIRTIO_PVDMA_LEAF_BLOCKS] = true;
		else
			pv.leaf[index] = true;
		pv.leaf_items++;
	}
}

/* A word of a registered leaf, or NULL. */
static atomic_t *device_word(enum pvdma_level level, u64 at)
{
	bool known = level == PVDMA_BLOCKS ?
			     pv.block_leaf[at >> VIRTIO_PVDMA_LEAF_SHIFT] :
			     pv.leaf[at >> VIRTIO_PVDMA_LEAF_SHIFT];

	return known ? pvdma_track_word(&pv.track, level, at) : NULL;
}

/* DEV-TABLE-2 */
static void device_set_mapped(u64 g)
{
	atomic_t *word = device_word(PVDMA_GRANULES, g);
	atomic_t *block = device_word(PVDMA_BLOCKS, g / 16);
	u64 i, whole = 0;

	pv.mapped[g] = true;
	for (i = 0; i < 16; i++)
		whole += pv.mapped[g / 16 * 16 + i];
	if (word)
		atomic_or(VIRTIO_PVDMA_W_MAPPED, word);
	if (block && whole == 16)
		atomic_or(VIRTIO_PVDMA_W_MAPPED, block);
}

static bool is_held(const atomic_t *word)
{
	return word && atomic_read(word) & VIRTIO_PVDMA_W_COUNT;
}

static void device_map(const struct pvdma_msg *msg)
{
	u64 first, g, i, n = pvdma_encode_count(msg);
	u32 count;

	assert_in_range(n, 1, pv.slot.max_items);
	/* DRV-REQ-3: ... MUST NOT have more than 2^30 bytes in all ... */
	assert_true(pvdma_encode_sum(msg) << pv.track.shift <= 1u << 30);
	assert_int_equal(le32_to_cpu(msg->head.endpoint), ENDPOINT);
	for (i = 0; i < n; i++) {
		first = le64_to_cpu(msg->item[i].range.first);
		count = le32_to_cpu(msg->item[i].range.count);
		assert_true(count);
		for (g = first; g < first + count; g++) {
			/* DRV-MAP-1: held, by a word whose leaf is registered
			 * before the MAP (DRV-LEAF-1) */
			assert_true(is_held(device_word(PVDMA_GRANULES, g)) ||
				    is_held(device_word(PVDMA_BLOCKS, g / 16)));
			pv.granules++;
			if (!pv.fail)
				device_set_mapped(g);
		}
	}
}

/*
 * Whoever leaves the request to the host takes holds of its own on its words
 * (DRV-MAP-1): all of them are there, and held.
 */
static void check_words(struct pvdma_slot *slot)
{
	u16 i, items = pvdma_encode_count(slot->main);

	for (i = 0; i < items; i++) {
		bool block = pvdma_levels_block(&slot->levels, i);
		enum pvdma_level level = block ? PVDMA_BLOCKS : PVDMA_GRANULES;
		u64 first = le64_to_cpu(slot->main->item[i].range.first);
		u32 n = le32_to_cpu(slot->main->item[i].range.count), g;

		for (g = 0; g < n; g += pvdma_track_granules(level, 1))
			assert_true(is_held(pvdma_track_word(
				&pv.track, level,
				block ? (first + g) / 16 : first + g)));
		if (block)
			assert_true(first % 16 == 0 && n % 16 == 0);
	}
}

int pvdma_request_run(struct pvdma_slot *slot)
{
	int err;

	check_words(slot);

	assert_true(pv.taken);
	pv.runs++;
	if (pvdma_encode_count(slot->leaf))
		device_leaf(slot->leaf);
	device_map(slot->main);
	err = pv.fail;
	pv.fail = 0;
	return err;
}

static int setup(void **state)
{
	(void)state;
	memset(&pv, 0, sizeof(pv));
	pv.hole = pv.peer = UINT64_MAX;
	pv.slot.main = (struct pvdma_msg *)main_room;
	pv.slot.leaf = (struct pvdma_msg *)leaf_room;
	pv.slot.max_items = 4;
	pv.slot.max_leaves = 2;
	env_warnings = 0;
	env_allocations = -1;
	return pvdma_track_init(&pv.track, SHIFT, PAGE(GRANULES / 2));
}

static int teardown(void **state)
{
	(void)state;
	env_allocations = -1;
	pvdma_track_done(&pv.track);
	return pv.taken || env_warnings;
}

static u32 count_of(u64 granule)
{
	atomic_t *word = pvdma_track_word(&pv.track, PVDMA_GRANULES, granule);

	return word ? atomic_read(word) & VIRTIO_PVDMA_W_COUNT : 0;
}

/* Of granules, and 16 for each of a block. */
static u64 all_counts(void)
{
	u64 g, sum = 0;
	atomic_t *word;

	for (g = 0; g < GRANULES; g++)
		sum += count_of(g);
	for (g = 0; g < GRANULES / 16; g++) {
		word = pvdma_track_word(&pv.track, PVDMA_BLOCKS, g);
		if (word)
			sum += 16 * (atomic_read(word) & VIRTIO_PVDMA_W_COUNT);
	}
	return sum;
}

static void begin(struct pvdma_batch *b)
{
	pvdma_batch_begin(b, &pv, &pv.track, ENDPOINT, GFP_ATOMIC);
}

static int map_one(u64 addr, u64 size)
{
	struct pvdma_batch b;
	int err;

	begin(&b);
	err = pvdma_batch_hold(&b, addr, size);
	if (err)
		return err;
	err = pvdma_batch_end(&b);
	if (err)
		pvdma_track_drop(&pv.track,
				 pvdma_track_granule(&pv.track, addr),
				 pvdma_track_last(&pv.track, addr, size));
	return err;
}

/* DRV-TABLE-2: what is handed out is held, and mapped. */
static void test_miss_then_hit(void **state)
{
	(void)state;
	assert_int_equal(map_one(PAGE(5) + 100, 5000), 0);
	assert_true(pv.mapped[5] && pv.mapped[6] && !pv.mapped[7]);
	assert_int_equal(pv.runs, 1);
	assert_int_equal(pv.leaf_items, 1);
	assert_int_equal(count_of(5) + count_of(6), 2);

	/* the second time nobody is asked */
	assert_int_equal(map_one(PAGE(5), 8192), 0);
	assert_int_equal(pv.runs, 1);
	assert_int_equal(count_of(5), 2);
	pvdma_track_drop(&pv.track, 5, 6);
	pvdma_track_drop(&pv.track, 5, 6);
	assert_int_equal(all_counts(), 0);
}

/* DRV-MAP-2: a scatter list of three pieces and two leaves is one request. */
static void test_list(void **state)
{
	struct pvdma_batch b;

	(void)state;
	begin(&b);
	assert_int_equal(pvdma_batch_hold(&b, PAGE(1), 4096), 0);
	assert_false(pv.runs);
	assert_int_equal(pvdma_batch_hold(&b, PAGE(1) + 8, 8), 0);
	assert_int_equal(pvdma_batch_hold(&b, PAGE(2), 4096), 0);
	pvdma_batch_flush(&b);
	assert_int_equal(pv.runs, 1);
	assert_int_equal(pv.granules, 2);
	assert_int_equal(b.misses, 3);

	assert_int_equal(pvdma_track_add_leaf(&pv.track, 1, GFP_ATOMIC), 0);
	assert_int_equal(pvdma_batch_hold(&b, PAGE(3), 4096), 0);
	assert_int_equal(pvdma_batch_hold(&b, PAGE(1024), 4096), 0);
	assert_int_equal(pvdma_batch_hold(&b, PAGE(2), 4096), 0);
	assert_int_equal(pvdma_batch_end(&b), 0);
	assert_int_equal(pv.runs, 2);
	assert_int_equal(pv.leaf_items, 2);
	assert_int_equal(b.hits, 1);
	assert_true(pv.mapped[1024] && pv.mapped[3]);
}

/* A request that is full goes off, and the batch goes on. */
static void test_outgrow(void **state)
{
	struct pvdma_batch b;
	u64 i;

	(void)state;
	begin(&b);
	for (i = 0; i < 10; i++)
		assert_int_equal(pvdma_batch_hold(&b, PAGE(2 * i), 1), 0);
	assert_int_equal(pvdma_batch_end(&b), 0);
	assert_int_equal(pv.runs, 3);
	assert_int_equal(pv.granules, 10);
	for (i = 0; i < 10; i++)
		assert_true(pv.mapped[2 * i]);
}

/* One mapping that spans many leaves: registered as they come. */
static void test_large(void **state)
{
	u64 g;

	(void)state;
	assert_int_equal(map_one(PAGE(1000), PAGE(5000)), 0);
	for (g = 1000; g < 6000; g++)
		assert_true(pv.mapped[g] && pvdma_track_held(&pv.track, g));
	assert_false(pv.mapped[999] || pv.mapped[6000]);
	assert_int_equal(all_counts(), 5000);
	pvdma_track_drop(&pv.track, 1000, 5999);
	assert_int_equal(all_counts(), 0);
}

/*
 * 512 KiB are some 40 words, whether they hit or miss; and each way of holding
 * a part of it sees what the other one had mapped.
 */
static void test_blocks(void **state)
{
	struct pvdma_batch b;
	u64 g;

	(void)state;
	assert_int_equal(map_one(PAGE(100), PAGE(128)), 0);
	assert_int_equal(pv.granules, 128);
	assert_int_equal(count_of(100), 1);
	assert_int_equal(count_of(112), 0);
	assert_true(pvdma_track_held(&pv.track, 112));
	/* a new leaf is made with no slot in hand */
	assert_int_equal(pv.runs, 2);

	/* again: nobody is asked */
	assert_int_equal(map_one(PAGE(100), PAGE(128)), 0);
	assert_int_equal(pv.runs, 2);

	/* a block that was mapped granule by granule */
	for (g = 320; g < 336; g++)
		assert_int_equal(map_one(PAGE(g), PAGE(1)), 0);
	assert_int_equal(pv.runs, 18);
	begin(&b);
	assert_int_equal(pvdma_batch_hold(&b, PAGE(320), PAGE(16)), 0);
	/* its leaf was known, so its word says that it is mapped */
	assert_int_equal(b.hits, 16);
	assert_int_equal(pvdma_batch_end(&b), 0);

	/* granules of a block whose own leaf is new: asked for, and mapped */
	assert_int_equal(map_one(PAGE(2048), PAGE(1024)), 0);
	begin(&b);
	assert_int_equal(pvdma_batch_hold(&b, PAGE(2050), PAGE(1)), 0);
	assert_int_equal(pvdma_batch_end(&b), 0);
	assert_int_equal(b.misses, 1);
}

/* Pieces of a block, one by one and as a block: two items, for two kinds of words. */
static void test_levels(void **state)
{
	struct pvdma_batch b;
	u64 g;

	(void)state;
	begin(&b);
	for (g = 320; g < 352; g += 8)
		assert_int_equal(pvdma_batch_hold(&b, PAGE(g), PAGE(8)), 0);
	assert_int_equal(pvdma_encode_count(b.slot->main), 1);
	assert_null(pvdma_track_word(&pv.track, PVDMA_BLOCKS, 20));
	assert_int_equal(pvdma_batch_hold(&b, PAGE(352), PAGE(16)), 0);
	/* (the leaf of the blocks was made with no slot in hand) */
	assert_int_equal(pvdma_batch_hold(&b, PAGE(368), PAGE(8)), 0);
	assert_int_equal(pvdma_encode_count(b.slot->main), 2);
	assert_int_equal(pvdma_batch_end(&b), 0);
	for (g = 320; g < 376; g++)
		assert_true(pv.mapped[g]);
}

/* DRV-REQ-2: a failed request fails the mapping, and nothing stays held. */
static void test_failure(void **state)
{
	struct pvdma_batch b;

	(void)state;
	pv.fail = -ENOMEM;
	assert_int_equal(map_one(PAGE(1), PAGE(3)), -ENOMEM);
	assert_int_equal(all_counts(), 0);
	assert_int_equal(map_one(PAGE(1), PAGE(3)), 0);
	pvdma_track_drop(&pv.track, 1, 3);

	/* in the middle of a list: the request was full */
	begin(&b);
	assert_int_equal(pvdma_batch_hold(&b, PAGE(10), 1), 0);
	assert_int_equal(pvdma_batch_hold(&b, PAGE(12), 1), 0);
	assert_int_equal(pvdma_batch_hold(&b, PAGE(14), 1), 0);
	assert_int_equal(pvdma_batch_hold(&b, PAGE(16), 1), 0);
	pv.fail = -EIO;
	assert_int_equal(pvdma_batch_hold(&b, PAGE(18), 1), -EIO);
	assert_int_equal(all_counts(), 4);
	assert_int_equal(count_of(18), 0);
}

/* What waits in a request that is given up is never sent (DRV-MAP-1). */
static void test_cancel(void **state)
{
	struct pvdma_batch b;

	(void)state;
	begin(&b);
	assert_int_equal(pvdma_batch_hold(&b, PAGE(1), 1), 0);
	assert_true(pv.taken);
	pv.hole = PAGE(3);
	assert_int_equal(pvdma_batch_hold(&b, PAGE(2), PAGE(2)), -EINVAL);
	assert_false(pv.taken);
	assert_int_equal(pv.runs, 0);
	assert_int_equal(all_counts(), 1);
	assert_int_equal(pvdma_batch_end(&b), 0);
}

static void test_not_memory(void **state)
{
	(void)state;
	pv.hole = PAGE(2000);
	assert_int_equal(map_one(PAGE(2000), 4096), -EINVAL);
	/* refused before anything was made for it */
	assert_null(pvdma_track_word(&pv.track, PVDMA_GRANULES, 2000));
	pv.peer = PAGE(7);
	assert_int_equal(map_one(PAGE(6), 8192), -EREMOTEIO);
	assert_int_equal(map_one(UINT64_MAX - 10, 100), -EINVAL);
	assert_int_equal(all_counts(), 0);
	assert_int_equal(pv.runs, 0);
}

static void test_no_slot(void **state)
{
	(void)state;
	pv.gone = true;
	assert_int_equal(map_one(PAGE(1), 4096), -EIO);
	assert_int_equal(all_counts(), 0);
}

/* Leaves and directories that cannot be had, at each allocation in turn. */
static void test_no_memory(void **state)
{
	int n, err;

	(void)state;
	for (n = 0;; n++) {
		env_allocations = n;
		err = map_one(PAGE(GRANULES - 1025), PAGE(1025));
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_int_equal(all_counts(), 0);
		assert_false(pv.taken);
	}
	assert_true(n > 1);
	assert_true(pv.mapped[GRANULES - 1] && pv.mapped[GRANULES - 1025]);
}

/* A new leaf in the middle of a list: no allocation with a slot in hand. */
static void test_leaf_between(void **state)
{
	struct pvdma_batch b;

	(void)state;
	begin(&b);
	assert_int_equal(pvdma_batch_hold(&b, PAGE(1), 1), 0);
	assert_int_equal(pvdma_batch_hold(&b, PAGE(1024), 1), 0);
	assert_int_equal(pv.runs, 1);
	assert_int_equal(pvdma_batch_end(&b), 0);
	assert_int_equal(pv.runs, 2);
}

/* More than one request may name: several (DRV-REQ-3, see device_map()). */
static void test_too_much(void **state)
{
	const u64 size = 2000ull << 21; /* of granules of 2 MiB */

	(void)state;
	pvdma_track_done(&pv.track);
	assert_int_equal(pvdma_track_init(&pv.track, 21, 2 * size), 0);
	assert_int_equal(map_one(0, size), 0);
	assert_int_equal(pv.granules, 2000);
	assert_in_range(pv.runs, 4, 6);
	assert_true(pv.mapped[0] && pv.mapped[1999] && !pv.mapped[2000]);
	pvdma_track_drop(&pv.track, 0, 1999);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_miss_then_hit), TEST(test_list),
		TEST(test_outgrow),	  TEST(test_large),
		TEST(test_failure),	  TEST(test_cancel),
		TEST(test_not_memory),	  TEST(test_no_slot),
		TEST(test_no_memory),	  TEST(test_leaf_between),
		TEST(test_blocks),	  TEST(test_levels),
		TEST(test_too_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
