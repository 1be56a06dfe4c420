// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * life.c - attacks on the life of the device
 *
 * Registers in any order, rings that are nowhere, resets in the middle of
 * everything. Much of it ends in the VMM; what comes through is the agent's.
 */
#include <linux/delay.h>
#include <linux/virtio_config.h>

#include "hostile.h"

#define RESET_ROUNDS  12
#define STATUS_ROUNDS 40
#define KICKS	      500
#define CONFIG_WRITES 100
#define FEATURE_BITS  (VIRTIO_PVDMA_F_PREFETCH + 1)

#define VERSION_1 BIT_ULL(VIRTIO_F_VERSION_1)

struct rings {
	u64 desc, avail, used;
	u16 size;
};

/* As hostile_open(), with other rings for the first queue. */
static void begin_with(struct hostile *h, const struct rings *r)
{
	u8 status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
	struct hostile_queue *q = &h->q[1];

	hostile_reset(h);
	hostile_clear_rings(h);
	hostile_set_status(h, status);
	hostile_set_features(h, hostile_offered(h));
	status |= VIRTIO_CONFIG_S_FEATURES_OK;
	hostile_set_status(h, status);
	hostile_set_queue(h, 0, r->desc, r->avail, r->used, r->size);
	hostile_set_queue(h, 1, virt_to_phys(q->desc), virt_to_phys(q->avail),
			  virt_to_phys(q->used), HOSTILE_RING);
	hostile_set_status(h, status | VIRTIO_CONFIG_S_DRIVER_OK);
	hostile_publish(&h->q[0], 0);
	hostile_kick(h, 0);
	hostile_kick(h, 1);
	hostile_sync(h);
}

/* Rings outside of memory, at each other, at nothing, of no size. */
static int attack_queues(struct hostile *h, char *args)
{
	u64 d = virt_to_phys(h->q[0].desc), a = virt_to_phys(h->q[0].avail);
	u64 u = virt_to_phys(h->q[0].used), other = virt_to_phys(h->q[1].used);
	u64 mmio = h->mmio;
	const struct rings all[] = {
		{ h->mem, a, u, 256 },
		{ d, h->mem + SZ_1G, u, 256 },
		{ d, a, h->mem - 16, 256 },
		{ d, a, mmio, 256 },
		{ 0xfee00000, 0xfee00000, 0xfee00000, 256 },
		{ d, a, 0xf0000, 256 },
		{ d, a, U64_MAX & ~15ull, 256 },
		{ U64_MAX & ~15ull, a, u, 256 },
		{ d + 1, a + 1, u + 1, 256 },
		{ d + 8, a + 1, u + 2, 256 },
		{ d, d, d, 256 },
		{ other, other, other, 256 },
		{ d, a, other, 256 },
		{ d, a, u, 1 },
		{ d, a, u, 3 },
		{ d, a, u, 0 },
		{ d, a, u, 32768 },
		{ d, a, u, U16_MAX },
		{ 0, 0, 0, 256 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(all); i++)
		begin_with(h, &all[i]);
	return 0;
}

/* Bits that are missing, that nobody offered, and that change under way. */
static int attack_features(struct hostile *h, char *args)
{
	u64 offered = hostile_offered(h), at = hostile_area(h, 0);
	static const u8 types[FEATURE_BITS] = {
		[VIRTIO_PVDMA_F_UNMAP] = VIRTIO_PVDMA_T_UNMAP,
		[VIRTIO_PVDMA_F_RELEASE] = VIRTIO_PVDMA_T_RELEASE,
		[VIRTIO_PVDMA_F_PREFETCH] = VIRTIO_PVDMA_T_PREFETCH,
	};
	unsigned int i;
	int r, err;

	hostile_open(h, 0);
	hostile_sync(h);
	hostile_open(h, U64_MAX);
	hostile_sync(h);
	for (i = 0; i < 64; i += 3) {
		hostile_open(h, BIT_ULL(i));
		hostile_kick(h, 0);
		hostile_sync(h);
	}
	for (i = 0; i < FEATURE_BITS; i++) {
		err = hostile_open(h, offered & ~BIT_ULL(i));
		if (err)
			return err;
		hostile_init_on(h, 0);
		hostile_leaves(h, h->table);
		hostile_attach(h, HOSTILE_ENDPOINT, 3);
		r = hostile_range(h, 0, types[i], at, 1);
		hostile_check(h, r == VIRTIO_PVDMA_R_UNSUPP,
			      "type %u without its feature: status %d",
			      types[i], r);
		/* too late */
		hostile_set_features(h, U64_MAX >> i);
		r = hostile_range(h, 0, types[i], at, 1);
		hostile_check(h, r == VIRTIO_PVDMA_R_UNSUPP,
			      "a feature came when all was running: status %d",
			      r);
	}
	return 0;
}

static int attack_status(struct hostile *h, char *args)
{
	unsigned int i;

	for (i = 0; i < STATUS_ROUNDS; i++) {
		if (i % 8 == 0)
			hostile_open(h, hostile_offered(h) | VERSION_1);
		hostile_set_status(h, hostile_random(h));
		hostile_kick(h, i % HOSTILE_QUEUES);
		if (i % 4 == 0)
			hostile_enable(h, hostile_random(h) % 4, i % 2);
		hostile_sync(h);
	}
	return 0;
}

/* Doorbells of queues that do not run, and a space that is read-only. */
static int attack_notify(struct hostile *h, char *args)
{
	unsigned int i, round;

	for (round = 0; round < 3; round++) {
		for (i = 0; i < KICKS; i++)
			iowrite16(hostile_random(h),
				  h->q[i % HOSTILE_QUEUES].notify);
		for (i = 0; i < CONFIG_WRITES; i++)
			iowrite8(hostile_random(h), h->config + i % 64);
		if (round == 0)
			hostile_open(h, hostile_offered(h));
		else
			hostile_reset(h);
	}
	return 0;
}

static int posting_worker(void *data)
{
	struct hostile_worker *w = data;

	while (!kthread_should_stop()) {
		hostile_post(w->h, w->n, VIRTIO_PVDMA_T_MAP,
			     hostile_area(w->h, hostile_worker_random(w)));
		usleep_range(200, 1000);
	}
	return 0;
}

/* The other CPU goes on with its requests whatever the device is doing. */
static int attack_resets(struct hostile *h, char *args)
{
	struct hostile_worker w = {};
	unsigned int i;
	int err = hostile_session(h);

	if (!err)
		err = hostile_start(&w, h, 1, posting_worker);
	for (i = 0; i < RESET_ROUNDS && !err; i++) {
		hostile_reset(h);
		hostile_open(h, hostile_offered(h));
		if (i % 2)
			hostile_init_on(h, 0);
		if (i % 4 == 3) {
			/* the function loses the bus, and gets it back */
			pci_clear_master(h->pdev);
			hostile_post(h, 0, VIRTIO_PVDMA_T_MAP,
				     hostile_area(h, 0));
			pci_set_master(h->pdev);
		}
		hostile_sync(h);
	}
	/* and many in a row, with nothing in between */
	for (i = 0; i < RESET_ROUNDS * 4 && !err; i++)
		hostile_set_status(h, 0);
	hostile_stop(&w);
	return err;
}

const struct hostile_attack hostile_lives[] = {
	{ "queues", attack_queues },	 { "status", attack_status },
	{ "features", attack_features }, { "notify", attack_notify },
	{ "resets", attack_resets },	 {}
};
