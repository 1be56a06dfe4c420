// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * requests.c - attacks with requests that are whole as chains
 *
 * Wrong in their shape, their numbers, their order or their quantity.
 */
#include <linux/virtio_config.h>

#include "hostile.h"

#define RANDOM_REQUESTS 400
#define STORM_ROUNDS	40
#define ATTACH_ROUNDS	60
#define BAD_INITS	400

static void want(struct hostile *h, int got, int wanted, const char *what)
{
	hostile_check(h, got == wanted, "%s: status %d, not %d", what, got,
		      wanted);
}

static void refused(struct hostile *h, int got, const char *what, u64 number)
{
	hostile_check(h, got > VIRTIO_PVDMA_R_OK, "%s %#llx: status %d", what,
		      number, got);
}

/* --- shapes --- */

static struct virtio_pvdma_req_head *head_of(struct hostile *h)
{
	return (void *)h->q[0].request;
}

static int send_head(struct hostile *h, struct virtio_pvdma_req_head head,
		     u32 size)
{
	*head_of(h) = head;
	return hostile_send(h, 0, size, HOSTILE_PATIENCE_MS);
}

static void fixed_shapes(struct hostile *h)
{
	struct virtio_pvdma_req_head map = {
		.type = VIRTIO_PVDMA_T_MAP,
		.count = cpu_to_le16(1),
		.endpoint = cpu_to_le32(HOSTILE_ENDPOINT),
	}, head;
	struct virtio_pvdma_range *item =
		(void *)(h->q[0].request + sizeof(map));
	const u32 whole = sizeof(map) + sizeof(*item);
	u32 size;

	*item = (struct virtio_pvdma_range){
		.first = cpu_to_le64(hostile_area(h, 0)),
		.count = cpu_to_le32(1),
	};
	for (size = 0; size < whole; size++)
		want(h, send_head(h, map, size), VIRTIO_PVDMA_R_INVAL, "short");
	want(h, send_head(h, map, whole + 1), VIRTIO_PVDMA_R_INVAL, "long");
	head = map;
	head.flags = 1 << (hostile_random(h) % 8);
	want(h, send_head(h, head, whole), VIRTIO_PVDMA_R_INVAL, "flags");
	head = map;
	head.count = 0;
	want(h, send_head(h, head, sizeof(head)), VIRTIO_PVDMA_R_INVAL, "none");
	head.count = cpu_to_le16(U16_MAX);
	want(h, send_head(h, head, whole), VIRTIO_PVDMA_R_INVAL, "too many");
	head = map;
	head.type = VIRTIO_PVDMA_T_LEAF;
	want(h, send_head(h, head, whole), VIRTIO_PVDMA_R_INVAL, "endpoint");
	item->flags = cpu_to_le32(1u << (hostile_random(h) % 32));
	want(h, send_head(h, map, whole), VIRTIO_PVDMA_R_INVAL, "item flags");
}

static int attack_types(struct hostile *h, char *args)
{
	struct virtio_pvdma_req_head head = {};
	unsigned int i, most = 2 * PAGE_SIZE;
	int err = hostile_session(h);
	u32 size;

	if (err)
		return err;
	for (i = 0; i <= U8_MAX; i++) {
		if (i >= VIRTIO_PVDMA_T_INIT && i <= VIRTIO_PVDMA_T_PREFETCH)
			continue;
		head.type = i;
		want(h, send_head(h, head, sizeof(head)), VIRTIO_PVDMA_R_UNSUPP,
		     "unknown type");
	}
	fixed_shapes(h);
	for (i = 0; i < RANDOM_REQUESTS; i++) {
		hostile_fill_random(h, h->q[0].request, most);
		head.type = 1 + hostile_random(h) % VIRTIO_PVDMA_T_PREFETCH;
		head.count = cpu_to_le16(hostile_random(h) % 4);
		head.endpoint = cpu_to_le32(hostile_random(h) % 3);
		/* as long as it says, so that the items are looked at */
		size = i % 4 ? sizeof(head) + 16 * le16_to_cpu(head.count) :
			       hostile_random(h) % most;
		hostile_check(h, send_head(h, head, size) >= 0,
			      "random request %u is not answered", i);
	}
	return 0;
}

/* --- numbers --- */

static u64 bar_of_edu(struct hostile *h)
{
	return h->edu ? pci_resource_start(h->edu, 0) : 0;
}

/* No memory of this guest is at any of them. */
static void one_address(struct hostile *h, u64 addr)
{
	static const u32 counts[] = { 1, 2, 17, 1u << 20, U32_MAX };
	u64 first = addr >> h->shift;
	unsigned int i;
	u8 type;

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		refused(h,
			hostile_range(h, 0, VIRTIO_PVDMA_T_MAP, first,
				      counts[i]),
			"MAP of", addr);
		for (type = VIRTIO_PVDMA_T_UNMAP;
		     type <= VIRTIO_PVDMA_T_PREFETCH; type++)
			hostile_range(h, 0, type, first, counts[i]);
	}
	refused(h, hostile_leaf(h, h->nr_leaves - 1, addr & PAGE_MASK),
		"a leaf at", addr);
	refused(h,
		hostile_leaf(h, first >> VIRTIO_PVDMA_LEAF_SHIFT,
			     virt_to_phys(h->spare)),
		"a leaf for", addr);
}

/* What is no memory of ours, and (@args) what is memory of others. */
static int attack_addresses(struct hostile *h, char *args)
{
	const u64 fixed[] = {
		0xfee00000,
		0xfec00000,
		bar_of_edu(h),
		h->mmio,
		roundup(h->mem, SZ_4M),
		SZ_4G - PAGE_SIZE,
		SZ_4G,
		1ull << 40,
		1ull << 52,
		1ull << 63,
		U64_MAX - PAGE_SIZE,
		U64_MAX,
	};
	u64 first = hostile_area(h, 0), addr;
	int err = hostile_session(h);
	unsigned int i;
	char *word;

	if (err)
		return err;
	for (i = 0; i < ARRAY_SIZE(fixed); i++)
		if (fixed[i] >= h->mem)
			one_address(h, fixed[i]);
	while ((word = strsep(&args, " ")))
		if (!kstrtou64(word, 0, &addr) && addr >= h->mem)
			one_address(h, addr);
	/* granule numbers as they are, past what a shift can give */
	for (i = 0; i < 64; i++) {
		addr = U64_MAX << i;
		refused(h, hostile_range(h, 0, VIRTIO_PVDMA_T_MAP, addr, 1 + i),
			"MAP of granule", addr);
		refused(h,
			hostile_leaf(h, U64_MAX << i, virt_to_phys(h->spare)),
			"leaf", U64_MAX << i);
	}
	/* one good end and one bad */
	refused(h, hostile_range(h, 0, VIRTIO_PVDMA_T_MAP, first, U32_MAX),
		"MAP beyond the end from", first);
	refused(h, hostile_leaf(h, 0, virt_to_phys(h->spare) + 4),
		"a leaf that is not aligned", 4);
	return 0;
}

static int attack_endpoints(struct hostile *h, char *args)
{
	static const u32 foreign[] = { 0, 3, 7, 64, 1u << 31, U32_MAX };
	u64 at = hostile_area(h, 0);
	struct virtio_pvdma_range item = {
		.first = cpu_to_le64(at),
		.count = cpu_to_le32(1),
	};
	int err = hostile_session(h);
	unsigned int i;
	u8 type;

	if (err)
		return err;
	for (i = 0; i < ARRAY_SIZE(foreign); i++) {
		want(h, hostile_attach(h, foreign[i], 3), VIRTIO_PVDMA_R_NOENT,
		     "ATTACH of a foreign endpoint");
		for (type = VIRTIO_PVDMA_T_MAP; type <= VIRTIO_PVDMA_T_PREFETCH;
		     type++)
			want(h,
			     hostile_ask(h, 0, type, foreign[i], &item,
					 sizeof(item), 1),
			     VIRTIO_PVDMA_R_NOENT, "a foreign endpoint");
		refused(h,
			hostile_ask(h, 0, VIRTIO_PVDMA_T_DETACH, foreign[i],
				    NULL, 0, 0),
			"DETACH of", foreign[i]);
	}
	for (i = VIRTIO_PVDMA_S_PERSISTENT; i <= U8_MAX; i++)
		want(h, hostile_attach(h, HOSTILE_ENDPOINT, i),
		     VIRTIO_PVDMA_R_INVAL, "a strategy laxer than the VM's");
	for (i = 0; i < ATTACH_ROUNDS; i++) {
		hostile_attach(h, HOSTILE_ENDPOINT, i % 4);
		if (h->edu)
			hostile_attach(h, HOSTILE_ENDPOINT_EDU, (i / 4) % 4);
		want(h, hostile_range(h, 0, VIRTIO_PVDMA_T_MAP, at + i, 1 + i),
		     VIRTIO_PVDMA_R_OK, "MAP in a storm of ATTACH");
		if (i % 3 == 0)
			hostile_ask(h, 0, VIRTIO_PVDMA_T_DETACH,
				    HOSTILE_ENDPOINT_EDU, NULL, 0, 0);
		hostile_ask(h, 0, VIRTIO_PVDMA_T_DETACH, HOSTILE_ENDPOINT, NULL,
			    0, 0);
		want(h, hostile_range(h, 0, VIRTIO_PVDMA_T_MAP, at, 1),
		     VIRTIO_PVDMA_R_STATE, "MAP after DETACH");
		refused(h,
			hostile_ask(h, 0, VIRTIO_PVDMA_T_DETACH,
				    HOSTILE_ENDPOINT, NULL, 0, 0),
			"a second DETACH", i);
	}
	return 0;
}

/* --- again and again --- */

static u32 mapped_by(struct hostile *h)
{
	return le32_to_cpu(READ_ONCE(h->q[0].tail->mapped));
}

static int attack_double(struct hostile *h, char *args)
{
	u64 at = hostile_area(h, 1);
	struct virtio_pvdma_range items[4];
	int err = hostile_session(h), i;

	if (err)
		return err;
	/* the same granules four times, and then ranges that overlap */
	for (i = 0; i < 4; i++)
		items[i] =
			(struct virtio_pvdma_range){ .first = cpu_to_le64(at),
						     .count = cpu_to_le32(8) };
	want(h,
	     hostile_ask(h, 0, VIRTIO_PVDMA_T_MAP, HOSTILE_ENDPOINT, items,
			 sizeof(items), 4),
	     VIRTIO_PVDMA_R_OK, "MAP");
	hostile_check(h, mapped_by(h) == 8, "%u granules are mapped, of 8",
		      mapped_by(h));
	want(h,
	     hostile_ask(h, 0, VIRTIO_PVDMA_T_MAP, HOSTILE_ENDPOINT, items,
			 sizeof(items), 4),
	     VIRTIO_PVDMA_R_OK, "double MAP");
	hostile_check(h, mapped_by(h) == 0, "%u granules are mapped twice",
		      mapped_by(h));
	for (i = 0; i < 4; i++)
		items[i].first = cpu_to_le64(at + 100 - i * 3);
	for (i = 0; i < 3; i++)
		want(h,
		     hostile_ask(h, 0, VIRTIO_PVDMA_T_MAP, HOSTILE_ENDPOINT,
				 items, sizeof(items), 4),
		     VIRTIO_PVDMA_R_OK, "MAP that overlaps");
	for (i = 0; i < 3; i++) {
		hostile_ask(h, 0, VIRTIO_PVDMA_T_UNMAP, HOSTILE_ENDPOINT, items,
			    sizeof(items), 4);
		hostile_range(h, 0, VIRTIO_PVDMA_T_UNMAP, at, 200);
		hostile_range(h, 0, VIRTIO_PVDMA_T_RELEASE, at, 200);
		/* what never was */
		hostile_range(h, 0, VIRTIO_PVDMA_T_UNMAP, at + 300, 50);
	}
	want(h, hostile_range(h, 0, VIRTIO_PVDMA_T_MAP, at, 8),
	     VIRTIO_PVDMA_R_OK, "MAP after double UNMAP");
	return 0;
}

/* All of memory, in one request and in many, and nothing is ever unmapped. */
static int attack_all(struct hostile *h, char *args)
{
	u64 all = h->mem >> h->shift, most = h->quota >> h->shift, n, at;
	int err = hostile_session(h), r = 0;
	u8 type;

	if (err)
		return err;
	refused(h, hostile_range(h, 0, VIRTIO_PVDMA_T_MAP, 0, all),
		"MAP of all granules", all);
	refused(h, hostile_range(h, 0, VIRTIO_PVDMA_T_MAP, 0, U32_MAX),
		"MAP of all granules", U32_MAX);
	for (type = VIRTIO_PVDMA_T_UNMAP; type <= VIRTIO_PVDMA_T_PREFETCH;
	     type++) {
		hostile_range(h, 0, type, 0, all);
		hostile_range(h, 0, type, 0, U32_MAX);
	}
	refused(h,
		hostile_range(h, 0, VIRTIO_PVDMA_T_MAP, hostile_area(h, 0),
			      most + 1),
		"MAP of more than the quota", most);
	/* every second granule, each of them held for ever */
	for (n = 0; n <= most; n += 16) {
		struct virtio_pvdma_range items[16];
		unsigned int i;

		for (i = 0; i < 16; i++) {
			at = 2 * (n + i);
			at = hostile_area(h, at / hostile_area_granules(h)) +
			     at % hostile_area_granules(h);
			*hostile_word(h, at) |= 1;
			items[i] = (struct virtio_pvdma_range){
				.first = cpu_to_le64(at),
				.count = cpu_to_le32(1)
			};
		}
		r = hostile_ask(h, 0, VIRTIO_PVDMA_T_MAP, HOSTILE_ENDPOINT,
				items, sizeof(items), 16);
		if (r)
			break;
	}
	want(h, r, VIRTIO_PVDMA_R_QUOTA, "MAP with all of the quota held");
	for (n = 0; n < all; n += 509)
		hostile_range(h, 0, VIRTIO_PVDMA_T_PREFETCH, n, 61);
	return 0;
}

/* --- storms --- */

static int storm_worker(void *data)
{
	struct hostile_worker *w = data;
	struct hostile *h = w->h;
	struct hostile_queue *q = &h->q[w->n];

	while (!kthread_should_stop()) {
		hostile_post(h, w->n,
			     VIRTIO_PVDMA_T_MAP + hostile_worker_random(w) % 4,
			     hostile_area(h, hostile_worker_random(w)) +
				     hostile_worker_random(w) % 960);
		/* kicks for nothing, of this queue and of another */
		hostile_kick(h, w->n);
		hostile_kick(h, 0);
		if (!hostile_await(q, q->published, HOSTILE_PATIENCE_MS))
			break;
	}
	while (!kthread_should_stop())
		schedule_timeout_interruptible(HZ / 10);
	return 0;
}

/* As many as fit, from two CPUs, on granules that they fight for. */
static int attack_storm(struct hostile *h, char *args)
{
	struct hostile_queue *q = &h->q[0];
	struct hostile_worker w = {};
	unsigned int i, j;
	int err = hostile_session(h);

	if (!err)
		err = hostile_start(&w, h, 1, storm_worker);
	if (err)
		return err;
	for (i = 0; i < STORM_ROUNDS; i++) {
		hostile_post(h, 0, VIRTIO_PVDMA_T_MAP + i % 4,
			     hostile_area(h, i / 4) + i);
		for (j = 0; j < 50; j++)
			hostile_kick(h, j % HOSTILE_QUEUES);
		hostile_check(
			h, hostile_await(q, q->published, HOSTILE_PATIENCE_MS),
			"requests of a storm are not answered");
	}
	hostile_stop(&w);
	return 0;
}

/* Each is worth a line in the agent's log. */
static int attack_log(struct hostile *h, char *args)
{
	struct virtio_pvdma_init item = {
		.version = cpu_to_le16(VIRTIO_PVDMA_VERSION),
		.nonce_addr = cpu_to_le64(virt_to_phys(h->spare)),
		.nonce = cpu_to_le64(0x5a5a5a5a5a5a5a5aull),
	};
	int err = hostile_session(h), i;

	memset(h->spare, 0, PAGE_SIZE);
	for (i = 0; i < BAD_INITS && !err; i++)
		want(h,
		     hostile_ask(h, 0, VIRTIO_PVDMA_T_INIT, 0, &item,
				 sizeof(item), 1),
		     VIRTIO_PVDMA_R_BADMEM, "a wrong nonce");
	/* and the session is still what it was */
	if (!err)
		want(h,
		     hostile_range(h, 0, VIRTIO_PVDMA_T_MAP, hostile_area(h, 0),
				   1),
		     VIRTIO_PVDMA_R_OK, "MAP after wrong INITs");
	return err;
}

const struct hostile_attack hostile_requests[] = {
	{ "types", attack_types },
	{ "addresses", attack_addresses },
	{ "endpoints", attack_endpoints },
	{ "double", attack_double },
	{ "all", attack_all },
	{ "storm", attack_storm },
	{ "log", attack_log },
	{}
};
