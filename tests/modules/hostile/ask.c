// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ask.c - requests, and the life of a good driver made of them
 *
 * A queue's first two descriptors are those of q->request; each of its slots
 * has two of its own behind them.
 */
#include <linux/delay.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "hostile.h"

#define SLOT_DESC(i) (16 + 2 * (i))

void hostile_publish(struct hostile_queue *q, u16 head)
{
	q->avail->ring[q->published % HOSTILE_RING] = cpu_to_le16(head);
	q->published++;
	/* the entry before the index */
	smp_wmb();
	WRITE_ONCE(q->avail->idx, cpu_to_le16(q->published));
	/* the index before a kick */
	smp_mb();
}

void hostile_kick(struct hostile *h, unsigned int n)
{
	iowrite16(n, h->q[n].notify);
}

void hostile_set_desc(struct hostile_queue *q, u16 i, u64 addr, u32 len,
		      u16 flags, u16 next)
{
	q->desc[i] = (struct hostile_desc){
		.addr = cpu_to_le64(addr),
		.len = cpu_to_le32(len),
		.flags = cpu_to_le16(flags),
		.next = cpu_to_le16(next),
	};
}

bool hostile_await(struct hostile_queue *q, u16 until, unsigned int ms)
{
	unsigned long end = jiffies + msecs_to_jiffies(ms);
	u16 used;

	for (;;) {
		used = le16_to_cpu(READ_ONCE(q->used->idx));
		if ((s16)(used - until) >= 0)
			break;
		if (time_after(jiffies, end))
			return false;
		usleep_range(20, 100);
	}
	/* the answer is read after the index */
	smp_rmb();
	return true;
}

static int count_status(struct hostile *h, u8 status)
{
	atomic_inc(&h->status[min_t(u8, status, ARRAY_SIZE(h->status) - 1)]);
	return status;
}

int hostile_send(struct hostile *h, unsigned int n, u32 size, unsigned int ms)
{
	struct hostile_queue *q = &h->q[n];

	q->tail->status = VIRTIO_PVDMA_R_PENDING;
	hostile_set_desc(q, 0, virt_to_phys(q->request), size,
			 VRING_DESC_F_NEXT, 1);
	hostile_set_desc(q, 1, virt_to_phys(q->tail), sizeof(*q->tail),
			 VRING_DESC_F_WRITE, 0);
	atomic_inc(&h->sent);
	hostile_publish(q, 0);
	hostile_kick(h, n);
	if (hostile_await(q, q->published, ms))
		return count_status(h, READ_ONCE(q->tail->status));
	atomic_inc(&h->silent);
	return -ETIMEDOUT;
}

int hostile_ask(struct hostile *h, unsigned int n, u8 type, u32 endpoint,
		const void *items, size_t size, u16 count)
{
	u8 *request = h->q[n].request;
	struct virtio_pvdma_req_head head = {
		.type = type,
		.count = cpu_to_le16(count),
		.endpoint = cpu_to_le32(endpoint),
	};

	memcpy(request, &head, sizeof(head));
	if (items)
		memcpy(request + sizeof(head), items, size);
	return hostile_send(h, n, sizeof(head) + size, HOSTILE_PATIENCE_MS);
}

int hostile_range(struct hostile *h, unsigned int n, u8 type, u64 first,
		  u32 count)
{
	struct virtio_pvdma_range item = {
		.first = cpu_to_le64(first),
		.count = cpu_to_le32(count),
	};

	return hostile_ask(h, n, type, HOSTILE_ENDPOINT, &item, sizeof(item),
			   1);
}

struct slot {
	struct virtio_pvdma_req_head head;
	struct virtio_pvdma_range item;
	struct virtio_pvdma_req_tail tail;
};

void hostile_post(struct hostile *h, unsigned int n, u8 type, u64 first)
{
	struct hostile_queue *q = &h->q[n];
	struct slot *slot;
	unsigned int i;
	u16 at;

	BUILD_BUG_ON(sizeof(*slot) > HOSTILE_SLOT_SIZE);
	for (i = 0; i < HOSTILE_SLOTS; i++) {
		slot = (void *)(q->slots + i * HOSTILE_SLOT_SIZE);
		*slot = (struct slot){
			.head.type = type,
			.head.count = cpu_to_le16(1),
			.head.endpoint = cpu_to_le32(HOSTILE_ENDPOINT),
			.item.first = cpu_to_le64(first + i),
			.item.count = cpu_to_le32(1),
		};
		at = SLOT_DESC(i);
		hostile_set_desc(q, at, virt_to_phys(slot),
				 sizeof(slot->head) + sizeof(slot->item),
				 VRING_DESC_F_NEXT, at + 1);
		hostile_set_desc(q, at + 1, virt_to_phys(&slot->tail),
				 sizeof(slot->tail), VRING_DESC_F_WRITE, 0);
		atomic_inc(&h->sent);
		hostile_publish(q, at);
	}
	hostile_kick(h, n);
}

int hostile_init_on(struct hostile *h, unsigned int n)
{
	/* beside the request, which the same page holds */
	__le64 *nonce = (__le64 *)(h->q[n].slots + 2 * PAGE_SIZE);
	struct virtio_pvdma_init item = {
		.version = cpu_to_le16(VIRTIO_PVDMA_VERSION),
		.nonce_addr = cpu_to_le64(virt_to_phys(nonce)),
		.nonce = cpu_to_le64(jiffies | 1),
	};

	*nonce = item.nonce;
	return hostile_ask(h, n, VIRTIO_PVDMA_T_INIT, 0, &item, sizeof(item),
			   1);
}

int hostile_leaf(struct hostile *h, u64 index, u64 addr)
{
	struct virtio_pvdma_leaf item = {
		.index = cpu_to_le64(index),
		.addr = cpu_to_le64(addr),
	};

	return hostile_ask(h, 0, VIRTIO_PVDMA_T_LEAF, 0, &item, sizeof(item),
			   1);
}

/* The number of the @i-th page of a table. */
static u64 leaf_number(struct hostile *h, unsigned int i)
{
	if (i < h->nr_leaves)
		return i;
	return (i - h->nr_leaves) | VIRTIO_PVDMA_LEAF_BLOCKS;
}

int hostile_leaves(struct hostile *h, u8 *table)
{
	unsigned int i, n, done = 0, all = h->nr_leaves + h->nr_blocks;
	struct virtio_pvdma_leaf *items;
	int r = 0;

	items = (void *)(h->q[0].request +
			 sizeof(struct virtio_pvdma_req_head));
	for (; done < all && !r; done += n) {
		n = min(all - done, h->max_ranges);
		for (i = 0; i < n; i++) {
			items[i].index = cpu_to_le64(leaf_number(h, done + i));
			items[i].addr = cpu_to_le64(virt_to_phys(table) +
						    (done + i) * PAGE_SIZE);
		}
		r = hostile_ask(h, 0, VIRTIO_PVDMA_T_LEAF, 0, NULL,
				n * sizeof(*items), n);
	}
	return r;
}

int hostile_attach(struct hostile *h, u32 endpoint, u8 strategy)
{
	struct virtio_pvdma_attach item = {
		.dma_mask = cpu_to_le64(U64_MAX),
		.strategy = strategy,
	};

	return hostile_ask(h, 0, VIRTIO_PVDMA_T_ATTACH, endpoint, &item,
			   sizeof(item), 1);
}

int hostile_session(struct hostile *h)
{
	int r = hostile_open(h, hostile_offered(h));

	memset(h->table, 0, PAGE_SIZE << h->table_order);
	if (!r)
		r = hostile_init_on(h, 0);
	if (!r)
		r = hostile_leaves(h, h->table);
	if (!r)
		r = hostile_attach(h, HOSTILE_ENDPOINT,
				   VIRTIO_PVDMA_S_ON_DEMAND);
	hostile_check(h, !r, "a session does not begin: %d", r);
	return r ? -EIO : 0;
}

u64 hostile_granule(struct hostile *h, const void *at)
{
	return virt_to_phys((void *)at) >> h->shift;
}

u64 hostile_area(struct hostile *h, unsigned int i)
{
	return hostile_granule(h, h->area[i % HOSTILE_AREAS]);
}

u64 hostile_area_granules(struct hostile *h)
{
	return HOSTILE_AREA_SIZE >> h->shift;
}

u32 *hostile_word(struct hostile *h, u64 granule)
{
	return (u32 *)h->table + granule;
}

void hostile_sane(struct hostile *h)
{
	u64 at = hostile_area(h, 0);
	u32 *word = hostile_word(h, at), is;
	int r;

	if (hostile_session(h))
		return;
	/* strict, or the host may map again what was unmapped */
	r = hostile_attach(h, HOSTILE_ENDPOINT, VIRTIO_PVDMA_S_SHARED);
	hostile_check(h, !r, "afterwards, an ATTACH gives %d", r);
	*word = 1;
	r = hostile_range(h, 0, VIRTIO_PVDMA_T_MAP, at, 1);
	is = READ_ONCE(*word);
	hostile_check(h, r == VIRTIO_PVDMA_R_OK && (is & VIRTIO_PVDMA_W_MAPPED),
		      "afterwards, a MAP gives %d, its word is %#x", r, is);
	*word = is & ~VIRTIO_PVDMA_W_COUNT;
	r = hostile_range(h, 0, VIRTIO_PVDMA_T_UNMAP, at, 1);
	is = READ_ONCE(*word);
	hostile_check(h,
		      r == VIRTIO_PVDMA_R_OK && !(is & VIRTIO_PVDMA_W_MAPPED),
		      "afterwards, an UNMAP gives %d, its word is %#x", r, is);
	r = hostile_ask(h, 0, VIRTIO_PVDMA_T_DETACH, HOSTILE_ENDPOINT, NULL, 0,
			0);
	hostile_check(h, r == VIRTIO_PVDMA_R_OK,
		      "afterwards, a DETACH gives %d", r);
	hostile_reset(h);
}
