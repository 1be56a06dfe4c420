// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * manager_vm.c - VMs on the bus: org.pvdma1.VM
 *
 * Objects are found by their path at each call: a VM may end between a call and
 * polkit's answer to it.
 *
 * Owns: nothing. Locks: none; one event loop. In a request's way: not.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent_link.h"
#include "authorize.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "manager.h"
#include "service.h"

static struct machine *machine_at(const struct service *service,
				  const char *path)
{
	struct machine *machine = service->machines;

	while (machine &&
	       (!machine->announced || strcmp(machine->path, path) != 0))
		machine = machine->next;
	return machine;
}

/* The machine that a call is for; NULL with @error set. */
static struct machine *machine_of(sd_bus_message *m, void *userdata,
				  sd_bus_error *error)
{
	struct machine *machine =
		machine_at(userdata, sd_bus_message_get_path(m));

	if (!machine)
		(void)sd_bus_error_set(error, ERROR_NO_SUCH_VM,
				       "the VM has ended");
	return machine;
}

/* --- methods --- */

static int set_quota(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct machine *machine = machine_of(m, userdata, error);
	uint64_t bytes;
	int r;

	if (!machine)
		return -ENOENT;
	r = sd_bus_message_read(m, "t", &bytes);
	if (r < 0)
		return r;
	r = service_may_grow(userdata, machine, bytes);
	if (r < 0)
		return manager_fail(error, ERROR_BUDGET);
	r = machine_set_quota(machine, bytes, manager_reply_done, m);
	if (r < 0)
		return manager_fail(error,
				    r == -ERANGE ? ERROR_SETTING : ERROR_AGENT);
	sd_bus_message_ref(m);
	return 1;
}

static int set_limits(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct machine *machine = machine_of(m, userdata, error);
	uint64_t min, max;
	uint32_t weight;
	int r;

	if (!machine)
		return -ENOENT;
	r = sd_bus_message_read(m, "ttu", &min, &max, &weight);
	if (r < 0)
		return r;
	r = service_may_grow(userdata, machine, min);
	if (r < 0)
		return manager_fail(error, ERROR_BUDGET);
	r = machine_set_limits(machine, min, max, weight);
	if (r < 0)
		return manager_fail(error, ERROR_SETTING);
	return sd_bus_reply_method_return(m, "");
}

static int set_strategy(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct machine *machine = machine_of(m, userdata, error);
	const char *strategy;
	int r;

	if (!machine)
		return -ENOENT;
	r = sd_bus_message_read(m, "s", &strategy);
	if (r < 0)
		return r;
	r = machine_set_strategy(machine, strategy, manager_reply_done, m);
	if (r < 0)
		return manager_fail(error,
				    r == -EINVAL ? ERROR_SETTING : ERROR_AGENT);
	sd_bus_message_ref(m);
	return 1;
}

/* A call of AddDevice, and where its device will be. */
struct added {
	sd_bus_message *call;
	char socket[512];
};

static void on_added(void *userdata, const char *error)
{
	struct added *added = userdata;

	if (error)
		(void)sd_bus_reply_method_errorf(added->call, ERROR_AGENT, "%s",
						 error);
	else
		(void)sd_bus_reply_method_return(added->call, "s",
						 added->socket);
	sd_bus_message_unref(added->call);
	free(added);
}

/* The address that a call names, in full form. */
static int read_address(sd_bus_message *m,
			char text[static PCI_ADDRESS_TEXT_MAX],
			sd_bus_error *error)
{
	struct pci_address address;
	const char *given;
	int r = sd_bus_message_read(m, "s", &given);

	if (r < 0)
		return r;
	if (strcmp(given, "null") == 0) {
		memcpy(text, "null", sizeof("null"));
		return 0;
	}
	if (parse_pci_address(given, &address) < 0)
		return sd_bus_error_setf(error, ERROR_SETTING,
					 "%s is no PCI address", given);
	format_pci_address(&address, text);
	return 0;
}

static int add_device(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct machine *machine = machine_of(m, userdata, error);
	char address[PCI_ADDRESS_TEXT_MAX];
	struct added *added;
	int r;

	if (!machine)
		return -ENOENT;
	r = read_address(m, address, error);
	if (r < 0)
		return r;
	added = calloc(1, sizeof(*added));
	if (!added)
		return -ENOMEM;
	r = machine_add_device(machine, address, on_added, added);
	if (r < 0) {
		free(added);
		return manager_fail(error, ERROR_DEVICE);
	}
	machine_socket_path(
		machine, &machine->spec.devices[machine->spec.num_devices - 1],
		added->socket, sizeof(added->socket));
	added->call = sd_bus_message_ref(m);
	return 1;
}

static int remove_device(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct machine *machine = machine_of(m, userdata, error);
	char address[PCI_ADDRESS_TEXT_MAX];
	int r;

	if (!machine)
		return -ENOENT;
	r = read_address(m, address, error);
	if (r < 0)
		return r;
	r = machine_remove_device(machine, address, manager_reply_done, m);
	if (r < 0)
		return manager_fail(error, ERROR_DEVICE);
	sd_bus_message_ref(m);
	return 1;
}

/* What the agent can be asked that changes nothing. */
static bool is_question(const char *command)
{
	static const char *const words[] = { "ping",  "stats", "config",
					     "curve", "trace", "help" };
	size_t len = strcspn(command, " ");

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strlen(words[i]) == len &&
		    strncmp(words[i], command, len) == 0)
			return command[strcspn(command, "\n")] == '\0';
	return false;
}

static void on_answer(void *userdata, const char *error, json_object *answer,
		      const char *json)
{
	sd_bus_message *call = userdata;

	(void)answer;
	if (error)
		(void)sd_bus_reply_method_errorf(call, ERROR_AGENT, "%s",
						 error);
	else
		(void)sd_bus_reply_method_return(call, "s", json);
	sd_bus_message_unref(call);
}

/*
 * Whoever may look may ask as often as they like; but others than root only
 * while so few wait that nobody waits long.
 */
#define QUERIES_MAX 8

static int query(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct machine *machine = machine_of(m, userdata, error);
	const char *command;
	int r;

	if (!machine)
		return -ENOENT;
	r = sd_bus_message_read(m, "s", &command);
	if (r < 0)
		return r;
	if (!is_question(command))
		return sd_bus_error_setf(
			error, ERROR_SETTING,
			"\"%s\" is not one of the agent's commands that change nothing; \"help\" lists all",
			command);
	if (!machine_link(machine))
		return sd_bus_error_setf(error, ERROR_AGENT,
					 "%s has no agent that runs",
					 machine->spec.name);
	if (agent_link_waiting(machine->link) >= QUERIES_MAX &&
	    !authorize_is_trusted(m))
		return sd_bus_error_setf(
			error, SD_BUS_ERROR_LIMITS_EXCEEDED,
			"%d questions wait for an answer of the agent of %s; try again later",
			QUERIES_MAX, machine->spec.name);
	r = agent_link_ask(machine->link, command, on_answer, m);
	if (r < 0)
		return sd_bus_error_set_errnof(error, r,
					       "the agent cannot be asked: %m");
	sd_bus_message_ref(m);
	return 1;
}

static const struct authorize_method methods[] = {
	{ "SetQuota", AUTHORIZE_MANAGE_VMS, set_quota },
	{ "SetLimits", AUTHORIZE_MANAGE_VMS, set_limits },
	{ "SetStrategy", AUTHORIZE_MANAGE_VMS, set_strategy },
	{ "AddDevice", AUTHORIZE_MANAGE_VMS, add_device },
	{ "RemoveDevice", AUTHORIZE_MANAGE_VMS, remove_device },
	{ "Query", AUTHORIZE_INSPECT, query },
};

static int on_method(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return authorize_method(m, methods, ARRAY_SIZE(methods), userdata,
				error);
}

/* --- properties --- */

static int append_devices(const struct machine *machine, sd_bus_message *reply)
{
	const struct spec *spec = &machine->spec;
	int r = sd_bus_message_open_container(reply, 'a', "(suss)");

	for (size_t i = 0; r >= 0 && i < spec->num_devices; i++) {
		const struct spec_device *dev = &spec->devices[i];
		char path[512];

		machine_socket_path(machine, dev, path, sizeof(path));
		r = sd_bus_message_append(reply, "(suss)", dev->address,
					  dev->endpoint, path,
					  dev->driver ? dev->driver : "");
	}
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_socket(const struct machine *machine, sd_bus_message *reply)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/vhost.sock", machine->dir) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	return sd_bus_message_append(reply, "s", path);
}

static int append_text(const struct machine *machine, const char *property,
		       sd_bus_message *reply)
{
	const char *text = "", *strategy;

	if (strcmp(property, "Name") == 0) {
		text = machine->spec.name;
	} else if (strcmp(property, "Unit") == 0) {
		text = machine->unit;
	} else if (strcmp(property, "Domain") == 0) {
		text = machine->spec.domain ? machine->spec.domain : "";
	} else if (strcmp(property, "State") == 0) {
		text = machine_state_name(machine->state);
	} else if (strcmp(property, "Strategy") == 0) {
		strategy = spec_get(&machine->spec, "strategy");
		text = strategy ? strategy : "on-demand";
	} else if (machine->failure) {
		text = machine->failure;
	}
	return sd_bus_message_append(reply, "s", text);
}

static int append_number(const struct machine *machine, const char *property,
			 sd_bus_message *reply)
{
	const struct spec *spec = &machine->spec;
	uint64_t bytes = machine->mapped;

	if (strcmp(property, "Weight") == 0)
		return sd_bus_message_append(reply, "u", spec->weight);
	if (strcmp(property, "Quota") == 0)
		bytes = spec->quota;
	else if (strcmp(property, "Min") == 0)
		bytes = spec->min;
	else if (strcmp(property, "Max") == 0)
		bytes = spec->max;
	return sd_bus_message_append(reply, "t", bytes);
}

static int get_property(sd_bus *bus, const char *path, const char *interface,
			const char *property, sd_bus_message *reply,
			void *userdata, sd_bus_error *error)
{
	const struct machine *machine = machine_at(userdata, path);

	(void)bus;
	(void)interface;
	if (!machine)
		return sd_bus_error_set(error, ERROR_NO_SUCH_VM,
					"the VM has ended");
	if (strcmp(property, "Devices") == 0)
		return append_devices(machine, reply);
	if (strcmp(property, "Socket") == 0)
		return append_socket(machine, reply);
	if (strcmp(property, "Name") == 0 || strcmp(property, "Unit") == 0 ||
	    strcmp(property, "Domain") == 0 || strcmp(property, "State") == 0 ||
	    strcmp(property, "Strategy") == 0 ||
	    strcmp(property, "Failure") == 0)
		return append_text(machine, property, reply);
	return append_number(machine, property, reply);
}

/* --- the objects --- */

#define VM_PROPERTY(name, type, flags) \
	SD_BUS_PROPERTY(name, type, get_property, 0, flags)
#define CONST	SD_BUS_VTABLE_PROPERTY_CONST
#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD_WITH_ARGS("SetQuota", SD_BUS_ARGS("t", bytes),
				SD_BUS_NO_RESULT, on_method,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS(
		"SetLimits", SD_BUS_ARGS("t", min, "t", max, "u", weight),
		SD_BUS_NO_RESULT, on_method, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("SetStrategy", SD_BUS_ARGS("s", strategy),
				SD_BUS_NO_RESULT, on_method,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("AddDevice", SD_BUS_ARGS("s", address),
				SD_BUS_RESULT("s", socket), on_method,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("RemoveDevice", SD_BUS_ARGS("s", address),
				SD_BUS_NO_RESULT, on_method,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Query", SD_BUS_ARGS("s", command),
				SD_BUS_RESULT("s", json), on_method,
				SD_BUS_VTABLE_UNPRIVILEGED),
	VM_PROPERTY("Name", "s", CONST),
	VM_PROPERTY("State", "s", CHANGES),
	VM_PROPERTY("Failure", "s", CHANGES),
	VM_PROPERTY("Unit", "s", CONST),
	VM_PROPERTY("Domain", "s", CONST),
	VM_PROPERTY("Quota", "t", CHANGES),
	VM_PROPERTY("Min", "t", CHANGES),
	VM_PROPERTY("Max", "t", CHANGES),
	VM_PROPERTY("Weight", "u", CHANGES),
	VM_PROPERTY("Strategy", "s", CHANGES),
	VM_PROPERTY("Mapped", "t", 0),
	VM_PROPERTY("Devices", "a(suss)", CHANGES),
	VM_PROPERTY("Socket", "s", CONST),
	SD_BUS_VTABLE_END,
};

static int find_object(sd_bus *bus, const char *path, const char *interface,
		       void *userdata, void **ret_found, sd_bus_error *error)
{
	(void)bus;
	(void)interface;
	(void)error;
	if (!machine_at(userdata, path))
		return 0;
	*ret_found = userdata;
	return 1;
}

static int list_objects(sd_bus *bus, const char *prefix, void *userdata,
			char ***ret_nodes, sd_bus_error *error)
{
	const struct service *service = userdata;
	size_t num = 0;
	char **nodes;

	(void)bus;
	(void)prefix;
	(void)error;
	for (const struct machine *m = service->machines; m; m = m->next)
		num += m->announced;
	nodes = calloc(num + 1, sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	num = 0;
	for (const struct machine *m = service->machines; m; m = m->next)
		if (m->announced && (nodes[num] = strdup(m->path)))
			num++;
	*ret_nodes = nodes;
	return 0;
}

int manager_vm_register(struct service *service, sd_bus_slot **objects,
			sd_bus_slot **enumerator)
{
	int r = sd_bus_add_fallback_vtable(service->bus, objects,
					   MANAGER_VM_PREFIX, MANAGER_VM,
					   vtable, find_object, service);

	if (r < 0)
		return r;
	return sd_bus_add_node_enumerator(service->bus, enumerator,
					  MANAGER_VM_PREFIX, list_objects,
					  service);
}
