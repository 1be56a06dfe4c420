/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * grid.h - a trace as seen in granules of one size
 *
 * The granules that a trace touches are numbered from 0 in the order of their
 * addresses; each map has a list of the distinct ones that it touches.
 */
#ifndef PVDMA_SIM_GRID_H
#define PVDMA_SIM_GRID_H

#include <stddef.h>
#include <stdint.h>

#include "host/sim/trace.h"

/* Items of all maps together, at most. */
#define GRID_ITEMS_MAX (UINT32_C(1) << 27)
#define GRID_NEVER     UINT32_MAX

struct grid {
	unsigned int shift; /* log2 of the granule's bytes */
	uint32_t n_granules;
	uint64_t *granules; /* by number: address >> shift; rising */
	uint32_t n_maps;
	uint32_t *first; /* by map, and one more: into items */
	uint32_t *items; /* numbers; rising within a map */
	uint32_t *next;	 /* by item: the next map of its granule, or NEVER */
};

/*
 * 0, -ENOMEM, or -E2BIG where the maps have more granules together than we
 * care to work on.
 */
int grid_new(const struct trace *trace, unsigned int shift, struct grid **ret);
/* Takes NULL. */
void grid_free(struct grid *grid);

/* Bytes of all granules that are touched: the working set. */
uint64_t grid_bytes(const struct grid *grid);

/* The most bytes that were in use at one time. */
int grid_held_peak(const struct grid *grid, const struct trace *trace,
		   uint64_t *ret);

#endif
