// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ring.c - attacks on the virtqueues
 *
 * A malformed ring ends its queue's service until the next reset, so each such
 * ring costs one. After it nothing may have been answered (DEV-QUEUE-2), and
 * nothing written beside the rings.
 */
#include <linux/delay.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "hostile.h"

#define CHAIN_ROUNDS 2
#define FLUX_ROUNDS  10
#define FLUX_MS	     40
#define PATTERN	     0x77

#define NEXT	 VRING_DESC_F_NEXT
#define WRITABLE VRING_DESC_F_WRITE

/* A MAP in the first two descriptors, which the attack then spoils. */
static void good_chain(struct hostile *h, struct hostile_queue *q)
{
	struct {
		struct virtio_pvdma_req_head head;
		struct virtio_pvdma_range item;
	} map = {
		.head.type = VIRTIO_PVDMA_T_MAP,
		.head.count = cpu_to_le16(1),
		.head.endpoint = cpu_to_le32(HOSTILE_ENDPOINT),
		.item.first = cpu_to_le64(hostile_area(h, 0)),
		.item.count = cpu_to_le32(1),
	};

	memcpy(q->request, &map, sizeof(map));
	hostile_set_desc(q, 0, virt_to_phys(q->request), sizeof(map), NEXT, 1);
	hostile_set_desc(q, 1, virt_to_phys(q->tail), sizeof(*q->tail),
			 WRITABLE, 0);
}

static u64 request_at(struct hostile_queue *q)
{
	return virt_to_phys(q->request);
}

/* --- malformed: each is fatal for the queue --- */

static void loop_of_one(struct hostile *h, struct hostile_queue *q)
{
	hostile_set_desc(q, 0, request_at(q), 1, NEXT, 0);
	hostile_publish(q, 0);
}

static void loop_of_all(struct hostile *h, struct hostile_queue *q)
{
	unsigned int i;

	for (i = 0; i < HOSTILE_RING; i++)
		hostile_set_desc(q, i, request_at(q), PAGE_SIZE, NEXT,
				 (i + 1) % HOSTILE_RING);
	hostile_publish(q, 0);
}

static void loop_of_zeroes(struct hostile *h, struct hostile_queue *q)
{
	hostile_set_desc(q, 0, 0, 0, NEXT, 1);
	hostile_set_desc(q, 1, 0, 0, NEXT, 0);
	hostile_publish(q, 0);
}

static void next_outside(struct hostile *h, struct hostile_queue *q)
{
	hostile_set_desc(q, 0, request_at(q), 24, NEXT, HOSTILE_RING);
	hostile_publish(q, 0);
}

static void next_far_outside(struct hostile *h, struct hostile_queue *q)
{
	hostile_set_desc(q, 0, request_at(q), 24, NEXT, U16_MAX);
	hostile_publish(q, 0);
}

static void head_outside(struct hostile *h, struct hostile_queue *q)
{
	hostile_publish(q, HOSTILE_RING + hostile_random(h) % 60000);
}

static void indirect(struct hostile *h, struct hostile_queue *q)
{
	memcpy(q->slots, q->desc, 32);
	hostile_set_desc(q, 0, virt_to_phys(q->slots), 32,
			 VRING_DESC_F_INDIRECT, 0);
	hostile_publish(q, 0);
}

static void indirect_in_chain(struct hostile *h, struct hostile_queue *q)
{
	hostile_set_desc(q, 1, virt_to_phys(q->desc), U32_MAX,
			 VRING_DESC_F_INDIRECT | WRITABLE, 0);
	hostile_publish(q, 0);
}

static void wrong_order(struct hostile *h, struct hostile_queue *q)
{
	hostile_set_desc(q, 0, virt_to_phys(q->tail), 8, WRITABLE | NEXT, 1);
	hostile_set_desc(q, 1, request_at(q), 24, 0, 0);
	hostile_publish(q, 0);
}

static void readable_in_mmio(struct hostile *h, struct hostile_queue *q)
{
	hostile_set_desc(q, 0, 0xfee00000, 24, NEXT, 1);
	hostile_publish(q, 0);
}

static void writable_in_mmio(struct hostile *h, struct hostile_queue *q)
{
	hostile_set_desc(q, 1, h->mmio, 8, WRITABLE, 0);
	hostile_publish(q, 0);
}

static void address_wraps(struct hostile *h, struct hostile_queue *q)
{
	hostile_set_desc(q, 1, U64_MAX - 3, 8, WRITABLE, 0);
	hostile_publish(q, 0);
}

static void longer_than_memory(struct hostile *h, struct hostile_queue *q)
{
	hostile_set_desc(q, 1, virt_to_phys(q->tail), U32_MAX, WRITABLE, 0);
	hostile_publish(q, 0);
}

static void across_the_end(struct hostile *h, struct hostile_queue *q)
{
	hostile_set_desc(q, 1, h->mem - 4, 8, WRITABLE, 0);
	hostile_publish(q, 0);
}

static void index_jumps(struct hostile *h, struct hostile_queue *q)
{
	q->published += HOSTILE_RING + 1;
	WRITE_ONCE(q->avail->idx, cpu_to_le16(q->published));
}

static void index_goes_back(struct hostile *h, struct hostile_queue *q)
{
	q->published--;
	WRITE_ONCE(q->avail->idx, cpu_to_le16(q->published));
}

static void (*const malformed[])(struct hostile *h, struct hostile_queue *q) = {
	loop_of_one,	    loop_of_all,       loop_of_zeroes,
	next_outside,	    next_far_outside,  head_outside,
	indirect,	    indirect_in_chain, wrong_order,
	readable_in_mmio,   writable_in_mmio,  address_wraps,
	across_the_end,	    index_jumps,       index_goes_back,
	longer_than_memory,
};

static void no_answer(struct hostile *h, unsigned int n, unsigned int kind)
{
	struct hostile_queue *q = &h->q[n];
	u16 used = le16_to_cpu(READ_ONCE(q->used->idx));

	hostile_check(h, !used, "malformed ring %u is answered %u times", kind,
		      used);
	hostile_check(h, q->tail->status == PATTERN,
		      "malformed ring %u has an answer written", kind);
}

static int attack_chains(struct hostile *h, char *args)
{
	unsigned int i, n;
	int err;

	for (i = 0; i < CHAIN_ROUNDS * ARRAY_SIZE(malformed); i += 2) {
		err = hostile_open(h, hostile_offered(h));
		if (err)
			return err;
		for (n = 0; n < HOSTILE_QUEUES; n++) {
			good_chain(h, &h->q[n]);
			memset(h->q[n].tail, PATTERN, PAGE_SIZE);
			malformed[(i + n) % ARRAY_SIZE(malformed)](h, &h->q[n]);
			hostile_kick(h, n);
		}
		hostile_sync(h);
		for (n = 0; n < HOSTILE_QUEUES; n++)
			no_answer(h, n, (i + n) % ARRAY_SIZE(malformed));
	}
	return 0;
}

/* --- odd, and to be answered --- */

/* Pieces of every length, zero too; answers that do not fit, or fit tenfold. */
static int attack_pieces(struct hostile *h, char *args)
{
	struct hostile_queue *q = &h->q[0];
	unsigned int i, n, at;
	int err = hostile_session(h);

	for (n = 1; n < HOSTILE_RING && !err; n += 1 + n / 3) {
		good_chain(h, q);
		for (i = 0; i < n; i++) {
			at = min(i, 24u);
			hostile_set_desc(q, i, request_at(q) + at,
					 i == n - 1 ? 24 - at : i < 24, NEXT,
					 i + 1);
		}
		hostile_set_desc(q, n, virt_to_phys(q->tail), n % 16, WRITABLE,
				 0);
		hostile_publish(q, 0);
		hostile_kick(h, 0);
		hostile_check(
			h, hostile_await(q, q->published, HOSTILE_PATIENCE_MS),
			"a chain of %u pieces is not answered", n);
		at = le32_to_cpu(
			q->used->ring[(u16)(q->published - 1) % HOSTILE_RING]
				.len);
		hostile_check(h, at == (n % 16 < 8 ? 0 : 8),
			      "an answer of %u bytes has room for %u", n % 16,
			      at);
	}
	/* all of memory as one piece: a request that is too long */
	for (i = 0; i < 20 && !err; i++) {
		good_chain(h, q);
		hostile_set_desc(q, 0, SZ_1M, h->mem - SZ_1M - SZ_2M, NEXT, 1);
		hostile_publish(q, 0);
		hostile_kick(h, 0);
		hostile_await(q, q->published, HOSTILE_PATIENCE_MS);
		hostile_check(h, q->tail->status != VIRTIO_PVDMA_R_OK,
			      "all of memory is a request");
	}
	/* one head 200 times, and the answer on the request */
	hostile_set_desc(q, 0, request_at(q), 24, NEXT, 1);
	hostile_set_desc(q, 1, request_at(q), 24, WRITABLE, 0);
	for (i = 0; i < 200 && !err; i++)
		hostile_publish(q, 0);
	hostile_kick(h, 0);
	hostile_check(
		h, err || hostile_await(q, q->published, HOSTILE_PATIENCE_MS),
		"one head, 200 times, is not answered");
	return err;
}

/* --- under way --- */

/*
 * Which bytes: the first two descriptors, the rings' first entries, the head
 * and its item. Where the answer goes stays within our pages, or leaves all of
 * memory (bytes 2 and 3 of its address); and no item becomes the address of a
 * leaf (byte 0 of its count).
 */
static bool may_change(unsigned int part, unsigned int at)
{
	return !(part == 0 && (at == 18 || at == 19)) &&
	       !(part == 1 && at == 16);
}

static int flux_worker(void *data)
{
	struct hostile_worker *w = data;
	struct hostile_queue *q = &w->h->q[0];
	u8 *parts[] = { (u8 *)q->desc, q->request, (u8 *)q->avail,
			(u8 *)q->used };
	unsigned int part, at;
	u8 *byte, was;
	u32 r;

	while (!kthread_should_stop()) {
		r = hostile_worker_random(w);
		part = r % ARRAY_SIZE(parts);
		at = (r >> 8) % 32;
		if (!may_change(part, at))
			continue;
		byte = parts[part] + at;
		was = READ_ONCE(*byte);
		WRITE_ONCE(*byte, r >> 16);
		if (r & BIT(31))
			WRITE_ONCE(*byte, was);
		if (!(r >> 8 & 0xff))
			cond_resched();
	}
	return 0;
}

/*
 * The other CPU changes descriptors, indices and requests while the agent reads
 * them. What the ring says is anything then: when nobody answers, it is begun
 * anew.
 */
static int attack_flux(struct hostile *h, char *args)
{
	struct hostile_worker w = {};
	unsigned int i, lives = 0;
	int err = 0, j;

	for (i = 0; i < FLUX_ROUNDS && !err; i++, lives++) {
		err = hostile_session(h);
		if (err)
			break;
		err = hostile_start(&w, h, 0, flux_worker);
		for (j = 0; j < 100 && !err; j++) {
			good_chain(h, &h->q[0]);
			if (hostile_send(h, 0, 24, FLUX_MS) == -ETIMEDOUT)
				break;
		}
		hostile_stop(&w);
	}
	scnprintf(h->text, sizeof(h->text), "lives %u\n", lives);
	return err;
}

const struct hostile_attack hostile_rings[] = { { "chains", attack_chains },
						{ "pieces", attack_pieces },
						{ "flux", attack_flux },
						{} };
