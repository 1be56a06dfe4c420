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

/* Is what is held still to be asked for, when nothing is idle any more? */
enum enforce_pending {
	ENFORCE_NOTHING,
	ENFORCE_WITH_QUOTA, /* the news of the quota are yet to come */
	ENFORCE_ALONE,	    /* with news of its own */
	ENFORCE_ASKED,	    /* it is; the news of the quota tell of it */
};

/* The part that is state; `excess` is 0 while the quota is kept. */
struct enforce_root {
	uint64_t excess;      /* bytes that the guest was asked for */
	uint64_t until;	      /* the deadline's end, as vm_now() */
	uint64_t usec;	      /* the deadline that is to be given */
	uint32_t deadline_ms; /* what the guest was told */
	uint8_t pending;      /* enum enforce_pending */
	uint8_t overdue;      /* the deadline is over, and that was said */
	uint8_t reserved[2];
};

/*
 * The quota is about to change. What was asked for is so no longer; what will
 * be above the quota when all that is idle has gone will be asked for, @usec
 * microseconds from then on.
 */
void enforce_begin(struct vm *vm, uint64_t usec);

/*
 * Goes on with what the process before had asked the guest for. The caller then
 * sends news of the quota, whatever was told before.
 */
void enforce_resume(struct vm *vm);

/* The news of the quota are out. */
void enforce_told(struct vm *vm);

/*
 * One slice of evicting what is idle. True if more is left to do now; else
 * the configuration says what the guest is asked for.
 */
bool enforce_work(struct vm *vm);

/* The bytes mapped above the quota. */
uint64_t enforce_excess(const struct vm *vm);

#endif
