// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * host.c - many VMs under one budget, divided in several ways
 *
 * Theory of operation. A VM is a profile, stretched: it takes `scale` times the
 * memory, at `rate` times the speed. Loads are steady for HOST_STEADY rounds;
 * then VMs begin to idle, and to work again, each in its own time. In a round
 * first the budget is divided, by what agents say of the time before; then
 * loads may move; then the round is lived through under those quotas.
 *
 * What an agent says is the curve that it really had in the replay under the
 * nearest quota, with errors up to HOST_NOISE besides, and as late as its memory
 * is long: loads and errors fade in and out by half in HOST_HALF_S.
 *
 * Owns nothing beyond a call. Locks: none.
 */
#include "host/sim/host.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/lib/cleanup.h"
#include "host/lib/clock.h"
#include "host/lib/macros.h"
#include "host/pvdmad/budget.h"

#define HOST_NOISE  0.2
#define HOST_HALF_S 8.0 /* as the agent's, and what is held */
#define HOST_HELD_S 300.0
/* Half octaves from 4 KiB to 4 GiB. */
#define HOST_GRID 41u
/* What a VM is promised: this part of an equal share. */
#define HOST_MIN 8u
/* Rounds that a VM works or idles, on average. */
#define HOST_WORKS 60.0
#define HOST_IDLES 30.0
/* It is settled where no more than this moves in a round. */
#define HOST_SETTLED 0.02

struct host_vm {
	const struct profile *profile;
	double scale, rate;
	uint32_t weight;
	uint64_t min, max;
	bool busy;
	/* what the agent has seen: bytes and us in a second, as in the trace */
	double held, said[HOST_GRID], errors[HOST_GRID];
	uint64_t quotas[HOST_WAYS];
};

struct host {
	const struct host_options *options;
	struct host_result *result;
	struct host_vm *vms;
	unsigned int n;
	double weights;		/* their sum */
	struct budget_vm *asks; /* what budget_divide() is told */
	uint64_t *quotas;
	double *times; /* of each round, in us */
	double moved_steady, moved_later;
	double instructions;
	int perf_fd;
	uint64_t random;
};

/* 0 to 1 */
static double chance(struct host *host)
{
	uint64_t x = host->random += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (double)((x ^ x >> 31) >> 11) / 9007199254740992.0;
}

static double random_error(struct host *host)
{
	return HOST_NOISE * (2 * chance(host) - 1);
}

/* --- what is known of a VM --- */

static void ask_for(const struct host_vm *vm, enum host_way way,
		    struct budget_vm *ask)
{
	*ask = (struct budget_vm){
		.min = vm->min,
		.max = vm->max,
		.weight = vm->weight,
		.quota = vm->quotas[way],
	};
}

/* Half octaves from one page on, as the trace has them. */
static double grid_quota(unsigned int i)
{
	return 4096 * exp2((double)i / 2);
}

/*
 * What the agent says: half octaves around its quota. Each step has an error of
 * its own; the curve never rises, as those of agents do not.
 */
static void ask_agent(const struct host_vm *vm, struct budget_vm *ask)
{
	double quota = (double)vm->quotas[HOST_PVDMAD] / vm->scale;
	double held = fmax(vm->held, (double)vm->profile->rings);
	double cost = 0, above = 0;
	unsigned int n = 0;

	ask_for(vm, HOST_PVDMAD, ask);
	ask->held = min((uint64_t)(held * vm->scale), ask->quota);
	for (unsigned int i = 0; i < HOST_GRID; i++)
		n += grid_quota(i) >= quota / 8 && grid_quota(i) <= quota * 32;
	ask->n_points = n;
	for (unsigned int i = HOST_GRID; i-- > 0;) {
		if (grid_quota(i) < quota / 8 || grid_quota(i) > quota * 32)
			continue;
		cost += (vm->said[i] - above) * (1 + vm->errors[i]);
		above = vm->said[i];
		ask->points[--n] = (struct budget_point){
			.quota = (uint64_t)(grid_quota(i) * vm->scale),
			.cost_us_per_s = cost * vm->rate,
		};
	}
}

/* Between the points of an agent's curve in proportion. */
static double said_at(const struct vm_curve *curve, double quota)
{
	const struct vm_curve_point *p = curve->points;
	double part;

	if (curve->n == 0)
		return 0;
	while (p < curve->points + curve->n - 1 && (double)p[1].quota < quota)
		p++;
	if (p == curve->points + curve->n - 1)
		return p->cost_us_per_s;
	part = (quota - (double)p->quota) / (double)(p[1].quota - p->quota);
	return p->cost_us_per_s +
	       (p[1].cost_us_per_s - p->cost_us_per_s) * fmax(part, 0);
}

/* The agent sees a round, and remembers so much of what was before. */
static void observe(struct host *host, struct host_vm *vm, double left)
{
	double quota = (double)vm->quotas[HOST_PVDMAD] / vm->scale;
	const struct vm_curve *curve = &profile_near(vm->profile, quota)->curve;
	double held = vm->busy ? (double)curve->held_bytes : 0;
	double held_left = exp2(-(double)HOST_ROUND_S / HOST_HELD_S);

	vm->held = fmax(vm->held * held_left, held);
	for (unsigned int i = 0; i < HOST_GRID; i++) {
		double said = vm->busy ? said_at(curve, grid_quota(i)) : 0;

		vm->said[i] = vm->said[i] * left + said * (1 - left);
		vm->errors[i] =
			vm->errors[i] * left + random_error(host) * (1 - left);
	}
}

static void ask_oracle(const struct host_vm *vm, struct budget_vm *ask)
{
	ask_for(vm, HOST_ORACLE, ask);
	ask->quota = 0;
	for (unsigned int i = 0; i < PROFILE_RUNS; i++) {
		const struct profile_run *run = &vm->profile->runs[i];

		ask->points[ask->n_points++] = (struct budget_point){
			.quota = (uint64_t)((double)run->quota * vm->scale),
			.cost_us_per_s =
				run->loss.cost_us * vm->rate * vm->busy,
		};
	}
}

/* --- the VMs --- */

static void make_vm(struct host *host, struct host_vm *vm,
		    const struct profile *profiles, unsigned int n)
{
	static const uint32_t weights[] = { 50, 100, 100, 200 };
	const size_t n_weights = ARRAY_SIZE(weights);
	double size;

	*vm = (struct host_vm){
		.profile = &profiles[(unsigned int)(chance(host) * n)],
		.scale = exp2(chance(host) * 3),
		.rate = exp2(chance(host) * 4 - 2),
		.weight = weights[(size_t)(chance(host) * (double)n_weights)],
		.busy = chance(host) < HOST_WORKS / (HOST_WORKS + HOST_IDLES),
	};
	size = (double)vm->profile->working_set * vm->scale;
	vm->max = (uint64_t)(2 * size);
	host->result->working_sets += (uint64_t)size;
	host->weights += vm->weight;
}

static void make_vms(struct host *host, const struct profile *profiles,
		     unsigned int n)
{
	struct host_result *result = host->result;

	for (unsigned int i = 0; i < host->n; i++)
		make_vm(host, &host->vms[i], profiles, n);
	result->budget = host->options->budget;
	if (result->budget == 0)
		result->budget =
			result->working_sets / 100 * host->options->budget_pct;
	for (unsigned int i = 0; i < host->n; i++) {
		struct host_vm *vm = &host->vms[i];
		uint64_t equal = result->budget / host->n;
		double share = vm->weight / host->weights;

		vm->min = min(equal / HOST_MIN, vm->max);
		vm->quotas[HOST_EQUAL] = equal;
		vm->quotas[HOST_PVDMAD] = min(equal, vm->max);
		vm->quotas[HOST_WEIGHT] =
			(uint64_t)(share * (double)result->budget);
		observe(host, vm, 0);
	}
}

static void move_loads(struct host *host)
{
	for (unsigned int i = 0; i < host->n; i++) {
		struct host_vm *vm = &host->vms[i];

		if (chance(host) < 1 / (vm->busy ? HOST_WORKS : HOST_IDLES))
			vm->busy = !vm->busy;
	}
}

/* --- the ways to divide --- */

/* Instructions of this thread so far; 0 where nobody counts them. */
static uint64_t instructions(const struct host *host)
{
	uint64_t count = 0;

	if (host->perf_fd >= 0 &&
	    read(host->perf_fd, &count, sizeof(count)) != sizeof(count))
		count = 0;
	return count;
}

static int divide(struct host *host, enum host_way way,
		  struct budget_result *ret)
{
	int r = budget_divide(host->result->budget, host->asks, host->n,
			      host->quotas, ret);

	for (unsigned int i = 0; i < host->n && r == 0; i++)
		host->vms[i].quotas[way] = host->quotas[i];
	return r;
}

static int divide_pvdmad(struct host *host, unsigned int round)
{
	struct budget_result result;
	uint64_t start, count;
	double moved;
	int r;

	for (unsigned int i = 0; i < host->n; i++)
		ask_agent(&host->vms[i], &host->asks[i]);
	count = instructions(host);
	start = clock_ns();
	r = divide(host, HOST_PVDMAD, &result);
	host->times[round] = (double)(clock_ns() - start) / 1000;
	host->instructions += (double)(instructions(host) - count);
	if (r < 0)
		return r;
	moved = (double)result.moved / (double)host->result->budget;
	if (round >= HOST_STEADY) {
		host->moved_later += moved;
	} else if (moved > HOST_SETTLED) {
		host->result->settled = round + 1;
		host->moved_steady = 0;
	} else {
		host->moved_steady += moved;
	}
	return 0;
}

static int divide_oracle(struct host *host)
{
	for (unsigned int i = 0; i < host->n; i++)
		ask_oracle(&host->vms[i], &host->asks[i]);
	return divide(host, HOST_ORACLE, NULL);
}

/* --- rounds --- */

static void live(struct host *host, struct host_vm *vm)
{
	double share = vm->rate / host->options->rounds;
	double left = exp2(-(double)HOST_ROUND_S / HOST_HALF_S);

	observe(host, vm, left);
	for (unsigned int way = 0; way < HOST_WAYS && vm->busy; way++) {
		struct profile_loss *sum = &host->result->loss[way], loss;

		profile_at(vm->profile, (double)vm->quotas[way] / vm->scale,
			   &loss);
		sum->waits += loss.waits * share;
		sum->unserved += loss.unserved * share;
		sum->cost_us += loss.cost_us * share;
		host->result->weighted_us[way] += loss.cost_us * share *
						  vm->weight * host->n /
						  host->weights;
	}
}

static int do_round(struct host *host, unsigned int round)
{
	int r = divide_pvdmad(host, round);

	if (r < 0)
		return r;
	if (round >= HOST_STEADY)
		move_loads(host);
	r = divide_oracle(host);
	for (unsigned int i = 0; i < host->n && r == 0; i++)
		live(host, &host->vms[i]);
	return r;
}

static int by_size(const void *a, const void *b)
{
	const double *p = a, *q = b;

	return *p < *q ? -1 : *p > *q;
}

static void finish(struct host *host)
{
	unsigned int rounds = host->options->rounds;
	struct host_result *result = host->result;

	qsort(host->times, rounds, sizeof(*host->times), by_size);
	result->round_us = host->times[rounds / 2];
	result->round_instructions = host->instructions / rounds;
	if (result->settled < HOST_STEADY)
		result->moved_settled =
			host->moved_steady / (HOST_STEADY - result->settled);
	result->moved = host->moved_later / (rounds - HOST_STEADY);
}

/* A counter of this thread's instructions, or -1. */
static int open_perf(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_HARDWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_HW_INSTRUCTIONS,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};

	return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1,
			    PERF_FLAG_FD_CLOEXEC);
}

int host_run(const struct profile *profiles, unsigned int n,
	     const struct host_options *options, bench_step_fn step,
	     void *userdata, struct host_result *ret)
{
	struct host host = {
		.options = options,
		.result = ret,
		.n = options->vms,
		.vms = calloc(options->vms, sizeof(*host.vms)),
		.asks = calloc(options->vms, sizeof(*host.asks)),
		.quotas = calloc(options->vms, sizeof(*host.quotas)),
		.times = calloc(options->rounds, sizeof(*host.times)),
		.perf_fd = open_perf(),
		.random = options->seed,
	};
	int r = 0;

	*ret = (struct host_result){ .options = *options };
	if (!host.vms || !host.asks || !host.quotas || !host.times)
		r = -ENOMEM;
	if (r == 0)
		make_vms(&host, profiles, n);
	for (unsigned int i = 0; i < options->rounds && r == 0; i++) {
		step(userdata);
		r = do_round(&host, i);
	}
	if (r == 0)
		finish(&host);
	close_fd(host.perf_fd);
	free(host.vms);
	free(host.asks);
	free(host.quotas);
	free(host.times);
	return r;
}
