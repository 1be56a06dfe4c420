/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * reclaim.h - makes room: picks idle extents, and ends their mappings
 *
 * Picking claims an extent: MAPPED is cleared in its words, and from then on
 * no driver takes it for mapped, while the IOMMU still maps it. Victims are
 * either evicted, or given back with MAPPED set again.
 */
#ifndef PVDMA_AGENT_RECLAIM_H
#define PVDMA_AGENT_RECLAIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct granules;
struct vm;

/* Extents picked, linked in the ledger. */
struct victims {
	uint32_t head; /* extent */
	uint32_t extents;
	uint64_t bytes;
	uint64_t pieces; /* IOMMU mappings */
	bool kept_too;	 /* set it to pick what is kept (persistent), too */
};

/* For what mappings end, as the statistics tell. */
enum reclaim_cause {
	RECLAIM_ROOM,	/* an eviction */
	RECLAIM_REVOKE, /* taken, though it may be held */
	RECLAIM_OTHER,	/* the guest or the mode wants it */
};

void victims_init(struct victims *victims);

/*
 * Picks extents that nobody holds and nothing keeps, as the policy orders them,
 * until @victims have at least @bytes and @pieces; none that touches one of the @n_keep
 * sorted, disjoint ranges @keep (DEV-MAP-7). False: there are not as many, and
 * all that could be picked is in @victims.
 */
bool reclaim_pick(struct vm *vm, uint64_t bytes, uint64_t pieces,
		  const struct granules *keep, size_t n_keep,
		  struct victims *victims);

/*
 * Picks extents, held or not, as the policy orders them, until @victims have at
 * least @bytes or no more are there.
 */
void reclaim_pick_held(struct vm *vm, uint64_t bytes, struct victims *victims);

/* Picks this one extent. False: it is held. */
bool reclaim_take(struct vm *vm, uint32_t extent, struct victims *victims);

/*
 * Ends the mappings of all victims, neighbours in one call. 0; or the first
 * negative errno of the backend, and what is still mapped is in the books as
 * before. @victims is empty afterwards.
 */
int reclaim_evict(struct vm *vm, struct victims *victims,
		  enum reclaim_cause cause);

/*
 * Ends all extents of several granules that nobody holds; those that the mode
 * protects stay. 0, or the first negative errno of the backend.
 */
int reclaim_coarse(struct vm *vm);

/*
 * A persistent driver asked for @range, all of which is mapped: it is not
 * evicted for others. And: nothing is kept any longer.
 */
void reclaim_keep(struct vm *vm, const struct granules *range);
void reclaim_unkeep(struct vm *vm);

/* Gives all victims back. */
void reclaim_restore(struct vm *vm, struct victims *victims);

/*
 * Makes room for @bytes and @pieces more. 0, VERDICT_QUOTA, VERDICT_LIMIT
 * (mapping entries), or a negative errno.
 */
int reclaim_room(struct vm *vm, uint64_t bytes, uint64_t pieces,
		 const struct granules *keep, size_t n_keep);

/*
 * Ends all mappings that were made for requests, held or not; those that the
 * mode protects stay. Where the table can be written, MAPPED is cleared in all
 * words. 0, or the first negative errno of the backend.
 */
int reclaim_end_requests(struct vm *vm);

/* Ends all mappings, whoever wants them, and writes to no word. */
void reclaim_end_all(struct vm *vm);

#endif
