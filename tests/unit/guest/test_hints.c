// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of guest/pvdma/hints.c, and of what may be made of the answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hints.h"
#include "track.h"

int pvdma_env_check(u64 addr)
{
	(void)addr;
	return 0;
}

static struct pvdma_hints hints;
static u64 room[PAGE_SIZE / sizeof(u64)];
static struct pvdma_msg *const msg = (struct pvdma_msg *)room;

static int setup(void **state)
{
	(void)state;
	hints = (struct pvdma_hints){ .max = PVDMA_HINTS_MAX };
	env_allocations = -1;
	env_warnings = 0;
	return 0;
}

static void assert_item(u32 i, u64 first, u32 n)
{
	assert_int_equal(le64_to_cpu(msg->item[i].range.first), first);
	assert_int_equal(le32_to_cpu(msg->item[i].range.count), n);
	assert_int_equal(msg->item[i].range.flags, 0);
}

static void test_encode(void **state)
{
	(void)state;
	assert_true(pvdma_hints_add(&hints, 7, 0, 100, 102));
	assert_true(pvdma_hints_add(&hints, 7, 0, 5, 5));
	/* said already */
	assert_true(pvdma_hints_add(&hints, 7, 0, 101, 102));
	assert_int_equal(hints.n, 2);
	pvdma_hints_encode(&hints, msg);
	assert_int_equal(hints.n, 0);
	assert_int_equal(msg->head.type, VIRTIO_PVDMA_T_PREFETCH);
	assert_int_equal(le32_to_cpu(msg->head.endpoint), 7);
	assert_int_equal(pvdma_encode_count(msg), 2);
	assert_item(0, 100, 3);
	assert_item(1, 5, 1);
	assert_int_equal(msg->head.flags, 0);
	assert_int_equal(msg->tail.status, VIRTIO_PVDMA_R_PENDING);
}

/* Others' go first, and so do those that have filled it. */
static void test_room(void **state)
{
	u32 i;

	(void)state;
	for (i = 0; i < PVDMA_HINTS_MAX; i++)
		assert_true(pvdma_hints_add(&hints, 7, 0, i * 2, i * 2));
	assert_false(pvdma_hints_add(&hints, 7, 0, 1000, 1000));
	assert_true(pvdma_hints_add(&hints, 7, 0, 4, 4));
	assert_false(pvdma_hints_add(&hints, 8, 0, 4, 4));
	pvdma_hints_encode(&hints, msg);
	assert_int_equal(pvdma_encode_count(msg), PVDMA_HINTS_MAX);
	assert_true(pvdma_hints_add(&hints, 8, 0, 4, 4));
	assert_int_equal(hints.endpoint, 8);
	/* more than an item can say */
	assert_false(pvdma_hints_add(&hints, 8, 0, 0, U32_MAX));
	/* a device that takes no longer requests (DEV-REQ-2) */
	hints = (struct pvdma_hints){ .max = 2 };
	assert_true(pvdma_hints_add(&hints, 7, 0, 0, 0));
	assert_true(pvdma_hints_add(&hints, 7, 0, 2, 2));
	assert_true(pvdma_hints_add(&hints, 7, 0, 2, 2));
	assert_false(pvdma_hints_add(&hints, 7, 0, 4, 4));
}

/*
 * DRV-PREFETCH-3: ... SHOULD [...] put the binary logarithm of how many copies
 * each granule of the request stands for into flags.
 */
static void test_sample(void **state)
{
	(void)state;
	hints = (struct pvdma_hints){ .max = PVDMA_HINTS_MAX };
	assert_true(pvdma_hints_add(&hints, 7, 5, 100, 100));
	assert_true(pvdma_hints_add(&hints, 7, 5, 200, 200));
	/* others go with the next one */
	assert_false(pvdma_hints_add(&hints, 7, 0, 300, 300));
	pvdma_hints_encode(&hints, msg);
	assert_int_equal(msg->head.flags, 5);
	assert_true(pvdma_hints_add(&hints, 7, 0, 300, 300));
	pvdma_hints_encode(&hints, msg);
	assert_int_equal(msg->head.flags, 0);
}

/*
 * DRV-PREFETCH-1: The driver MUST NOT take OK to mean that anything is mapped:
 * who wants to use it without asking looks at the words.
 */
static void test_answer(void **state)
{
	struct pvdma_track track;
	atomic_t *word;

	(void)state;
	assert_int_equal(pvdma_track_init(&track, 12, 64 << 20), 0);
	assert_int_equal(pvdma_track_add_leaf(&track, 0, GFP_KERNEL), 0);
	assert_true(pvdma_hints_add(&hints, 7, 0, 100, 101));
	pvdma_hints_encode(&hints, msg);
	msg->tail.status = VIRTIO_PVDMA_R_OK;
	assert_int_equal(pvdma_encode_result(msg, sizeof(msg->tail)), 0);
	assert_false(pvdma_track_try(&track, 100, 101));
	assert_false(pvdma_track_held(&track, 100));
	word = pvdma_track_word(&track, PVDMA_GRANULES, 100);
	atomic_or(VIRTIO_PVDMA_W_MAPPED, word);
	/* half of it, then all, then half of it and a leaf that is not there */
	assert_false(pvdma_track_try(&track, 100, 101));
	assert_false(pvdma_track_held(&track, 100));
	atomic_or(VIRTIO_PVDMA_W_MAPPED, word + 1);
	assert_true(pvdma_track_try(&track, 100, 101));
	assert_true(pvdma_track_held(&track, 100));
	assert_true(pvdma_track_held(&track, 101));
	assert_false(pvdma_track_try(&track, 1024, 1024));
	pvdma_track_drop(&track, 100, 101);
	assert_int_equal(env_warnings, 0);
	pvdma_track_done(&track);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_encode, setup),
		cmocka_unit_test_setup(test_sample, setup),
		cmocka_unit_test_setup(test_room, setup),
		cmocka_unit_test_setup(test_answer, setup),
	};

	return cmocka_run_group_tests_name("hints", tests, NULL, NULL);
}
