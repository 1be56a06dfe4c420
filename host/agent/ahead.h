/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ahead.h - mappings that nobody asked for yet: around misses, behind streams
 *
 * After a miss is answered, the memory around it may be mapped, too, if
 * around.h says that it is worth it; and where a window turns out to be used,
 * the one behind it. All of that happens in the background, gives way to what is
 * asked for, and never takes what is held.
 */
#ifndef PVDMA_AGENT_AHEAD_H
#define PVDMA_AGENT_AHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/agent/around.h"

struct granules;
struct ledger_extent;
struct vm;

#define AHEAD_PENDING 16u /* misses whose surroundings wait */
#define AHEAD_WATCHED 64u /* windows that have not been judged */

struct ahead_miss {
	uint64_t first, last; /* granules */
	uint8_t context;
	uint8_t next; /* the window as it is, behind a stream */
	uint8_t reserved[6];
};

struct ahead_window {
	uint64_t first, last; /* granules; last < first: none */
	uint8_t context;
	uint8_t level;
	uint8_t chained; /* the window behind it was thought of */
	uint8_t judged;	 /* before its time: nearly all was used */
	uint8_t reserved[4];
	uint64_t stamp; /* misses when it was mapped */
};

/* What became of granules that were mapped ahead and used. */
struct ahead_holds {
	uint32_t used;
	uint32_t held; /* of those, held some time later */
};

/* State. */
struct ahead {
	struct around around;
	struct ahead_miss pending[AHEAD_PENDING];
	struct ahead_window watched[AHEAD_WATCHED];
	struct ahead_holds holds[AROUND_CONTEXTS];
	uint32_t n_pending, at_pending; /* a ring */
	uint32_t at_watched;		/* likewise: the oldest one */
	uint32_t off;	   /* misses for which nothing is mapped ahead */
	uint32_t looks;	   /* since the last miss, or the last of a stream */
	uint32_t followed; /* windows of streams since the last miss */
	uint64_t misses;   /* so far */
	uint64_t unproven; /* bytes mapped ahead and not judged */
};

void ahead_init(struct ahead *ahead);

/*
 * A request of @endpoint was answered, and had missed some of @ranges (sorted,
 * disjoint).
 */
void ahead_missed(struct vm *vm, uint32_t endpoint,
		  const struct granules *ranges, size_t n);

/* One piece of work; true if there is more. */
bool ahead_work(struct vm *vm);

/*
 * Looks after streams: to be called as vm_look() is.
 */
bool ahead_tick(struct vm *vm);

/*
 * Granules that are about to be mapped because they were missed, or that were
 * evicted for room: what evictions cost.
 */
void ahead_count_missed(struct vm *vm, uint64_t first, uint64_t count);
void ahead_count_evicted(struct vm *vm, uint64_t first, uint64_t count);

/* Looks before a policy forgets that an extent was used. */
void ahead_see(struct vm *vm, struct ledger_extent *e);

/* The mapping of an extent ends (LEDGER_AHEAD or not): what came of it? */
void ahead_ended(struct vm *vm, struct ledger_extent *e);

/* INIT, reset: there is a new load. */
void ahead_forget(struct vm *vm);

#endif
