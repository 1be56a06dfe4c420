// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of guest/pvdma/encode.c: bytes on the wire, statuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "encode.h"

int pvdma_env_check(u64 addr)
{
	(void)addr;
	return 0;
}

static u64 room[PAGE_SIZE / sizeof(u64)];

static struct pvdma_msg *new_msg(u8 type, u32 endpoint)
{
	struct pvdma_msg *msg = (struct pvdma_msg *)room;

	memset(room, 0xa5, sizeof(room));
	pvdma_encode_begin(msg, type, endpoint);
	return msg;
}

/* DRV-REQ-1: the status is PENDING beforehand; reserved fields are zero. */
static void test_begin(void **state)
{
	static const u8 want[] = { VIRTIO_PVDMA_T_MAP, 0, 0, 0, 4, 3, 2, 1 };
	struct pvdma_msg *msg = new_msg(VIRTIO_PVDMA_T_MAP, 0x01020304);

	(void)state;
	assert_memory_equal(&msg->head, want, sizeof(want));
	assert_int_equal(msg->tail.status, VIRTIO_PVDMA_R_PENDING);
	assert_int_equal(msg->tail.reserved, 0);
	assert_int_equal(msg->tail.index, 0);
	assert_int_equal(pvdma_encode_bytes(msg), 8);
}

static void test_init(void **state)
{
	static const u8 want[] = {
		VIRTIO_PVDMA_T_INIT,
		0,
		1,
		0,
		0,
		0,
		0,
		0,
		VIRTIO_PVDMA_VERSION,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0x08,
		0x07,
		0x06,
		0x05,
		0x04,
		0x03,
		0x02,
		0x01,
		0x18,
		0x17,
		0x16,
		0x15,
		0x14,
		0x13,
		0x12,
		0x11,
	};
	struct pvdma_msg *msg = new_msg(VIRTIO_PVDMA_T_INIT, 0);

	(void)state;
	pvdma_encode_init(msg, 0x0102030405060708, 0x1112131415161718);
	assert_int_equal(pvdma_encode_bytes(msg), sizeof(want));
	assert_memory_equal(&msg->head, want, sizeof(want));
}

static void test_attach(void **state)
{
	static const u8 want[] = {
		VIRTIO_PVDMA_T_ATTACH,
		0,
		1,
		0,
		7,
		0,
		0,
		0,
		0xff,
		0xff,
		0xff,
		0xff,
		0,
		0,
		0,
		0,
		VIRTIO_PVDMA_S_DIRECT_MAP,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
	};
	struct pvdma_msg *msg = new_msg(VIRTIO_PVDMA_T_ATTACH, 7);

	(void)state;
	pvdma_encode_attach(msg, 0xffffffff, VIRTIO_PVDMA_S_DIRECT_MAP);
	assert_int_equal(pvdma_encode_bytes(msg), sizeof(want));
	assert_memory_equal(&msg->head, want, sizeof(want));
}

static void test_detach(void **state)
{
	struct pvdma_msg *msg = new_msg(VIRTIO_PVDMA_T_DETACH, 7);

	(void)state;
	assert_int_equal(pvdma_encode_bytes(msg), 8);
}

static void test_leaf(void **state)
{
	struct pvdma_msg *msg = new_msg(VIRTIO_PVDMA_T_LEAF, 0);

	(void)state;
	assert_true(pvdma_encode_leaf(msg, 2, 5, 0x1000));
	assert_true(pvdma_encode_leaf(msg, 2, 5, 0x1000));
	assert_int_equal(pvdma_encode_count(msg), 1);
	assert_true(pvdma_encode_leaf(msg, 2, 6, 0x2000));
	assert_false(pvdma_encode_leaf(msg, 2, 7, 0x3000));
	assert_true(pvdma_encode_leaf(msg, 2, 6, 0x2000));
	assert_int_equal(pvdma_encode_count(msg), 2);
	assert_int_equal(pvdma_encode_bytes(msg), 8 + 32);
}

static void check_range(const struct pvdma_msg *msg, u16 i, u64 first,
			u32 count)
{
	assert_int_equal(le64_to_cpu(msg->item[i].range.first), first);
	assert_int_equal(le32_to_cpu(msg->item[i].range.count), count);
	assert_int_equal(le32_to_cpu(msg->item[i].range.flags), 0);
}

/* DRV-MAP-2: neighbours become one range, and nothing is asked for twice. */
static void test_granules(void **state)
{
	struct pvdma_msg *msg = new_msg(VIRTIO_PVDMA_T_MAP, 0);
	static const u64 granules[] = { 10, 11, 12, 20, 11, 9, 8, 21, 20, 12 };
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(granules); i++)
		assert_true(pvdma_encode_granules(msg, 2, granules[i], 1));
	assert_int_equal(pvdma_encode_count(msg), 2);
	check_range(msg, 0, 8, 5);
	check_range(msg, 1, 20, 2);
	assert_int_equal(pvdma_encode_sum(msg), 7);

	assert_false(pvdma_encode_granules(msg, 2, 30, 1));
	/* a block: within, over, and beside what is there */
	assert_true(pvdma_encode_granules(msg, 2, granules[0], 1));
	assert_int_equal(pvdma_encode_count(msg), 2);
	assert_true(pvdma_encode_granules(msg, 3, 30, 1));
	check_range(msg, 2, 30, 1);
}

/* Between two ranges: no range may overlap another one. */
static void test_granule_between(void **state)
{
	struct pvdma_msg *msg = new_msg(VIRTIO_PVDMA_T_MAP, 0);

	(void)state;
	assert_true(pvdma_encode_granules(msg, 4, 10, 1));
	assert_true(pvdma_encode_granules(msg, 4, 12, 1));
	assert_true(pvdma_encode_granules(msg, 4, 11, 1));
	assert_true(pvdma_encode_granules(msg, 4, 11, 1));
	assert_int_equal(pvdma_encode_sum(msg), 3);
	assert_int_equal(pvdma_encode_count(msg), 2);
}

/* A range that cannot count further leaves room for another one. */
static void test_granule_overflow(void **state)
{
	struct pvdma_msg *msg = new_msg(VIRTIO_PVDMA_T_MAP, 0);

	(void)state;
	assert_true(pvdma_encode_granules(msg, 2, 0, 1));
	msg->item[0].range.count = cpu_to_le32(U32_MAX);
	assert_true(pvdma_encode_granules(msg, 2, U32_MAX, 1));
	assert_int_equal(pvdma_encode_count(msg), 2);
	check_range(msg, 0, 0, U32_MAX);
	check_range(msg, 1, U32_MAX, 1);
}

/* A page holds a message of as many items as fit. */
static void test_room(void **state)
{
	struct pvdma_msg *msg = new_msg(VIRTIO_PVDMA_T_MAP, 0);
	u64 i;

	(void)state;
	for (i = 0; i < PVDMA_MSG_ITEMS; i++)
		assert_true(
			pvdma_encode_granules(msg, PVDMA_MSG_ITEMS, 2 * i, 1));
	assert_false(pvdma_encode_granules(msg, PVDMA_MSG_ITEMS, 2 * i, 1));
	assert_true((u8 *)&msg->head + pvdma_encode_bytes(msg) <=
		    (u8 *)room + sizeof(room));
}

/* DRV-REQ-1: PENDING, and what it does not know, are failures. */
static void test_result(void **state)
{
	struct pvdma_msg *msg = new_msg(VIRTIO_PVDMA_T_MAP, 0);
	unsigned int status;
	int err;

	(void)state;
	assert_int_equal(pvdma_encode_result(msg, 8), -EIO);
	for (status = 0; status <= 255; status++) {
		msg->tail.status = status;
		err = pvdma_encode_result(msg, 8);
		assert_non_null(pvdma_encode_status(msg));
		if (status == VIRTIO_PVDMA_R_OK)
			assert_int_equal(err, 0);
		else
			assert_true(err == -EIO || err == -EINVAL ||
				    err == -ENOMEM);
	}
	msg->tail.status = VIRTIO_PVDMA_R_QUOTA;
	assert_int_equal(pvdma_encode_result(msg, 8), -ENOMEM);
	msg->tail.status = VIRTIO_PVDMA_R_RANGE;
	assert_int_equal(pvdma_encode_result(msg, 8), -EINVAL);

	/* an OK that the device says it did not write */
	msg->tail.status = VIRTIO_PVDMA_R_OK;
	assert_int_equal(pvdma_encode_result(msg, 7), -EIO);
	assert_int_equal(pvdma_encode_result(msg, 0), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_begin),
		cmocka_unit_test(test_init),
		cmocka_unit_test(test_attach),
		cmocka_unit_test(test_detach),
		cmocka_unit_test(test_leaf),
		cmocka_unit_test(test_granules),
		cmocka_unit_test(test_granule_between),
		cmocka_unit_test(test_granule_overflow),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_result),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
