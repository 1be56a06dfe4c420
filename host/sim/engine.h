/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * engine.h - a trace through the real thing: the agent's VM, the guest's code
 *
 * The agent's struct vm with all that decides in it (policy, extents, reclaim,
 * and what it does in the background), under a guest that uses the module's own
 * table, batches and requests. Nothing here decides anything.
 */
#ifndef PVDMA_SIM_ENGINE_H
#define PVDMA_SIM_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "host/agent/vm.h"
#include "host/sim/cost.h"
#include "host/sim/trace.h"

struct engine_config {
	uint64_t quota;		    /* bytes */
	unsigned int granule_shift; /* log2 of the granule's bytes */
	uint16_t num_queues;
	uint16_t max_ranges;  /* in a request */
	const char *policy;   /* NULL: the agent's default */
	uint8_t strategy;     /* VIRTIO_PVDMA_S_*, of VM and driver */
	bool ahead;	      /* map ahead */
	uint64_t pool_max;    /* bytes of the guest's pool of copies; 0: none */
	uint64_t entries_max; /* of the IOMMU; 0: none */
	uint64_t from_us;     /* what happens before is not counted */
};

/* What the agent does when it is told nothing; a quota of 0. */
void engine_config_init(struct engine_config *config);

struct engine_result {
	uint64_t map_calls;
	uint64_t waits;		/* map calls that sent a request */
	uint64_t unserved;	/* of those, never mapped */
	uint64_t refused;	/* tries that were refused for want of room */
	uint64_t requests;	/* MAP requests, with the refused */
	uint64_t evictions;	/* extents */
	uint64_t mapped_bytes;	/* by the IOMMU, all together */
	uint64_t bounced_bytes; /* of map calls, copied instead of mapped */
	uint64_t pinned_peak;	/* bytes */
	uint64_t prefetched;	/* granules mapped while nobody held them */
	uint64_t prefetch_used;
	double cost_us;	       /* all of it */
	double waited_us;      /* of it, while a map call waited */
	struct vm_curve curve; /* what the agent says at the end */
};

/*
 * 0; -ENOMEM; -E2BIG (the trace has addresses beyond what we can lay out); or
 * -EIO where the agent does what it must not (logged).
 */
int engine_run(const struct trace *trace, const struct engine_config *config,
	       const struct cost_model *cost, struct engine_result *ret);

#endif
