/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench.h - one trace under several quotas, by the engine and by its rivals
 */
#ifndef PVDMA_SIM_BENCH_H
#define PVDMA_SIM_BENCH_H

#include <stdint.h>
#include <stdio.h>

#include "host/sim/cost.h"
#include "host/sim/engine.h"
#include "host/sim/replay.h"
#include "host/sim/trace.h"

#define BENCH_QUOTAS_MAX 24u
#define BENCH_SIZES	 5u /* 4K, 16K, 64K, 256K, 2M */

extern const unsigned int bench_shifts[BENCH_SIZES];

struct bench_options {
	const struct cost_model *cost;
	struct engine_config engine;	       /* the quota is filled in */
	unsigned int policy_shift;	       /* granule of policy_only */
	unsigned int quotas[BENCH_QUOTAS_MAX]; /* percent; rising */
	unsigned int n_quotas;
};

struct bench_point {
	unsigned int quota_pct;
	uint64_t quota; /* bytes: pct of the working set */
	struct engine_result engine;
	struct replay_result fixed[BENCH_SIZES]; /* CLOCK, on demand */
	unsigned int best;			 /* the cheapest of them */
	struct replay_result policy; /* the agent's, at policy_shift */
	struct replay_result opt;    /* Belady's, at policy_shift */
};

struct bench_trace {
	const char *name; /* the file's, without folder and ending */
	struct trace_info info;
	uint64_t map_calls;
	uint64_t call_bytes;  /* of all map calls together */
	uint64_t working_set; /* bytes, in pages of 4 KiB */
	uint64_t held_peak;   /* of it, in use at once */
	struct bench_point points[BENCH_QUOTAS_MAX];
	unsigned int n_points;
};

/* Called before each simulation. */
typedef void (*bench_step_fn)(void *userdata);

/* The steps that bench_run() will announce for one trace. */
unsigned int bench_steps(const struct bench_options *options);

/* Fills in *@ret but its name. 0 or a negative errno, as engine_run(). */
int bench_run(const struct trace *trace, const struct bench_options *options,
	      bench_step_fn step, void *userdata, struct bench_trace *ret);

/* What all points say together. Ratios are geometric means and maxima. */
struct bench_summary {
	unsigned int points;
	double cost_ratio, cost_ratio_max;     /* engine by best fixed */
	double wait_share;		       /* of map calls */
	double bounced_share;		       /* of map calls' bytes */
	double policy_ratio, policy_ratio_max; /* misses by OPT's */
	unsigned int over_quota;	       /* points with a higher peak */
};

/*
 * Over all points, or those only whose quota covers what is in use at once. A
 * point where nobody waits counts as half a wait, so that there is a mean.
 */
void bench_summarise(const struct bench_trace *traces, unsigned int n,
		     bool feasible_only, struct bench_summary *ret);

/* Is the quota at least what is in use at once? */
bool bench_is_feasible(const struct bench_trace *trace,
		       const struct bench_point *point);

void bench_print_table(FILE *out, const struct bench_trace *traces,
		       unsigned int n);
void bench_print_markdown(FILE *out, const struct bench_trace *traces,
			  unsigned int n);
void bench_print_json(FILE *out, const struct bench_trace *traces,
		      unsigned int n, const struct bench_options *options);
void bench_print_svg(FILE *out, const struct bench_trace *traces,
		     unsigned int n);

#endif
