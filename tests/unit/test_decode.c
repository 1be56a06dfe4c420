// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/agent/decode.c and status.c: bytes into requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "host/agent/decode.h"
#include "host/agent/status.h"
#include "protocol/virtio_pvdma.h"

#define MAX_RANGES 4

static const struct decode_limits limits = {
	.max_ranges = MAX_RANGES,
	.granule_shift = 12,
};

static struct request_leaf leaves[MAX_RANGES];
static struct granules ranges[MAX_RANGES];
static struct request req = { .leaves = leaves, .ranges = ranges };

static struct {
	struct virtio_pvdma_req_head head;
	union {
		struct virtio_pvdma_init init;
		struct virtio_pvdma_attach attach;
		struct virtio_pvdma_leaf leaves[MAX_RANGES + 1];
		struct virtio_pvdma_range ranges[MAX_RANGES + 1];
		uint8_t bytes[256];
	};
} wire;

/* Exactly as many bytes as are said, so that ASan sees a read beyond. */
static int decode(size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	int r;

	assert_non_null(copy);
	memcpy(copy, &wire, len);
	r = decode_request(copy, len, &limits, &req);
	free(copy);
	return r;
}

static size_t start(uint8_t type, uint16_t count, size_t item_size)
{
	memset(&wire, 0, sizeof(wire));
	wire.head.type = type;
	wire.head.count = htole16(count);
	return sizeof(wire.head) + count * item_size;
}

static size_t start_map(uint16_t count)
{
	size_t len = start(VIRTIO_PVDMA_T_MAP, count,
			   sizeof(struct virtio_pvdma_range));

	wire.head.endpoint = htole32(3);
	for (int i = 0; i < MAX_RANGES + 1; i++) {
		wire.ranges[i].first = htole64(100);
		wire.ranges[i].count = htole32(10);
	}
	return len;
}

static void test_map(void **state)
{
	size_t len = start_map(2);

	(void)state;
	wire.ranges[1].first = htole64(0x123456789ULL);
	wire.ranges[1].count = htole32(1);
	assert_int_equal(decode(len), 0);
	assert_int_equal(req.type, VIRTIO_PVDMA_T_MAP);
	assert_int_equal(req.count, 2);
	assert_int_equal(req.endpoint, 3);
	assert_int_equal(ranges[0].first, 100);
	assert_int_equal(ranges[0].last, 109);
	assert_int_equal(ranges[1].first, 0x123456789ULL);
	assert_int_equal(ranges[1].last, 0x123456789ULL);
}

static void test_other_types(void **state)
{
	size_t len;

	(void)state;
	len = start(VIRTIO_PVDMA_T_INIT, 1, sizeof(wire.init));
	wire.init.version = htole16(1);
	wire.init.nonce_addr = htole64(0x1000);
	wire.init.nonce = htole64(77);
	assert_int_equal(decode(len), 0);
	assert_int_equal(req.init.version, 1);
	assert_int_equal(req.init.nonce_addr, 0x1000);
	assert_int_equal(req.init.nonce, 77);
	len = start(VIRTIO_PVDMA_T_LEAF, 2, sizeof(wire.leaves[0]));
	wire.leaves[1].index = htole64(9);
	wire.leaves[1].addr = htole64(0x5000);
	assert_int_equal(decode(len), 0);
	assert_int_equal(leaves[1].index, 9);
	assert_int_equal(leaves[1].addr, 0x5000);
	len = start(VIRTIO_PVDMA_T_ATTACH, 1, sizeof(wire.attach));
	wire.head.endpoint = htole32(2);
	wire.attach.dma_mask = htole64(0xffffffff);
	wire.attach.strategy = 1;
	assert_int_equal(decode(len), 0);
	assert_int_equal(req.attach.dma_mask, 0xffffffff);
	assert_int_equal(req.attach.strategy, 1);
	len = start(VIRTIO_PVDMA_T_DETACH, 0, 0);
	wire.head.endpoint = htole32(UINT32_MAX);
	assert_int_equal(decode(len), 0);
	assert_int_equal(req.endpoint, UINT32_MAX);
}

/*
 * DEV-REQ-2: The device MUST answer INVAL where the length is not what type
 * and count say, where count is 0 (other than in DETACH) or above max_ranges,
 * and where a reserved field is not zero.
 */
static void test_length(void **state)
{
	static const struct {
		uint8_t type;
		size_t item_size;
	} types[] = {
		{ VIRTIO_PVDMA_T_INIT, 24 },   { VIRTIO_PVDMA_T_LEAF, 16 },
		{ VIRTIO_PVDMA_T_ATTACH, 16 }, { VIRTIO_PVDMA_T_MAP, 16 },
		{ VIRTIO_PVDMA_T_UNMAP, 16 },  { VIRTIO_PVDMA_T_RELEASE, 16 },
		{ VIRTIO_PVDMA_T_DETACH, 0 },  { VIRTIO_PVDMA_T_PREFETCH, 16 },
	};

	(void)state;
	for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
		uint16_t count = types[t].item_size ? 1 : 0;
		size_t len = start(types[t].type, count, types[t].item_size);

		for (size_t n = 0; n < sizeof(wire); n++) {
			memset(wire.bytes, 0, sizeof(wire.bytes));
			if (types[t].type >= VIRTIO_PVDMA_T_MAP)
				wire.ranges[0].count = htole32(1);
			assert_int_equal(decode(n),
					 n == len ? 0 : VERDICT_INVAL);
		}
	}
}

/* DEV-REQ-2, too: ... where count is 0 (other than in DETACH) ... */
static void test_count(void **state)
{
	static const struct {
		uint8_t type;
		uint16_t count;
		size_t item_size;
	} cases[] = {
		{ VIRTIO_PVDMA_T_INIT, 0, 24 },
		{ VIRTIO_PVDMA_T_INIT, 2, 24 },
		{ VIRTIO_PVDMA_T_LEAF, 0, 16 },
		{ VIRTIO_PVDMA_T_LEAF, MAX_RANGES + 1, 16 },
		{ VIRTIO_PVDMA_T_ATTACH, 0, 16 },
		{ VIRTIO_PVDMA_T_ATTACH, 2, 16 },
		{ VIRTIO_PVDMA_T_DETACH, 1, 16 },
		{ VIRTIO_PVDMA_T_MAP, 0, 16 },
		{ VIRTIO_PVDMA_T_UNMAP, 0, 16 },
		{ VIRTIO_PVDMA_T_RELEASE, 0, 16 },
		{ VIRTIO_PVDMA_T_PREFETCH, 0, 16 },
		{ VIRTIO_PVDMA_T_PREFETCH, MAX_RANGES + 1, 16 },
	};
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		len = start(cases[i].type, cases[i].count, cases[i].item_size);
		assert_int_equal(decode(len), VERDICT_INVAL);
	}
	len = start_map(MAX_RANGES);
	assert_int_equal(decode(len), 0);
	len = start_map(MAX_RANGES + 1);
	assert_int_equal(decode(len), VERDICT_INVAL);
	len = start_map(1);
	wire.head.count = 0xffff;
	assert_int_equal(decode(len), VERDICT_INVAL);
}

/* DEV-REQ-2, too: ... and where a reserved field is not zero. */
static void test_reserved(void **state)
{
	size_t len;

	(void)state;
	len = start_map(1);
	wire.head.flags = 1;
	assert_int_equal(decode(len), VERDICT_INVAL);
	len = start(VIRTIO_PVDMA_T_INIT, 1, sizeof(wire.init));
	wire.init.reserved[5] = 1;
	assert_int_equal(decode(len), VERDICT_INVAL);
	len = start(VIRTIO_PVDMA_T_INIT, 1, sizeof(wire.init));
	wire.head.endpoint = 1;
	assert_int_equal(decode(len), VERDICT_INVAL);
	len = start(VIRTIO_PVDMA_T_ATTACH, 1, sizeof(wire.attach));
	wire.attach.reserved[0] = 1;
	assert_int_equal(decode(len), VERDICT_INVAL);
	len = start_map(3);
	wire.ranges[2].flags = htole32(0x80000000);
	assert_int_equal(decode(len), VERDICT_INVAL);
	/* DEV-REQ-5: ... the number of the first item that failed ... */
	assert_int_equal(req.failed, 2);
}

/*
 * DEV-REQ-6: The device MUST answer INVAL where the ranges of a request have more
 * than 2^30 bytes in all.
 */
static void test_too_much(void **state)
{
	const uint32_t most = (1u << 30) >> limits.granule_shift;
	size_t len;

	(void)state;
	len = start_map(1);
	wire.ranges[0].count = htole32(most);
	assert_int_equal(decode(len), 0);
	wire.ranges[0].count = htole32(most + 1);
	assert_int_equal(decode(len), VERDICT_INVAL);
	len = start_map(3);
	for (int i = 0; i < 3; i++)
		wire.ranges[i].count = htole32(most / 2);
	assert_int_equal(decode(len), VERDICT_INVAL);
	assert_int_equal(req.failed, 2);
}

/* DEV-REQ-3: The device MUST answer an unknown type with UNSUPP. */
static void test_type(void **state)
{
	(void)state;
	for (int type = 0; type < 256; type++) {
		size_t len = start((uint8_t)type, 0, 0);
		bool known = type >= 1 && type <= 8;

		if (!known)
			assert_int_equal(decode(len), VERDICT_UNSUPP);
		if (!known)
			assert_int_equal(decode(len + 16), VERDICT_UNSUPP);
	}
}

static void test_ranges(void **state)
{
	uint64_t highest = UINT64_MAX >> 12;
	size_t len = start_map(2);

	(void)state;
	wire.ranges[1].first = htole64(highest);
	wire.ranges[1].count = htole32(1);
	assert_int_equal(decode(len), 0);
	assert_int_equal(ranges[1].last, highest);
	wire.ranges[1].count = htole32(2);
	assert_int_equal(decode(len), VERDICT_RANGE);
	assert_int_equal(req.failed, 1);
	wire.ranges[1].first = htole64(UINT64_MAX);
	assert_int_equal(decode(len), VERDICT_RANGE);
	wire.ranges[1].count = htole32(1);
	assert_int_equal(decode(len), VERDICT_RANGE);
	wire.ranges[1].first = 0;
	wire.ranges[1].count = htole32(UINT32_MAX);
	assert_int_equal(decode(len), VERDICT_INVAL);
	wire.ranges[1].count = 0;
	assert_int_equal(decode(len), VERDICT_INVAL);
	assert_int_equal(req.failed, 1);
}

static void test_max(void **state)
{
	struct decode_limits one = { .max_ranges = 1, .granule_shift = 12 };

	(void)state;
	assert_int_equal(decode_max(&limits), 8 + MAX_RANGES * 16);
	assert_int_equal(decode_max(&one), 8 + 24); /* INIT is the longest */
}

static void test_status(void **state)
{
	(void)state;
	assert_int_equal(status_of(0), VIRTIO_PVDMA_R_OK);
	assert_int_equal(status_of(-EIO), VIRTIO_PVDMA_R_IOERR);
	assert_int_equal(status_of(-ENOMEM), VIRTIO_PVDMA_R_IOERR);
	assert_int_equal(status_of(VERDICT_UNSUPP), VIRTIO_PVDMA_R_UNSUPP);
	assert_int_equal(status_of(VERDICT_INVAL), VIRTIO_PVDMA_R_INVAL);
	assert_int_equal(status_of(VERDICT_RANGE), VIRTIO_PVDMA_R_RANGE);
	assert_int_equal(status_of(VERDICT_NOENT), VIRTIO_PVDMA_R_NOENT);
	assert_int_equal(status_of(VERDICT_STATE), VIRTIO_PVDMA_R_STATE);
	assert_int_equal(status_of(VERDICT_QUOTA), VIRTIO_PVDMA_R_QUOTA);
	assert_int_equal(status_of(VERDICT_LIMIT), VIRTIO_PVDMA_R_LIMIT);
	assert_int_equal(status_of(VERDICT_BADMEM), VIRTIO_PVDMA_R_BADMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_other_types),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_count),
		cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_type),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_max),
		cmocka_unit_test(test_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
