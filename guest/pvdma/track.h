/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * track.h - the tracking table: a word per granule of guest memory
 *
 * The words are shared with the host (SPEC.md, "The tracking table"). The hit
 * path is inline here: find the word in three loads, add one, look at MAPPED.
 */
#ifndef PVDMA_TRACK_H
#define PVDMA_TRACK_H

#include "env.h"

/*
 * The directory of leaves. slot[n] is 0, or the address of leaf n, whose
 * lowest bit says that the host has accepted the leaf. A directory is never
 * freed before the table: whoever still looks at an older one finds leaves
 * that are good for ever, or none, and then asks again under the lock.
 */
struct pvdma_dir {
	u64 leaves; /* entries in slot[] */
	struct pvdma_dir *older;
	unsigned long slot[];
};

#define PVDMA_SLOT_REGISTERED 1ul

struct pvdma_track {
	struct pvdma_dir *dir; /* published with release semantics */
	unsigned int shift;    /* log2 of the granule's bytes */
	raw_spinlock_t lock;   /* serialises changes of dir, slots */
	u64 nr_leaves;	       /* allocated; under lock */
};

/*
 * A table for addresses [0, @bytes); it can grow. May sleep. 0 or -ENOMEM;
 * after a failure there is nothing to undo.
 */
int pvdma_track_init(struct pvdma_track *t, unsigned int shift, u64 bytes);

/* Frees everything, leaves too: the host must have forgotten them. */
void pvdma_track_done(struct pvdma_track *t);

/* Makes room for addresses [0, @bytes). 0 or -ENOMEM. */
int pvdma_track_grow(struct pvdma_track *t, u64 bytes, gfp_t gfp);

/*
 * Makes sure that leaf @leaf exists; its words are 0 if it is new. 0, -ENOMEM,
 * or -ERANGE where the directory has to grow first.
 */
int pvdma_track_add_leaf(struct pvdma_track *t, u64 leaf, gfp_t gfp);

/* The physical address of a leaf that exists. */
u64 pvdma_track_leaf_addr(const struct pvdma_track *t, u64 leaf);

/* Has the host accepted this leaf? */
bool pvdma_track_registered(const struct pvdma_track *t, u64 leaf);
void pvdma_track_set_registered(struct pvdma_track *t, u64 leaf);

/*
 * The device was reset: no leaf is registered, nothing is mapped; holds stay.
 * Only while the device does not run.
 */
void pvdma_track_forget(struct pvdma_track *t);

/* The first leaf that exists from *@leaf on, or false. */
bool pvdma_track_next_leaf(const struct pvdma_track *t, u64 *leaf);

/* The first granule that is held from *@granule on, or false. */
bool pvdma_track_next_held(const struct pvdma_track *t, u64 *granule);

/* Take and give up a hold on each granule of [@first, @last]. */
void pvdma_track_hold_more(struct pvdma_track *t, u64 first, u64 last);
void pvdma_track_drop(struct pvdma_track *t, u64 first, u64 last);

static inline u64 pvdma_track_leaf_of(u64 granule)
{
	return granule >> VIRTIO_PVDMA_LEAF_SHIFT;
}

static inline u64 pvdma_track_granule(const struct pvdma_track *t, u64 addr)
{
	return addr >> t->shift;
}

/* The last granule of [@addr, @addr + @size); nothing counts as one byte. */
static inline u64 pvdma_track_last(const struct pvdma_track *t, u64 addr,
				   u64 size)
{
	return (addr + (size ? size : 1) - 1) >> t->shift;
}

/*
 * The word of @granule; those of its leaf's other granules lie beside it.
 * NULL while the leaf does not exist.
 */
static inline atomic_t *pvdma_track_word(const struct pvdma_track *t,
					 u64 granule)
{
	const struct pvdma_dir *dir = READ_ONCE(t->dir);
	u64 leaf = pvdma_track_leaf_of(granule);
	unsigned long slot;

	if (unlikely(leaf >= dir->leaves))
		return NULL;
	slot = READ_ONCE(dir->slot[leaf]);
	if (unlikely(!slot))
		return NULL;
	return (atomic_t *)(slot & ~PVDMA_SLOT_REGISTERED) +
	       (granule & (VIRTIO_PVDMA_LEAF_WORDS - 1));
}

/*
 * Takes a hold; true if the granule was mapped at that moment, which it then
 * stays until the hold is given up. The operation is fully ordered: what is
 * done with the address afterwards cannot come before it.
 *
 * 2^28 holds of one granule would reach into the reserved bits. Each live
 * mapping stands in some device's ring with at least 8 bytes of address, so
 * that takes 2 GiB of rings that all point to one granule.
 */
static inline bool pvdma_track_hold(atomic_t *word)
{
	u32 old = atomic_fetch_add(1, word);

	if (unlikely(!(old & VIRTIO_PVDMA_W_REFERENCED)))
		atomic_or(VIRTIO_PVDMA_W_REFERENCED, word);
	return old & VIRTIO_PVDMA_W_MAPPED;
}

/*
 * Gives up a hold; false, and nothing changed, if there was none. The look
 * beforehand keeps a driver that unmaps twice from borrowing out of MAPPED;
 * for one that does not, the count cannot fall to zero in between.
 */
static inline bool pvdma_track_unhold(atomic_t *word)
{
	if (unlikely(!(atomic_read(word) & VIRTIO_PVDMA_W_COUNT)))
		return false;
	(void)atomic_fetch_sub_release(1, word);
	return true;
}

#endif
