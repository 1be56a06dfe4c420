// SPDX-License-Identifier: GPL-2.0-only
/*
 * queue.c - what lies in the virtqueues, and the slots' lives
 *
 * Owns: the request slots and the virtqueues' contents. How a request uses them
 * is in request.c.
 *
 * Each queue has a fixed number of slots, three for each CPU that uses it (a
 * task, a softirq, a hard interrupt) and one more, because a slot is held with
 * preemption off only; and room for one request that nobody waits for. Where
 * the ring is too short for that, slots are held with interrupts off: whoever
 * waits for a slot waits for another CPU then, never for what it has itself
 * interrupted.
 *
 * Invariants: a slot is on its queue's free list, or held by one caller, or
 * lost; a lost slot becomes free only through the used ring or a reset.
 *
 * Locks: pvdma_queue.lock (raw, interrupts off) for the virtqueue, the free
 * list and the states. No allocation under it: virtio.c has turned indirect
 * descriptors off.
 */
#include <linux/delay.h>
#include <linux/scatterlist.h>
#include <linux/virtio_config.h>

#include "queue.h"

/* --- under the queue's lock --- */

void pvdma_queue_holds(struct pvdma_private *s, bool take)
{
	const struct pvdma_msg *msg = s->main.msg;
	struct pvdma_track *track = &s->queue->pv->track;
	u16 i, items = pvdma_encode_count(msg);
	enum pvdma_level level;
	u64 at, n;

	if (msg->head.type != VIRTIO_PVDMA_T_MAP)
		return;
	for (i = 0; i < items; i++) {
		at = le64_to_cpu(msg->item[i].range.first);
		n = le32_to_cpu(msg->item[i].range.count);
		level = PVDMA_GRANULES;
		if (pvdma_levels_block(&s->slot.levels, i)) {
			level = PVDMA_BLOCKS;
			at >>= VIRTIO_PVDMA_BLOCK_SHIFT;
			n >>= VIRTIO_PVDMA_BLOCK_SHIFT;
		}
		if (take)
			pvdma_track_hold_words(track, level, at, n);
		else
			pvdma_track_drop_words(track, level, at, n);
	}
}

void pvdma_queue_found(struct pvdma_private *s)
{
	struct pvdma_queue *q = s->queue;

	if (s->more_holds)
		pvdma_queue_holds(s, false);
	s->more_holds = false;
	s->lost = false;
	s->leaf.state = PVDMA_PART_IDLE;
	s->main.state = PVDMA_PART_IDLE;
	q->nr_lost--;
	if (!s->owned)
		list_add(&s->node, &q->free);
}

void pvdma_queue_reap(struct pvdma_queue *q)
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
			pvdma_queue_found(s);
	}
	if (any && READ_ONCE(q->pv->stalled)) {
		WRITE_ONCE(q->pv->stalled, NULL);
		WRITE_ONCE(q->back, true);
	}
}

/*
 * Says what reaping has found. Not under the lock, and with no slot in hand:
 * the console may be a network, behind a device that we map for.
 */
void pvdma_queue_tell(struct pvdma_queue *q)
{
	if (unlikely(READ_ONCE(q->back)) && !READ_ONCE(q->pv->stalled) &&
	    xchg(&q->back, false))
		dev_info(&q->pv->vdev->dev, "the host answers again\n");
}

int pvdma_queue_add(struct pvdma_queue *q, struct pvdma_part *part)
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

/* --- the life of the queues --- */

static int pvdma_queue_setup_slots(struct pvdma_queue *q)
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
	q->post.hints.max = min_t(u32, q->pv->max_items, PVDMA_HINTS_MAX);
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
 * slots as well. 0 or -ENOMEM; then pvdma_queue_free() cleans up.
 */
int pvdma_queue_setup(struct pvdma *pv, struct virtqueue **vqs)
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
		err = pvdma_queue_setup_slots(q);
		if (err)
			return err;
	}
	return 0;
}

void pvdma_queue_start(struct pvdma *pv)
{
	WRITE_ONCE(pv->live, true);
}

/*
 * No request is sent after this, and none is being waited for: lost ones stay
 * with the host. Sleeps, for the length of a time-out at most.
 */
void pvdma_queue_stop(struct pvdma *pv)
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
	/* who has left a hint may not have kicked yet, with preemption off */
	synchronize_rcu();
	/* nobody queues it any more: all have seen that it is over */
	cancel_delayed_work_sync(&pv->post_work);
}

/* The device was reset: what it had is ours again. */
void pvdma_queue_reclaim(struct pvdma *pv)
{
	struct pvdma_queue *q;
	unsigned long flags;
	unsigned int i, j;

	for (i = 0; pv->queue && i < pv->nr_queues; i++) {
		q = &pv->queue[i];
		raw_spin_lock_irqsave(&q->lock, flags);
		for (j = 0; q->slots && j < q->nr_slots; j++)
			if (q->slots[j].lost)
				pvdma_queue_found(&q->slots[j]);
		q->post.slot.main.state = PVDMA_PART_IDLE;
		q->post.hints.n = 0;
		raw_spin_unlock_irqrestore(&q->lock, flags);
	}
	WRITE_ONCE(pv->stalled, NULL);
}

void pvdma_queue_free(struct pvdma *pv)
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
