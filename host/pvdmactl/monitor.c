// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * monitor.c - what pvdma asks of the monitor (QMP) of a running QEMU
 *
 * Owns: the commands that look at and change QEMU's devices, and how its answers
 * are read. The way to the monitor is the caller's.
 *
 * Invariant: an answer that is not understood is an error, never a "no".
 *
 * Locks: none. In a request's way: not.
 */
#include "monitor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <json-c/json.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "qemu_args.h"

#define PERIPHERALS "/machine/peripheral"
#define ROOT_PORT   "child<pcie-root-port>"
#define POLL_MS	    250
/* Bridges behind bridges behind bridges. */
#define BRIDGES_DEEP 32

DEFINE_CLEANUP(json, json_object *, json_object_put);

/* Sends a command; *@ret is all of the answer, and @ret_return what is in it. */
static int ask(const struct monitor *monitor, const char *what,
	       const char *command, json_object **ret, json_object **ret_return)
{
	_cleanup_(cleanup_json) json_object *answer = NULL;
	_cleanup_free_ char *text = NULL;
	json_object *error, *words;
	int r = monitor->command(monitor->userdata, command, &text);

	if (r < 0)
		return r;
	answer = json_tokener_parse(text);
	if (json_object_object_get_ex(answer, "error", &error) &&
	    json_object_object_get_ex(error, "desc", &words)) {
		log_err("cannot %s: QEMU: %s", what,
			json_object_get_string(words));
		return -EIO;
	}
	if (!json_object_object_get_ex(answer, "return", ret_return)) {
		log_err("cannot %s: QEMU gave an answer that is not understood",
			what);
		return -EPROTO;
	}
	*ret = steal_ptr(answer);
	return 0;
}

int monitor_do(const struct monitor *monitor, const char *what,
	       const char *json)
{
	_cleanup_(cleanup_json) json_object *answer = NULL;
	json_object *value;

	return ask(monitor, what, json, &answer, &value);
}

/* A member of @object that is a string, or "". */
static const char *string_of(json_object *object, const char *key)
{
	json_object *value;

	if (!json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, json_type_string))
		return "";
	return json_object_get_string(value);
}

/* A member of @object that is an array, with its length; NULL and 0. */
static json_object *array_of(json_object *object, const char *key, size_t *n)
{
	json_object *value;

	*n = 0;
	if (!json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, json_type_array))
		return NULL;
	*n = json_object_array_length(value);
	return value;
}

/* All devices with a name: [{"name": ID, "type": "child<...>"}...] */
static int list_devices(const struct monitor *monitor, json_object **ret,
			json_object **ret_list)
{
	int r = ask(monitor, "list QEMU's devices",
		    "{\"execute\":\"qom-list\",\"arguments\":"
		    "{\"path\":\"" PERIPHERALS "\"}}",
		    ret, ret_list);

	if (r == 0 && !json_object_is_type(*ret_list, json_type_array)) {
		json_object_put(*ret);
		*ret = NULL;
		log_err("cannot list QEMU's devices: not a list");
		return -EPROTO;
	}
	return r;
}

int monitor_has_device(const struct monitor *monitor, const char *id)
{
	_cleanup_(cleanup_json) json_object *answer = NULL;
	json_object *list;
	int r = list_devices(monitor, &answer, &list);

	if (r < 0)
		return r;
	for (size_t i = 0; i < json_object_array_length(list); i++)
		if (strcmp(string_of(json_object_array_get_idx(list, i),
				     "name"),
			   id) == 0)
			return 1;
	return 0;
}

/*
 * Looks for the bridge @id among @devices (query-pci) and behind them. 1: it is
 * there and empty; 0: it is there with something behind it; -ENOENT.
 */
static int bridge_empty(json_object *devices, size_t n, const char *id,
			unsigned int deep)
{
	for (size_t i = 0; i < n; i++) {
		json_object *device = json_object_array_get_idx(devices, i);
		json_object *bridge, *behind;
		size_t num_behind;
		int r;

		if (!json_object_object_get_ex(device, "pci_bridge", &bridge))
			continue;
		behind = array_of(bridge, "devices", &num_behind);
		if (strcmp(string_of(device, "qdev_id"), id) == 0)
			return num_behind == 0;
		if (deep == 0)
			continue;
		r = bridge_empty(behind, num_behind, id, deep - 1);
		if (r >= 0)
			return r;
	}
	return -ENOENT;
}

static bool port_is_free(json_object *buses, const char *id)
{
	for (size_t i = 0; i < json_object_array_length(buses); i++) {
		size_t n;
		json_object *devices = array_of(
			json_object_array_get_idx(buses, i), "devices", &n);

		if (bridge_empty(devices, n, id, BRIDGES_DEEP) == 1)
			return true;
	}
	return false;
}

/* The port to take among those of @list; NULL: none is free. */
static const char *choose_port(json_object *list, json_object *buses,
			       bool *ret_any)
{
	const char *best = NULL;

	*ret_any = false;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json_object *item = json_object_array_get_idx(list, i);
		const char *id = string_of(item, "name");
		bool ours = strncmp(id, QEMU_ARGS_PORT,
				    strlen(QEMU_ARGS_PORT)) == 0;

		if (strcmp(string_of(item, "type"), ROOT_PORT) != 0)
			continue;
		*ret_any = true;
		if (!port_is_free(buses, id))
			continue;
		if (ours)
			return id;
		best = id;
	}
	return best;
}

int monitor_free_port(const struct monitor *monitor, char **ret_id)
{
	_cleanup_(cleanup_json) json_object *devices = NULL;
	_cleanup_(cleanup_json) json_object *pci = NULL;
	json_object *list, *buses;
	const char *port;
	char *id = NULL;
	bool any;
	int r;

	r = list_devices(monitor, &devices, &list);
	if (r == 0)
		r = ask(monitor, "list QEMU's PCI devices",
			"{\"execute\":\"query-pci\"}", &pci, &buses);
	if (r < 0)
		return r;
	if (!json_object_is_type(buses, json_type_array)) {
		log_err("cannot list QEMU's PCI devices: not a list");
		return -EPROTO;
	}
	port = choose_port(list, buses, &any);
	if (any && !port) {
		log_err("no PCIe port of the running domain is free: shut it "
			"down and attach without --live; spare-ports= keeps "
			"ports free");
		return -ENOSPC;
	}
	if (port) {
		id = strdup(port);
		if (!id)
			return log_err_errno(ENOMEM, "cannot choose a port");
	}
	*ret_id = id;
	return 0;
}

int monitor_unplug(const struct monitor *monitor, const char *id,
		   unsigned int seconds)
{
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000L };
	uint64_t end = clock_ns() + seconds * 1000000000ULL;
	_cleanup_free_ char *command = NULL;
	int r;

	if (asprintf(&command,
		     "{\"execute\":\"device_del\",\"arguments\":"
		     "{\"id\":\"%s\"}}",
		     id) < 0) {
		command = NULL;
		return log_err_errno(ENOMEM, "cannot unplug %s", id);
	}
	r = monitor_do(monitor, "unplug the device", command);
	while (r == 0) {
		r = monitor_has_device(monitor, id);
		if (r <= 0)
			return r;
		if (clock_ns() >= end)
			break;
		(void)nanosleep(&pause, NULL);
		r = 0;
	}
	if (r < 0)
		return r;
	log_err("the guest did not give %s up within %u seconds: it stays "
		"(does the guest run, and does it know PCI hot-plug?)",
		id, seconds);
	return -ETIMEDOUT;
}
