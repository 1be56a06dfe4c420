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
 * Locks: pvdma_track.lock around changes of a slot or of the directory. No
 * allocation happens under it, for it is a raw lock (PREEMPT_RT).
 */
#include "track.h"

static struct pvdma_dir *pvdma_track_new_dir(u64 leaves, gfp_t gfp)
{
	struct pvdma_dir *dir;
	size_t bytes;

	if (leaves > (SIZE_MAX - sizeof(*dir)) / sizeof(dir->slot[0]))
		return NULL;
	bytes = sizeof(*dir) + leaves * sizeof(dir->slot[0]);
	/* vmalloc is for those who may sleep */
	if (gfpflags_allow_blocking(gfp))
		dir = kvzalloc(bytes, gfp);
	else
		dir = kzalloc(bytes, gfp | __GFP_NOWARN);
	if (dir)
		dir->leaves = leaves;
	return dir;
}

static u64 pvdma_track_leaves_for(const struct pvdma_track *t, u64 bytes)
{
	if (!bytes)
		return 1;
	return pvdma_track_leaf_of((bytes - 1) >> t->shift) + 1;
}

int pvdma_track_init(struct pvdma_track *t, unsigned int shift, u64 bytes)
{
	BUILD_BUG_ON(sizeof(atomic_t) * VIRTIO_PVDMA_LEAF_WORDS !=
		     VIRTIO_PVDMA_LEAF_SIZE);
	BUILD_BUG_ON(PAGE_SIZE != VIRTIO_PVDMA_LEAF_SIZE);

	memset(t, 0, sizeof(*t));
	t->shift = shift;
	raw_spin_lock_init(&t->lock);
	t->dir = pvdma_track_new_dir(pvdma_track_leaves_for(t, bytes),
				     GFP_KERNEL);
	return t->dir ? 0 : -ENOMEM;
}

void pvdma_track_done(struct pvdma_track *t)
{
	struct pvdma_dir *dir = t->dir, *older;
	u64 i;

	/* the newest directory names every leaf */
	for (i = 0; dir && i < dir->leaves; i++)
		if (dir->slot[i])
			free_page(dir->slot[i] & ~PVDMA_SLOT_REGISTERED);
	for (; dir; dir = older) {
		older = dir->older;
		kvfree(dir);
	}
	t->dir = NULL;
}

int pvdma_track_grow(struct pvdma_track *t, u64 bytes, gfp_t gfp)
{
	u64 want = pvdma_track_leaves_for(t, bytes);
	struct pvdma_dir *dir, *now = READ_ONCE(t->dir);
	unsigned long flags;

	if (want <= now->leaves)
		return 0;
	/* at least double: all older directories together stay smaller */
	dir = pvdma_track_new_dir(max(want, 2 * now->leaves), gfp);
	if (!dir)
		dir = pvdma_track_new_dir(want, gfp);
	if (!dir)
		return -ENOMEM;

	raw_spin_lock_irqsave(&t->lock, flags);
	now = t->dir;
	if (now->leaves < want) {
		memcpy(dir->slot, now->slot,
		       now->leaves * sizeof(dir->slot[0]));
		dir->older = now;
		/* complete before anybody finds it */
		smp_store_release(&t->dir, dir);
		dir = NULL;
	}
	raw_spin_unlock_irqrestore(&t->lock, flags);
	kvfree(dir);
	return 0;
}

int pvdma_track_add_leaf(struct pvdma_track *t, u64 leaf, gfp_t gfp)
{
	unsigned long page, flags;
	int err = 0;

	if (leaf >= READ_ONCE(t->dir)->leaves)
		return -ERANGE;
	page = get_zeroed_page(gfp | __GFP_NOWARN);
	if (!page)
		return -ENOMEM;

	raw_spin_lock_irqsave(&t->lock, flags);
	if (!t->dir->slot[leaf]) {
		/* the words are zero before anybody finds them */
		smp_store_release(&t->dir->slot[leaf], page);
		t->nr_leaves++;
		page = 0;
	}
	raw_spin_unlock_irqrestore(&t->lock, flags);
	if (page)
		free_page(page);
	return err;
}

u64 pvdma_track_leaf_addr(const struct pvdma_track *t, u64 leaf)
{
	unsigned long slot = READ_ONCE(READ_ONCE(t->dir)->slot[leaf]);

	return virt_to_phys((void *)(slot & ~PVDMA_SLOT_REGISTERED));
}

bool pvdma_track_registered(const struct pvdma_track *t, u64 leaf)
{
	return READ_ONCE(READ_ONCE(t->dir)->slot[leaf]) & PVDMA_SLOT_REGISTERED;
}

void pvdma_track_set_registered(struct pvdma_track *t, u64 leaf)
{
	unsigned long *slot, flags;

	raw_spin_lock_irqsave(&t->lock, flags);
	slot = &t->dir->slot[leaf];
	WRITE_ONCE(*slot, *slot | PVDMA_SLOT_REGISTERED);
	raw_spin_unlock_irqrestore(&t->lock, flags);
}

void pvdma_track_forget(struct pvdma_track *t)
{
	unsigned long flags;
	atomic_t *word;
	u64 leaf, i;

	for (leaf = 0; pvdma_track_next_leaf(t, &leaf); leaf++) {
		raw_spin_lock_irqsave(&t->lock, flags);
		WRITE_ONCE(t->dir->slot[leaf],
			   t->dir->slot[leaf] & ~PVDMA_SLOT_REGISTERED);
		raw_spin_unlock_irqrestore(&t->lock, flags);

		word = pvdma_track_word(t, leaf << VIRTIO_PVDMA_LEAF_SHIFT);
		for (i = 0; i < VIRTIO_PVDMA_LEAF_WORDS; i++)
			atomic_and(~VIRTIO_PVDMA_W_MAPPED, word + i);
	}
}

bool pvdma_track_next_leaf(const struct pvdma_track *t, u64 *leaf)
{
	const struct pvdma_dir *dir = READ_ONCE(t->dir);
	u64 i;

	for (i = *leaf; i < dir->leaves; i++) {
		if (READ_ONCE(dir->slot[i])) {
			*leaf = i;
			return true;
		}
	}
	return false;
}

bool pvdma_track_next_held(const struct pvdma_track *t, u64 *granule)
{
	u64 leaf = pvdma_track_leaf_of(*granule), g = *granule, end;
	atomic_t *word;

	while (pvdma_track_next_leaf(t, &leaf)) {
		g = max(g, leaf << VIRTIO_PVDMA_LEAF_SHIFT);
		end = (leaf + 1) << VIRTIO_PVDMA_LEAF_SHIFT;
		word = pvdma_track_word(t, g);
		for (; g < end; g++, word++) {
			if (atomic_read(word) & VIRTIO_PVDMA_W_COUNT) {
				*granule = g;
				return true;
			}
		}
		leaf++;
	}
	return false;
}

void pvdma_track_hold_more(struct pvdma_track *t, u64 first, u64 last)
{
	u64 g;

	/* held already, so each word exists */
	for (g = first; g <= last; g++)
		(void)pvdma_track_hold(pvdma_track_word(t, g));
}

void pvdma_track_drop(struct pvdma_track *t, u64 first, u64 last)
{
	atomic_t *word;
	u64 g = first, n;
	bool sane = true;

	while (g <= last) {
		n = min(last - g + 1,
			VIRTIO_PVDMA_LEAF_WORDS -
				(g & (VIRTIO_PVDMA_LEAF_WORDS - 1)));
		word = pvdma_track_word(t, g);
		if (likely(word)) {
			for (g += n; n; n--, word++)
				sane &= pvdma_track_unhold(word);
		} else {
			sane = false;
			g += n;
		}
	}
	WARN_ONCE(!sane, "pvdma: a driver unmaps what it has not mapped\n");
}
