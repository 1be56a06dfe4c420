/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtq.h - the device's side of a split virtqueue in shared memory
 *
 * Neither indirect descriptors nor event indices: the features that would
 * allow them are not offered.
 */
#ifndef PVDMA_AGENT_VHOST_VIRTQ_H
#define PVDMA_AGENT_VHOST_VIRTQ_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct regions;

/* Longest ring that we serve; a power of two. */
#define VIRTQ_SIZE_MAX 1024

struct virtq {
	uint16_t size;	     /* descriptors; 0: not known yet */
	uint16_t last_avail; /* the next available entry to take */
	uint16_t used;	     /* the next used entry to write */
	uint64_t desc_user;  /* addresses in the front-end */
	uint64_t avail_user;
	uint64_t used_user;
	struct vring_desc *desc; /* here; all three NULL if not resolved */
	struct vring_avail *avail_ring;
	struct vring_used *used_ring;
};

/* A piece of a chain, in guest-physical addresses. */
struct virtq_piece {
	uint64_t gpa;
	uint32_t size;
};

/* A chain that was taken from the ring, and has not been put back yet. */
struct virtq_chain {
	uint16_t head;
	uint16_t num_readable; /* pieces[0 ... num_readable - 1] */
	uint16_t num_pieces;   /* the others are writable */
	uint64_t readable;     /* bytes */
	uint64_t writable;     /* bytes */
	struct virtq_piece pieces[VIRTQ_SIZE_MAX];
};

/* What virtq_pop() says; what is not OK or EMPTY means a malformed ring. */
enum virtq_verdict {
	VIRTQ_OK = 0,
	VIRTQ_EMPTY,
	VIRTQ_BAD_INDEX,
	VIRTQ_BAD_HEAD,
	VIRTQ_BAD_NEXT,
	VIRTQ_BAD_LENGTH,
	VIRTQ_BAD_ORDER,
	VIRTQ_BAD_INDIRECT,
	VIRTQ_BAD_ADDRESS,
};

const char *virtq_strverdict(int verdict);

/*
 * Sets the ring's size. 0, or the verdict EINVAL: not a power of two, or above
 * VIRTQ_SIZE_MAX.
 */
int virtq_set_size(struct virtq *vq, uint32_t size);

/*
 * Looks the addresses of the ring up in @mem, again after each change of @mem.
 * False, with the ring unresolved, where one of the three parts is not within
 * one region, or is not aligned as virtio asks.
 */
bool virtq_resolve(struct virtq *vq, const struct regions *mem);

static inline bool virtq_resolved(const struct virtq *vq)
{
	return vq->desc != NULL;
}

/* Takes over the position of the used ring from guest memory: at start. */
void virtq_load_used(struct virtq *vq);

/*
 * Takes the next available chain into @ret: all its descriptors are within
 * @mem, each read once. No byte that they point to was touched. Returns an
 * enum virtq_verdict.
 */
int virtq_pop(struct virtq *vq, const struct regions *mem,
	      struct virtq_chain *ret);

/* Copies the first bytes of the readable part, at most @size; how many. */
size_t virtq_read(const struct virtq_chain *chain, const struct regions *mem,
		  void *to, size_t size);

/* Copies to the first bytes of the writable part; @size must fit. */
void virtq_write(const struct virtq_chain *chain, const struct regions *mem,
		 const void *from, size_t size);

/* Gives @chain back to the driver, @written bytes of it written. */
void virtq_push(struct virtq *vq, const struct virtq_chain *chain,
		uint32_t written);

/* True if the driver made chains available that were not taken yet. */
bool virtq_pending(const struct virtq *vq);

/* True if the driver never made anything available in this ring. */
bool virtq_untouched(const struct virtq *vq);

/* Asks the driver not to kick (or to kick again); a hint, as virtio has it. */
void virtq_suppress_kicks(struct virtq *vq, bool suppress);

/* True if the driver wants to hear of used buffers. */
bool virtq_wants_call(const struct virtq *vq);

#endif
