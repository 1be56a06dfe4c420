/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * profile.h - what a workload costs under each quota, and what its agent says
 *
 * A trace in a loop, run at some quotas: so a simulation of many VMs need not
 * replay each of them all the time.
 */
#ifndef PVDMA_SIM_PROFILE_H
#define PVDMA_SIM_PROFILE_H

#include <stdint.h>

#include "host/agent/vm.h"
#include "host/sim/bench.h"
#include "host/sim/cost.h"
#include "host/sim/engine.h"
#include "host/sim/trace.h"

/* Half octaves from a 16th to twice the working set. */
#define PROFILE_RUNS 11u

/* What is lost in a second of the workload's time. */
struct profile_loss {
	double waits;	 /* map calls */
	double unserved; /* of those, never mapped */
	double cost_us;	 /* without what a failure costs */
};

struct profile_run {
	uint64_t quota; /* bytes */
	struct profile_loss loss;
	struct vm_curve curve;
};

struct profile {
	uint64_t working_set; /* bytes */
	uint64_t rings;	      /* of it, mapped for good */
	struct profile_run runs[PROFILE_RUNS];
};

/* @step is called before each run. 0 or a negative errno, as engine_run(). */
int profile_make(const struct trace *trace, const struct engine_config *engine,
		 const struct cost_model *cost, bench_step_fn step,
		 void *userdata, struct profile *ret);

/* Between two runs in proportion; beyond the first and the last as at those. */
void profile_at(const struct profile *profile, double quota,
		struct profile_loss *ret);

/* The run whose quota is nearest. */
const struct profile_run *profile_near(const struct profile *profile,
				       double quota);

#endif
