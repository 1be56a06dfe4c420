// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * table.c - attacks on the tracking table
 *
 * Words that lie, words that change all the time, and leaves that are where
 * leaves must not be. The host may write to what was registered, and that is
 * this guest's own harm; so what is registered here are pages of our own.
 */
#include <linux/virtio_config.h>

#include "hostile.h"

#define SCRIBBLE_ROUNDS 400
#define LIE_ROUNDS	12
#define ROOT_ROUNDS	10
#define PATTERN		0x3c

static unsigned int table_words(struct hostile *h)
{
	return (h->nr_leaves + h->nr_blocks) * VIRTIO_PVDMA_LEAF_WORDS;
}

/* Random granules of the areas, up to an extent of them. */
static u64 any_granule(struct hostile *h, u32 *ret_count)
{
	u32 all = hostile_area_granules(h), most = min(64u, all / 2);

	*ret_count = 1 + hostile_random(h) % most;
	return hostile_area(h, hostile_random(h)) +
	       hostile_random(h) % (all - most);
}

static void map_anything(struct hostile *h, unsigned int rounds)
{
	unsigned int i;
	u32 count;
	u64 at;

	for (i = 0; i < rounds; i++) {
		at = any_granule(h, &count);
		hostile_range(h, 0, VIRTIO_PVDMA_T_MAP + hostile_random(h) % 4,
			      at, count);
	}
}

static int scribble_worker(void *data)
{
	struct hostile_worker *w = data;
	unsigned int n = table_words(w->h), i;
	u32 *words = (u32 *)w->h->table;

	while (!kthread_should_stop()) {
		for (i = 0; i < 4096; i++)
			WRITE_ONCE(words[hostile_worker_random(w) % n],
				   hostile_worker_random(w) &
					   hostile_worker_random(w));
		cond_resched();
	}
	return 0;
}

/* Other CPUs write anything to all words, while the host evicts by them. */
static int attack_scribble(struct hostile *h, char *args)
{
	struct hostile_worker w[2] = {};
	int err = hostile_session(h);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(w) && !err; i++)
		err = hostile_start(&w[i], h, i, scribble_worker);
	for (i = 0; i < SCRIBBLE_ROUNDS / 50 && !err; i++) {
		map_anything(h, 50);
		hostile_ask(h, 0, VIRTIO_PVDMA_T_DETACH, HOSTILE_ENDPOINT, NULL,
			    0, 0);
		hostile_attach(h, HOSTILE_ENDPOINT, i % 4);
	}
	for (i = 0; i < ARRAY_SIZE(w); i++)
		hostile_stop(&w[i]);
	return err;
}

static void set_words(struct hostile *h, u32 value)
{
	u32 *words = (u32 *)h->table;
	unsigned int i;

	for (i = 0; i < table_words(h); i++)
		WRITE_ONCE(words[i], value);
}

/*
 * All is held, all is said to be mapped, nothing is said to be: the quota is
 * filled under each of these, and what is mapped is the host's to know.
 */
static int attack_lies(struct hostile *h, char *args)
{
	static const u32 lies[] = {
		VIRTIO_PVDMA_W_COUNT,
		VIRTIO_PVDMA_W_MAPPED,
		0,
		U32_MAX,
		VIRTIO_PVDMA_W_MAPPED | VIRTIO_PVDMA_W_COUNT,
		VIRTIO_PVDMA_W_RESERVED,
		VIRTIO_PVDMA_W_REFERENCED | 1,
	};
	u32 part = (h->quota >> h->shift) / 4;
	unsigned int i, j;
	int r, err = 0;

	for (i = 0; i < ARRAY_SIZE(lies) && !err; i++) {
		err = hostile_session(h);
		for (j = 0; j < LIE_ROUNDS && !err; j++) {
			set_words(h, lies[i]);
			r = hostile_range(
				h, 0, VIRTIO_PVDMA_T_MAP,
				hostile_area(h, j / 4) + (j % 4) * part, part);
			hostile_check(h,
				      r == VIRTIO_PVDMA_R_OK ||
					      (j >= 2 &&
					       r == VIRTIO_PVDMA_R_QUOTA),
				      "MAP %u with words of %#x: status %d", j,
				      lies[i], r);
			/* the next one claims what this one gave */
			hostile_range(h, 0, VIRTIO_PVDMA_T_UNMAP,
				      hostile_area(h, j), 3);
		}
	}
	return err;
}

/* --- leaves where they must not be --- */

static void leaf_pages(struct hostile *h, void **to)
{
	struct hostile_queue *q = &h->q[0];
	unsigned int i = 0;

	to[i++] = q->desc;
	to[i++] = q->avail;
	to[i++] = q->used;
	to[i++] = q->tail;
	to[i++] = q->request;
	to[i++] = h->q[1].used;
}

/* One page is every leaf: words of granules are those of others, and blocks. */
static void alias_all(struct hostile *h, void *page)
{
	unsigned int i;

	for (i = 0; i < h->nr_leaves; i++)
		hostile_leaf(h, i, virt_to_phys(page));
	for (i = 0; i < h->nr_blocks; i++)
		hostile_leaf(h, i | VIRTIO_PVDMA_LEAF_BLOCKS,
			     virt_to_phys(page));
}

static int begin_without_leaves(struct hostile *h)
{
	int r = hostile_open(h, hostile_offered(h));

	if (!r)
		r = hostile_init_on(h, 0);
	if (!r)
		r = hostile_attach(h, HOSTILE_ENDPOINT, 3);
	hostile_check(h, !r, "a session does not begin: %d", r);
	return r ? -EIO : 0;
}

/* Quick maps of much; the ring may be destroyed by then, so nobody waits. */
static void map_blindly(struct hostile *h)
{
	unsigned int i;

	for (i = 0; i < HOSTILE_QUEUES; i++) {
		hostile_post(h, i, VIRTIO_PVDMA_T_MAP, hostile_area(h, i));
		hostile_post(h, i, VIRTIO_PVDMA_T_UNMAP, hostile_area(h, i));
	}
	hostile_sync(h);
}

static int attack_leaves(struct hostile *h, char *args)
{
	void *pages[6];
	unsigned int i;
	int err;

	leaf_pages(h, pages);
	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		err = begin_without_leaves(h);
		if (err)
			return err;
		/* the leaf of what is mapped, or there is nothing to write */
		hostile_leaf(h, hostile_area(h, 0) >> VIRTIO_PVDMA_LEAF_SHIFT,
			     virt_to_phys(pages[i]));
		hostile_leaf(h, hostile_area(h, 1) >> VIRTIO_PVDMA_LEAF_SHIFT,
			     virt_to_phys(pages[(i + 1) % 6]));
		map_blindly(h);
	}
	err = begin_without_leaves(h);
	if (err)
		return err;
	alias_all(h, h->table);
	map_anything(h, 200);
	/* elsewhere is refused, for all of them */
	for (i = 0; i < h->nr_leaves; i++)
		hostile_check(h,
			      hostile_leaf(h, i, virt_to_phys(h->spare)) ==
				      VIRTIO_PVDMA_R_INVAL,
			      "leaf %u moves", i);
	return 0;
}

static int map_worker(void *data)
{
	struct hostile_worker *w = data;
	struct hostile *h = w->h;

	while (!kthread_should_stop())
		hostile_range(h, w->n, VIRTIO_PVDMA_T_MAP,
			      hostile_area(h, hostile_worker_random(w)) +
				      hostile_worker_random(w) % 512,
			      1 + hostile_worker_random(w) % 64);
	return 0;
}

/*
 * A new life with other leaves, while the other CPU goes on with the old one.
 * What was a leaf before an INIT belongs to somebody else after it
 * (DEV-INIT-4): no bit of it changes.
 */
static int attack_root(struct hostile *h, char *args)
{
	size_t size = (h->nr_leaves + h->nr_blocks) * PAGE_SIZE;
	struct hostile_worker w = {};
	u8 *now = h->spare, *old = h->table;
	unsigned int i;
	int err = hostile_session(h), r = 0;

	if (!err)
		err = hostile_start(&w, h, 1, map_worker);
	for (i = 0; i < ROOT_ROUNDS && !err; i++) {
		r = hostile_init_on(h, 0);
		memset(old, PATTERN, size);
		memset(now, 0, size);
		if (!r)
			r = hostile_leaves(h, now);
		if (!r)
			r = hostile_attach(h, HOSTILE_ENDPOINT, 3);
		hostile_check(h, !r, "a new life does not begin: %d", r);
		map_anything(h, 20);
		hostile_check(h, !memchr_inv(old, PATTERN, size),
			      "the host writes to leaves of a former life");
		swap(old, now);
	}
	hostile_stop(&w);
	return err;
}

const struct hostile_attack hostile_tables[] = { { "scribble",
						   attack_scribble },
						 { "lies", attack_lies },
						 { "leaves", attack_leaves },
						 { "root", attack_root },
						 {} };
