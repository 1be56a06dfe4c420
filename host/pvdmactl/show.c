// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * show.c - pvdmactl status, list and show
 *
 * Owns: what they print for people; what they print for programs is what vms.h
 * gets. Locks: none. In a request's way: not.
 */
#include <inttypes.h>
#include <string.h>

#include "columns.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "verbs.h"
#include "vms.h"

#define RED   "\033[31m"
#define RESET "\033[0m"

DEFINE_CLEANUP(json, json_object *, json_object_put);

static json_object *nth(json_object *list, size_t i)
{
	return json_object_array_get_idx(list, i);
}

/* --- list --- */

static int print_list(json_object *list)
{
	static const char *const heads[] = { "NAME",	 "STATE",   ">QUOTA",
					     ">MAPPED",	 ">USED",   ">MIN",
					     ">MAX",	 ">WEIGHT", "STRATEGY",
					     ">DEVICES", NULL };
	struct columns c;
	int r;

	columns_init(&c, heads);
	for (size_t i = 0; i < vms_length(list); i++) {
		json_object *vm = nth(list, i);
		uint64_t quota = vms_u64(vm, "quota");

		columns_add(&c, "%s", vms_text(vm, "name"));
		columns_add(&c, "%s", vms_text(vm, "state"));
		columns_add_size(&c, quota);
		columns_add_size(&c, vms_u64(vm, "mapped"));
		columns_add(&c, "%u%%",
			    columns_percent(vms_u64(vm, "mapped"), quota));
		columns_add_size(&c, vms_u64(vm, "min"));
		columns_add_size(&c, vms_u64(vm, "max"));
		columns_add(&c, "%" PRIu64, vms_u64(vm, "weight"));
		columns_add(&c, "%s", vms_text(vm, "strategy"));
		columns_add(&c, "%zu", vms_length(vms_at(vm, "devices")));
	}
	r = columns_print(&c, "", stdout);
	columns_done(&c);
	return r == 0 ? CTL_OK : CTL_FAILED;
}

int show_list(struct ctl *ctl, const struct verb_args *args)
{
	_cleanup_(cleanup_json) json_object *list = NULL;
	json_object *all;
	int r = vms_list(ctl, &list);

	(void)args;
	if (r != 0)
		return r;
	if (!ctl->json)
		return print_list(list);
	all = json_object_new_object();
	json_object_object_add(all, "vms", steal_ptr(list));
	return ctl_print_json(ctl, all, false);
}

/* --- status --- */

static void print_failed(json_object *list)
{
	bool colours = columns_colours(stdout);

	for (size_t i = 0; i < vms_length(list); i++) {
		json_object *vm = nth(list, i);

		if (strcmp(vms_text(vm, "state"), "failed") == 0)
			printf("%s%s failed%s: %s\n", colours ? RED : "",
			       vms_text(vm, "name"), colours ? RESET : "",
			       vms_text(vm, "failure"));
	}
}

static void print_status(json_object *host, json_object *list)
{
	uint64_t budget = vms_u64(host, "budget");
	uint64_t assigned = vms_u64(host, "assigned");
	uint64_t mapped = vms_u64(host, "mapped");
	char text[COLUMNS_SIZE_MAX];
	size_t running = 0, num = vms_length(list);

	for (size_t i = 0; i < num; i++)
		running += strcmp(vms_text(nth(list, i), "state"), "running") ==
			   0;
	printf("service   runs, version %s\n", vms_text(host, "version"));
	if (budget == 0)
		printf("budget    no limit\n");
	else
		printf("budget    %s\n", columns_size(budget, text));
	printf("assigned  %s", columns_size(assigned, text));
	if (budget > 0)
		printf(" (%u%% of the budget)",
		       columns_percent(assigned, budget));
	printf("\nmapped    %s (%u%% of what is assigned)\n",
	       columns_size(mapped, text), columns_percent(mapped, assigned));
	printf("VMs       %zu, of which %zu run\n", num, running);
	print_failed(list);
}

int show_status(struct ctl *ctl, const struct verb_args *args)
{
	_cleanup_(cleanup_json) json_object *host = NULL, *list = NULL;
	int r;

	if (args->num_words > 0)
		return show_vm(ctl, args);
	r = vms_host(ctl, &host);
	if (r == 0)
		r = vms_list(ctl, &list);
	if (r != 0)
		return r;
	if (ctl->json) {
		json_object_object_add(host, "vms", steal_ptr(list));
		return ctl_print_json(ctl, steal_ptr(host), false);
	}
	print_status(host, list);
	return CTL_OK;
}

/* --- show --- */

static void print_size(const char *head, uint64_t bytes)
{
	char text[COLUMNS_SIZE_MAX];

	printf("%-10s %s\n", head, columns_size(bytes, text));
}

static void print_devices(json_object *devices)
{
	for (size_t i = 0; i < vms_length(devices); i++) {
		json_object *dev = nth(devices, i);
		const char *driver = vms_text(dev, "driver");

		printf("%-10s %s, endpoint %" PRIu64 ", %s%s%s\n",
		       i == 0 ? "devices" : "", vms_text(dev, "address"),
		       vms_u64(dev, "endpoint"), vms_text(dev, "socket"),
		       *driver ? ", goes back to " : "", driver);
	}
}

/* What the agent counts; all of it is in --json. */
static void print_stats(json_object *stats)
{
	char text[COLUMNS_SIZE_MAX];

	printf("requests   %" PRIu64 ", of which %" PRIu64 " failed (%" PRIu64
	       " for want of quota, %" PRIu64 " for a limit of the host)\n",
	       vms_u64(stats, "vm.requests"),
	       vms_u64(stats, "vm.failed_requests"),
	       vms_u64(stats, "vm.failed_quota"),
	       vms_u64(stats, "vm.failed_limit"));
	printf("evictions  %" PRIu64 ", %s\n", vms_u64(stats, "vm.evictions"),
	       columns_size(vms_u64(stats, "vm.evicted_bytes"), text));
	printf("peak       %s\n",
	       columns_size(vms_u64(stats, "vm.mapped_peak"), text));
	if (vms_u64(stats, "vm.over_quota_bytes") > 0)
		printf("over quota %s\n",
		       columns_size(vms_u64(stats, "vm.over_quota_bytes"),
				    text));
	printf("entries    %" PRIu64, vms_u64(stats, "vm.entries"));
	if (vms_u64(stats, "vm.entries_max") > 0)
		printf(" of %" PRIu64, vms_u64(stats, "vm.entries_max"));
	printf("\nlocked     %s\n",
	       columns_size(vms_u64(stats, "process.locked"), text));
}

static void print_vm(json_object *vm)
{
	const char *failure = vms_text(vm, "failure");

	printf("%-10s %s\n", "name", vms_text(vm, "name"));
	printf("%-10s %s%s%s\n", "state", vms_text(vm, "state"),
	       *failure ? ": " : "", failure);
	printf("%-10s %s\n", "unit", vms_text(vm, "unit"));
	print_size("quota", vms_u64(vm, "quota"));
	print_size("min", vms_u64(vm, "min"));
	print_size("max", vms_u64(vm, "max"));
	printf("%-10s %" PRIu64 "\n", "weight", vms_u64(vm, "weight"));
	printf("%-10s %s\n", "strategy", vms_text(vm, "strategy"));
	print_size("mapped", vms_u64(vm, "mapped"));
	printf("%-10s %s\n", "socket", vms_text(vm, "socket"));
	print_devices(vms_at(vm, "devices"));
	if (vms_at(vm, "stats"))
		print_stats(vms_at(vm, "stats"));
}

int show_vm(struct ctl *ctl, const struct verb_args *args)
{
	_cleanup_(cleanup_json) json_object *vm = NULL;
	const char *name = args->words[0];
	json_object *answer;
	int r = vms_get(ctl, name, &vm);

	if (r != 0)
		return r;
	if (strcmp(vms_text(vm, "state"), "running") == 0) {
		r = vms_query(ctl, name, "stats", &answer);
		if (r != 0)
			return r;
		json_object_object_add(vm, "stats", answer);
		r = vms_query(ctl, name, "config", &answer);
		if (r != 0)
			return r;
		json_object_object_add(vm, "config", answer);
	}
	if (ctl->json)
		return ctl_print_json(ctl, steal_ptr(vm), false);
	print_vm(vm);
	return CTL_OK;
}
