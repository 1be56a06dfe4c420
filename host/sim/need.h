/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * need.h - how much quota does this workload need?
 */
#ifndef PVDMA_SIM_NEED_H
#define PVDMA_SIM_NEED_H

#include <stdint.h>

#include "host/sim/bench.h"
#include "host/sim/cost.h"
#include "host/sim/engine.h"
#include "host/sim/trace.h"

struct need {
	uint64_t working_set; /* bytes, in pages of 4 KiB */
	uint64_t held_peak;   /* of it, in use at once */
	uint64_t serves;      /* the least quota that refuses nothing */
	uint64_t enough;      /* ... with few more waits than without a limit */
	uint64_t all;	      /* ... under which nothing is ever evicted */
	double waits_serves;  /* shares of map calls that wait, with each */
	double waits_enough;
	double waits_all;
};

/* "Few more waits": this factor of those without a limit, or this share more. */
#define NEED_FACTOR 1.1
#define NEED_SHARE  0.005

/*
 * Asks the engine again and again; @step is called before each time. The
 * answers are exact to a granule or to 1/256 of need.all, whichever is more. 0
 * or a negative errno, as engine_run().
 */
int need_find(const struct trace *trace, const struct engine_config *engine,
	      const struct cost_model *cost, bench_step_fn step, void *userdata,
	      struct need *ret);

#endif
