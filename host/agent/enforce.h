/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * enforce.h - a quota that was lowered below what the guest holds
 *
 * What is idle goes at once. What is held is asked for: the configuration
 * space says how much (`excess`) and by when (`deadline_ms`). After the
 * deadline it is taken (enforce=revoke), or kept and reported (enforce=wait).
 */
#ifndef PVDMA_AGENT_ENFORCE_H
#define PVDMA_AGENT_ENFORCE_H

#include <stdbool.h>
#include <stdint.h>

struct vm;

/* The part that is state; all zero while the quota is kept. */
struct enforce_root {
	uint64_t excess;      /* bytes that the guest was asked for */
	uint64_t until;	      /* the deadline's end, as vm_now() */
	uint32_t deadline_ms; /* what the guest was told */
	uint8_t overdue;      /* the deadline is over, and that was said */
	uint8_t reserved[3];
};

/* The quota is about to change: whatever was asked for is so no longer. */
void enforce_reset(struct vm *vm);

/*
 * The quota has changed, and a first slice of what is idle has gone. Where
 * that is not enough: what to ask of the guest, within @usec microseconds.
 */
void enforce_begin(struct vm *vm, uint64_t usec);

/* One slice of evicting what is idle. True if more is left to do now. */
bool enforce_work(struct vm *vm);

/* The bytes mapped above the quota. */
uint64_t enforce_excess(const struct vm *vm);

#endif
