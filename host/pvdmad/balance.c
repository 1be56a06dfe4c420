// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * balance.c - keeps the host's budget divided by need
 *
 * Theory of operation. In each round all agents are asked for their cost curves;
 * when the last has answered, budget.c divides what is there. Quotas that fall
 * are set first, and those that rise when all of the former have been taken, so
 * that at no time more is given than there is. A quota that fell is not free as
 * long as its VM holds more than that (enforce=wait): it counts as taken, and
 * others rise by what is left, in this round or a later one. A VM that does not
 * answer keeps what it has, and so does one that came in the meantime.
 *
 * Owns: the timer, and the round that is under way.
 *
 * Invariant: one round at a time; each ends, for every question is answered
 * (agent_link.h).
 *
 * Locks: none; one event loop. In a request's way: not.
 */
#include "balance.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent_link.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "machine.h"
#include "messages.h"
#include "service.h"

#define ACCURACY_USEC 50000

/* After so many rounds in a row a quota is too small, and not just full. */
#define FULL_ROUNDS 5

/* A VM that takes part in the round. */
struct party {
	struct balance *balance;
	struct machine *machine; /* NULL: it ended */
	bool answered;
	struct budget_vm vm;
	uint64_t quota; /* to come */
};

struct balance {
	struct service *service;
	sd_event_source *timer;
	struct party *parties; /* NULL: no round */
	size_t num;
	size_t waiting; /* answers that are to come */
	bool rising;	/* the quotas that rise are being set */
};

static void end_round(struct balance *balance)
{
	free(balance->parties);
	balance->parties = NULL;
	balance->num = 0;
}

/* --- what agents say --- */

static bool get_u64(json_object *from, const char *key, uint64_t *ret)
{
	json_object *value;
	int64_t n;

	if (!json_object_object_get_ex(from, key, &value))
		return false;
	n = json_object_get_int64(value);
	*ret = n > 0 ? (uint64_t)n : 0;
	return true;
}

static bool get_point(json_object *from, struct budget_point *ret)
{
	json_object *cost;

	if (!json_object_is_type(from, json_type_object) ||
	    !get_u64(from, "quota", &ret->quota) ||
	    !json_object_object_get_ex(from, "cost_us_per_s", &cost))
		return false;
	ret->cost_us_per_s = json_object_get_double(cost);
	return true;
}

bool balance_read_curve(json_object *answer, struct budget_vm *vm)
{
	json_object *points;
	size_t num;

	vm->n_points = 0;
	vm->held = 0;
	if (!get_u64(answer, "held_bytes", &vm->held) ||
	    !json_object_object_get_ex(answer, "points", &points) ||
	    !json_object_is_type(points, json_type_array))
		return false;
	num = json_object_array_length(points);
	for (size_t i = 0; i < num && vm->n_points < BUDGET_POINTS_MAX; i++)
		if (get_point(json_object_array_get_idx(points, i),
			      &vm->points[vm->n_points]))
			vm->n_points++;
	return true;
}

/* --- setting quotas --- */

static void set_some(struct balance *balance);

static void on_set(void *userdata, const char *error)
{
	struct party *party = userdata;
	struct balance *balance = party->balance;

	if (error)
		log_warn("a quota could not be set: %s", error);
	if (--balance->waiting > 0)
		return;
	if (balance->rising) {
		end_round(balance);
		return;
	}
	balance->rising = true;
	set_some(balance);
}

static bool is_due(const struct balance *balance, const struct party *party)
{
	uint64_t now;

	if (!party->answered || !party->machine || !party->machine->link)
		return false;
	now = party->machine->spec.quota;
	return balance->rising ? party->quota > now : party->quota < now;
}

/* What of the budget no VM has, by its quota or in spite of it. */
static uint64_t untaken(const struct balance *balance)
{
	uint64_t left = balance->service->budget;

	for (const struct machine *m = balance->service->machines; m;
	     m = m->next)
		left -= min(left, machine_taken(m));
	return left;
}

/*
 * As much of a rise as there is room for: of what is left, and of what the VM
 * holds above its quota itself. False: none, or too little to be worth it.
 */
static bool rise(struct party *party, uint64_t *left)
{
	const struct machine *machine = party->machine;
	uint64_t now = machine->spec.quota, more = party->quota - now;
	uint64_t own = machine_taken(machine) - now, others;

	others = more > own ? more - own : 0;
	if (others > *left) {
		others = *left;
		more = own + others;
		if (more < budget_step(now))
			return false;
	}
	party->quota = now + more;
	*left -= others;
	return true;
}

/* Sets all that fall, or all that rise. */
static void set_some(struct balance *balance)
{
	uint64_t left = balance->rising ? untaken(balance) : 0;

	/* One that cannot be asked must not end the round while others wait. */
	balance->waiting = 1;
	for (size_t i = 0; i < balance->num; i++) {
		struct party *party = &balance->parties[i];

		if (!is_due(balance, party) ||
		    (balance->rising && !rise(party, &left)))
			continue;
		balance->waiting++;
		if (machine_set_quota(party->machine, party->quota, on_set,
				      party) < 0)
			balance->waiting--;
	}
	on_set(&balance->parties[0], NULL);
}

/* --- dividing --- */

/* What is left for those who answered. */
static uint64_t share_of_parties(const struct balance *balance)
{
	uint64_t left = balance->service->budget;

	for (const struct machine *m = balance->service->machines; m;
	     m = m->next) {
		bool takes_part = false;

		for (size_t i = 0; i < balance->num; i++)
			takes_part |= balance->parties[i].machine == m &&
				      balance->parties[i].answered;
		if (!takes_part)
			left -= min(left, m->spec.quota);
	}
	return left;
}

static int divide(struct balance *balance)
{
	_cleanup_free_ struct budget_vm *vms =
		calloc(balance->num, sizeof(*vms));
	_cleanup_free_ uint64_t *quotas = calloc(balance->num, sizeof(*quotas));
	uint64_t share = share_of_parties(balance);
	struct budget_result result;
	size_t n = 0;
	int r;

	if (!vms || !quotas)
		return -ENOMEM;
	for (size_t i = 0; i < balance->num; i++)
		if (balance->parties[i].answered)
			vms[n++] = balance->parties[i].vm;
	if (n == 0 || share == 0)
		return -ENODATA;
	r = budget_divide(share, vms, n, quotas, &result);
	if (r < 0)
		return r;
	n = 0;
	for (size_t i = 0; i < balance->num; i++)
		if (balance->parties[i].answered)
			balance->parties[i].quota = quotas[n++];
	if (result.moves > 0)
		log_debug("budget: %u quotas move", result.moves);
	return 0;
}

static void all_answered(struct balance *balance)
{
	if (balance->service->budget == 0 || divide(balance) < 0) {
		end_round(balance);
		return;
	}
	balance->rising = false;
	set_some(balance);
}

/* A VM whose devices use all of its quota at once: said once. */
static void look_at_need(struct machine *machine, uint64_t held)
{
	uint64_t quota = machine->spec.quota;
	char text[24], mapped[24];
	const struct log_field fields[] = {
		{ "PVDMA_VM", machine->spec.name },
		{ "PVDMA_QUOTA", text },
		{ "PVDMA_MAPPED", mapped },
		{ NULL, NULL },
	};

	if (held < quota - quota / 32) {
		machine->full_rounds = 0;
		return;
	}
	if (++machine->full_rounds != FULL_ROUNDS)
		return;
	(void)snprintf(text, sizeof(text), "%" PRIu64, quota);
	(void)snprintf(mapped, sizeof(mapped), "%" PRIu64, machine->mapped);
	log_event(
		LOG_WARNING, MESSAGE_QUOTA_OVER, fields,
		"%s: its devices use all of its quota of %s bytes at once; raise it, or max and weight",
		machine->spec.name, text);
}

static void on_curve(void *userdata, const char *error, json_object *answer,
		     const char *json)
{
	struct party *party = userdata;
	struct balance *balance = party->balance;
	struct machine *machine = party->machine;

	(void)json;
	if (!error) {
		(void)get_u64(answer, "mapped_bytes", &machine->mapped);
		party->answered = balance_read_curve(answer, &party->vm);
		if (party->answered)
			look_at_need(machine, party->vm.held);
	}
	if (--balance->waiting == 0)
		all_answered(balance);
}

/* --- rounds --- */

static void ask(struct balance *balance, struct machine *machine)
{
	struct party *party = &balance->parties[balance->num];

	*party = (struct party){
		.balance = balance,
		.machine = machine,
		.vm = {
			.min = machine->spec.min,
			.max = machine->spec.max,
			.weight = machine->spec.weight,
			.quota = machine->spec.quota,
		},
	};
	if (agent_link_ask(machine->link, "curve", on_curve, party) < 0)
		return;
	balance->num++;
	balance->waiting++;
}

static void begin_round(struct balance *balance)
{
	size_t num = 0;

	for (struct machine *m = balance->service->machines; m; m = m->next)
		num += m->state == MACHINE_RUNNING;
	if (num == 0)
		return;
	balance->parties = calloc(num, sizeof(*balance->parties));
	if (!balance->parties)
		return;
	balance->waiting = 0;
	for (struct machine *m = balance->service->machines; m; m = m->next)
		if (balance->num < num && machine_link(m))
			ask(balance, m);
	if (balance->num == 0)
		end_round(balance);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct balance *balance = userdata;

	(void)usec;
	if (!balance->parties)
		begin_round(balance);
	(void)sd_event_source_set_time_relative(
		s, balance->service->config->round_usec);
	return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

void balance_forget(struct balance *balance, const struct machine *machine)
{
	for (size_t i = 0; balance && i < balance->num; i++)
		if (balance->parties[i].machine == machine)
			balance->parties[i].machine = NULL;
}

int balance_new(struct service *service, struct balance **ret)
{
	struct balance *balance = calloc(1, sizeof(*balance));
	int r = 0;

	if (!balance)
		return log_err_errno(ENOMEM, "cannot divide the budget");
	balance->service = service;
	if (service->config->round_usec > 0)
		r = sd_event_add_time_relative(service->event, &balance->timer,
					       CLOCK_MONOTONIC,
					       service->config->round_usec,
					       ACCURACY_USEC, on_timer,
					       balance);
	if (r < 0) {
		balance_free(balance);
		return log_err_errno(r, "cannot divide the budget");
	}
	*ret = balance;
	return 0;
}

void balance_free(struct balance *balance)
{
	if (!balance)
		return;
	sd_event_source_disable_unref(balance->timer);
	end_round(balance);
	free(balance);
}
