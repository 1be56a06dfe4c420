// SPDX-License-Identifier: GPL-2.0-only
/*
 * request.c - step 5 of a mapping's way: one kick, and a bounded wait
 *
 * Owns: a slot of queue.c's, from pvdma_request_get() to _put().
 *
 * Theory of operation: a slot carries two chains: a LEAF, often empty, and the
 * request proper. The waiter polls the used ring itself; whoever finds answers
 * delivers them to all who wait.
 *
 * A host that does not answer within timeout_ms costs its guest one such wait:
 * the queue is then `stalled`, and further requests fail at once until an
 * answer, late as it may be, shows that the host is back. The slot that timed
 * out is `lost`: its buffers are the host's (DRV-QUEUE-1), and since the host
 * may yet map what it asks for, it takes holds of its own on these granules,
 * to give them up when the answer comes (DRV-MAP-1).
 *
 * What nobody waits for is posted: a PREFETCH of what was copied. There is one
 * of them on its way at a time, and what comes meanwhile makes up the next one.
 *
 * Locks: pvdma_queue.lock (raw, interrupts off), for no longer than it takes to
 * add to the ring or to look at it.
 */
#include <linux/ktime.h>
#include <linux/moduleparam.h>
#include <linux/virtio_config.h>

#include "queue.h"
#define CREATE_TRACE_POINTS
#include "trace.h"

static unsigned int timeout_ms = 5000;
module_param(timeout_ms, uint, 0644);
MODULE_PARM_DESC(timeout_ms, "how long to wait for the host's answer");

/* How long a hint waits for a request that takes it along */
#define PVDMA_POST_MS 10

/* A longer one would look like a lockup to the watchdogs */
#define PVDMA_TIMEOUT_MAX_MS 10000

static struct pvdma_private *pvdma_request_private(struct pvdma_slot *slot)
{
	return container_of(slot, struct pvdma_private, slot);
}

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
		/* after a stop its virtqueue may be gone */
		if (pv->live && READ_ONCE(pv->stalled) == q)
			pvdma_queue_reap(q);
		raw_spin_unlock_irqrestore(&q->lock, flags);
		pvdma_queue_tell(q);
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
		if (live && list_empty(&q->free))
			pvdma_queue_reap(q);
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
	pvdma_queue_tell(q);
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
			pvdma_queue_reap(q);
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
	pvdma_queue_reap(q);
	if (pvdma_request_answered(s)) {
		raw_spin_unlock_irqrestore(&q->lock, flags);
		return 0;
	}
	s->lost = true;
	q->nr_lost++;
	if (s->main.state == PVDMA_PART_SENT) {
		pvdma_queue_holds(s, true);
		s->more_holds = true;
	}
	if (err != -EAGAIN) {
		first = !READ_ONCE(pv->stalled);
		WRITE_ONCE(pv->stalled, q);
		WRITE_ONCE(q->back, false);
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

/* Sends the hints that there are, if the last ones are answered. No kick. */
static void pvdma_request_post(struct pvdma_queue *q)
{
	struct pvdma_part *part = &q->post.slot.main;

	if (!q->post.hints.n)
		return;
	pvdma_queue_reap(q); /* the answer may be there */
	if (part->state == PVDMA_PART_SENT)
		return;
	pvdma_hints_encode(&q->post.hints, part->msg);
	/* no room: they were advice */
	if (!pvdma_queue_add(q, part))
		pvdma_request_note(q->pv, part->msg);
}

/*
 * Notes granules [@first, @last], which were copied, for the host to map; they
 * stand for 1 << @sample such copies. They
 * go with the next request, or at once if that takes no kick or there are many,
 * or after a while. Any context.
 */
void pvdma_request_hint(struct pvdma *pv, u32 endpoint, u8 sample, u64 first,
			u64 last)
{
	struct pvdma_hints *hints;
	unsigned long flags;
	struct pvdma_queue *q;
	bool kick = false;

	if (READ_ONCE(pv->stalled))
		return;
	if (!virtio_has_feature(pv->vdev, VIRTIO_PVDMA_F_SAMPLE))
		sample = 0;
	/* until the kick: pvdma_queue_stop() waits for that */
	preempt_disable();
	q = &pv->queue[smp_processor_id() % pv->nr_queues];
	hints = &q->post.hints;
	raw_spin_lock_irqsave(&q->lock, flags);
	if (!pv->live)
		goto out;
	if (!pvdma_hints_add(hints, endpoint, sample, first, last)) {
		pvdma_request_post(q);
		if (!pvdma_hints_add(hints, endpoint, sample, first, last))
			this_cpu_inc(pv->traffic->hints_lost);
		kick = virtqueue_kick_prepare(q->vq);
	} else if (!virtqueue_kick_prepare(q->vq)) {
		/* the host looks by itself; see whether it still does */
		pvdma_request_post(q);
		kick = virtqueue_kick_prepare(q->vq);
	}
	if (hints->n)
		schedule_delayed_work(&pv->post_work,
				      msecs_to_jiffies(PVDMA_POST_MS));
out:
	raw_spin_unlock_irqrestore(&q->lock, flags);
	if (kick)
		virtqueue_notify(q->vq);
	preempt_enable();
}

/* Sends the hints that no request has taken along. */
void pvdma_request_post_all(struct work_struct *work)
{
	struct pvdma *pv =
		container_of(to_delayed_work(work), struct pvdma, post_work);
	struct pvdma_queue *q;
	unsigned long flags;
	unsigned int i;
	bool kick;

	for (i = 0; i < pv->nr_queues; i++) {
		q = &pv->queue[i];
		kick = false;
		raw_spin_lock_irqsave(&q->lock, flags);
		if (pv->live && !READ_ONCE(pv->stalled)) {
			pvdma_request_post(q);
			kick = virtqueue_kick_prepare(q->vq);
		}
		raw_spin_unlock_irqrestore(&q->lock, flags);
		if (kick)
			virtqueue_notify(q->vq);
		pvdma_queue_tell(q);
	}
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
		err = pvdma_queue_add(q, &s->leaf);
	if (!err)
		err = pvdma_queue_add(q, &s->main);
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

#define PVDMA_FAILED "request %#x of endpoint %u failed: %s\n"

static int pvdma_request_judge(struct pvdma_private *s, struct pvdma_part *part)
{
	const struct pvdma_msg *msg = part->msg;
	struct pvdma *pv = s->queue->pv;
	int err = pvdma_encode_result(msg, part->used);

	trace_pvdma_answer(pv, msg, err);
	if (!err)
		return 0;
	this_cpu_inc(pv->traffic->failed);
	/* that a quota is short is often said: it must not silence others */
	if (err == -ENOMEM)
		dev_warn_ratelimited(&pv->vdev->dev, PVDMA_FAILED,
				     msg->head.type,
				     le32_to_cpu(msg->head.endpoint),
				     pvdma_encode_status(msg));
	else
		dev_warn_ratelimited(&pv->vdev->dev, PVDMA_FAILED,
				     msg->head.type,
				     le32_to_cpu(msg->head.endpoint),
				     pvdma_encode_status(msg));
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
