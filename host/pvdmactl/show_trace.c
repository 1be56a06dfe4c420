// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * show_trace.c - pvdmactl trace: the ways of single requests, with times
 *
 * The agent begins to record when it is asked first, and ends when nobody has
 * asked for a minute; so this only asks.
 *
 * Owns: nothing. Locks: none. In a request's way: not.
 */
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "columns.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/parse.h"
#include "verbs.h"
#include "vms.h"

#define COUNT	    16
#define COUNT_MAX   64
#define FOLLOW_USEC 250000

DEFINE_CLEANUP(json, json_object *, json_object_put);

/* Stages behind the first, from which the times count. */
static const char *const stages[] = { "decoded", "room", "mapped", "words",
				      "answered" };
#define NUM_STAGES (sizeof(stages) / sizeof(stages[0]))

static volatile sig_atomic_t ended;

static void on_signal(int signal)
{
	(void)signal;
	ended = 1;
}

static void add_stages(struct columns *c, json_object *request)
{
	json_object *times = vms_at(request, "stages"), *at;

	for (size_t i = 0; i < NUM_STAGES; i++) {
		at = vms_at(times, stages[i]);
		if (at)
			columns_add(c, "%.1f", json_object_get_double(at));
		else
			columns_add(c, "-");
	}
}

static int print_table(json_object *requests)
{
	static const char *const heads[] = {
		">NUMBER",    "TYPE",	  ">ENDPOINT", ">ITEMS", "STATUS",
		">DECODED",   ">ROOM",	  ">MAPPED",   ">WORDS", ">ANSWERED us",
		">EVICTIONS", ">EVICTED", ">PIECES",   ">BYTES", NULL
	};
	struct columns c;
	int r;

	columns_init(&c, heads);
	for (size_t i = 0; i < vms_length(requests); i++) {
		json_object *q = json_object_array_get_idx(requests, i);

		columns_add(&c, "%" PRIu64, vms_u64(q, "number"));
		columns_add(&c, "%s", vms_text(q, "type"));
		columns_add(&c, "%" PRIu64, vms_u64(q, "endpoint"));
		columns_add(&c, "%" PRIu64, vms_u64(q, "items"));
		columns_add(&c, "%s", vms_text(q, "status"));
		add_stages(&c, q);
		columns_add(&c, "%" PRIu64, vms_u64(q, "evictions"));
		columns_add_size(&c, vms_u64(q, "evicted_bytes"));
		columns_add(&c, "%" PRIu64, vms_u64(q, "pieces"));
		columns_add_size(&c, vms_u64(q, "bytes"));
	}
	r = columns_print(&c, "", stdout);
	columns_done(&c);
	return r == 0 && fflush(stdout) == 0 ? CTL_OK : CTL_FAILED;
}

/* Those behind number @seen, which moves on. */
static json_object *news(json_object *answer, uint64_t *seen)
{
	json_object *list = json_object_new_array();
	json_object *all = vms_at(answer, "requests");
	uint64_t recorded = vms_u64(answer, "recorded");

	if (recorded < *seen) /* it was forgotten, and begun anew */
		*seen = 0;
	for (size_t i = 0; i < vms_length(all); i++) {
		json_object *q = json_object_array_get_idx(all, i);

		if (vms_u64(q, "number") > *seen)
			(void)json_object_array_add(list, json_object_get(q));
	}
	*seen = recorded;
	return list;
}

static int print_news(struct ctl *ctl, json_object *list)
{
	int r = CTL_OK;

	if (vms_length(list) == 0)
		return CTL_OK;
	if (!ctl->json)
		return print_table(list);
	for (size_t i = 0; r == 0 && i < vms_length(list); i++)
		r = ctl_print_json(
			ctl,
			json_object_get(json_object_array_get_idx(list, i)),
			true);
	return r;
}

static int follow(struct ctl *ctl, const char *name)
{
	const struct timespec pause = { .tv_nsec = FOLLOW_USEC * 1000 };
	const struct sigaction action = { .sa_handler = on_signal };
	uint64_t seen = 0;
	int r = CTL_OK;

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	while (r == 0 && !ended) {
		_cleanup_(cleanup_json) json_object *answer = NULL;
		_cleanup_(cleanup_json) json_object *list = NULL;

		r = vms_query(ctl, name, "trace", &answer);
		if (r != 0)
			break;
		list = news(answer, &seen);
		r = print_news(ctl, list);
		if (r == 0 && !ended)
			(void)nanosleep(&pause, NULL);
	}
	return ended ? CTL_OK : r;
}

int show_trace(struct ctl *ctl, const struct verb_args *args)
{
	_cleanup_(cleanup_json) json_object *answer = NULL;
	const char *text = verbs_option(args, "count");
	uint64_t count = COUNT;
	char command[32];
	int r;

	if (text && parse_uint(text, 1, COUNT_MAX, &count) < 0) {
		log_err("count %s: expected a number from 1 to %d", text,
			COUNT_MAX);
		return CTL_USAGE;
	}
	if (verbs_option(args, "follow"))
		return follow(ctl, args->words[0]);
	(void)snprintf(command, sizeof(command), "trace %" PRIu64, count);
	r = vms_query(ctl, args->words[0], command, &answer);
	if (r != 0)
		return r;
	if (ctl->json)
		return ctl_print_json(ctl, steal_ptr(answer), false);
	if (vms_u64(answer, "recorded") == 0) {
		printf("Recording from now on, for as long as somebody asks at least once a minute.\n");
		return CTL_OK;
	}
	return print_table(vms_at(answer, "requests"));
}
