// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * manager.c - the service on the bus: org.pvdma1.Manager
 *
 * The interface is written down in packaging/dbus/org.pvdma1.xml, which a test
 * compares with what stands here.
 *
 * Owns: the objects on the bus, and calls that wait for a start or a stop.
 *
 * Invariant: each call is answered once.
 *
 * Locks: none; one event loop. In a request's way: not.
 */
#include "manager.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "assign.h"
#include "authorize.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "pci.h"
#include "problem.h"
#include "service.h"

struct manager {
	struct service *service;
	sd_bus_slot *object;
	sd_bus_slot *vms;
	sd_bus_slot *vm_names;
};

int manager_fail(sd_bus_error *error, const char *name)
{
	return sd_bus_error_set(error, name, log_last_error());
}

void manager_reply_done(void *userdata, const char *error)
{
	sd_bus_message *call = userdata;

	if (error)
		(void)sd_bus_reply_method_errorf(call, ERROR_AGENT, "%s",
						 error);
	else
		(void)sd_bus_reply_method_return(call, "");
	sd_bus_message_unref(call);
}

/* --- signals --- */

static void send_signal(const struct machine *machine, const char *signal)
{
	(void)sd_bus_emit_signal(machine->service->bus, MANAGER_PATH,
				 MANAGER_INTERFACE, signal, "so",
				 machine->spec.name, machine->path);
	manager_changed(machine->service, "Assigned");
}

void manager_vm_added(const struct machine *machine)
{
	send_signal(machine, "VMAdded");
}

void manager_vm_removed(const struct machine *machine)
{
	send_signal(machine, "VMRemoved");
}

void manager_vm_changed(const struct machine *machine, const char *property)
{
	if (!machine->announced)
		return;
	(void)sd_bus_emit_properties_changed(machine->service->bus,
					     machine->path, MANAGER_VM,
					     property, NULL);
	if (strcmp(property, "Quota") == 0)
		manager_changed(machine->service, "Assigned");
}

void manager_changed(const struct service *service, const char *property)
{
	(void)sd_bus_emit_properties_changed(service->bus, MANAGER_PATH,
					     MANAGER_INTERFACE, property, NULL);
}

/* --- StartVM --- */

/* A setting's value, whatever type it came in, as text. */
static int read_value(sd_bus_message *m, const char *key, struct spec *spec)
{
	const char *type, *text;
	char number[32];
	uint64_t t;
	uint32_t u;
	char kind;
	int r;

	r = sd_bus_message_peek_type(m, &kind, &type);
	if (r < 0 || kind != 'v')
		return -EBADMSG;
	if (strcmp(type, "s") == 0) {
		r = sd_bus_message_read(m, "v", "s", &text);
		return r < 0 ? r : spec_set(spec, key, text);
	}
	if (strcmp(type, "t") == 0) {
		r = sd_bus_message_read(m, "v", "t", &t);
	} else if (strcmp(type, "u") == 0) {
		r = sd_bus_message_read(m, "v", "u", &u);
		t = u;
	} else {
		log_err("%s: expected a string or a number", key);
		return -EINVAL;
	}
	if (r < 0)
		return r;
	(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)t);
	return spec_set(spec, key, number);
}

static int read_devices(sd_bus_message *m, struct spec *spec)
{
	const char *type, *device;
	char kind;
	int r;

	r = sd_bus_message_peek_type(m, &kind, &type);
	if (r < 0 || kind != 'v' || strcmp(type, "as") != 0) {
		log_err("devices: expected an array of strings");
		return -EINVAL;
	}
	r = sd_bus_message_enter_container(m, 'v', "as");
	if (r >= 0)
		r = sd_bus_message_enter_container(m, 'a', "s");
	while (r >= 0 && (r = sd_bus_message_read(m, "s", &device)) > 0) {
		if (strchr(device, ',')) {
			log_err("device %s: expected a PCI address", device);
			return -EINVAL;
		}
		r = spec_set(spec, "device", device);
	}
	if (r >= 0)
		r = sd_bus_message_exit_container(m);
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_settings(sd_bus_message *m, struct spec *spec)
{
	const char *key;
	int r = sd_bus_message_enter_container(m, 'a', "{sv}");

	while (r >= 0 &&
	       (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		r = sd_bus_message_read(m, "s", &key);
		if (r < 0)
			return r;
		if (strcmp(key, "devices") == 0)
			r = read_devices(m, spec);
		else
			r = read_value(m, key, spec);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	if (r >= 0 && !spec->domain)
		r = spec_set(spec, "domain", SPEC_NO_DOMAIN);
	return r < 0 ? r : spec_finish(spec);
}

/* The call, and the name of the VM, which may be gone when it is answered. */
struct start {
	sd_bus_message *call;
	struct service *service;
	char name[SPEC_NAME_MAX + 1];
};

static void on_started(void *userdata, const char *error)
{
	struct start *start = userdata;
	const struct machine *machine =
		service_find(start->service, start->name);

	if (error || !machine)
		(void)sd_bus_reply_method_errorf(start->call, ERROR_AGENT, "%s",
						 error ? error : "it ended");
	else
		(void)sd_bus_reply_method_return(start->call, "o",
						 machine->path);
	sd_bus_message_unref(start->call);
	free(start);
}

static int name_error(sd_bus_error *error, const char *name)
{
	log_err("\"%s\" is no name for a VM: expected up to %d letters, digits, '-', '_' and '.', not beginning with '.'",
		name, SPEC_NAME_MAX);
	return manager_fail(error, ERROR_SETTING);
}

static int start_vm(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct service *service = userdata;
	_cleanup_free_ struct start *start = NULL;
	struct spec spec;
	const char *name;
	int r = sd_bus_message_read(m, "s", &name);

	if (r < 0)
		return r;
	if (!spec_is_name(name))
		return name_error(error, name);
	spec_init(&spec, name);
	r = read_settings(m, &spec);
	if (r < 0) {
		spec_done(&spec);
		return r == -EINVAL ? manager_fail(error, ERROR_SETTING) : r;
	}
	start = calloc(1, sizeof(*start));
	if (!start) {
		spec_done(&spec);
		return -ENOMEM;
	}
	start->service = service;
	(void)snprintf(start->name, sizeof(start->name), "%s", spec.name);
	r = service_admit(service, &spec);
	if (r < 0) {
		spec_done(&spec);
		return manager_fail(error, ERROR_BUDGET);
	}
	r = machine_start(service, &spec, on_started, start);
	spec_done(&spec);
	if (r < 0)
		return manager_fail(error,
				    r == -EEXIST ? ERROR_EXISTS : ERROR_DEVICE);
	start->call = sd_bus_message_ref(m);
	(void)steal_ptr(start);
	return 1;
}

/* --- the other methods --- */

static struct machine *find_vm(struct service *service, const char *name,
			       sd_bus_error *error)
{
	struct machine *machine = service_find(service, name);

	if (!machine)
		(void)sd_bus_error_setf(error, ERROR_NO_SUCH_VM,
					"there is no VM of the name %s", name);
	return machine;
}

static int stop_vm(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct machine *machine;
	const char *name;
	int r = sd_bus_message_read(m, "s", &name);

	if (r < 0)
		return r;
	machine = find_vm(userdata, name, error);
	if (!machine)
		return -ENOENT;
	r = machine_stop(machine, manager_reply_done, m);
	if (r < 0)
		return manager_fail(error, ERROR_FAILED);
	sd_bus_message_ref(m);
	return 1;
}

static int list_vms(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	struct service *service = userdata;
	int r = sd_bus_message_new_method_return(m, &reply);

	(void)error;
	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "(so)");
	for (struct machine *vm = service->machines; r >= 0 && vm;
	     vm = vm->next)
		r = sd_bus_message_append(reply, "(so)", vm->spec.name,
					  vm->path);
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int get_vm(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const struct machine *machine;
	const char *name;
	int r = sd_bus_message_read(m, "s", &name);

	if (r < 0)
		return r;
	machine = find_vm(userdata, name, error);
	if (!machine)
		return -ENOENT;
	return sd_bus_reply_method_return(m, "o", machine->path);
}

/* All problems of a device in one line; "" for none. */
static char *problems_text(const struct problems *problems)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	for (size_t i = 0; i < problems->count; i++)
		fprintf(f, "%s%s", i ? "; " : "", problems->list[i].what);
	return fclose(f) == 0 ? text : NULL;
}

static int append_device(sd_bus_message *reply, const struct service *service,
			 const struct pci_device *dev)
{
	_cleanup_(problems_done) struct problems problems = { 0 };
	const struct machine *user = assign_user(service, dev->name);
	_cleanup_free_ char *text = NULL;

	if (!user)
		(void)assign_problems(service, dev->name, &problems);
	text = problems_text(&problems);
	return sd_bus_message_append(reply, "(sssiss)", dev->name, dev->text,
				     dev->driver, dev->group,
				     user ? user->spec.name : "",
				     text ? text : "");
}

static int list_devices(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	_cleanup_free_ struct pci_device *devices = NULL;
	struct service *service = userdata;
	size_t num;
	int r = pci_list(&service->sysfs, &devices, &num);

	if (r < 0)
		return sd_bus_error_set_errnof(error, r,
					       "cannot list PCI devices: %m");
	r = sd_bus_message_new_method_return(m, &reply);
	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "(sssiss)");
	for (size_t i = 0; r >= 0 && i < num; i++)
		if (!devices[i].bridge)
			r = append_device(reply, service, &devices[i]);
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int check_device_method(sd_bus_message *m, void *userdata,
			       sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	_cleanup_(problems_done) struct problems problems = { 0 };
	char address[PCI_ADDRESS_TEXT_MAX];
	struct pci_address parsed;
	const char *text;
	int r = sd_bus_message_read(m, "s", &text);

	if (r < 0)
		return r;
	if (parse_pci_address(text, &parsed) < 0)
		return sd_bus_error_setf(error, ERROR_SETTING,
					 "%s is no PCI address", text);
	format_pci_address(&parsed, address);
	if (assign_problems(userdata, address, &problems) < 0)
		return manager_fail(error, ERROR_DEVICE);
	r = sd_bus_message_new_method_return(m, &reply);
	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "(ss)");
	for (size_t i = 0; r >= 0 && i < problems.count; i++)
		r = sd_bus_message_append(reply, "(ss)", problems.list[i].what,
					  problems.list[i].fix);
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int set_budget(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct service *service = userdata;
	uint64_t bytes;
	int r = sd_bus_message_read(m, "t", &bytes);

	if (r < 0)
		return r;
	r = service_set_budget(service, bytes);
	if (r < 0)
		return manager_fail(error, ERROR_BUDGET);
	return sd_bus_reply_method_return(m, "");
}

/* --- the table --- */

static const struct authorize_method methods[] = {
	{ "StartVM", AUTHORIZE_MANAGE_VMS, start_vm },
	{ "StopVM", AUTHORIZE_MANAGE_VMS, stop_vm },
	{ "ListVMs", AUTHORIZE_INSPECT, list_vms },
	{ "GetVM", AUTHORIZE_INSPECT, get_vm },
	{ "ListDevices", AUTHORIZE_INSPECT, list_devices },
	{ "CheckDevice", AUTHORIZE_INSPECT, check_device_method },
	{ "SetBudget", AUTHORIZE_MANAGE_HOST, set_budget },
};

static int on_method(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return authorize_method(m, methods, ARRAY_SIZE(methods), userdata,
				error);
}

static int get_version(sd_bus *bus, const char *path, const char *interface,
		       const char *property, sd_bus_message *reply,
		       void *userdata, sd_bus_error *error)
{
	(void)bus;
	(void)path;
	(void)interface;
	(void)property;
	(void)userdata;
	(void)error;
	return sd_bus_message_append(reply, "s", PVDMA_VERSION);
}

static int get_bytes(sd_bus *bus, const char *path, const char *interface,
		     const char *property, sd_bus_message *reply,
		     void *userdata, sd_bus_error *error)
{
	const struct service *service = userdata;
	uint64_t bytes = service->budget;

	(void)bus;
	(void)path;
	(void)interface;
	(void)error;
	if (strcmp(property, "Assigned") == 0)
		bytes = service_assigned(service);
	else if (strcmp(property, "Mapped") == 0)
		bytes = service_mapped(service);
	return sd_bus_message_append(reply, "t", bytes);
}

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD_WITH_ARGS("ListVMs", SD_BUS_NO_ARGS,
				SD_BUS_RESULT("a(so)", vms), on_method,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("GetVM", SD_BUS_ARGS("s", name),
				SD_BUS_RESULT("o", vm), on_method,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS(
		"StartVM", SD_BUS_ARGS("s", name, "a{sv}", settings),
		SD_BUS_RESULT("o", vm), on_method, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("StopVM", SD_BUS_ARGS("s", name),
				SD_BUS_NO_RESULT, on_method,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("ListDevices", SD_BUS_NO_ARGS,
				SD_BUS_RESULT("a(sssiss)", devices), on_method,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("CheckDevice", SD_BUS_ARGS("s", address),
				SD_BUS_RESULT("a(ss)", problems), on_method,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("SetBudget", SD_BUS_ARGS("t", bytes),
				SD_BUS_NO_RESULT, on_method,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_SIGNAL_WITH_ARGS("VMAdded", SD_BUS_ARGS("s", name, "o", vm), 0),
	SD_BUS_SIGNAL_WITH_ARGS("VMRemoved", SD_BUS_ARGS("s", name, "o", vm),
				0),
	SD_BUS_PROPERTY("Version", "s", get_version, 0,
			SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Budget", "t", get_bytes, 0,
			SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Assigned", "t", get_bytes, 0,
			SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Mapped", "t", get_bytes, 0, 0),
	SD_BUS_VTABLE_END,
};

int manager_new(struct service *service, struct manager **ret)
{
	struct manager *manager = calloc(1, sizeof(*manager));
	int r;

	if (!manager)
		return log_err_errno(ENOMEM, "cannot come to the bus");
	manager->service = service;
	r = sd_bus_add_object_vtable(service->bus, &manager->object,
				     MANAGER_PATH, MANAGER_INTERFACE, vtable,
				     service);
	if (r >= 0)
		r = manager_vm_register(service, &manager->vms,
					&manager->vm_names);
	if (r < 0) {
		manager_free(manager);
		return log_err_errno(r, "cannot come to the bus");
	}
	*ret = manager;
	return 0;
}

void manager_free(struct manager *manager)
{
	if (!manager)
		return;
	sd_bus_slot_unref(manager->object);
	sd_bus_slot_unref(manager->vms);
	sd_bus_slot_unref(manager->vm_names);
	free(manager);
}
