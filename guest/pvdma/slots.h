/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * slots.h - an area of memory in slots, for copies of what devices transfer
 *
 * No locks: the owner has one. Memory is named by physical addresses; it is the
 * owner who copies, too.
 */
#ifndef PVDMA_SLOTS_H
#define PVDMA_SLOTS_H

#include "env.h"

/* Small, for most packets are: TCP's ACK has 54 bytes. */
#define PVDMA_SLOT_SHIFT 9
#define PVDMA_SLOT_BYTES BIT(PVDMA_SLOT_SHIFT)

/*
 * What a copy is for. A device that is to send something is done with it soon,
 * and what it posts to receive into may wait for hours; so the one shall not
 * take all of the room, and never the other's last.
 */
enum pvdma_slot_use {
	PVDMA_SLOT_SEND,    /* up to four times of what it leaves free */
	PVDMA_SLOT_RECEIVE, /* as much as it leaves free */
	PVDMA_SLOT_NEEDED,  /* all there is: there is no other way */
	PVDMA_SLOT_USES,
};

struct pvdma_slots {
	u64 base; /* physical; of the area, a multiple of a page */
	u32 n;	  /* slots */
	u32 used; /* of them, taken */
	u32 used_for[PVDMA_SLOT_USES];
	u32 next;    /* where to look first */
	u64 *taken;  /* a bit a slot */
	u64 *orig;   /* by slot in use: what its first byte stands for */
	u16 *length; /* by a copy's first slot: its slots */
	u8 *use;     /* likewise: enum pvdma_slot_use */
};

/* For @bytes from @base on, at most 65535 slots. 0 or -ENOMEM. */
int pvdma_slots_init(struct pvdma_slots *s, u64 base, u64 bytes, gfp_t gfp);
/* Frees the books, not the area. Also what is all zero. */
void pvdma_slots_done(struct pvdma_slots *s);

/*
 * Room for a copy of [@phys, @phys + @size); *@addr is where it goes. The bits
 * of @keep (a mask of low bits, of which @base has none) are the same in both
 * addresses; and if the memory lies between two multiples of @boundary + 1, a
 * power of two, so does the copy. False: no room, or no more for this @use.
 */
bool pvdma_slots_take(struct pvdma_slots *s, u64 phys, u64 size, u64 keep,
		      u64 boundary, enum pvdma_slot_use use, u64 *addr);

/* The copy at @addr ends. False: there is none. */
bool pvdma_slots_give(struct pvdma_slots *s, u64 addr);

/* What the byte at @addr, in a copy, stands for. */
static inline u64 pvdma_slots_orig(const struct pvdma_slots *s, u64 addr)
{
	u64 offset = addr - s->base;

	return s->orig[offset >> PVDMA_SLOT_SHIFT] +
	       (offset & (PVDMA_SLOT_BYTES - 1));
}

static inline bool pvdma_slots_has(const struct pvdma_slots *s, u64 addr)
{
	return addr - s->base < (u64)s->n << PVDMA_SLOT_SHIFT;
}

#endif
