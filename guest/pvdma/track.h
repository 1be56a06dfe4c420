/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * track.h - the tracking table: a word per granule of guest memory, and one
 * per block of them
 *
 * The words are shared with the host (SPEC.md, "The tracking table"). The hit
 * path is inline here: find the word in three loads, add one, look at MAPPED.
 * A large mapping holds the blocks within it, not each of their granules; which
 * those are follows from the mapping's ends (pvdma_track_run()), so that giving
 * up comes to the same words as holding.
 */
#ifndef PVDMA_TRACK_H
#define PVDMA_TRACK_H

#include "env.h"

/* What a word stands for. */
enum pvdma_level {
	PVDMA_GRANULES,
	PVDMA_BLOCKS,
	PVDMA_LEVELS,
};

/*
 * The directory of the leaves of one level. leaf[n] leads to the words of leaf
 * n: it is where the word of granule, or block, 0 would be if the words of all
 * of them lay in a row, which saves the hit path to take the number apart.
 * Where there is no leaf yet, it leads to one that stands for all of these, in
 * which nothing is ever mapped.
 *
 * No directory is freed before the table: whoever still has an older one finds
 * leaves that are good for ever, or none, and then asks again under the lock.
 */
struct pvdma_dir {
	u64 leaves; /* entries in leaf[] */
	struct pvdma_dir *older;
	u64 *known; /* under lock; a bit a leaf: the host has accepted it */
	unsigned long leaf[];
};

struct pvdma_track {
	/* published with release semantics */
	struct pvdma_dir *dir[PVDMA_LEVELS];
	unsigned int shift;  /* log2 of the granule's bytes */
	atomic_t *none;	     /* stands for leaves that are not there */
	raw_spinlock_t lock; /* serialises changes of dir, leaves */
	u64 nr_leaves;	     /* allocated; under lock */
};

/* Words in a row: @n of them from the one of granule, or block, @at on. */
struct pvdma_run {
	enum pvdma_level level;
	u64 at;
	u64 n;
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
 * Leaves go by the number that they have in a LEAF request, which says their
 * level, too.
 *
 * Makes sure that leaf @leaf exists; its words are 0 if it is new. 0, -ENOMEM,
 * or -ERANGE where the directory has to grow first.
 */
int pvdma_track_add_leaf(struct pvdma_track *t, u64 leaf, gfp_t gfp);

/* The physical address of a leaf that exists. */
u64 pvdma_track_leaf_addr(const struct pvdma_track *t, u64 leaf);

/* Has the host accepted this leaf? */
bool pvdma_track_registered(struct pvdma_track *t, u64 leaf);
void pvdma_track_set_registered(struct pvdma_track *t, u64 leaf);

/* Some leaf that the host has accepted; false if there is none. */
bool pvdma_track_first_registered(struct pvdma_track *t, u64 *leaf);

/*
 * The device was reset: no leaf is registered, nothing is mapped; holds stay.
 * Only while the device does not run.
 */
void pvdma_track_forget(struct pvdma_track *t);

/* The first word of @level from *@at on that holds, or false. */
bool pvdma_track_next_held(const struct pvdma_track *t, enum pvdma_level level,
			   u64 *at);

/* The memory of the directories now in use. */
u64 pvdma_track_dir_bytes(const struct pvdma_track *t);

/* Is @granule held, by its own word or by its block's? */
bool pvdma_track_held(const struct pvdma_track *t, u64 granule);

/*
 * Takes a hold on granules [@first, @last] if all of them are mapped; false,
 * and nothing is held, if one is not.
 */
bool pvdma_track_try(struct pvdma_track *t, u64 first, u64 last);

/*
 * Take and give up a hold on words [@at, @at + @n) of @level, which are held by
 * others as well.
 */
void pvdma_track_hold_words(struct pvdma_track *t, enum pvdma_level level,
			    u64 at, u64 n);
void pvdma_track_drop_words(struct pvdma_track *t, enum pvdma_level level,
			    u64 at, u64 n);

/* Gives up a hold on granules [@first, @last]. */
void pvdma_track_drop(struct pvdma_track *t, u64 first, u64 last);

static inline u64 pvdma_track_leaf_of(enum pvdma_level level, u64 at)
{
	return at >> VIRTIO_PVDMA_LEAF_SHIFT |
	       (level == PVDMA_BLOCKS ? VIRTIO_PVDMA_LEAF_BLOCKS : 0);
}

/*
 * The first run of words by which granules [@first, @last] are held: blocks
 * that are whole, and what is before the first and behind the last of them. A
 * range that ends earlier has the same runs up to there.
 */
static inline struct pvdma_run pvdma_track_run(u64 first, u64 last)
{
	const u64 size = VIRTIO_PVDMA_BLOCK_GRANULES;
	u64 block = (first + size - 1) & ~(size - 1);

	if (last - first < size - 1 || block + size - 1 > last)
		return (struct pvdma_run){ PVDMA_GRANULES, first,
					   last - first + 1 };
	if (block != first)
		return (struct pvdma_run){ PVDMA_GRANULES, first,
					   block - first };
	return (struct pvdma_run){
		PVDMA_BLOCKS,
		first >> VIRTIO_PVDMA_BLOCK_SHIFT,
		(last + 1 - first) >> VIRTIO_PVDMA_BLOCK_SHIFT,
	};
}

/* The granules that words @at up to @at + @n of @level stand for. */
static inline u64 pvdma_track_granules(enum pvdma_level level, u64 n)
{
	return level == PVDMA_BLOCKS ? n << VIRTIO_PVDMA_BLOCK_SHIFT : n;
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

static inline unsigned long pvdma_track_bias(u64 leaf)
{
	return leaf * VIRTIO_PVDMA_LEAF_SIZE;
}

/* The words of leaf @n of a directory. */
static inline atomic_t *pvdma_track_words(const struct pvdma_dir *dir, u64 n)
{
	return (atomic_t *)(READ_ONCE(dir->leaf[n]) + pvdma_track_bias(n));
}

/* The address behind the last one that the table has room for. */
static inline u64 pvdma_track_end(const struct pvdma_track *t)
{
	return READ_ONCE(t->dir[PVDMA_GRANULES])->leaves
	       << (t->shift + VIRTIO_PVDMA_LEAF_SHIFT);
}

/*
 * The word of granule, or block, @at; those of its leaf's other ones lie beside
 * it. NULL while the leaf does not exist.
 */
static inline atomic_t *pvdma_track_word(const struct pvdma_track *t,
					 enum pvdma_level level, u64 at)
{
	const struct pvdma_dir *dir = READ_ONCE(t->dir[level]);
	u64 leaf = at >> VIRTIO_PVDMA_LEAF_SHIFT;
	atomic_t *words;

	if (unlikely(leaf >= dir->leaves))
		return NULL;
	words = pvdma_track_words(dir, leaf);
	if (unlikely(words == t->none))
		return NULL;
	return words + (at & (VIRTIO_PVDMA_LEAF_WORDS - 1));
}

/*
 * Takes a hold; true if what the word stands for was mapped at that moment,
 * which it then stays until the hold is given up. The operation is fully
 * ordered: what is done with the address afterwards cannot come before it.
 *
 * 2^28 holds of one granule would reach into the reserved bits. Each live
 * mapping stands in some device's ring with at least 8 bytes of address, so
 * that takes 2 GiB of rings that all point to one granule.
 */
static inline bool pvdma_track_hold(atomic_t *word)
{
	u32 old = atomic_fetch_add(1, word);

	/* the two highest bits: one comparison for what is nearly always so */
	if (likely(old >= (VIRTIO_PVDMA_W_MAPPED | VIRTIO_PVDMA_W_REFERENCED)))
		return true;
	if (!(old & VIRTIO_PVDMA_W_REFERENCED))
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

/*
 * The same, and how many holds are left; -1 if there was none. Who gets 0 may
 * tell the host: to put a request into a queue is a release as well.
 */
static inline int pvdma_track_unhold_left(atomic_t *word)
{
	u32 old;

	if (unlikely(!(atomic_read(word) & VIRTIO_PVDMA_W_COUNT)))
		return -1;
	old = atomic_fetch_sub_release(1, word);
	return (old - 1) & VIRTIO_PVDMA_W_COUNT;
}

/*
 * The word of @granule, which is below the end of directory @dir; it may be one
 * of the leaf that stands for those that are not there.
 */
static inline atomic_t *pvdma_track_fast_word(const struct pvdma_dir *dir,
					      u64 granule)
{
	u64 leaf = granule >> VIRTIO_PVDMA_LEAF_SHIFT;

	return (atomic_t *)(READ_ONCE(dir->leaf[leaf]) +
			    granule * sizeof(atomic_t));
}

/*
 * The whole way of a mapping of one granule that is mapped, which is most of
 * them: false, and nothing is held, where it is anything else. @addr + @size
 * must not be above pvdma_track_end(). Every instruction here, and in
 * pvdma_track_release(), is one of each mapping and unmapping.
 */
static inline bool pvdma_track_hit(const struct pvdma_track *t, u64 addr,
				   u64 size)
{
	u64 granule = addr >> t->shift;
	atomic_t *word;

	if (unlikely(granule != (addr + size - 1) >> t->shift))
		return false;
	word = pvdma_track_fast_word(READ_ONCE(t->dir[PVDMA_GRANULES]),
				     granule);
	if (likely(pvdma_track_hold(word)))
		return true;
	(void)pvdma_track_unhold(word);
	return false;
}

/* Gives up what was held for [@addr, @addr + @size), whatever these are. */
static inline void pvdma_track_release(struct pvdma_track *t, u64 addr,
				       u64 size)
{
	const struct pvdma_dir *dir = READ_ONCE(t->dir[PVDMA_GRANULES]);
	u64 granule = addr >> t->shift;

	/* a driver that unmaps what it has not mapped is told off by drop() */
	if (likely(granule == (addr + size - 1) >> t->shift &&
		   granule >> VIRTIO_PVDMA_LEAF_SHIFT < dir->leaves &&
		   pvdma_track_unhold(pvdma_track_fast_word(dir, granule))))
		return;
	pvdma_track_drop(t, granule, pvdma_track_last(t, addr, size));
}

#endif
