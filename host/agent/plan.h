/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * plan.h - what is going to be mapped: extents drafted, not yet in the books
 *
 * A plan is filled (which allocates, and can fail), mapped (which can fail,
 * and then leaves nothing mapped once it is abandoned), and committed (which
 * cannot fail).
 */
#ifndef PVDMA_AGENT_PLAN_H
#define PVDMA_AGENT_PLAN_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

struct granules;
struct vm;

struct plan {
	uint32_t head, tail; /* drafts, linked in the ledger */
	uint64_t granules;
	uint64_t bytes;
	uint64_t pieces; /* IOMMU mappings */
	bool ahead;	 /* nobody asked: the host's limits are final */
};

void plan_init(struct plan *plan);

/*
 * Granules of an extent at most. Where a driver is strict, one: an IOMMU
 * mapping ends as a whole, and none may outlive its last use because a
 * neighbour is held.
 */
uint64_t plan_window(const struct vm *vm);

/*
 * Looks at granules from *@pos on, up to @last: skips an extent that maps
 * *@pos already, or drafts one (not across a multiple of @window granules).
 * *@pos moves behind it. 0; VERDICT_RANGE (no memory at *@pos), VERDICT_QUOTA
 * (more than the whole quota, or memory that could not be mapped when it
 * came); or -ENOMEM.
 */
int plan_step(struct vm *vm, struct plan *plan, uint64_t *pos, uint64_t last,
	      uint64_t window);

/* plan_step() for all of @ranges (sorted, disjoint). */
int plan_add(struct vm *vm, struct plan *plan, const struct granules *ranges,
	     size_t n, uint64_t window, uint64_t *ret_pos);

/*
 * Maps all drafts, for which there is room in the quota. Evicts others but
 * @keep where a limit of the host stops it. 0, or the negative errno of
 * iommu_map() for the draft that begins at *@ret_pos.
 */
int plan_map(struct vm *vm, struct plan *plan, const struct granules *keep,
	     size_t n_keep, uint64_t *ret_pos, uint64_t *ret_bytes);

/* Enters all drafts into the books, with @flags (enum ledger_flags). */
void plan_commit(struct vm *vm, struct plan *plan, uint32_t flags);

/* The same for what was mapped ahead; and says so in the table. */
void plan_commit_ahead(struct vm *vm, struct plan *plan, uint8_t context,
		       uint8_t level);

/* Tells ahead.c of what is about to be mapped because it was missed. */
void plan_note_misses(struct vm *vm, const struct plan *plan);

/* Unmaps and drops all drafts. */
void plan_abandon(struct vm *vm, struct plan *plan);

#endif
