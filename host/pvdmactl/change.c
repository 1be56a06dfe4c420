// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * change.c - pvdmactl start, stop, quota, limits, strategy and budget
 *
 * Owns: nothing; what the service judges is not judged here.
 *
 * Locks: none. In a request's way: not.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bus.h"
#include "columns.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/parse.h"
#include "verbs.h"
#include "vms.h"

DEFINE_CLEANUP(message, sd_bus_message *, sd_bus_message_unref);
DEFINE_CLEANUP(json, json_object *, json_object_put);

static int read_size(const char *what, const char *text, uint64_t *ret)
{
	int r = parse_size(text, ret);

	if (r == 0)
		return CTL_OK;
	log_err("%s %s: expected a size in bytes, such as 256M", what, text);
	return CTL_USAGE;
}

/* What the VM is now, after it was changed, or instead. */
static int print_vm(struct ctl *ctl, const char *name)
{
	_cleanup_(cleanup_json) json_object *vm = NULL;
	char quota[COLUMNS_SIZE_MAX], mapped[COLUMNS_SIZE_MAX];
	char lowest[COLUMNS_SIZE_MAX], most[COLUMNS_SIZE_MAX];
	int r = vms_get(ctl, name, &vm);

	if (r != 0)
		return r;
	if (ctl->json)
		return ctl_print_json(ctl, steal_ptr(vm), false);
	printf("%s: quota %s, mapped %s; min %s, max %s, weight %" PRIu64
	       "; strategy %s\n",
	       name, columns_size(vms_u64(vm, "quota"), quota),
	       columns_size(vms_u64(vm, "mapped"), mapped),
	       columns_size(vms_u64(vm, "min"), lowest),
	       columns_size(vms_u64(vm, "max"), most), vms_u64(vm, "weight"),
	       vms_text(vm, "strategy"));
	return CTL_OK;
}

/* --- start and stop --- */

/* Addresses of "device=A" and "devices=A,B" into one array. */
static int append_devices(sd_bus_message *m, const struct verb_args *args)
{
	int r = sd_bus_message_open_container(m, 'e', "sv");

	if (r >= 0)
		r = sd_bus_message_append(m, "s", "devices");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "as");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "s");
	for (int i = 1; r >= 0 && i < args->num_words; i++) {
		char *word = args->words[i], *save = NULL, *address;

		if (strncmp(word, "device=", strlen("device=")) != 0 &&
		    strncmp(word, "devices=", strlen("devices=")) != 0)
			continue;
		address = strtok_r(strchr(word, '=') + 1, ",", &save);
		for (; r >= 0 && address; address = strtok_r(NULL, ",", &save))
			r = sd_bus_message_append(m, "s", address);
	}
	for (int i = 0; r >= 0 && i < 3; i++)
		r = sd_bus_message_close_container(m);
	return r;
}

/* All others, as strings: what is between VM and the end. */
static int append_settings(sd_bus_message *m, const struct verb_args *args)
{
	int r = sd_bus_message_open_container(m, 'a', "{sv}");

	for (int i = 1; r >= 0 && i < args->num_words; i++) {
		char *word = args->words[i], *equals = strchr(word, '=');

		if (strncmp(word, "device=", strlen("device=")) == 0 ||
		    strncmp(word, "devices=", strlen("devices=")) == 0)
			continue;
		*equals = '\0';
		r = sd_bus_message_append(m, "{sv}", word, "s", equals + 1);
		*equals = '=';
	}
	if (r >= 0)
		r = append_devices(m, args);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

int change_start(struct ctl *ctl, const struct verb_args *args)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	_cleanup_(cleanup_message) sd_bus_message *m = NULL;
	const char *name = args->words[0];
	int r;

	for (int i = 1; i < args->num_words; i++) {
		if (strchr(args->words[i], '='))
			continue;
		log_err("%s: expected KEY=VALUE, such as quota=256M device=0000:01:00.0",
			args->words[i]);
		return CTL_USAGE;
	}
	r = ctl_connect(ctl);
	if (r != 0)
		return r;
	r = sd_bus_message_new_method_call(ctl->bus, &m, CTL_SERVICE,
					   CTL_MANAGER_PATH, CTL_MANAGER,
					   "StartVM");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", name);
	if (r >= 0)
		r = append_settings(m, args);
	if (r >= 0)
		r = sd_bus_call(ctl->bus, m, 0, &error, NULL);
	if (r < 0)
		return ctl_status_of(
			ctl_bus_failed(r, &error, "start VM", name), name);
	if (ctl->json)
		return print_vm(ctl, name);
	printf("%s runs\n", name);
	return CTL_OK;
}

/* A VM that is there no longer, for programs. */
static int print_name(struct ctl *ctl, const char *name)
{
	json_object *object = json_object_new_object();

	json_object_object_add(object, "name", json_object_new_string(name));
	json_object_object_add(object, "state",
			       json_object_new_string("stopped"));
	return ctl_print_json(ctl, object, false);
}

int change_stop(struct ctl *ctl, const struct verb_args *args)
{
	const char *name = args->words[0];
	int r = ctl_connect(ctl);

	if (r != 0)
		return r;
	r = ctl_bus_stop_vm(ctl->bus, name);
	if (r != 0)
		return ctl_status_of(r, name);
	if (ctl->json)
		return print_name(ctl, name);
	printf("%s has ended; its devices are back\n", name);
	return CTL_OK;
}

/* --- what can be changed while it runs --- */

int change_quota(struct ctl *ctl, const struct verb_args *args)
{
	const char *name = args->words[0];
	uint64_t bytes;
	int r = CTL_OK;

	if (args->num_words > 1) {
		r = read_size("quota", args->words[1], &bytes);
		if (r == 0)
			r = ctl_call(ctl, name, "SetQuota",
				     "set the quota of VM", NULL, "t", bytes);
	}
	return r != 0 ? r : print_vm(ctl, name);
}

int change_limits(struct ctl *ctl, const struct verb_args *args)
{
	const char *min_text = verbs_option(args, "min");
	const char *max_text = verbs_option(args, "max");
	const char *weight_text = verbs_option(args, "weight");
	_cleanup_(cleanup_json) json_object *vm = NULL;
	const char *name = args->words[0];
	uint64_t min, max, weight;
	int r = vms_get(ctl, name, &vm);

	if (r != 0)
		return r;
	if (!min_text && !max_text && !weight_text)
		return print_vm(ctl, name);
	min = vms_u64(vm, "min");
	max = vms_u64(vm, "max");
	weight = vms_u64(vm, "weight");
	if (min_text)
		r = read_size("min", min_text, &min);
	if (r == 0 && max_text)
		r = read_size("max", max_text, &max);
	if (r == 0 && weight_text &&
	    parse_uint(weight_text, 1, 10000, &weight) < 0) {
		log_err("weight %s: expected a number from 1 to 10000",
			weight_text);
		r = CTL_USAGE;
	}
	if (r == 0)
		r = ctl_call(ctl, name, "SetLimits", "set the limits of VM",
			     NULL, "ttu", min, max, (uint32_t)weight);
	return r != 0 ? r : print_vm(ctl, name);
}

int change_strategy(struct ctl *ctl, const struct verb_args *args)
{
	const char *name = args->words[0];
	int r = CTL_OK;

	if (args->num_words > 1)
		r = ctl_call(ctl, name, "SetStrategy", "set the strategy of VM",
			     NULL, "s", args->words[1]);
	return r != 0 ? r : print_vm(ctl, name);
}

int change_budget(struct ctl *ctl, const struct verb_args *args)
{
	_cleanup_(cleanup_json) json_object *host = NULL;
	char budget[COLUMNS_SIZE_MAX], assigned[COLUMNS_SIZE_MAX];
	uint64_t bytes = 0;
	int r = CTL_OK;

	if (args->num_words > 0) {
		if (strcmp(args->words[0], "none") != 0)
			r = read_size("budget", args->words[0], &bytes);
		if (r == 0)
			r = ctl_call(ctl, NULL, "SetBudget", "set the budget",
				     NULL, "t", bytes);
	}
	if (r == 0)
		r = vms_host(ctl, &host);
	if (r != 0)
		return r;
	if (ctl->json)
		return ctl_print_json(ctl, steal_ptr(host), false);
	bytes = vms_u64(host, "budget");
	printf("budget %s, assigned %s\n",
	       bytes ? columns_size(bytes, budget) : "no limit",
	       columns_size(vms_u64(host, "assigned"), assigned));
	return CTL_OK;
}
