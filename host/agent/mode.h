/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mode.h - mapping all of the guest's memory, and going back from that
 *
 * Wanted with strategy direct-map unless a driver is strict, and with
 * fallback=direct as long as an endpoint that is present has no driver that
 * looks after it; each time only if the quota covers all memory. The work is done in slices, so that the event
 * loop stays responsive.
 */
#ifndef PVDMA_AGENT_MODE_H
#define PVDMA_AGENT_MODE_H

#include <stdbool.h>
#include <stdint.h>

struct ledger_extent;
struct vm;

enum mode_phase {
	MODE_OFF,    /* what is mapped was asked for */
	MODE_FILL,   /* everything is wanted; not there yet */
	MODE_ON,     /* everything is mapped */
	MODE_SHRINK, /* not wanted any longer; not gone yet */
};

/* The part that is state; all zero at first. */
struct mode_root {
	uint64_t cursor;	/* granule where FILL or SHRINK goes on */
	uint64_t refused_size;	/* memory and quota that were last found ... */
	uint64_t refused_quota; /* ... not to fit, in bytes */
	uint8_t phase;		/* enum mode_phase */
	uint8_t failed;		/* a limit stopped FILL: wait for a change */
	uint8_t reserved[6];
};

/* Something that decides whether it is wanted may have changed. */
void mode_update(struct vm *vm);

/* Memory or the quota changed: what failed before may succeed now. */
void mode_retry(struct vm *vm);

/* Begins the phase that it is in anew: what was seen of memory may differ. */
void mode_resume(struct vm *vm);

/* One slice. True if more is left to do now. */
bool mode_work(struct vm *vm);

/* Must this extent stay because everything is to be mapped? */
bool mode_protects(const struct vm *vm, const struct ledger_extent *e);

/* Is everything to be mapped now? */
bool mode_active(const struct vm *vm);

/*
 * Leaf @index was just registered. Where the strategy is direct-map its words
 * are told what is mapped, so that the driver need not ask for each (DEV-LEAF-4).
 */
void mode_tell_leaf(struct vm *vm, uint64_t index);

#endif
