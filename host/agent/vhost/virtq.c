// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtq.c - the device's side of a split virtqueue in shared memory
 *
 * Theory of operation. The driver writes descriptors and the available ring,
 * we write the used ring; each side owns its index and reads the other's with
 * acquire semantics, after the other published it with release semantics. The
 * driver may be hostile and change everything at any time, so each field is
 * read once into a local variable, judged there, and never read again. A chain
 * is walked and judged as a whole before a byte that it points to is touched.
 *
 * Owns: the positions in the rings. The memory is the guest's.
 *
 * Invariant: a pointer into guest memory is used only for entries within
 * [0, size) of rings that virtq_resolve() found within one region.
 *
 * Locks: none; the event loop owns it. In a request's way: pop, read and, after
 * the request has been served, write and push.
 */
#include "vhost/virtq.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>

#include "vhost/regions.h"
#include "lib/macros.h"

/* Each field of guest memory is read or written by exactly one access. */
#define load(p)		    __atomic_load_n((p), __ATOMIC_RELAXED)
#define load_acquire(p)	    __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store(p, v)	    __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

static const char *const verdict_words[] = {
	[VIRTQ_OK] = "fine",
	[VIRTQ_EMPTY] = "empty",
	[VIRTQ_BAD_INDEX] = "the available index is too far ahead",
	[VIRTQ_BAD_HEAD] = "the head of a chain is not in the table",
	[VIRTQ_BAD_NEXT] = "a next descriptor is not in the table",
	[VIRTQ_BAD_LENGTH] = "a chain is longer than the queue",
	[VIRTQ_BAD_ORDER] = "a readable descriptor follows a writable one",
	[VIRTQ_BAD_INDIRECT] = "an indirect descriptor, which was not offered",
	[VIRTQ_BAD_ADDRESS] = "a descriptor points outside guest memory",
};

const char *virtq_strverdict(int verdict)
{
	if (verdict < 0 || (size_t)verdict >= ARRAY_SIZE(verdict_words))
		return "unknown";
	return verdict_words[verdict];
}

int virtq_set_size(struct virtq *vq, uint32_t size)
{
	if (!is_power_of_2(size) || size > VIRTQ_SIZE_MAX)
		return EINVAL;
	vq->size = (uint16_t)size;
	return 0;
}

/* @user here, if @size bytes and the alignment fit; NULL otherwise. */
static void *resolve_part(const struct regions *mem, uint64_t user,
			  uint64_t size, uint64_t align)
{
	void *here = regions_user(mem, user, size);

	return here && is_aligned((uintptr_t)here, align) ? here : NULL;
}

bool virtq_resolve(struct virtq *vq, const struct regions *mem)
{
	uint64_t n = vq->size;
	void *desc, *avail, *used;

	desc = resolve_part(mem, vq->desc_user, n * sizeof(struct vring_desc),
			    VRING_DESC_ALIGN_SIZE);
	avail = resolve_part(mem, vq->avail_user,
			     sizeof(struct vring_avail) + n * sizeof(uint16_t),
			     VRING_AVAIL_ALIGN_SIZE);
	used = resolve_part(mem, vq->used_user,
			    sizeof(struct vring_used) +
				    n * sizeof(struct vring_used_elem),
			    VRING_USED_ALIGN_SIZE);
	if (n == 0 || !desc || !avail || !used) {
		vq->desc = NULL;
		vq->avail_ring = NULL;
		vq->used_ring = NULL;
		return false;
	}
	vq->desc = desc;
	vq->avail_ring = avail;
	vq->used_ring = used;
	return true;
}

void virtq_load_used(struct virtq *vq)
{
	vq->used = le16toh(load(&vq->used_ring->idx));
}

static uint16_t load_avail_idx(const struct virtq *vq)
{
	return le16toh(load_acquire(&vq->avail_ring->idx));
}

bool virtq_pending(const struct virtq *vq)
{
	return load_avail_idx(vq) != vq->last_avail;
}

bool virtq_untouched(const struct virtq *vq)
{
	return vq->last_avail == 0 && load_avail_idx(vq) == 0;
}

/* One descriptor, read once. */
static struct vring_desc load_desc(const struct virtq *vq, uint16_t i)
{
	const struct vring_desc *d = &vq->desc[i];

	return (struct vring_desc){
		.addr = le64toh(load(&d->addr)),
		.len = le32toh(load(&d->len)),
		.flags = le16toh(load(&d->flags)),
		.next = le16toh(load(&d->next)),
	};
}

/* Judges @d and appends it to @chain. */
static int append_desc(struct virtq_chain *chain, const struct vring_desc *d,
		       const struct regions *mem)
{
	if (d->flags & VRING_DESC_F_INDIRECT)
		return VIRTQ_BAD_INDIRECT;
	if (!regions_contain(mem, d->addr, d->len))
		return VIRTQ_BAD_ADDRESS;
	if (d->flags & VRING_DESC_F_WRITE) {
		chain->writable += d->len;
	} else {
		if (chain->num_readable < chain->num_pieces)
			return VIRTQ_BAD_ORDER;
		chain->readable += d->len;
		chain->num_readable++;
	}
	chain->pieces[chain->num_pieces++] = (struct virtq_piece){
		.gpa = d->addr,
		.size = d->len,
	};
	return VIRTQ_OK;
}

/* Walks the chain that starts at descriptor @i. */
static int walk_chain(const struct virtq *vq, const struct regions *mem,
		      uint16_t i, struct virtq_chain *chain)
{
	struct vring_desc d;
	int r;

	chain->head = i;
	chain->num_readable = 0;
	chain->num_pieces = 0;
	chain->readable = 0;
	chain->writable = 0;
	if (i >= vq->size)
		return VIRTQ_BAD_HEAD;
	for (;;) {
		/* A loop is a chain that is longer than the queue. */
		if (chain->num_pieces == vq->size)
			return VIRTQ_BAD_LENGTH;
		d = load_desc(vq, i);
		r = append_desc(chain, &d, mem);
		if (r != VIRTQ_OK)
			return r;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return VIRTQ_OK;
		if (d.next >= vq->size)
			return VIRTQ_BAD_NEXT;
		i = d.next;
	}
}

int virtq_pop(struct virtq *vq, const struct regions *mem,
	      struct virtq_chain *ret)
{
	uint16_t avail = load_avail_idx(vq), head;
	int r;

	if (avail == vq->last_avail)
		return VIRTQ_EMPTY;
	if ((uint16_t)(avail - vq->last_avail) > vq->size)
		return VIRTQ_BAD_INDEX;
	head = le16toh(
		load(&vq->avail_ring->ring[vq->last_avail & (vq->size - 1)]));
	r = walk_chain(vq, mem, head, ret);
	if (r == VIRTQ_OK)
		vq->last_avail++;
	return r;
}

size_t virtq_read(const struct virtq_chain *chain, const struct regions *mem,
		  void *to, size_t size)
{
	uint8_t *out = to;
	size_t done = 0;

	for (unsigned int i = 0; i < chain->num_readable && done < size; i++) {
		size_t n = min((size_t)chain->pieces[i].size, size - done);

		regions_read(mem, chain->pieces[i].gpa, out + done, n);
		done += n;
	}
	return done;
}

void virtq_write(const struct virtq_chain *chain, const struct regions *mem,
		 const void *from, size_t size)
{
	const uint8_t *in = from;
	unsigned int i = chain->num_readable;

	assert(size <= chain->writable);
	for (; i < chain->num_pieces && size > 0; i++) {
		size_t n = min((size_t)chain->pieces[i].size, size);

		regions_write(mem, chain->pieces[i].gpa, in, n);
		in += n;
		size -= n;
	}
}

void virtq_push(struct virtq *vq, const struct virtq_chain *chain,
		uint32_t written)
{
	struct vring_used_elem *elem;

	elem = &vq->used_ring->ring[vq->used & (vq->size - 1)];
	store(&elem->id, htole32(chain->head));
	store(&elem->len, htole32(written));
	vq->used++;
	store_release(&vq->used_ring->idx, htole16(vq->used));
}

void virtq_suppress_kicks(struct virtq *vq, bool suppress)
{
	store(&vq->used_ring->flags,
	      htole16(suppress ? VRING_USED_F_NO_NOTIFY : 0));
	/*
	 * Our write of the flag must be visible before we look at the available
	 * index for the last time: the driver publishes the index, then reads
	 * the flag. One of both sees the other's write.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

bool virtq_wants_call(const struct virtq *vq)
{
	/* The mirror image: used index written, then the driver's flag read. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !(le16toh(load(&vq->avail_ring->flags)) &
		 VRING_AVAIL_F_NO_INTERRUPT);
}
