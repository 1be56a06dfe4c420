// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of guest/pvdma/unmap.c, and of batches under single-use, against
 * a device in miniature that unmaps what nobody holds.
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
#include "unmap.h"

#define SHIFT	 12
#define GRANULES 4096ul
#define PAGE(n)	 ((u64)(n) << SHIFT)
#define ENDPOINT 9

/* The device, and what stands in for request.c. */
struct pvdma {
	struct pvdma_track track;
	struct pvdma_slot slot;
	bool taken; /* preemption is off */
	bool gone;  /* no slot for anybody */
	int fail;   /* of the next request */
	bool mapped[GRANULES];
	unsigned int maps, unmaps; /* requests */
	u64 named;		   /* granules of UNMAPs */
};

static struct pvdma pv;
static struct pvdma_defer defer;
static u64 main_room[PAGE_SIZE / sizeof(u64)];
static u64 leaf_room[PAGE_SIZE / sizeof(u64)];
static u64 defer_room[PAGE_SIZE / sizeof(u64)];

int pvdma_env_check(u64 addr)
{
	(void)addr;
	return 0;
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

static void set_mapped(u64 g, bool mapped)
{
	atomic_t *word = pvdma_track_word(&pv.track, PVDMA_GRANULES, g);
	atomic_t *block = pvdma_track_word(&pv.track, PVDMA_BLOCKS, g / 16);
	u64 i, whole = 0;

	pv.mapped[g] = mapped;
	for (i = 0; i < 16; i++)
		whole += pv.mapped[g / 16 * 16 + i];
	if (word && mapped)
		atomic_or(VIRTIO_PVDMA_W_MAPPED, word);
	else if (word)
		atomic_and(~VIRTIO_PVDMA_W_MAPPED, word);
	if (block && whole == 16)
		atomic_or(VIRTIO_PVDMA_W_MAPPED, block);
	else if (block)
		atomic_and(~VIRTIO_PVDMA_W_MAPPED, block);
}

int pvdma_request_run(struct pvdma_slot *slot)
{
	const struct pvdma_msg *msg = slot->main;
	u64 first, g, i, n = pvdma_encode_count(msg);
	bool map = msg->head.type == VIRTIO_PVDMA_T_MAP;
	int err = pv.fail;

	assert_true(pv.taken);
	assert_true(map || msg->head.type == VIRTIO_PVDMA_T_UNMAP);
	assert_int_equal(le32_to_cpu(msg->head.endpoint), ENDPOINT);
	assert_in_range(n, 1, pv.slot.max_items);
	/* DRV-REQ-3 */
	assert_true(pvdma_encode_sum(msg) << pv.track.shift <= 1u << 30);
	pv.maps += map;
	pv.unmaps += !map;
	pv.fail = 0;
	for (i = 0; i < n && !err; i++) {
		first = le64_to_cpu(msg->item[i].range.first);
		for (g = first;
		     g < first + le32_to_cpu(msg->item[i].range.count); g++) {
			pv.named += !map;
			if (map || !pvdma_track_held(&pv.track, g))
				set_mapped(g, map);
		}
	}
	return err;
}

static int setup(void **state)
{
	(void)state;
	memset(&pv, 0, sizeof(pv));
	pv.slot.main = (struct pvdma_msg *)main_room;
	pv.slot.leaf = (struct pvdma_msg *)leaf_room;
	pv.slot.max_items = 4;
	pv.slot.max_leaves = 8;
	pvdma_defer_init(&defer, defer_room, 4, ENDPOINT);
	env_warnings = 0;
	env_allocations = -1;
	if (pvdma_track_init(&pv.track, SHIFT, PAGE(GRANULES)))
		return -1;
	/* so that no mapping has to stop for them */
	if (pvdma_track_add_leaf(&pv.track, VIRTIO_PVDMA_LEAF_BLOCKS,
				 GFP_KERNEL))
		return -1;
	return pvdma_track_add_leaf(&pv.track, 0, GFP_KERNEL);
}

static int teardown(void **state)
{
	u64 g;

	(void)state;
	for (g = 0; g < GRANULES; g++)
		assert_false(pvdma_track_held(&pv.track, g));
	pvdma_track_done(&pv.track);
	return pv.taken || env_warnings;
}

static void map_as(u64 addr, u64 size, bool every)
{
	struct pvdma_batch b;

	pvdma_batch_begin(&b, &pv, &pv.track, ENDPOINT, GFP_ATOMIC);
	b.every = every;
	assert_int_equal(pvdma_batch_hold(&b, addr, size), 0);
	assert_int_equal(pvdma_batch_end(&b), 0);
}

static void map(u64 first, u64 n)
{
	map_as(PAGE(first), PAGE(n), false);
}

static int unmap_as(u64 first, u64 n, bool every, struct pvdma_defer *d)
{
	struct pvdma_unmap u;

	pvdma_unmap_begin(&u, &pv, &pv.track, ENDPOINT);
	u.every = every;
	u.defer = d;
	pvdma_unmap_drop(&u, PAGE(first), PAGE(n));
	return pvdma_unmap_end(&u);
}

static int unmap(u64 first, u64 n)
{
	return unmap_as(first, n, false, NULL);
}

/* Of granules of 2 MiB 512 are all that a request may name (DRV-REQ-3). */
static void test_more_than_a_request(void **state)
{
	const u64 n = 1300;
	struct pvdma_unmap u;

	(void)state;
	pvdma_track_done(&pv.track);
	assert_int_equal(pvdma_track_init(&pv.track, 21, n << 21), 0);
	for (int way = 0; way < 2; way++) {
		pv.named = 0;
		pvdma_unmap_begin(&u, &pv, &pv.track, ENDPOINT);
		if (way == 1)
			u.defer = &defer;
		/* what was tried, whether it was held or not */
		pvdma_unmap_name(&u, 5ull << 21, n << 21);
		assert_int_equal(pvdma_unmap_end(&u), 0);
		if (way == 1)
			assert_int_equal(
				pvdma_defer_flush(&defer, &pv, ENDPOINT), 0);
		assert_int_equal(pv.named, n);
	}
	/* and each use of one that is mapped once */
	map_as(0, n << 21, true);
	pv.named = 0;
	pvdma_unmap_begin(&u, &pv, &pv.track, ENDPOINT);
	u.every = true;
	pvdma_unmap_drop(&u, 0, n << 21);
	assert_int_equal(pvdma_unmap_end(&u), 0);
	assert_int_equal(pv.named, n);
}

static void assert_mapped(u64 first, u64 n, bool mapped)
{
	while (n--)
		assert_int_equal(pv.mapped[first++], mapped);
}

/*
 * DRV-STRICT-1: the driver's unmap has an UNMAP of what became idle answered
 * before it returns. DRV-UNMAP-1: holds are given up before that.
 */
static void test_one(void **state)
{
	(void)state;
	map(5, 1);
	assert_mapped(5, 1, true);
	assert_int_equal(unmap(5, 1), 0);
	assert_mapped(5, 1, false);
	assert_int_equal(pv.unmaps, 1);
	/* nothing is left that a hit could rely on */
	map(5, 1);
	assert_int_equal(pv.maps, 2);
	assert_int_equal(unmap(5, 1), 0);
}

/* DRV-UNMAP-1: only what this unmap brought to zero is named. */
static void test_last_user(void **state)
{
	(void)state;
	map_as(PAGE(7), 2048, false);
	map_as(PAGE(7) + 2048, 2048, false);
	assert_int_equal(pv.maps, 1);
	assert_int_equal(unmap(7, 1), 0);
	assert_int_equal(pv.unmaps, 0);
	assert_mapped(7, 1, true);
	assert_int_equal(unmap(7, 1), 0);
	assert_int_equal(pv.unmaps, 1);
	assert_mapped(7, 1, false);
}

/* A block that is held, and a granule of it by itself: either goes first. */
static void test_block(void **state)
{
	(void)state;
	map(16, 40);
	map(21, 1);
	assert_int_equal(unmap(16, 40), 0);
	assert_int_equal(pv.unmaps, 1);
	assert_int_equal(pv.named, 40);
	assert_mapped(16, 5, false);
	assert_mapped(21, 1, true);
	assert_mapped(22, 34, false);
	assert_int_equal(unmap(21, 1), 0);
	assert_mapped(21, 1, false);

	map(16, 40);
	map(21, 1);
	assert_int_equal(unmap(21, 1), 0);
	assert_mapped(16, 40, true);
	assert_int_equal(unmap(16, 40), 0);
	assert_mapped(16, 40, false);
}

/* All segments of a list: one request, neighbours as one range. */
static void test_list(void **state)
{
	struct pvdma_unmap u;
	unsigned int i;

	(void)state;
	for (i = 0; i < 3; i++)
		map(100 + i, 1);
	map(200, 1);
	map(300, 2);
	pvdma_unmap_begin(&u, &pv, &pv.track, ENDPOINT);
	for (i = 0; i < 3; i++)
		pvdma_unmap_drop(&u, PAGE(100 + i), PAGE(1));
	pvdma_unmap_drop(&u, PAGE(200), PAGE(1));
	pvdma_unmap_drop(&u, PAGE(300), PAGE(2));
	assert_int_equal(pv.unmaps, 0);
	assert_int_equal(pvdma_unmap_end(&u), 0);
	assert_int_equal(pv.unmaps, 1);
	assert_int_equal(pv.named, 6);
	assert_mapped(100, 3, false);
	assert_mapped(200, 1, false);
	assert_mapped(300, 2, false);
}

/* More ranges than a request has room for. */
static void test_many(void **state)
{
	struct pvdma_unmap u;
	u64 i;

	(void)state;
	for (i = 0; i < 10; i++)
		map(2 * i, 1);
	pvdma_unmap_begin(&u, &pv, &pv.track, ENDPOINT);
	for (i = 0; i < 10; i++)
		pvdma_unmap_drop(&u, PAGE(2 * i), PAGE(1));
	assert_int_equal(pvdma_unmap_end(&u), 0);
	assert_int_equal(pv.unmaps, 3);
	assert_mapped(0, 20, false);
}

/*
 * DRV-STRICT-2: single-use names all granules of each use, in MAP and in UNMAP,
 * whoever else holds them.
 */
static void test_single_use(void **state)
{
	(void)state;
	map_as(PAGE(30), PAGE(20), true);
	assert_int_equal(pv.maps, 1);
	map_as(PAGE(40), PAGE(1), true);
	assert_int_equal(pv.maps, 2);
	assert_int_equal(unmap_as(40, 1, true, NULL), 0);
	assert_int_equal(pv.unmaps, 1);
	assert_mapped(30, 20, true);
	assert_int_equal(unmap_as(30, 20, true, NULL), 0);
	assert_int_equal(pv.unmaps, 2);
	assert_int_equal(pv.named, 21);
	assert_mapped(30, 20, false);
}

/* What a failed mapping may have left: named, though held by nobody. */
static void test_name(void **state)
{
	struct pvdma_unmap u;

	(void)state;
	map(30, 4);
	map(32, 1);
	pvdma_track_drop(&pv.track, 30, 33);
	pvdma_unmap_begin(&u, &pv, &pv.track, ENDPOINT);
	pvdma_unmap_name(&u, PAGE(30), PAGE(4));
	assert_int_equal(pvdma_unmap_end(&u), 0);
	assert_mapped(30, 2, false);
	assert_mapped(32, 1, true);
	assert_mapped(33, 1, false);
	assert_int_equal(unmap(32, 1), 0);
}

/* Deferred: reached until it is sent, and mapped again at no cost till then. */
static void test_deferred(void **state)
{
	(void)state;
	map(1, 1);
	map(3, 1);
	assert_int_equal(unmap_as(1, 1, false, &defer), 0);
	assert_int_equal(unmap_as(3, 1, false, &defer), 0);
	assert_int_equal(defer.calls, 2);
	assert_int_equal(pv.unmaps, 0);
	assert_mapped(1, 1, true);
	map(3, 1);
	assert_int_equal(pv.maps, 2);
	assert_int_equal(pvdma_defer_flush(&defer, &pv, ENDPOINT), 0);
	assert_int_equal(pv.unmaps, 1);
	assert_int_equal(defer.calls, 0);
	assert_mapped(1, 1, false);
	assert_mapped(3, 1, true); /* it has a user again */
	assert_int_equal(unmap_as(3, 1, false, &defer), 0);
	/* an empty one is no request */
	assert_int_equal(pvdma_defer_flush(&defer, &pv, ENDPOINT), 0);
	assert_int_equal(pvdma_defer_flush(&defer, &pv, ENDPOINT), 0);
	assert_int_equal(pv.unmaps, 2);
	assert_mapped(3, 1, false);
}

/* DRV-STRICT-3: what waits is bounded by the room of a request, too. */
static void test_deferred_full(void **state)
{
	u64 i;

	(void)state;
	for (i = 0; i < 9; i++) {
		map(2 * i, 1);
		assert_int_equal(unmap_as(2 * i, 1, false, &defer), 0);
	}
	assert_int_equal(pv.unmaps, 2);
	assert_mapped(0, 16, false);
	assert_mapped(16, 1, true);
	assert_int_equal(pvdma_defer_flush(&defer, &pv, ENDPOINT), 0);
	assert_mapped(16, 1, false);
}

/* DRV-QUEUE-1: without an answer the unmap goes on, and says so. */
static void test_no_host(void **state)
{
	u64 i;

	(void)state;
	map(1, 1);
	pv.fail = -EIO;
	assert_int_equal(unmap(1, 1), -EIO);
	map(3, 20);
	pv.gone = true;
	assert_int_equal(unmap(3, 20), -EIO);
	assert_mapped(3, 20, true);
	/* What waits goes on waiting, and is sent when the host is back. */
	pv.gone = false;
	for (i = 0; i < 5; i++)
		map(100 + 2 * i, 1);
	pv.gone = true;
	for (i = 0; i < 4; i++)
		assert_int_equal(unmap_as(100 + 2 * i, 1, false, &defer), 0);
	assert_int_equal(pvdma_defer_flush(&defer, &pv, ENDPOINT), -EIO);
	assert_int_equal(unmap_as(108, 1, false, &defer), -EIO);
	pv.gone = false;
	assert_int_equal(pvdma_defer_flush(&defer, &pv, ENDPOINT), 0);
	assert_mapped(100, 8, false);
}

/* A driver that unmaps what it has not mapped is told off; no count is hurt. */
static void test_not_mapped(void **state)
{
	(void)state;
	map(1, 1);
	assert_int_equal(unmap(1, 2), 0);
	assert_int_equal(env_warnings, 1);
	assert_int_equal(unmap(1, 1), 0);
	assert_int_equal(unmap(GRANULES + 5, 1), 0);
	assert_int_equal(env_warnings, 3);
	assert_int_equal(pv.unmaps, 1);
	env_warnings = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one),		  TEST(test_last_user),
		TEST(test_block),	  TEST(test_list),
		TEST(test_many),	  TEST(test_single_use),
		TEST(test_name),	  TEST(test_deferred),
		TEST(test_deferred_full), TEST(test_no_host),
		TEST(test_not_mapped),	  TEST(test_more_than_a_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
