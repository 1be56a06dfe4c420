// SPDX-License-Identifier: GPL-2.0-only
/*
 * request.c - step 5 of a mapping's way: one kick, and a bounded wait
 *
 * Owns: the request slots and the virtqueues' contents.
 *
 * Theory of operation: each queue has a fixed number of slots, three for each
 * CPU that uses it (a task, a softirq, a hard interrupt) and one more, because
 * a slot is held with preemption off only. Where the ring is too short for
 * that, slots are held with interrupts off: whoever waits for a slot waits for
 * another CPU then, never for what it has itself interrupted. A slot carries
 * two chains: a LEAF, often empty, and the request proper. The waiter polls
 * the used ring itself; whoever finds answers delivers them to all who wait.
 *
 * A host that does not answer within timeout_ms costs its guest one such wait:
 * the queue is then `stalled`, and further requests fail at once until an
 * answer, late as it may be, shows that the host is back. The slot that timed
 * out is `lost`: its buffers are the host's (DRV-QUEUE-1), and since the host
 * may yet map what it asks for, it takes holds of its own on these granules,
 * to give them up when the answer comes (DRV-MAP-1).
 *
 * What nobody waits for is posted: a PREFETCH of what was copied goes with the
 * next request, or alone if it is the first of a while; there is one of them on
 * its way at a time, and what comes meanwhile makes up the next one.
 *
 * Invariants: a slot is on its queue's free list, or held by one caller, or
 * lost; a lost slot becomes free only through the used ring or a reset.
 *
 * Locks: pvdma_queue.lock (raw, interrupts off) for the virtqueue, the free
 * list and the states. No allocation under it: virtio.c has turned indirect
 * descriptors off.
 */
#include <linux/delay.h>
#include <linux/moduleparam.h>
#include <linux/scatterlist.h>
#include <linux/timekeeping.h>
#include <linux/virtio_config.h>

#include "hints.h"
#include "pvdma.h"
#define CREATE_TRACE_POINTS
#include "trace.h"

static unsigned int timeout_ms = 5000;
module_param(timeout_ms, uint, 0644);
MODULE_PARM_DESC(timeout_ms, "how long to wait for the host's answer");

/* A longer one would look like a lockup to the watchdogs */
#define PVDMA_TIMEOUT_MAX_MS 10000

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

/* What nobody waits for: one PREFETCH at a time, and what is for the next one */
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
	struct pvdma_private *slots;
	struct pvdma_post post;
} ____cacheline_aligned_in_smp;

static struct pvdma_private *pvdma_request_private(struct pvdma_slot *slot)
{
	return container_of(slot, struct pvdma_private, slot);
}

/* --- under the queue's lock --- */

static void pvdma_request_holds(struct pvdma_private *s, bool take)
{
	const struct pvdma_msg *msg = s->main.msg;
	struct pvdma_track *track = &s->queue->pv->track;
	u16 i, n = pvdma_encode_count(msg);
	u64 first, last;

	if (msg->head.type != VIRTIO_PVDMA_T_MAP)
		return;
	for (i = 0; i < n; i++) {
		first = le64_to_cpu(msg->item[i].range.first);
		last = first + le32_to_cpu(msg->item[i].range.count) - 1;
		if (take)
			pvdma_track_hold_more(track, first, last);
		else
			pvdma_track_drop(track, first, last);
	}
}

/* A lost slot has all its parts back, or the device was reset. */
static void pvdma_request_found(struct pvdma_private *s)
{
	struct pvdma_queue *q = s->queue;

	if (s->more_holds)
		pvdma_request_holds(s, false);
	s->more_holds = false;
	s->lost = false;
	s->leaf.state = PVDMA_PART_IDLE;
	s->main.state = PVDMA_PART_IDLE;
	q->nr_lost--;
	if (!s->owned)
		list_add(&s->node, &q->free);
}

/* Delivers what the host has answered. */
static void pvdma_request_reap(struct pvdma_queue *q)
{
	struct pvdma_part *part;
	bool any = false;
	u32 used;

	while ((part = virtqueue_get_buf(q->vq, &used))) {
		struct pvdma_private *s = part->slot;

		any = true;
		part->used = used;
		/* the answer is read after the state */
		smp_store_release(&part->state, PVDMA_PART_DONE);
		if (!s->lost)
			continue;
		this_cpu_inc(q->pv->traffic->late);
		if (s->leaf.state != PVDMA_PART_SENT &&
		    s->main.state != PVDMA_PART_SENT)
			pvdma_request_found(s);
	}
	if (any && READ_ONCE(q->pv->stalled)) {
		WRITE_ONCE(q->pv->stalled, NULL);
		dev_info(&q->pv->vdev->dev, "the host answers again\n");
	}
}

static int pvdma_request_add(struct pvdma_queue *q, struct pvdma_part *part)
{
	struct pvdma_msg *msg = part->msg;
	struct scatterlist out, in, *sgs[] = { &out, &in };
	int err;

	msg->tail.status = VIRTIO_PVDMA_R_PENDING;
	sg_init_one(&out, &msg->head, pvdma_encode_bytes(msg));
	sg_init_one(&in, &msg->tail, sizeof(msg->tail));
	part->state = PVDMA_PART_SENT;
	err = virtqueue_add_sgs(q->vq, sgs, 1, 1, part, GFP_ATOMIC);
	if (err)
		part->state = PVDMA_PART_IDLE;
	return err;
}

/* --- the way of one request --- */

static void pvdma_request_note(struct pvdma *pv, const struct pvdma_msg *msg)
{
	trace_pvdma_request(pv, msg);
	this_cpu_inc(pv->traffic->requests);
	if (msg->head.type == VIRTIO_PVDMA_T_MAP)
		this_cpu_inc(pv->traffic->map_requests);
	if (msg->head.type == VIRTIO_PVDMA_T_UNMAP)
		this_cpu_inc(pv->traffic->unmap_requests);
	if (msg->head.type == VIRTIO_PVDMA_T_PREFETCH)
		this_cpu_inc(pv->traffic->prefetch_requests);
}

/* Is the host back? Only its answers tell. */
static bool pvdma_request_revive(struct pvdma *pv)
{
	struct pvdma_queue *q = READ_ONCE(pv->stalled);
	unsigned long flags;

	if (q) {
		raw_spin_lock_irqsave(&q->lock, flags);
		pvdma_request_reap(q);
		raw_spin_unlock_irqrestore(&q->lock, flags);
	}
	return !READ_ONCE(pv->stalled);
}

static u64 pvdma_request_deadline(void)
{
	u64 ms = clamp(READ_ONCE(timeout_ms), 1u, PVDMA_TIMEOUT_MAX_MS);

	return ktime_get_mono_fast_ns() + ms * NSEC_PER_MSEC;
}

struct pvdma_slot *pvdma_request_get(struct pvdma *pv)
{
	struct pvdma_private *s = NULL;
	struct pvdma_queue *q;
	unsigned long flags;
	u64 deadline = 0;
	bool live;

	preempt_disable();
	if (unlikely(READ_ONCE(pv->stalled)) && !pvdma_request_revive(pv))
		goto refuse;
	q = &pv->queue[smp_processor_id() % pv->nr_queues];
	for (;;) {
		raw_spin_lock_irqsave(&q->lock, flags);
		/* under the lock, so that a stop waits for who got a slot */
		live = pv->live;
		if (list_empty(&q->free))
			pvdma_request_reap(q);
		s = list_first_entry_or_null(&q->free, struct pvdma_private,
					     node);
		if (live && s) {
			list_del(&s->node);
			s->owned = true;
			s->slot.patience_us = 0;
			s->flags = flags;
			q->busy++;
			if (q->scarce)
				raw_spin_unlock(&q->lock);
			else
				raw_spin_unlock_irqrestore(&q->lock, flags);
			return &s->slot;
		}
		raw_spin_unlock_irqrestore(&q->lock, flags);
		if (!live)
			goto refuse;
		/* many CPUs on a short ring: another one is about to finish */
		if (!deadline)
			deadline = pvdma_request_deadline();
		else if (ktime_get_mono_fast_ns() > deadline)
			goto refuse;
		cpu_relax();
	}

refuse:
	this_cpu_inc(pv->traffic->refused);
	preempt_enable();
	return NULL;
}

void pvdma_request_put(struct pvdma_slot *slot)
{
	struct pvdma_private *s = pvdma_request_private(slot);
	struct pvdma_queue *q = s->queue;
	unsigned long flags;

	raw_spin_lock_irqsave(&q->lock, flags);
	if (q->scarce)
		flags = s->flags;
	s->owned = false;
	q->busy--;
	if (!s->lost)
		list_add(&s->node, &q->free);
	raw_spin_unlock_irqrestore(&q->lock, flags);
	preempt_enable();
}

static bool pvdma_request_answered(const struct pvdma_private *s)
{
	/* pairs with the release in reap: the answer is there as well */
	if (smp_load_acquire(&s->leaf.state) == PVDMA_PART_SENT)
		return false;
	/* as above */
	return smp_load_acquire(&s->main.state) != PVDMA_PART_SENT;
}

/*
 * 0 when nothing of the slot is the host's any more; -EIO if that is not to be
 * expected, -EAGAIN if whoever asked has something better to do. Of those there
 * is one on a queue at a time, so that slots do not run out.
 */
static int pvdma_request_wait(struct pvdma_private *s)
{
	u64 patience = (u64)s->slot.patience_us * NSEC_PER_USEC;
	u64 start = 0, deadline = 0, now;
	struct pvdma_queue *q = s->queue;
	unsigned long flags;

	for (;;) {
		if (raw_spin_trylock_irqsave(&q->lock, flags)) {
			pvdma_request_reap(q);
			raw_spin_unlock_irqrestore(&q->lock, flags);
		}
		if (pvdma_request_answered(s))
			break;
		now = ktime_get_mono_fast_ns();
		if (!deadline) {
			start = now;
			deadline = pvdma_request_deadline();
			this_cpu_inc(q->pv->traffic->waits);
		} else if (unlikely(virtqueue_is_broken(q->vq)) ||
			   now > deadline) {
			return -EIO;
		} else if (patience && now - start > patience &&
			   !READ_ONCE(q->nr_lost)) {
			return -EAGAIN;
		}
		cpu_relax();
	}
	if (deadline)
		this_cpu_add(q->pv->traffic->wait_ns,
			     ktime_get_mono_fast_ns() - start);
	return 0;
}

/* The wait is over with @err and no answer: leave the slot to the host. */
static int pvdma_request_lose(struct pvdma_private *s, int err)
{
	struct pvdma_queue *q = s->queue;
	struct pvdma *pv = q->pv;
	unsigned long flags;
	bool first = false;

	raw_spin_lock_irqsave(&q->lock, flags);
	pvdma_request_reap(q);
	if (pvdma_request_answered(s)) {
		raw_spin_unlock_irqrestore(&q->lock, flags);
		return 0;
	}
	s->lost = true;
	q->nr_lost++;
	if (s->main.state == PVDMA_PART_SENT) {
		pvdma_request_holds(s, true);
		s->more_holds = true;
	}
	if (err != -EAGAIN) {
		first = !READ_ONCE(pv->stalled);
		WRITE_ONCE(pv->stalled, q);
	}
	raw_spin_unlock_irqrestore(&q->lock, flags);

	if (err == -EAGAIN) {
		this_cpu_inc(pv->traffic->left);
		return err;
	}
	this_cpu_inc(pv->traffic->timeouts);
	if (first)
		dev_err(&pv->vdev->dev,
			"the host does not answer: what is not mapped cannot be mapped until it does\n");
	return -EIO;
}

/* Sends the hints that there are, if the last ones are answered. */
static void pvdma_request_post(struct pvdma_queue *q)
{
	struct pvdma_part *part = &q->post.slot.main;

	if (!q->post.hints.n || part->state == PVDMA_PART_SENT)
		return;
	pvdma_hints_encode(&q->post.hints, part->msg);
	/* no room: they were advice */
	if (!pvdma_request_add(q, part))
		pvdma_request_note(q->pv, part->msg);
}

void pvdma_request_hint(struct pvdma *pv, u32 endpoint, u64 first, u64 last)
{
	unsigned long flags;
	struct pvdma_queue *q;
	bool kick = false;

	if (READ_ONCE(pv->stalled))
		return;
	q = &pv->queue[raw_smp_processor_id() % pv->nr_queues];
	raw_spin_lock_irqsave(&q->lock, flags);
	if (pv->live) {
		pvdma_request_reap(q);
		if (!pvdma_hints_add(&q->post.hints, endpoint, first, last)) {
			pvdma_request_post(q);
			/* else the last ones are on their way yet: too many */
			(void)pvdma_hints_add(&q->post.hints, endpoint, first,
					      last);
		}
		pvdma_request_post(q);
		kick = virtqueue_kick_prepare(q->vq);
	}
	raw_spin_unlock_irqrestore(&q->lock, flags);
	if (kick)
		virtqueue_notify(q->vq);
}

/* Sends the parts that have something to say; 0 when they are answered. */
static int pvdma_request_exchange(struct pvdma_private *s, bool with_leaf)
{
	struct pvdma_queue *q = s->queue;
	unsigned long flags;
	int err = 0, wait;
	bool kick;

	s->leaf.state = PVDMA_PART_IDLE;
	s->main.state = PVDMA_PART_IDLE;
	raw_spin_lock_irqsave(&q->lock, flags);
	if (with_leaf)
		err = pvdma_request_add(q, &s->leaf);
	if (!err)
		err = pvdma_request_add(q, &s->main);
	pvdma_request_post(q); /* at no cost: one kick */
	kick = virtqueue_kick_prepare(q->vq);
	raw_spin_unlock_irqrestore(&q->lock, flags);
	if (kick)
		virtqueue_notify(q->vq);

	/* a part may be out even where the other one found no room */
	wait = pvdma_request_wait(s);
	if (wait)
		wait = pvdma_request_lose(s, wait);
	return err ? -EIO : wait;
}

static int pvdma_request_judge(struct pvdma_private *s, struct pvdma_part *part)
{
	const struct pvdma_msg *msg = part->msg;
	struct pvdma *pv = s->queue->pv;
	int err = pvdma_encode_result(msg, part->used);

	trace_pvdma_answer(pv, msg, err);
	if (err) {
		this_cpu_inc(pv->traffic->failed);
		dev_warn_ratelimited(&pv->vdev->dev,
				     "request %#x of endpoint %u failed: %s\n",
				     msg->head.type,
				     le32_to_cpu(msg->head.endpoint),
				     pvdma_encode_status(msg));
	}
	return err;
}

int pvdma_request_run(struct pvdma_slot *slot)
{
	struct pvdma_private *s = pvdma_request_private(slot);
	struct pvdma *pv = s->queue->pv;
	bool with_leaf = pvdma_encode_count(slot->leaf);
	int err;

	if (with_leaf)
		pvdma_request_note(pv, slot->leaf);
	pvdma_request_note(pv, slot->main);
	err = pvdma_request_exchange(s, with_leaf);
	if (err) {
		trace_pvdma_timeout(pv, s->queue->vq->index);
		return err;
	}
	if (!with_leaf)
		return pvdma_request_judge(s, &s->main);

	err = pvdma_request_judge(s, &s->leaf);
	if (err)
		return err;
	/* answers may come in any order: MAP can have overtaken its LEAF */
	if (s->main.msg->tail.status == VIRTIO_PVDMA_R_NOENT &&
	    s->main.used >= sizeof(s->main.msg->tail)) {
		err = pvdma_request_exchange(s, false);
		if (err)
			return err;
	}
	return pvdma_request_judge(s, &s->main);
}

/* --- the life of the queues --- */

static int pvdma_request_setup_slots(struct pvdma_queue *q)
{
	unsigned int cpus = DIV_ROUND_UP(nr_cpu_ids, q->pv->nr_queues);
	unsigned int i, size = virtqueue_get_vring_size(q->vq);
	unsigned int room = (size - min(size, 2u)) / 4;
	struct pvdma_private *s = &q->post.slot;

	s->queue = q;
	s->main.slot = s;
	s->main.msg = (void *)get_zeroed_page(GFP_KERNEL);
	if (!s->main.msg)
		return -ENOMEM;
	/* two chains of two descriptors each, and one that is posted */
	q->nr_slots = clamp(3 * cpus + 1, 1u, max(room, 1u));
	q->scarce = q->nr_slots < 3 * cpus;
	q->slots = kvcalloc(q->nr_slots, sizeof(*q->slots), GFP_KERNEL);
	if (!q->slots)
		return -ENOMEM;
	for (i = 0; i < q->nr_slots; i++) {
		s = &q->slots[i];
		s->queue = q;
		s->leaf.slot = s;
		s->main.slot = s;
		s->leaf.msg = kzalloc(struct_size(s->leaf.msg, item,
						  PVDMA_SLOT_LEAVES),
				      GFP_KERNEL);
		s->main.msg = (void *)get_zeroed_page(GFP_KERNEL);
		s->slot.leaf = s->leaf.msg;
		s->slot.main = s->main.msg;
		s->slot.max_items = q->pv->max_items;
		s->slot.max_leaves =
			min_t(u16, q->pv->conf.max_ranges, PVDMA_SLOT_LEAVES);
		list_add(&s->node, &q->free);
		if (!s->leaf.msg || !s->main.msg)
			return -ENOMEM;
	}
	return 0;
}

/*
 * Takes over @vqs, one for each of pv->nr_queues; at the first time makes the
 * slots as well. 0 or -ENOMEM; then pvdma_request_free() cleans up.
 */
int pvdma_request_setup(struct pvdma *pv, struct virtqueue **vqs)
{
	bool fresh = !pv->queue;
	struct pvdma_queue *q;
	unsigned int i;
	int err;

	if (fresh) {
		pv->queue = kvcalloc(pv->nr_queues, sizeof(*q), GFP_KERNEL);
		if (!pv->queue)
			return -ENOMEM;
	}
	for (i = 0; i < pv->nr_queues; i++) {
		q = &pv->queue[i];
		q->vq = vqs[i];
		if (!fresh)
			continue;
		q->pv = pv;
		raw_spin_lock_init(&q->lock);
		INIT_LIST_HEAD(&q->free);
		err = pvdma_request_setup_slots(q);
		if (err)
			return err;
	}
	return 0;
}

void pvdma_request_start(struct pvdma *pv)
{
	WRITE_ONCE(pv->live, true);
}

/*
 * No request is sent after this, and none is being waited for: lost ones stay
 * with the host. Sleeps, for the length of a time-out at most.
 */
void pvdma_request_stop(struct pvdma *pv)
{
	struct pvdma_queue *q;
	unsigned long flags;
	unsigned int i, busy;

	WRITE_ONCE(pv->live, false);
	for (i = 0; pv->queue && i < pv->nr_queues; i++) {
		q = &pv->queue[i];
		for (;;) {
			raw_spin_lock_irqsave(&q->lock, flags);
			busy = q->busy;
			raw_spin_unlock_irqrestore(&q->lock, flags);
			if (!busy)
				break;
			usleep_range(500, 1000);
		}
	}
}

/* The device was reset: what it had is ours again. */
void pvdma_request_reclaim(struct pvdma *pv)
{
	struct pvdma_queue *q;
	unsigned long flags;
	unsigned int i, j;

	for (i = 0; pv->queue && i < pv->nr_queues; i++) {
		q = &pv->queue[i];
		raw_spin_lock_irqsave(&q->lock, flags);
		for (j = 0; q->slots && j < q->nr_slots; j++)
			if (q->slots[j].lost)
				pvdma_request_found(&q->slots[j]);
		q->post.slot.main.state = PVDMA_PART_IDLE;
		q->post.hints.n = 0;
		raw_spin_unlock_irqrestore(&q->lock, flags);
	}
	WRITE_ONCE(pv->stalled, NULL);
}

void pvdma_request_free(struct pvdma *pv)
{
	struct pvdma_queue *q;
	unsigned int i, j;

	for (i = 0; pv->queue && i < pv->nr_queues; i++) {
		q = &pv->queue[i];
		for (j = 0; q->slots && j < q->nr_slots; j++) {
			kfree(q->slots[j].leaf.msg);
			free_page((unsigned long)q->slots[j].main.msg);
		}
		kvfree(q->slots);
		free_page((unsigned long)q->post.slot.main.msg);
	}
	kvfree(pv->queue);
	pv->queue = NULL;
}
