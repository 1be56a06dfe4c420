/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hostile.h - what the attacks share
 *
 * The pvdma device is driven by its registers and rings alone, without the
 * kernel's virtio: nothing stands between an attack and the wire.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <linux/atomic.h>
#include <linux/io.h>
#include <linux/kthread.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/prandom.h>
#include <linux/sched.h>

#include "virtio_pvdma.h"

#define HOSTILE_QUEUES	   2
#define HOSTILE_RING	   256
#define HOSTILE_SLOTS	   64
#define HOSTILE_SLOT_SIZE  64
#define HOSTILE_AREAS	   4
#define HOSTILE_AREA_ORDER 10
#define HOSTILE_AREA_SIZE  (PAGE_SIZE << HOSTILE_AREA_ORDER)

/* The endpoints, in the order in which the test gives them to the agent. */
#define HOSTILE_ENDPOINT     1
#define HOSTILE_ENDPOINT_EDU 2

/* As long as an answer takes on a machine that does much else. */
#define HOSTILE_PATIENCE_MS 60000

/* The rings, in words that sparse understands. */
struct hostile_desc {
	__le64 addr;
	__le32 len;
	__le16 flags;
	__le16 next;
};

struct hostile_avail {
	__le16 flags;
	__le16 idx;
	__le16 ring[HOSTILE_RING];
};

struct hostile_used {
	__le16 flags;
	__le16 idx;
	struct {
		__le32 id;
		__le32 len;
	} ring[HOSTILE_RING];
};

/* A page each: what an attack aims at lies in no other part's page. */
struct hostile_queue {
	struct hostile_desc *desc;
	struct hostile_avail *avail;
	struct hostile_used *used;
	struct virtio_pvdma_req_tail *tail;
	u8 *request; /* two pages */
	u8 *slots;   /* HOSTILE_SLOTS requests and their tails */
	void __iomem *notify;
	u16 published; /* the available index */
};

struct hostile {
	struct pci_dev *pdev;
	struct pci_dev *edu;
	void __iomem *edu_bar;
	void __iomem *common;
	void __iomem *notify;
	void __iomem *config;
	u64 mmio; /* where the registers are: no memory */
	u32 notify_multiplier;
	struct hostile_queue q[HOSTILE_QUEUES];
	u8 *area[HOSTILE_AREAS];
	u8 *table; /* a page each leaf, those of blocks behind the others */
	u8 *spare; /* as much again */
	unsigned int table_order;
	unsigned int nr_leaves;
	unsigned int nr_blocks; /* leaves of blocks */
	u64 mem;		/* bytes of guest memory, from 0 on */
	u64 quota;
	unsigned int shift;
	unsigned int max_ranges;
	struct rnd_state rnd;
	struct mutex lock; /* one attack at a time */

	/* the report of the last one */
	atomic_t sent;
	atomic_t silent;
	atomic_t status[16];
	unsigned int wrong;
	unsigned int checks;
	char first_wrong[160];
	char text[256]; /* what an attack has to add */
};

struct hostile_attack {
	const char *name;
	int (*run)(struct hostile *h, char *args);
};

extern const struct hostile_attack hostile_requests[];
extern const struct hostile_attack hostile_tables[];
extern const struct hostile_attack hostile_rings[];
extern const struct hostile_attack hostile_lives[];
extern const struct hostile_attack hostile_layouts[];
extern const struct hostile_attack hostile_edus[];

/* --- main.c --- */

u32 hostile_random(struct hostile *h);
void hostile_fill_random(struct hostile *h, void *to, size_t size);
/* Counts; the first that is not so is in the report. */
__printf(3, 4) void hostile_check(struct hostile *h, bool so, const char *fmt,
				  ...);

/* --- device.c --- */

int hostile_device_init(struct hostile *h);
void hostile_device_done(struct hostile *h);
void hostile_reset(struct hostile *h);
u64 hostile_offered(struct hostile *h);
void hostile_set_features(struct hostile *h, u64 features);
void hostile_set_status(struct hostile *h, u8 status);
u8 hostile_get_status(struct hostile *h);
/* Addresses of the rings of queue @n; enables it. */
void hostile_set_queue(struct hostile *h, unsigned int n, u64 desc, u64 avail,
		       u64 used, u16 size);
void hostile_enable(struct hostile *h, unsigned int n, u16 value);
/* Puts empty rings where they belong. */
void hostile_clear_rings(struct hostile *h);
/* From a reset to DRIVER_OK; 0, or -EIO. */
int hostile_open(struct hostile *h, u64 features);
/* Round trips to the agent: what was kicked before has been seen. */
void hostile_sync(struct hostile *h);
void hostile_read_config(struct hostile *h, struct virtio_pvdma_config *to);

/* --- ask.c --- */

void hostile_publish(struct hostile_queue *q, u16 head);
void hostile_kick(struct hostile *h, unsigned int n);
void hostile_set_desc(struct hostile_queue *q, u16 i, u64 addr, u32 len,
		      u16 flags, u16 next);
/* Until the used index has come to @until. */
bool hostile_await(struct hostile_queue *q, u16 until, unsigned int ms);
/* The request in q->request: its status, or -ETIMEDOUT. */
int hostile_send(struct hostile *h, unsigned int n, u32 size, unsigned int ms);
/* With items that are there already where @items is NULL. */
int hostile_ask(struct hostile *h, unsigned int n, u8 type, u32 endpoint,
		const void *items, size_t size, u16 count);
int hostile_range(struct hostile *h, unsigned int n, u8 type, u64 first,
		  u32 count);
/* All slots of a queue at once, one granule each from @first on. */
void hostile_post(struct hostile *h, unsigned int n, u8 type, u64 first);
int hostile_init_on(struct hostile *h, unsigned int n);
int hostile_leaf(struct hostile *h, u64 index, u64 addr);
int hostile_leaves(struct hostile *h, u8 *table);
int hostile_attach(struct hostile *h, u32 endpoint, u8 strategy);
/* Open, INIT, leaves and ATTACH: 0, or -EIO with the reason in the report. */
int hostile_session(struct hostile *h);
/* A life as a good driver has it works. */
void hostile_sane(struct hostile *h);

u64 hostile_granule(struct hostile *h, const void *at);
u64 hostile_area(struct hostile *h, unsigned int i);
u64 hostile_area_granules(struct hostile *h);
u32 *hostile_word(struct hostile *h, u64 granule);

/* --- CPUs that work against the one that runs the attack --- */

struct hostile_worker {
	struct task_struct *task;
	struct hostile *h;
	struct rnd_state rnd;
	unsigned int n; /* its queue */
};

int hostile_start(struct hostile_worker *w, struct hostile *h, unsigned int n,
		  int (*fn)(void *worker));
void hostile_stop(struct hostile_worker *w);
u32 hostile_worker_random(struct hostile_worker *w);

#endif
