// SPDX-License-Identifier: GPL-2.0-only
/*
 * unmap.c - the way back: count down; idle? have it unmapped
 *
 * Owns: the unmap on its caller's stack with the request slot that it takes,
 * and what waits in a pvdma_defer.
 *
 * Theory of operation: all holds of a driver's unmap are given up, and what
 * became idle by that goes into one UNMAP request, neighbours as one range;
 * the host unmaps what is idle still when it looks. Who brings a word to zero
 * names what the word stands for; where another word holds the same granule,
 * that one's last user will name it, too. So the last of all users does,
 * whatever the order. A deferred unmap adds its ranges to a request that
 * waits, until there are enough of them or time is up (strict.c).
 *
 * Invariant: a granule is in a request only after its hold was given up: what
 * the host then finds held has another user.
 *
 * Locks: pvdma_defer.lock (raw) for what waits; a slot is taken before it, and
 * no request is sent under it. While a slot is held preemption is off. Nothing
 * here allocates.
 */
#include "encode.h"
#include "request.h"
#include "track.h"
#include "unmap.h"

void pvdma_defer_init(struct pvdma_defer *d, void *page, u16 max, u32 endpoint)
{
	raw_spin_lock_init(&d->lock);
	d->msg = page;
	d->max = max;
	d->calls = 0;
	pvdma_encode_begin(d->msg, VIRTIO_PVDMA_T_UNMAP, endpoint);
}

/* A slot with an UNMAP of no items, or NULL. */
static struct pvdma_slot *pvdma_unmap_slot(struct pvdma *pv, u32 endpoint)
{
	struct pvdma_slot *s = pvdma_request_get(pv);

	if (!s)
		return NULL;
	pvdma_encode_begin(s->leaf, VIRTIO_PVDMA_T_LEAF, 0);
	pvdma_encode_begin(s->main, VIRTIO_PVDMA_T_UNMAP, endpoint);
	return s;
}

int pvdma_defer_flush(struct pvdma_defer *d, struct pvdma *pv, u32 endpoint)
{
	struct pvdma_slot *s = pvdma_unmap_slot(pv, endpoint);
	unsigned long flags;
	int err = 0;

	if (!s)
		return -EIO;
	raw_spin_lock_irqsave(&d->lock, flags);
	memcpy(s->main, d->msg,
	       sizeof(*d->msg) +
		       pvdma_encode_count(d->msg) * sizeof(d->msg->item[0]));
	pvdma_encode_begin(d->msg, VIRTIO_PVDMA_T_UNMAP, endpoint);
	d->calls = 0;
	raw_spin_unlock_irqrestore(&d->lock, flags);
	if (pvdma_encode_count(s->main))
		err = pvdma_request_run(s);
	pvdma_request_put(s);
	return err;
}

static bool pvdma_defer_add(struct pvdma_defer *d, u64 first, u32 n,
			    unsigned int shift)
{
	unsigned long flags;
	bool ok;

	raw_spin_lock_irqsave(&d->lock, flags);
	ok = pvdma_encode_fits(d->msg, n, shift) &&
	     pvdma_encode_granules(d->msg, d->max, first, n);
	raw_spin_unlock_irqrestore(&d->lock, flags);
	return ok;
}

static void pvdma_unmap_note_error(struct pvdma_unmap *u, int err)
{
	if (err && !u->err)
		u->err = err;
}

static void pvdma_unmap_flush(struct pvdma_unmap *u)
{
	pvdma_unmap_note_error(u, pvdma_request_run(u->slot));
	pvdma_request_put(u->slot);
	u->slot = NULL;
}

static void pvdma_unmap_add_later(struct pvdma_unmap *u, u64 first, u32 n)
{
	if (pvdma_defer_add(u->defer, first, n, u->track->shift))
		return;
	/* no room: what waits goes now */
	pvdma_unmap_note_error(u,
			       pvdma_defer_flush(u->defer, u->pv, u->endpoint));
	if (!pvdma_defer_add(u->defer, first, n, u->track->shift))
		pvdma_unmap_note_error(u, -EIO);
}

/* @n is no more than a request may name. */
static void pvdma_unmap_add(struct pvdma_unmap *u, u64 first, u32 n)
{
	u->named = true;
	if (u->defer) {
		pvdma_unmap_add_later(u, first, n);
		return;
	}
	for (;;) {
		if (!u->slot)
			u->slot = pvdma_unmap_slot(u->pv, u->endpoint);
		if (!u->slot) {
			pvdma_unmap_note_error(u, -EIO);
			return;
		}
		if (pvdma_encode_fits(u->slot->main, n, u->track->shift) &&
		    pvdma_encode_granules(u->slot->main, u->slot->max_items,
					  first, n))
			return;
		pvdma_unmap_flush(u);
	}
}

/* However many these are, in pieces that a request may name (DRV-REQ-3). */
static void pvdma_unmap_add_all(struct pvdma_unmap *u, u64 first, u64 last)
{
	const u64 most = VIRTIO_PVDMA_REQ_BYTES >> u->track->shift;
	u64 n;

	for (; first <= last; first += n) {
		n = min(last - first + 1, most);
		pvdma_unmap_add(u, first, n);
	}
}

/* Gives up the holds of one run; false if one of them was not there. */
static bool pvdma_unmap_drop_run(struct pvdma_unmap *u, struct pvdma_run run)
{
	u32 granules = pvdma_track_granules(run.level, 1);
	bool sane = true;
	atomic_t *word;
	int left;

	for (; run.n; run.at++, run.n--) {
		word = pvdma_track_word(u->track, run.level, run.at);
		left = word ? pvdma_track_unhold_left(word) : -1;
		sane &= left >= 0;
		if (!left && !u->every)
			pvdma_unmap_add(u,
					pvdma_track_granules(run.level, run.at),
					granules);
	}
	return sane;
}

void pvdma_unmap_drop(struct pvdma_unmap *u, u64 addr, u64 size)
{
	u64 first = pvdma_track_granule(u->track, addr);
	u64 last = pvdma_track_last(u->track, addr, size);
	struct pvdma_run run;
	bool sane = true;
	u64 g = first;

	while (g <= last) {
		run = pvdma_track_run(g, last);
		sane &= pvdma_unmap_drop_run(u, run);
		g += pvdma_track_granules(run.level, run.n);
	}
	if (u->every)
		pvdma_unmap_add_all(u, first, last);
	WARN_ONCE(!sane, "pvdma: a driver unmaps what it has not mapped\n");
}

void pvdma_unmap_name(struct pvdma_unmap *u, u64 addr, u64 size)
{
	pvdma_unmap_add_all(u, pvdma_track_granule(u->track, addr),
			    pvdma_track_last(u->track, addr, size));
}

int pvdma_unmap_end(struct pvdma_unmap *u)
{
	unsigned long flags;

	if (u->slot)
		pvdma_unmap_flush(u);
	if (u->defer && u->named) {
		raw_spin_lock_irqsave(&u->defer->lock, flags);
		u->defer->calls++;
		raw_spin_unlock_irqrestore(&u->defer->lock, flags);
	}
	return u->err;
}
