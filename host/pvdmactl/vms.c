// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vms.c - what the service says of the host and of its VMs, as JSON
 *
 * Owns: how properties on the bus become members: with their first letter small,
 * and of the same type.
 *
 * Invariant: a VM that ends meanwhile is left out of a list, and no error.
 *
 * Locks: none. In a request's way: not.
 */
#include "vms.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bus.h"
#include "lib/cleanup.h"
#include "lib/log.h"

DEFINE_CLEANUP(message, sd_bus_message *, sd_bus_message_unref);
DEFINE_CLEANUP(json, json_object *, json_object_put);

/* --- properties into JSON --- */

static int read_devices(sd_bus_message *m, json_object **ret)
{
	json_object *list = json_object_new_array(), *device;
	const char *address, *socket, *driver;
	uint32_t endpoint;
	int r = sd_bus_message_enter_container(m, 'a', "(suss)");

	while (r >= 0 &&
	       (r = sd_bus_message_read(m, "(suss)", &address, &endpoint,
					&socket, &driver)) > 0) {
		device = json_object_new_object();
		json_object_object_add(device, "address",
				       json_object_new_string(address));
		json_object_object_add(device, "endpoint",
				       json_object_new_uint64(endpoint));
		json_object_object_add(device, "socket",
				       json_object_new_string(socket));
		json_object_object_add(device, "driver",
				       json_object_new_string(driver));
		(void)json_object_array_add(list, device);
	}
	*ret = list;
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* The value of a property; of a type that we do not know: NULL. */
static int read_value(sd_bus_message *m, const char *type, json_object **ret)
{
	const char *text;
	uint64_t t;
	uint32_t u;
	int r;

	if (strcmp(type, "s") == 0) {
		r = sd_bus_message_read(m, "s", &text);
		*ret = r < 0 ? NULL : json_object_new_string(text);
	} else if (strcmp(type, "t") == 0) {
		r = sd_bus_message_read(m, "t", &t);
		*ret = r < 0 ? NULL : json_object_new_uint64(t);
	} else if (strcmp(type, "u") == 0) {
		r = sd_bus_message_read(m, "u", &u);
		*ret = r < 0 ? NULL : json_object_new_uint64(u);
	} else if (strcmp(type, "a(suss)") == 0) {
		r = read_devices(m, ret);
	} else {
		r = sd_bus_message_skip(m, type);
	}
	return r;
}

static int read_property(sd_bus_message *m, json_object *object)
{
	const char *name, *type;
	json_object *value = NULL;
	char key[64], kind;
	int r = sd_bus_message_read(m, "s", &name);

	if (r < 0)
		return r;
	(void)snprintf(key, sizeof(key), "%s", name);
	if (key[0] >= 'A' && key[0] <= 'Z')
		key[0] = (char)(key[0] - 'A' + 'a');
	r = sd_bus_message_peek_type(m, &kind, &type);
	if (r < 0)
		return r;
	r = sd_bus_message_enter_container(m, 'v', type);
	if (r >= 0)
		r = read_value(m, type, &value);
	if (value)
		json_object_object_add(object, key, value);
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_properties(sd_bus_message *m, json_object *object)
{
	int r = sd_bus_message_enter_container(m, 'a', "{sv}");

	while (r >= 0 &&
	       (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		r = read_property(m, object);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	return r < 0 ? r : 0;
}

/* A verdict or a negative errno of bus.h, which says what is not a verdict. */
static int get_all(struct ctl *ctl, const char *vm, json_object **ret)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	_cleanup_(cleanup_json) json_object *object = json_object_new_object();
	_cleanup_(cleanup_message) sd_bus_message *reply = NULL;
	_cleanup_free_ char *path = ctl_path(vm);
	int r = -ENOMEM;

	if (path)
		r = sd_bus_call_method(ctl->bus, CTL_SERVICE, path,
				       "org.freedesktop.DBus.Properties",
				       "GetAll", &error, &reply, "s",
				       vm ? CTL_VM : CTL_MANAGER);
	if (r >= 0)
		r = read_properties(reply, object);
	if (r < 0)
		return ctl_bus_failed(r, &error,
				      vm ? "ask for VM" : "ask for the host",
				      vm ? vm : "");
	*ret = steal_ptr(object);
	return 0;
}

int vms_host(struct ctl *ctl, json_object **ret)
{
	int r = ctl_connect(ctl);

	return r != 0 ? r : ctl_status_of(get_all(ctl, NULL, ret), "");
}

int vms_get(struct ctl *ctl, const char *name, json_object **ret)
{
	int r = ctl_connect(ctl);

	return r != 0 ? r : ctl_status_of(get_all(ctl, name, ret), name);
}

static int by_name(const void *a, const void *b)
{
	json_object *const *x = a, *const *y = b;

	return strcmp(vms_text(*x, "name"), vms_text(*y, "name"));
}

int vms_list(struct ctl *ctl, json_object **ret)
{
	_cleanup_(cleanup_message) sd_bus_message *reply = NULL;
	_cleanup_(cleanup_json) json_object *list = json_object_new_array();
	const char *name, *path;
	json_object *vm;
	int r;

	r = ctl_call(ctl, NULL, "ListVMs", "list VMs", &reply, "");
	if (r != 0)
		return r;
	r = sd_bus_message_enter_container(reply, 'a', "(so)");
	while (r >= 0 &&
	       (r = sd_bus_message_read(reply, "(so)", &name, &path)) > 0) {
		int status = get_all(ctl, name, &vm);

		if (status == 0)
			(void)json_object_array_add(list, vm);
		else if (status != CTL_BUS_NO_SUCH_VM)
			return ctl_status_of(status, name);
	}
	if (r < 0) {
		log_err_errno(r, "cannot read the list of VMs");
		return CTL_FAILED;
	}
	json_object_array_sort(list, by_name);
	*ret = steal_ptr(list);
	return CTL_OK;
}

static int parse_answer(sd_bus_message *reply, json_object **ret)
{
	const char *text;
	int r = sd_bus_message_read(reply, "s", &text);

	if (r < 0)
		return r;
	*ret = json_tokener_parse(text);
	return *ret ? 0 : -EBADMSG;
}

int vms_query(struct ctl *ctl, const char *name, const char *command,
	      json_object **ret)
{
	_cleanup_(cleanup_message) sd_bus_message *reply = NULL;
	int r = ctl_call(ctl, name, "Query", "ask the agent of VM", &reply, "s",
			 command);

	if (r != 0)
		return r;
	r = parse_answer(reply, ret);
	if (r == 0)
		return CTL_OK;
	log_err_errno(r, "cannot read what the agent of VM %s says", name);
	return CTL_FAILED;
}

/* The agent's counters; a VM that does not answer has none, which is no news. */
static void add_stats(struct ctl *ctl, json_object *vm)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	_cleanup_(cleanup_message) sd_bus_message *reply = NULL;
	_cleanup_free_ char *path = ctl_path(vms_text(vm, "name"));
	json_object *stats = NULL;

	if (path &&
	    sd_bus_call_method(ctl->bus, CTL_SERVICE, path, CTL_VM, "Query",
			       &error, &reply, "s", "stats") >= 0 &&
	    parse_answer(reply, &stats) == 0)
		json_object_object_add(vm, "stats", stats);
}

int vms_list_stats(struct ctl *ctl, json_object **ret)
{
	json_object *list;
	int r = vms_list(ctl, &list);

	if (r != 0)
		return r;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json_object *vm = json_object_array_get_idx(list, i);

		if (strcmp(vms_text(vm, "state"), "running") == 0)
			add_stats(ctl, vm);
	}
	*ret = list;
	return CTL_OK;
}

/* --- reading --- */

json_object *vms_at(json_object *object, const char *path)
{
	char key[64];

	while (object && *path) {
		size_t len = strcspn(path, ".");

		if (len >= sizeof(key))
			return NULL;
		memcpy(key, path, len);
		key[len] = '\0';
		path += len + (path[len] == '.');
		if (!json_object_is_type(object, json_type_object) ||
		    !json_object_object_get_ex(object, key, &object))
			return NULL;
	}
	return object;
}

uint64_t vms_u64(json_object *object, const char *path)
{
	json_object *value = vms_at(object, path);

	return value ? json_object_get_uint64(value) : 0;
}

const char *vms_text(json_object *object, const char *path)
{
	json_object *value = vms_at(object, path);
	const char *text = value ? json_object_get_string(value) : NULL;

	return text ? text : "";
}

size_t vms_length(json_object *list)
{
	return json_object_is_type(list, json_type_array) ?
		       json_object_array_length(list) :
		       0;
}
