/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * encode.h - requests in the shape that the wire wants
 */
#ifndef PVDMA_ENCODE_H
#define PVDMA_ENCODE_H

#include "env.h"

union pvdma_item {
	struct virtio_pvdma_range range;
	struct virtio_pvdma_leaf leaf;
	struct virtio_pvdma_attach attach;
};

/*
 * A request as it lies in memory: the device writes the tail, and reads the
 * head with the items behind it.
 */
struct pvdma_msg {
	struct virtio_pvdma_req_tail tail;
	struct virtio_pvdma_req_head head;
	union pvdma_item item[];
};

/* As many items as fit into a page */
#define PVDMA_MSG_ITEMS \
	((PAGE_SIZE - sizeof(struct pvdma_msg)) / sizeof(union pvdma_item))

/* Starts a request of no items whose status is PENDING. */
void pvdma_encode_begin(struct pvdma_msg *msg, u8 type, u32 endpoint);

/* The item of INIT; takes the room of two items. */
void pvdma_encode_init(struct pvdma_msg *msg, u64 nonce_addr, u64 nonce);

/* The item of ATTACH. */
void pvdma_encode_attach(struct pvdma_msg *msg, u64 dma_mask, u8 strategy);

/*
 * Add a leaf to LEAF, @n granules to MAP or UNMAP. What is there already is
 * not added twice; neighbours become one range, though two that grow towards
 * each other stay two, and may overlap. False where the request has @max items
 * and would need another one: then nothing has changed.
 */
bool pvdma_encode_leaf(struct pvdma_msg *msg, u16 max, u64 leaf, u64 addr);
bool pvdma_encode_granules(struct pvdma_msg *msg, u16 max, u64 first, u32 n);

/* Which items of a message are held by words of blocks; a bit each */
struct pvdma_levels {
	u64 blocks[(PVDMA_MSG_ITEMS + 63) / 64];
};

static inline bool pvdma_levels_block(const struct pvdma_levels *l, u16 item)
{
	return l->blocks[item / 64] >> item % 64 & 1;
}

/*
 * As pvdma_encode_granules(), for granules that are held by one word, of a
 * @block or not. What is held by words of another level is another item, for
 * whoever wants to hold the items' words once more: there is none of the other
 * level.
 */
bool pvdma_encode_word(struct pvdma_msg *msg, u16 max, struct pvdma_levels *l,
		       bool block, u64 first, u32 n);

u16 pvdma_encode_count(const struct pvdma_msg *msg);

/* The granules that the items of a MAP or UNMAP name. */
u64 pvdma_encode_sum(const struct pvdma_msg *msg);

/* May it name @n more, of 1 << @shift bytes (DRV-REQ-3)? */
bool pvdma_encode_fits(const struct pvdma_msg *msg, u32 n, unsigned int shift);

/* The bytes of head and items. */
size_t pvdma_encode_bytes(const struct pvdma_msg *msg);

/*
 * What the device answered, @used being the bytes that it says it wrote: 0,
 * or what the DMA API may return: -EINVAL, -ENOMEM, -EIO.
 */
int pvdma_encode_result(const struct pvdma_msg *msg, u32 used);

/* The status in words, for messages. Never NULL. */
const char *pvdma_encode_status(const struct pvdma_msg *msg);

#endif
