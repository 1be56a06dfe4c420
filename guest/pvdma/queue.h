/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * queue.h - request slots and the virtqueues that they are sent through
 *
 * For request.c and queue.c alone.
 */
#ifndef PVDMA_QUEUE_H
#define PVDMA_QUEUE_H

#include "hints.h"
#include "pvdma.h"

enum pvdma_part_state {
	PVDMA_PART_IDLE, /* empty, or its answer was looked at */
	PVDMA_PART_SENT, /* the host's; changes under the lock */
	PVDMA_PART_DONE, /* answered: all the fields are the owner's */
};

struct pvdma_private;

/* One chain; its address is the virtqueue's token */
struct pvdma_part {
	struct pvdma_private *slot;
	struct pvdma_msg *msg;
	int state;
	u32 used; /* bytes that the host says it wrote */
};

struct pvdma_private {
	struct pvdma_slot slot;
	struct pvdma_queue *queue;
	struct list_head node; /* in free */
	unsigned long flags;   /* of interrupts, where they were turned off */
	bool owned;
	bool lost;
	bool more_holds; /* lost, with holds on main's ranges */
	struct pvdma_part leaf;
	struct pvdma_part main;
};

/*
 * What nobody waits for: one PREFETCH at a time, and what is for the next one
 */
struct pvdma_post {
	struct pvdma_private slot; /* of it, main; in no list */
	struct pvdma_hints hints;
};

struct pvdma_queue {
	raw_spinlock_t lock;
	struct virtqueue *vq;
	struct pvdma *pv;
	struct list_head free;
	unsigned int busy; /* slots held by callers */
	unsigned int nr_slots;
	unsigned int nr_lost;
	bool scarce; /* slots are held with interrupts off */
	bool back;   /* the host is, which nobody has been told yet */
	struct pvdma_private *slots;
	struct pvdma_post post;
} ____cacheline_aligned_in_smp;

/* All of these under the queue's lock. */

/* A lost slot has all its parts back, or the device was reset. */
void pvdma_queue_found(struct pvdma_private *s);
/* Takes or gives up holds of the slot's own on what its MAP asks for. */
void pvdma_queue_holds(struct pvdma_private *s, bool take);
/* Delivers what the host has answered. */
void pvdma_queue_reap(struct pvdma_queue *q);
/* Makes @part's message available; no kick. 0, or negative: no room. */
int pvdma_queue_add(struct pvdma_queue *q, struct pvdma_part *part);

/* Not under the lock: says what was found under it. */
void pvdma_queue_tell(struct pvdma_queue *q);

#endif
