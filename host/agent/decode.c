// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * decode.c - from bytes of the guest to numbers that are within bounds
 *
 * Owns nothing. Invariant: what is returned with 0 has a known type, as many
 * items as it says, zeroes where zeroes must be, and ranges that do not wrap.
 * Locks: none. In a request's way: the first step after the copy.
 */
#include "host/agent/decode.h"

#include <endian.h>
#include <string.h>

#include "host/agent/status.h"
#include "host/lib/macros.h"
#include "protocol/virtio_pvdma.h"

/* The shape of a type: how many items of what size. */
struct shape {
	uint16_t item_size; /* bytes; 0 with max 0: no items */
	uint16_t min, max;  /* items */
	bool endpoint;	    /* is one named? else it must be 0 */
	uint8_t flags_max;
};

static bool find_shape(uint8_t type, uint16_t max_ranges, struct shape *ret)
{
	switch (type) {
	case VIRTIO_PVDMA_T_INIT:
		*ret = (struct shape){ sizeof(struct virtio_pvdma_init), 1, 1,
				       false, 0 };
		return true;
	case VIRTIO_PVDMA_T_LEAF:
		*ret = (struct shape){ sizeof(struct virtio_pvdma_leaf), 1,
				       max_ranges, false, 0 };
		return true;
	case VIRTIO_PVDMA_T_ATTACH:
		*ret = (struct shape){ sizeof(struct virtio_pvdma_attach), 1, 1,
				       true, 0 };
		return true;
	case VIRTIO_PVDMA_T_DETACH:
		*ret = (struct shape){ 0, 0, 0, true, 0 };
		return true;
	case VIRTIO_PVDMA_T_MAP:
	case VIRTIO_PVDMA_T_UNMAP:
	case VIRTIO_PVDMA_T_RELEASE:
		*ret = (struct shape){ sizeof(struct virtio_pvdma_range), 1,
				       max_ranges, true, 0 };
		return true;
	case VIRTIO_PVDMA_T_PREFETCH:
		*ret = (struct shape){ sizeof(struct virtio_pvdma_range), 1,
				       max_ranges, true,
				       VIRTIO_PVDMA_SAMPLE_MAX };
		return true;
	default:
		return false;
	}
}

static bool all_zero(const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] != 0)
			return false;
	}
	return true;
}

static int decode_init(const uint8_t *items, struct request *ret)
{
	struct virtio_pvdma_init item;

	memcpy(&item, items, sizeof(item));
	if (!all_zero(item.reserved, sizeof(item.reserved)))
		return VERDICT_INVAL;
	ret->init = (struct request_init){
		.version = le16toh(item.version),
		.nonce_addr = le64toh(item.nonce_addr),
		.nonce = le64toh(item.nonce),
	};
	return 0;
}

static int decode_attach(const uint8_t *items, struct request *ret)
{
	struct virtio_pvdma_attach item;

	memcpy(&item, items, sizeof(item));
	if (!all_zero(item.reserved, sizeof(item.reserved)))
		return VERDICT_INVAL;
	ret->attach = (struct request_attach){
		.dma_mask = le64toh(item.dma_mask),
		.strategy = item.strategy,
	};
	return 0;
}

static int decode_leaves(const uint8_t *items, struct request *ret)
{
	struct virtio_pvdma_leaf item;

	for (uint16_t i = 0; i < ret->count; i++) {
		memcpy(&item, items + i * sizeof(item), sizeof(item));
		ret->leaves[i] = (struct request_leaf){
			.index = le64toh(item.index),
			.addr = le64toh(item.addr),
		};
	}
	return 0;
}

static int decode_ranges(const uint8_t *items, uint8_t granule_shift,
			 struct request *ret)
{
	uint64_t highest = UINT64_MAX >> granule_shift;
	uint64_t left = VIRTIO_PVDMA_REQ_BYTES >> granule_shift;
	struct virtio_pvdma_range item;

	for (uint16_t i = 0; i < ret->count; i++) {
		struct granules *range = &ret->ranges[i];

		ret->failed = i;
		memcpy(&item, items + i * sizeof(item), sizeof(item));
		if (item.flags != 0)
			return VERDICT_INVAL;
		range->first = le64toh(item.first);
		if (item.count == 0)
			return VERDICT_INVAL;
		if (!range_last(range->first, le32toh(item.count),
				&range->last) ||
		    range->last > highest)
			return VERDICT_RANGE;
		/* whatever is asked for, it does not take long */
		if (le32toh(item.count) > left)
			return VERDICT_INVAL;
		left -= le32toh(item.count);
	}
	ret->failed = 0;
	return 0;
}

size_t decode_max(const struct decode_limits *limits)
{
	size_t items = limits->max_ranges * sizeof(struct virtio_pvdma_range);

	return sizeof(struct virtio_pvdma_req_head) +
	       max(items, sizeof(struct virtio_pvdma_init));
}

int decode_request(const void *buf, size_t len,
		   const struct decode_limits *limits, struct request *ret)
{
	const uint8_t *items =
		(const uint8_t *)buf + sizeof(struct virtio_pvdma_req_head);
	struct virtio_pvdma_req_head head;
	struct shape shape;

	ret->type = 0;
	ret->sample = 0;
	ret->failed = 0;
	ret->mapped = 0;
	if (len < sizeof(head))
		return VERDICT_INVAL;
	memcpy(&head, buf, sizeof(head));
	if (!find_shape(head.type, limits->max_ranges, &shape))
		return VERDICT_UNSUPP;
	ret->type = head.type;
	ret->sample = head.flags;
	ret->count = le16toh(head.count);
	ret->endpoint = le32toh(head.endpoint);
	if (head.flags > shape.flags_max || ret->count < shape.min ||
	    ret->count > shape.max ||
	    len != sizeof(head) + (size_t)ret->count * shape.item_size ||
	    (!shape.endpoint && ret->endpoint != 0))
		return VERDICT_INVAL;
	switch (ret->type) {
	case VIRTIO_PVDMA_T_INIT:
		return decode_init(items, ret);
	case VIRTIO_PVDMA_T_LEAF:
		return decode_leaves(items, ret);
	case VIRTIO_PVDMA_T_ATTACH:
		return decode_attach(items, ret);
	case VIRTIO_PVDMA_T_DETACH:
		return 0;
	default:
		return decode_ranges(items, limits->granule_shift, ret);
	}
}
