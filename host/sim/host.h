/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * host.h - many VMs under one budget, divided in several ways
 */
#ifndef PVDMA_SIM_HOST_H
#define PVDMA_SIM_HOST_H

#include <stdint.h>
#include <stdio.h>

#include "host/sim/bench.h"
#include "host/sim/profile.h"

#define HOST_VMS_MAX	100000u
#define HOST_ROUND_S	5u  /* seconds between two divisions */
#define HOST_STEADY	40u /* rounds before loads begin to move */
#define HOST_ROUNDS_MIN (2 * HOST_STEADY)

enum host_way {
	HOST_EQUAL,  /* everybody gets as much */
	HOST_WEIGHT, /* ... in proportion to the weight */
	HOST_PVDMAD, /* budget_divide(), by what the agents say */
	HOST_ORACLE, /* the same, by the truth of the coming round, at once */
	HOST_WAYS,
};

struct host_options {
	unsigned int vms;
	unsigned int rounds;
	uint64_t budget;	 /* bytes; 0: by ... */
	unsigned int budget_pct; /* ... percent of all working sets */
	uint64_t seed;
};

struct host_result {
	struct host_options options;
	uint64_t budget, working_sets;	     /* bytes */
	struct profile_loss loss[HOST_WAYS]; /* a second, of all VMs */
	double weighted_us[HOST_WAYS]; /* cost times weight by mean weight */
	unsigned int settled; /* rounds until little moves while loads stay */
	double moved_settled; /* share of the budget that moves in a round, then */
	double moved;	      /* ... while loads move */
	double round_us;      /* what a round takes, at the median */
	double round_instructions; /* at the mean; 0: not known here */
};

const char *host_way_name(enum host_way way);

/*
 * VMs of random traces out of @profiles, @n of them, in random sizes and speeds,
 * that work and idle in turn. 0 or -ENOMEM.
 */
int host_run(const struct profile *profiles, unsigned int n,
	     const struct host_options *options, bench_step_fn step,
	     void *userdata, struct host_result *ret);

/* The same numbers for people, and as JSON. */
void host_print_table(FILE *out, const struct host_result *result);
void host_print_json(FILE *out, const struct host_result *result);

#endif
