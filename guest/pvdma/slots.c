// SPDX-License-Identifier: GPL-2.0-only
/*
 * slots.c - an area of memory in slots, for copies of what devices transfer
 *
 * Owns the books of the area: which slots are taken, and by what. Invariants:
 * orig[i] of a slot in use is the address of the memory that the slot's first
 * byte stands for; length[i] is not 0 exactly at the first slot of each copy,
 * which is where the copy's first byte lies. Locks: the owner's.
 *
 * Uses share the room by the rule of dynamic thresholds, as the buffers of a
 * switch are shared by its ports: none may have more than some multiple of what
 * is free. Then there is always something free, for whoever has less.
 */
#include "slots.h"

static bool pvdma_slots_is_taken(const struct pvdma_slots *s, u32 slot)
{
	return s->taken[slot / 64] >> slot % 64 & 1;
}

static void pvdma_slots_mark(struct pvdma_slots *s, u32 slot, u32 n, bool taken)
{
	for (; n; n--, slot++) {
		if (taken)
			s->taken[slot / 64] |= 1ull << slot % 64;
		else
			s->taken[slot / 64] &= ~(1ull << slot % 64);
		s->used += taken ? 1 : -1;
	}
}

int pvdma_slots_init(struct pvdma_slots *s, u64 base, u64 bytes, gfp_t gfp)
{
	u32 n = bytes >> PVDMA_SLOT_SHIFT;
	u32 words = (n + 63) / 64;

	*s = (struct pvdma_slots){ .base = base, .n = n };
	s->taken = kzalloc(words * sizeof(*s->taken) + n * sizeof(*s->orig) +
				   n * sizeof(*s->length) + n * sizeof(*s->use),
			   gfp);
	if (!s->taken)
		return -ENOMEM;
	s->orig = s->taken + words;
	s->length = (u16 *)(s->orig + n);
	s->use = (u8 *)(s->length + n);
	return 0;
}

void pvdma_slots_done(struct pvdma_slots *s)
{
	kfree(s->taken);
	*s = (struct pvdma_slots){};
}

/* What a copy needs. */
struct pvdma_slots_need {
	u64 offset; /* in its first slot */
	u64 last;   /* its last byte's, from there */
	u64 boundary;
	u32 n;	   /* slots */
	u32 phase; /* it begins with this one, in each @step of them */
	u32 step;
};

/* @slot, or the next one that has the phase. */
static u32 pvdma_slots_phase(const struct pvdma_slots_need *need, u32 slot)
{
	if (slot <= need->phase)
		return need->phase;
	return roundup(slot - need->phase, need->step) + need->phase;
}

/* @slot, or the next one from which a copy does not cross the boundary. */
static u32 pvdma_slots_within(const struct pvdma_slots *s,
			      const struct pvdma_slots_need *need, u32 slot)
{
	u64 start = s->base + ((u64)slot << PVDMA_SLOT_SHIFT);
	u64 last = start + need->last;

	if (!(((start + need->offset) ^ last) & ~need->boundary))
		return slot;
	/* no longer than what is between two of them: it meets one only */
	last &= ~need->boundary;
	return (last - s->base + PVDMA_SLOT_BYTES - 1) >> PVDMA_SLOT_SHIFT;
}

/* The first slot from @from below @end where there is room, or s->n. */
static u32 pvdma_slots_search(const struct pvdma_slots *s, u32 from, u32 end,
			      const struct pvdma_slots_need *need)
{
	u32 slot = pvdma_slots_phase(need, from), next, i;

	while (slot + need->n <= s->n && slot < end) {
		next = pvdma_slots_within(s, need, slot);
		if (next != slot) {
			slot = pvdma_slots_phase(need, next);
			continue;
		}
		for (i = 0; i < need->n && !pvdma_slots_is_taken(s, slot + i);
		     i++)
			;
		if (i == need->n)
			return slot;
		/* behind the taken one; a full word is left at once */
		slot += i;
		slot = s->taken[slot / 64] == U64_MAX ? (slot / 64 + 1) * 64 :
							slot + 1;
		slot = pvdma_slots_phase(need, slot);
	}
	return s->n;
}

/* May @use have @n more, of what is free? */
static bool pvdma_slots_may(const struct pvdma_slots *s, u32 n,
			    enum pvdma_slot_use use)
{
	u32 free = s->n - s->used;

	if (n > free)
		return false;
	switch (use) {
	case PVDMA_SLOT_SEND:
		return s->used_for[use] + n <= 4 * free;
	case PVDMA_SLOT_RECEIVE:
		return s->used_for[use] + n <= free;
	default:
		return true;
	}
}

bool pvdma_slots_take(struct pvdma_slots *s, u64 phys, u64 size, u64 keep,
		      u64 boundary, enum pvdma_slot_use use, u64 *addr)
{
	u64 last = phys + (size ? size : 1) - 1;
	struct pvdma_slots_need need = {
		.offset = phys & keep & (PVDMA_SLOT_BYTES - 1),
		.phase = (phys & keep) >> PVDMA_SLOT_SHIFT,
		.step = (keep >> PVDMA_SLOT_SHIFT) + 1,
		/* who crosses it in memory does not mind */
		.boundary = (phys ^ last) & ~boundary ? U64_MAX : boundary,
	};
	u32 slot, i;

	if (size > (u64)s->n << PVDMA_SLOT_SHIFT)
		return false;
	need.last = need.offset + (last - phys);
	need.n = (need.last >> PVDMA_SLOT_SHIFT) + 1;
	if (!pvdma_slots_may(s, need.n, use))
		return false;
	slot = pvdma_slots_search(s, s->next, s->n, &need);
	if (slot == s->n)
		slot = pvdma_slots_search(s, 0, s->next, &need);
	if (slot == s->n)
		return false;
	pvdma_slots_mark(s, slot, need.n, true);
	for (i = 0; i < need.n; i++)
		s->orig[slot + i] =
			phys - need.offset + ((u64)i << PVDMA_SLOT_SHIFT);
	s->length[slot] = need.n;
	s->use[slot] = use;
	s->used_for[use] += need.n;
	s->next = slot + need.n < s->n ? slot + need.n : 0;
	*addr = s->base + ((u64)slot << PVDMA_SLOT_SHIFT) + need.offset;
	return true;
}

bool pvdma_slots_give(struct pvdma_slots *s, u64 addr)
{
	u64 slot = (addr - s->base) >> PVDMA_SLOT_SHIFT;
	u32 n = slot < s->n ? s->length[slot] : 0;

	if (!n)
		return false;
	s->length[slot] = 0;
	s->used_for[s->use[slot]] -= n;
	pvdma_slots_mark(s, slot, n, false);
	return true;
}
