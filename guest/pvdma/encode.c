// SPDX-License-Identifier: GPL-2.0-only
/*
 * encode.c - part of step 5: requests and answers, byte by byte
 *
 * Owns nothing and locks nothing: it works on the message that it is given.
 * Invariant: a message has never more items than its caller allows, and its
 * type and count always agree.
 */
#include "encode.h"

void pvdma_encode_begin(struct pvdma_msg *msg, u8 type, u32 endpoint)
{
	msg->head = (struct virtio_pvdma_req_head){
		.type = type,
		.endpoint = cpu_to_le32(endpoint),
	};
	msg->tail = (struct virtio_pvdma_req_tail){
		.status = VIRTIO_PVDMA_R_PENDING,
	};
}

void pvdma_encode_init(struct pvdma_msg *msg, u64 nonce_addr, u64 nonce)
{
	struct virtio_pvdma_init init = {
		.version = cpu_to_le16(VIRTIO_PVDMA_VERSION),
		.nonce_addr = cpu_to_le64(nonce_addr),
		.nonce = cpu_to_le64(nonce),
	};

	BUILD_BUG_ON(sizeof(init) > 2 * sizeof(union pvdma_item));
	memcpy((u8 *)msg + sizeof(*msg), &init, sizeof(init));
	msg->head.count = cpu_to_le16(1);
}

void pvdma_encode_attach(struct pvdma_msg *msg, u64 dma_mask, u8 strategy)
{
	msg->item[0].attach = (struct virtio_pvdma_attach){
		.dma_mask = cpu_to_le64(dma_mask),
		.strategy = strategy,
	};
	msg->head.count = cpu_to_le16(1);
}

bool pvdma_encode_leaf(struct pvdma_msg *msg, u16 max, u64 leaf, u64 addr)
{
	u16 i, n = pvdma_encode_count(msg);

	for (i = 0; i < n; i++)
		if (msg->item[i].leaf.index == cpu_to_le64(leaf))
			return true;
	if (n >= max)
		return false;
	msg->item[n].leaf = (struct virtio_pvdma_leaf){
		.index = cpu_to_le64(leaf),
		.addr = cpu_to_le64(addr),
	};
	msg->head.count = cpu_to_le16(n + 1);
	return true;
}

/*
 * Adds [@first, @last] to @r if they overlap or touch.
 */
static bool pvdma_encode_join(struct virtio_pvdma_range *r, u64 first, u64 last)
{
	u64 rfirst = le64_to_cpu(r->first);
	u64 rlast = rfirst + le32_to_cpu(r->count) - 1;

	if (first > rlast + 1 || rfirst > last + 1)
		return false;
	first = min(first, rfirst);
	last = max(last, rlast);
	if (last - first >= U32_MAX)
		return false;
	r->first = cpu_to_le64(first);
	r->count = cpu_to_le32(last - first + 1);
	return true;
}

static bool pvdma_encode_append(struct pvdma_msg *msg, u16 max, u64 first,
				u32 n)
{
	u16 count = pvdma_encode_count(msg);

	if (count >= max)
		return false;
	msg->item[count].range = (struct virtio_pvdma_range){
		.first = cpu_to_le64(first),
		.count = cpu_to_le32(n),
	};
	msg->head.count = cpu_to_le16(count + 1);
	return true;
}

/*
 * A scatter list goes up and down and comes back to a large granule again and
 * again, so each range is looked at. There are few of them, and the answer to
 * a request takes longer than this.
 */
bool pvdma_encode_granules(struct pvdma_msg *msg, u16 max, u64 first, u32 n)
{
	u16 i, count = pvdma_encode_count(msg);

	for (i = 0; i < count; i++)
		if (pvdma_encode_join(&msg->item[i].range, first,
				      first + n - 1))
			return true;
	return pvdma_encode_append(msg, max, first, n);
}

bool pvdma_encode_word(struct pvdma_msg *msg, u16 max, struct pvdma_levels *l,
		       bool block, u64 first, u32 n)
{
	u16 i, count = pvdma_encode_count(msg);

	for (i = 0; i < count; i++)
		if (pvdma_levels_block(l, i) == block &&
		    pvdma_encode_join(&msg->item[i].range, first,
				      first + n - 1))
			return true;
	if (!pvdma_encode_append(msg, max, first, n))
		return false;
	l->blocks[count / 64] &= ~(1ull << count % 64);
	l->blocks[count / 64] |= (u64)block << count % 64;
	return true;
}

u16 pvdma_encode_count(const struct pvdma_msg *msg)
{
	return le16_to_cpu(msg->head.count);
}

u64 pvdma_encode_sum(const struct pvdma_msg *msg)
{
	u16 i, n = pvdma_encode_count(msg);
	u64 sum = 0;

	for (i = 0; i < n; i++)
		sum += le32_to_cpu(msg->item[i].range.count);
	return sum;
}

bool pvdma_encode_fits(const struct pvdma_msg *msg, u32 n, unsigned int shift)
{
	return pvdma_encode_sum(msg) + n <= VIRTIO_PVDMA_REQ_BYTES >> shift;
}

size_t pvdma_encode_bytes(const struct pvdma_msg *msg)
{
	size_t head = sizeof(msg->head), n = pvdma_encode_count(msg);

	switch (msg->head.type) {
	case VIRTIO_PVDMA_T_INIT:
		return head + n * sizeof(struct virtio_pvdma_init);
	case VIRTIO_PVDMA_T_DETACH:
		return head;
	default:
		return head + n * sizeof(union pvdma_item);
	}
}

/*
 * One table of all statuses. The errors are those that dma_map_sg() may
 * return; -ENOMEM makes drivers try again later, which is right where the
 * host lacks room and not where it refuses.
 */
static const struct {
	const char *name;
	int err;
} pvdma_statuses[] = {
	[VIRTIO_PVDMA_R_OK] = { "OK", 0 },
	[VIRTIO_PVDMA_R_IOERR] = { "IOERR (the host failed)", -EIO },
	[VIRTIO_PVDMA_R_UNSUPP] = { "UNSUPP (not supported)", -EIO },
	[VIRTIO_PVDMA_R_INVAL] = { "INVAL (malformed request)", -EINVAL },
	[VIRTIO_PVDMA_R_RANGE] = { "RANGE (not guest memory)", -EINVAL },
	[VIRTIO_PVDMA_R_NOENT] = { "NOENT (no such endpoint or leaf)", -EIO },
	[VIRTIO_PVDMA_R_STATE] = { "STATE (not initialised or attached)",
				   -EIO },
	[VIRTIO_PVDMA_R_QUOTA] = { "QUOTA (all of the quota is in use)",
				   -ENOMEM },
	[VIRTIO_PVDMA_R_LIMIT] = { "LIMIT (a limit of the host's system)",
				   -ENOMEM },
	[VIRTIO_PVDMA_R_BADMEM] = { "BADMEM (the host sees other memory)",
				    -EIO },
};

int pvdma_encode_result(const struct pvdma_msg *msg, u32 used)
{
	u8 status = READ_ONCE(msg->tail.status);

	/* fewer bytes than a tail: the host could not even answer */
	if (used < sizeof(msg->tail) || status >= ARRAY_SIZE(pvdma_statuses))
		return -EIO;
	return pvdma_statuses[status].err;
}

const char *pvdma_encode_status(const struct pvdma_msg *msg)
{
	u8 status = READ_ONCE(msg->tail.status);

	if (status == VIRTIO_PVDMA_R_PENDING)
		return "no answer";
	if (status >= ARRAY_SIZE(pvdma_statuses))
		return "an unknown status";
	return pvdma_statuses[status].name;
}
