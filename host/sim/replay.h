/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * replay.h - on-demand mapping in granules of one size, simulated
 *
 * What the engine is measured against: each granule is a mapping of its own,
 * nothing is mapped before a map call needs it, nothing that is in use goes. A
 * map call of which something is missing waits for one request, which maps all
 * that is missing or, when everything else is in use, nothing; then the driver
 * comes again after later unmaps, one refused driver at each, in turn, until
 * it is served or the trace says that its mapping ended.
 */
#ifndef PVDMA_SIM_REPLAY_H
#define PVDMA_SIM_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "host/sim/cost.h"
#include "host/sim/grid.h"
#include "host/sim/trace.h"

struct replay;

/* Who goes. All granules by their number in the grid. */
struct replacer_ops {
	const char *name;
	/* *@ret is handed to the others. 0 or -ENOMEM. */
	int (*init)(const struct replay *replay, void **ret);
	void (*done)(void *self);
	/* A map call takes a hold; @item is its place in grid->items. */
	void (*used)(void *self, uint32_t granule, uint32_t item);
	void (*loaded)(void *self, uint32_t granule);
	/* The last hold was given up; the granule is resident. */
	void (*idle)(void *self, uint32_t granule);
	/* Takes out a granule that is resident and idle; there is one. */
	uint32_t (*victim)(void *self);
};

extern const struct replacer_ops replacer_clock;  /* second chance */
extern const struct replacer_ops replacer_opt;	  /* Belady: needs the future */
extern const struct replacer_ops replacer_policy; /* the agent's default */

struct replay_result {
	uint64_t map_calls;
	uint64_t waits;	    /* map calls of which something was missing */
	uint64_t unserved;  /* of those, never mapped */
	uint64_t requests;  /* round trips, with the refused */
	uint64_t refused;   /* requests refused, for all was in use */
	uint64_t loads;	    /* granules mapped */
	uint64_t evictions; /* granules unmapped */
	uint64_t mapped_bytes;
	uint64_t pinned_peak; /* bytes */
	double cost_us;
};

/*
 * @quota in bytes; less than a granule serves nothing. 0 or -ENOMEM.
 */
int replay_run(const struct trace *trace, const struct grid *grid,
	       uint64_t quota, const struct replacer_ops *ops,
	       const struct cost_model *cost, struct replay_result *ret);

/* For replacers. */
const struct grid *replay_grid(const struct replay *replay);
bool replay_is_resident(const struct replay *replay, uint32_t granule);
bool replay_is_held(const struct replay *replay, uint32_t granule);

#endif
