/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * meter.h - an IOMMU backend that puts a price on each call
 *
 * It hands all calls on to the null backend, which refuses what type1 would
 * refuse, and keeps books of its own on what they map: so the figures do not
 * rest on the agent's books. It can tell what was mapped before anybody needed
 * it, and whether it was needed later.
 */
#ifndef PVDMA_SIM_METER_H
#define PVDMA_SIM_METER_H

#include <stdbool.h>
#include <stdint.h>

#include "host/sim/cost.h"

struct iommu;
struct meter;

struct meter_result {
	uint64_t map_calls, unmap_calls;
	uint64_t mapped_bytes;	/* by all map calls together */
	uint64_t now, peak;	/* bytes mapped at once */
	uint64_t prefetched;	/* granules mapped while nobody held them */
	uint64_t prefetch_used; /* of those, held before they went */
	double us;		/* price of all calls */
};

/* Is a granule held now? */
typedef bool (*meter_holds_fn)(void *userdata, uint64_t granule);

/*
 * A backend for addresses [0, @size) with at most @entries_max mappings. It is
 * freed by iommu_free(), by whoever owns it as an iommu; @ret stays valid until
 * then. Borrows @cost. 0 or -ENOMEM.
 */
int meter_new(uint64_t size, unsigned int shift, uint64_t entries_max,
	      const struct cost_model *cost, meter_holds_fn holds,
	      void *userdata, struct meter **ret);

struct iommu *meter_iommu(struct meter *meter);

/* The guest holds granules [first, last] from here on. */
void meter_use(struct meter *meter, uint64_t first, uint64_t last);

void meter_get(const struct meter *meter, struct meter_result *ret);

#endif
