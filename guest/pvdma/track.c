// SPDX-License-Identifier: GPL-2.0-only
/*
 * track.c - step 2 of a mapping's way: count up; mapped? done
 *
 * Owns: the directory and the leaves of the tracking table.
 *
 * Invariants: a leaf, once published, stays where it is until the table is
 * freed, and so does each directory that ever was published; so the inline
 * look-up in track.h needs neither lock nor RCU. The count of a word is
 * changed by dma mappings only (DRV-TABLE-1); MAPPED is the host's, except in
 * pvdma_track_forget(), which runs while the host does not.
 *
 * Locks: pvdma_track.lock around changes of a leaf's entry or of the directory.
 * No allocation happens under it, for it is a raw lock (PREEMPT_RT).
 */
#include "track.h"

static size_t pvdma_track_bytes_of(u64 leaves)
{
	return sizeof(struct pvdma_dir) + leaves * sizeof(unsigned long) +
	       (leaves + 63) / 64 * sizeof(u64);
}

/* Of @leaves leaves, none of which is there. */
static struct pvdma_dir *pvdma_track_new_dir(const struct pvdma_track *t,
					     u64 leaves, gfp_t gfp)
{
	struct pvdma_dir *dir;
	size_t bytes;
	u64 i;

	if (leaves > (SIZE_MAX - sizeof(*dir)) / sizeof(dir->leaf[0]) / 2)
		return NULL;
	bytes = pvdma_track_bytes_of(leaves);
	/* vmalloc is for those who may sleep */
	if (gfpflags_allow_blocking(gfp))
		dir = kvzalloc(bytes, gfp);
	else
		dir = kzalloc(bytes, gfp | __GFP_NOWARN);
	if (!dir)
		return NULL;
	dir->leaves = leaves;
	dir->known = (u64 *)(dir->leaf + leaves);
	for (i = 0; i < leaves; i++)
		dir->leaf[i] = (unsigned long)t->none - pvdma_track_bias(i);
	return dir;
}

static u64 pvdma_track_leaves_for(const struct pvdma_track *t,
				  enum pvdma_level level, u64 bytes)
{
	unsigned int shift = t->shift + VIRTIO_PVDMA_LEAF_SHIFT;

	if (level == PVDMA_BLOCKS)
		shift += VIRTIO_PVDMA_BLOCK_SHIFT;
	return bytes ? ((bytes - 1) >> shift) + 1 : 1;
}

int pvdma_track_init(struct pvdma_track *t, unsigned int shift, u64 bytes)
{
	int level;

	BUILD_BUG_ON(sizeof(atomic_t) * VIRTIO_PVDMA_LEAF_WORDS !=
		     VIRTIO_PVDMA_LEAF_SIZE);
	BUILD_BUG_ON(PAGE_SIZE != VIRTIO_PVDMA_LEAF_SIZE);

	memset(t, 0, sizeof(*t));
	t->shift = shift;
	raw_spin_lock_init(&t->lock);
	t->none = (atomic_t *)get_zeroed_page(GFP_KERNEL);
	if (!t->none)
		return -ENOMEM;
	for (level = 0; level < PVDMA_LEVELS; level++) {
		t->dir[level] = pvdma_track_new_dir(
			t, pvdma_track_leaves_for(t, level, bytes), GFP_KERNEL);
		if (!t->dir[level]) {
			pvdma_track_done(t);
			return -ENOMEM;
		}
	}
	return 0;
}

static void pvdma_track_free_dir(const struct pvdma_track *t,
				 struct pvdma_dir *dir)
{
	struct pvdma_dir *older;
	unsigned long words;
	u64 i;

	/* the newest directory names every leaf */
	for (i = 0; dir && i < dir->leaves; i++) {
		words = dir->leaf[i] + pvdma_track_bias(i);
		if (words != (unsigned long)t->none)
			free_page(words);
	}
	for (; dir; dir = older) {
		older = dir->older;
		kvfree(dir);
	}
}

void pvdma_track_done(struct pvdma_track *t)
{
	int level;

	for (level = 0; level < PVDMA_LEVELS; level++) {
		pvdma_track_free_dir(t, t->dir[level]);
		t->dir[level] = NULL;
	}
	free_page((unsigned long)t->none);
	t->none = NULL;
}

static int pvdma_track_grow_dir(struct pvdma_track *t, enum pvdma_level level,
				u64 want, gfp_t gfp)
{
	struct pvdma_dir *dir, *now = READ_ONCE(t->dir[level]);
	unsigned long flags;

	if (want <= now->leaves)
		return 0;
	/* at least double: all older directories together stay smaller */
	dir = pvdma_track_new_dir(t, max(want, 2 * now->leaves), gfp);
	if (!dir)
		dir = pvdma_track_new_dir(t, want, gfp);
	if (!dir)
		return -ENOMEM;

	raw_spin_lock_irqsave(&t->lock, flags);
	now = t->dir[level];
	if (now->leaves < want) {
		memcpy(dir->leaf, now->leaf,
		       now->leaves * sizeof(dir->leaf[0]));
		memcpy(dir->known, now->known,
		       (now->leaves + 63) / 64 * sizeof(dir->known[0]));
		dir->older = now;
		/* complete before anybody finds it */
		smp_store_release(&t->dir[level], dir);
		dir = NULL;
	}
	raw_spin_unlock_irqrestore(&t->lock, flags);
	kvfree(dir);
	return 0;
}

int pvdma_track_grow(struct pvdma_track *t, u64 bytes, gfp_t gfp)
{
	int level, err = 0;

	for (level = 0; level < PVDMA_LEVELS && !err; level++)
		err = pvdma_track_grow_dir(
			t, level, pvdma_track_leaves_for(t, level, bytes), gfp);
	return err;
}

/* The directory of leaf @leaf, and the leaf's place in it. */
static struct pvdma_dir *pvdma_track_dir_of(const struct pvdma_track *t,
					    u64 leaf, u64 *n)
{
	*n = leaf & ~VIRTIO_PVDMA_LEAF_BLOCKS;
	if (leaf & VIRTIO_PVDMA_LEAF_BLOCKS)
		return READ_ONCE(t->dir[PVDMA_BLOCKS]);
	return READ_ONCE(t->dir[PVDMA_GRANULES]);
}

int pvdma_track_add_leaf(struct pvdma_track *t, u64 leaf, gfp_t gfp)
{
	unsigned long page, flags;
	struct pvdma_dir *dir;
	u64 n;

	if (pvdma_track_dir_of(t, leaf, &n)->leaves <= n)
		return -ERANGE;
	page = get_zeroed_page(gfp | __GFP_NOWARN);
	if (!page)
		return -ENOMEM;

	raw_spin_lock_irqsave(&t->lock, flags);
	dir = pvdma_track_dir_of(t, leaf, &n);
	if (pvdma_track_words(dir, n) == t->none) {
		/* the words are zero before anybody finds them */
		smp_store_release(&dir->leaf[n], page - pvdma_track_bias(n));
		t->nr_leaves++;
		page = 0;
	}
	raw_spin_unlock_irqrestore(&t->lock, flags);
	if (page)
		free_page(page);
	return 0;
}

u64 pvdma_track_leaf_addr(const struct pvdma_track *t, u64 leaf)
{
	const struct pvdma_dir *dir;
	u64 n;

	dir = pvdma_track_dir_of(t, leaf, &n);
	return virt_to_phys(pvdma_track_words(dir, n));
}

/* Under the lock; the bits of an older directory are not kept up. */
static bool pvdma_track_test_known(struct pvdma_track *t, u64 leaf, bool known,
				   bool set)
{
	struct pvdma_dir *dir;
	u64 n, bit, *bits;
	bool was;

	dir = pvdma_track_dir_of(t, leaf, &n);
	bit = 1ull << n % 64;
	bits = &dir->known[n / 64];
	was = *bits & bit;
	if (set)
		*bits = known ? *bits | bit : *bits & ~bit;
	return was;
}

bool pvdma_track_registered(struct pvdma_track *t, u64 leaf)
{
	unsigned long flags;
	bool known;

	raw_spin_lock_irqsave(&t->lock, flags);
	known = pvdma_track_test_known(t, leaf, false, false);
	raw_spin_unlock_irqrestore(&t->lock, flags);
	return known;
}

static void pvdma_track_set_known(struct pvdma_track *t, u64 leaf, bool known)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&t->lock, flags);
	pvdma_track_test_known(t, leaf, known, true);
	raw_spin_unlock_irqrestore(&t->lock, flags);
}

void pvdma_track_set_registered(struct pvdma_track *t, u64 leaf)
{
	pvdma_track_set_known(t, leaf, true);
}

/* The first leaf of a level that exists from *@leaf on, or false. */
static bool pvdma_track_next_leaf(const struct pvdma_track *t,
				  enum pvdma_level level, u64 *leaf)
{
	const struct pvdma_dir *dir = READ_ONCE(t->dir[level]);
	u64 i;

	for (i = *leaf; i < dir->leaves; i++) {
		if (pvdma_track_words(dir, i) != t->none) {
			*leaf = i;
			return true;
		}
	}
	return false;
}

bool pvdma_track_first_registered(struct pvdma_track *t, u64 *leaf)
{
	int level;
	u64 n;

	for (level = 0; level < PVDMA_LEVELS; level++) {
		for (n = 0; pvdma_track_next_leaf(t, level, &n); n++) {
			*leaf = pvdma_track_leaf_of(
				level, n << VIRTIO_PVDMA_LEAF_SHIFT);
			if (pvdma_track_registered(t, *leaf))
				return true;
		}
	}
	return false;
}

static void pvdma_track_forget_level(struct pvdma_track *t,
				     enum pvdma_level level)
{
	atomic_t *word;
	u64 leaf, at, i;

	for (leaf = 0; pvdma_track_next_leaf(t, level, &leaf); leaf++) {
		at = leaf << VIRTIO_PVDMA_LEAF_SHIFT;
		pvdma_track_set_known(t, pvdma_track_leaf_of(level, at), false);
		word = pvdma_track_word(t, level, at);
		for (i = 0; i < VIRTIO_PVDMA_LEAF_WORDS; i++)
			atomic_and(~VIRTIO_PVDMA_W_MAPPED, word + i);
	}
}

void pvdma_track_forget(struct pvdma_track *t)
{
	pvdma_track_forget_level(t, PVDMA_GRANULES);
	pvdma_track_forget_level(t, PVDMA_BLOCKS);
}

bool pvdma_track_next_held(const struct pvdma_track *t, enum pvdma_level level,
			   u64 *at)
{
	u64 leaf = *at >> VIRTIO_PVDMA_LEAF_SHIFT, i = *at, end;
	atomic_t *word;

	while (pvdma_track_next_leaf(t, level, &leaf)) {
		i = max(i, leaf << VIRTIO_PVDMA_LEAF_SHIFT);
		end = (leaf + 1) << VIRTIO_PVDMA_LEAF_SHIFT;
		word = pvdma_track_word(t, level, i);
		for (; i < end; i++, word++) {
			if (atomic_read(word) & VIRTIO_PVDMA_W_COUNT) {
				*at = i;
				return true;
			}
		}
		leaf++;
	}
	return false;
}

u64 pvdma_track_dir_bytes(const struct pvdma_track *t)
{
	u64 bytes = 0;
	int level;

	for (level = 0; level < PVDMA_LEVELS; level++)
		bytes += pvdma_track_bytes_of(READ_ONCE(t->dir[level])->leaves);
	return bytes;
}

bool pvdma_track_held(const struct pvdma_track *t, u64 granule)
{
	const atomic_t *word = pvdma_track_word(t, PVDMA_GRANULES, granule);

	if (word && atomic_read(word) & VIRTIO_PVDMA_W_COUNT)
		return true;
	word = pvdma_track_word(t, PVDMA_BLOCKS,
				granule >> VIRTIO_PVDMA_BLOCK_SHIFT);
	return word && atomic_read(word) & VIRTIO_PVDMA_W_COUNT;
}

bool pvdma_track_try(struct pvdma_track *t, u64 first, u64 last)
{
	struct pvdma_run run;
	u64 g = first, i;
	atomic_t *word;

	while (g <= last) {
		run = pvdma_track_run(g, last);
		for (i = 0; i < run.n; i++) {
			word = pvdma_track_word(t, run.level, run.at + i);
			if (!word)
				goto undo;
			if (!pvdma_track_hold(word)) {
				(void)pvdma_track_unhold(word);
				goto undo;
			}
			g += pvdma_track_granules(run.level, 1);
		}
	}
	return true;

undo:
	if (g > first)
		pvdma_track_drop(t, first, g - 1);
	return false;
}

void pvdma_track_hold_words(struct pvdma_track *t, enum pvdma_level level,
			    u64 at, u64 n)
{
	/* held already, so each word exists */
	for (; n; n--, at++)
		(void)pvdma_track_hold(pvdma_track_word(t, level, at));
}

/* Gives up the holds of one run; false if one of them was not there. */
static bool pvdma_track_drop_run(struct pvdma_track *t, struct pvdma_run run)
{
	bool sane = true;
	atomic_t *word;
	u64 n;

	for (; run.n; run.at += n, run.n -= n) {
		u64 i;

		n = min(run.n,
			VIRTIO_PVDMA_LEAF_WORDS -
				(run.at & (VIRTIO_PVDMA_LEAF_WORDS - 1)));
		word = pvdma_track_word(t, run.level, run.at);
		if (unlikely(!word)) {
			sane = false;
			continue;
		}
		for (i = 0; i < n; i++)
			sane &= pvdma_track_unhold(word + i);
	}
	return sane;
}

void pvdma_track_drop_words(struct pvdma_track *t, enum pvdma_level level,
			    u64 at, u64 n)
{
	const struct pvdma_run run = { level, at, n };
	bool sane = pvdma_track_drop_run(t, run);

	WARN_ONCE(!sane,
		  "pvdma: a hold of a late request was given up by others\n");
}

void pvdma_track_drop(struct pvdma_track *t, u64 first, u64 last)
{
	struct pvdma_run run;
	bool sane = true;

	while (first <= last) {
		run = pvdma_track_run(first, last);
		sane &= pvdma_track_drop_run(t, run);
		first += pvdma_track_granules(run.level, run.n);
	}
	WARN_ONCE(!sane, "pvdma: a driver unmaps what it has not mapped\n");
}
