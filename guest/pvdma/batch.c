// SPDX-License-Identifier: GPL-2.0-only
/*
 * batch.c - step 3 of a mapping's way: gather all misses of the mapping
 *
 * Owns: the batch on its caller's stack, and the request slot that the batch
 * takes at its first miss and gives back when the misses are mapped.
 *
 * Theory of operation: a mapping counts up all its words first, of granules or
 * of whole blocks. Where MAPPED was set that is all, unless the endpoint is
 * attached as single-use (DRV-STRICT-2). Else what the word stands for goes
 * straight into a MAP request (neighbours as one range), and its leaf, if the
 * host does not know it yet, into a LEAF request that stands before it in the
 * queue. The whole lot costs one kick and one wait, unless it outgrows a
 * request.
 *
 * Invariants: a granule is in a request only while it is held (DRV-MAP-1); a
 * batch without a slot has no miss whose answer is still out.
 *
 * Locks: none. While a slot is held preemption is off, so that at most one
 * task and the interrupts above it hold slots on a CPU; hence no memory is
 * allocated in that state (PREEMPT_RT).
 */
#include "batch.h"
#include "encode.h"
#include "request.h"
#include "track.h"

/* The host accepted the leaves of this request. */
static void pvdma_batch_note_leaves(struct pvdma_batch *b)
{
	const struct pvdma_msg *msg = b->slot->leaf;
	u16 i, n = pvdma_encode_count(msg);
	u64 leaf;

	for (i = 0; i < n; i++) {
		leaf = le64_to_cpu(msg->item[i].leaf.index);
		pvdma_track_set_registered(b->track, leaf);
	}
}

/* ... and maps what it asks for. */
static void pvdma_batch_note_asked(const struct pvdma_batch *b)
{
	const struct pvdma_msg *msg = b->slot->main;
	u16 i, n = pvdma_encode_count(msg);

	for (i = 0; b->asked && i < n; i++)
		pvdma_pressure_asked(b->asked,
				     le64_to_cpu(msg->item[i].range.first),
				     le32_to_cpu(msg->item[i].range.count));
}

/* Of what waits to be asked for: how many bytes were asked for before? */
u64 pvdma_batch_again(const struct pvdma_batch *b)
{
	const struct pvdma_msg *msg = b->slot->main;
	u16 i, n = pvdma_encode_count(msg);
	u64 again = 0;

	for (i = 0; b->asked && i < n; i++)
		again += pvdma_pressure_missed(
			b->asked, le64_to_cpu(msg->item[i].range.first),
			le32_to_cpu(msg->item[i].range.count), b->track->shift);
	return again;
}

int pvdma_batch_flush(struct pvdma_batch *b)
{
	int err;

	if (!b->slot)
		return 0;
	/* a new leaf is to be known to be registered */
	b->slot->patience_us =
		pvdma_encode_count(b->slot->leaf) ? 0 : b->patience_us;
	err = pvdma_request_run(b->slot);
	if (!err) {
		pvdma_batch_note_leaves(b);
		pvdma_batch_note_asked(b);
	}
	pvdma_request_put(b->slot);
	b->slot = NULL;
	return err;
}

void pvdma_batch_cancel(struct pvdma_batch *b)
{
	if (b->slot)
		pvdma_request_put(b->slot);
	b->slot = NULL;
}

/* The leaf of @addr's word does not exist: make it, or refuse the address. */
static int pvdma_batch_new_leaf(struct pvdma_batch *b, u64 leaf, u64 addr)
{
	int err = pvdma_env_check(addr);

	if (!err)
		err = pvdma_batch_flush(b);
	if (err)
		return err;
	err = pvdma_track_add_leaf(b->track, leaf, b->gfp);
	if (err != -ERANGE)
		return err;
	/* memory that came without the memory notifier's knowledge */
	err = pvdma_track_grow(b->track, addr + 1, b->gfp);
	return err ? err : pvdma_track_add_leaf(b->track, leaf, b->gfp);
}

/* Adds granules, held by a word of leaf @leaf, to the request. */
static int pvdma_batch_add(struct pvdma_batch *b, enum pvdma_level level,
			   u64 leaf, u64 granule, u32 n)
{
	u64 at = pvdma_track_leaf_addr(b->track, leaf);
	struct pvdma_slot *s;
	int err;

	for (;;) {
		s = b->slot;
		if (!s) {
			s = pvdma_request_get(b->pv);
			if (!s)
				return -EIO;
			b->slot = s;
			pvdma_encode_begin(s->leaf, VIRTIO_PVDMA_T_LEAF, 0);
			pvdma_encode_begin(s->main, VIRTIO_PVDMA_T_MAP,
					   b->endpoint);
		}
		if (pvdma_encode_fits(s->main, n, b->track->shift) &&
		    (pvdma_track_registered(b->track, leaf) ||
		     pvdma_encode_leaf(s->leaf, s->max_leaves, leaf, at)) &&
		    pvdma_encode_word(s->main, s->max_items, &s->levels,
				      level == PVDMA_BLOCKS, granule, n))
			return 0;
		err = pvdma_batch_flush(b);
		if (err)
			return err;
	}
}

/* The word of @at was held, and MAPPED was not there. */
static int pvdma_batch_miss(struct pvdma_batch *b, enum pvdma_level level,
			    u64 at, u64 addr)
{
	u64 granule = pvdma_track_granules(level, at);
	u32 n = pvdma_track_granules(level, 1);
	int err = pvdma_env_check(max(addr, granule << b->track->shift));

	if (!err)
		err = pvdma_batch_add(b, level, pvdma_track_leaf_of(level, at),
				      granule, n);
	if (!err)
		b->misses += n;
	return err;
}

/*
 * Holds the words of one run; *@done is how many of them are held afterwards,
 * also after a failure.
 */
static int pvdma_batch_hold_run(struct pvdma_batch *b, struct pvdma_run run,
				u64 addr, u64 *done)
{
	u32 granules = pvdma_track_granules(run.level, 1);
	u64 at = run.at, end = run.at + run.n, n, start;
	atomic_t *word;
	int err = 0;

	while (at < end && !err) {
		word = pvdma_track_word(b->track, run.level, at);
		if (unlikely(!word)) {
			start = pvdma_track_granules(run.level, at)
				<< b->track->shift;
			err = pvdma_batch_new_leaf(
				b, pvdma_track_leaf_of(run.level, at),
				max(addr, start));
			continue;
		}
		n = min(end - at, VIRTIO_PVDMA_LEAF_WORDS -
					  (at & (VIRTIO_PVDMA_LEAF_WORDS - 1)));
		for (; n && !err; n--, at++, word++) {
			if (likely(pvdma_track_hold(word)) && !b->every)
				b->hits += granules;
			else
				err = pvdma_batch_miss(b, run.level, at, addr);
		}
	}
	*done = at - run.at;
	return err;
}

int pvdma_batch_hold_words(struct pvdma_batch *b, const struct pvdma_run *run)
{
	u64 granule = pvdma_track_granules(run->level, run->at), done;
	int err = pvdma_batch_hold_run(b, *run, granule << b->track->shift,
				       &done);

	if (likely(!err))
		return 0;
	/* as below */
	pvdma_batch_cancel(b);
	pvdma_track_drop_words(b->track, run->level, run->at, done);
	return err;
}

int pvdma_batch_hold(struct pvdma_batch *b, u64 addr, u64 size)
{
	u64 first = pvdma_track_granule(b->track, addr);
	u64 last = pvdma_track_last(b->track, addr, size);
	struct pvdma_run run;
	u64 g = first, done;
	int err = 0;

	if (unlikely(size && addr + size - 1 < addr))
		return -EINVAL;
	while (g <= last && !err) {
		run = pvdma_track_run(g, last);
		err = pvdma_batch_hold_run(b, run, addr, &done);
		g += pvdma_track_granules(run.level, done);
	}
	if (likely(!err))
		return 0;
	/* what waits in the request is given up below: it must not be sent */
	pvdma_batch_cancel(b);
	if (g > first)
		pvdma_track_drop(b->track, first, g - 1);
	return err;
}
