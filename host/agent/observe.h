/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * observe.h - what a VM's estimator of its cost curve (curve.h) gets to see
 */
#ifndef PVDMA_AGENT_OBSERVE_H
#define PVDMA_AGENT_OBSERVE_H

#include <stdbool.h>
#include <stdint.h>

struct ledger_extent;
struct plan;
struct vm;

/* What @plan has mapped, and is about to commit, a request waited for; ... */
void observe_missed(struct vm *vm, const struct plan *plan);
/* ... a driver had hinted at; ... */
void observe_hinted(struct vm *vm, const struct plan *plan,
		    unsigned int sample);
/* ... or nobody asked for. */
void observe_ahead(struct vm *vm, const struct ledger_extent *e);

/* A request for so many granules failed for want of room. */
void observe_refused(struct vm *vm, uint64_t granules);

/*
 * An extent goes for want of room. And: an extent ends, for that or for another
 * cause, against which no quota would help.
 */
void observe_evicted(struct vm *vm, const struct ledger_extent *e);
void observe_ended(struct vm *vm, const struct ledger_extent *e);

/*
 * Somebody is about to clear REFERENCED in an extent. True if it was set
 * already when we cleared it: then it counts as set.
 */
bool observe_see(struct vm *vm, struct ledger_extent *e);

#endif
