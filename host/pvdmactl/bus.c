// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bus.c - calls of the system service pvdmad, org.pvdma1 on the system bus
 *
 * Owns: how a VM's settings become a{sv}, and how the service's errors become
 * words for whoever called.
 *
 * Invariant: each call ends, at the latest after the connection's time-out.
 *
 * Locks: none. In a request's way: not.
 */
#include "bus.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/cleanup.h"
#include "lib/log.h"

#define SERVICE	       "org.pvdma1"
#define MANAGER_PATH   "/org/pvdma1"
#define MANAGER	       "org.pvdma1.Manager"
#define VM_PATH_PREFIX "/org/pvdma1/vm"
#define VM_INTERFACE   "org.pvdma1.VM"

DEFINE_CLEANUP(message, sd_bus_message *, sd_bus_message_unref);

static const char *bus_address; /* NULL: the system's */

void ctl_bus_use(const char *address)
{
	bus_address = address;
}

int ctl_bus_connect(sd_bus **ret)
{
	sd_bus *bus = NULL;
	int r;

	if (!bus_address)
		return sd_bus_open_system(ret);
	r = sd_bus_new(&bus);
	if (r >= 0)
		r = sd_bus_set_address(bus, bus_address);
	if (r >= 0)
		r = sd_bus_set_bus_client(bus, true);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r < 0) {
		sd_bus_unref(bus);
		return r;
	}
	*ret = bus;
	return 0;
}

int ctl_bus_open(uint64_t timeout_usec, sd_bus **ret)
{
	sd_bus *bus = NULL;
	int r = ctl_bus_connect(&bus);

	if (r >= 0)
		r = sd_bus_set_method_call_timeout(bus, timeout_usec);
	if (r < 0) {
		sd_bus_unref(bus);
		return log_err_errno(r, "cannot connect to the system bus");
	}
	*ret = bus;
	return 0;
}

static bool is_any(const sd_bus_error *error, const char *const *names)
{
	for (; *names; names++)
		if (sd_bus_error_has_name(error, *names))
			return true;
	return false;
}

int ctl_bus_failed(int r, const sd_bus_error *error, const char *what,
		   const char *name)
{
	static const char *const not_running[] = {
		SD_BUS_ERROR_SERVICE_UNKNOWN,
		SD_BUS_ERROR_NAME_HAS_NO_OWNER,
		NULL,
	};
	static const char *const late[] = {
		SD_BUS_ERROR_NO_REPLY,
		SD_BUS_ERROR_TIMEOUT,
		NULL,
	};
	static const char *const unknown[] = {
		CTL_BUS_ERROR_NO_SUCH_VM,
		SD_BUS_ERROR_UNKNOWN_OBJECT,
		NULL,
	};

	const char *gap = *name ? " " : "";

	if (is_any(error, unknown))
		return CTL_BUS_NO_SUCH_VM;
	if (is_any(error, not_running)) {
		log_err("cannot %s%s%s: pvdmad does not run: systemctl start "
			"pvdmad",
			what, gap, name);
		return -EHOSTUNREACH;
	}
	if (r == -ETIMEDOUT || is_any(error, late)) {
		log_err("cannot %s%s%s: pvdmad gave no answer in time: see "
			"journalctl -u pvdmad",
			what, gap, name);
		return -ETIMEDOUT;
	}
	log_err("cannot %s%s%s: %s", what, gap, name,
		error->message ? error->message : strerror(-r));
	return r < 0 ? r : -EIO;
}

/* Where the object of a VM is; allocated. */
static char *vm_path(const char *name)
{
	char *path = NULL;

	return sd_bus_path_encode(VM_PATH_PREFIX, name, &path) < 0 ? NULL :
								     path;
}

/* One entry of a{sv}; @type is "s", "t" or "u". */
static int append_setting(sd_bus_message *m, const struct metadata *vm,
			  enum metadata_key key)
{
	const char *name = metadata_key_name(key);
	uint64_t number = metadata_number(vm, key, 0);

	if (!vm->values[key])
		return 0;
	switch (metadata_key_type(key)) {
	case METADATA_STRING:
		return sd_bus_message_append(m, "{sv}", name, "s",
					     vm->values[key]);
	case METADATA_SIZE:
		return sd_bus_message_append(m, "{sv}", name, "t", number);
	case METADATA_NUMBER:
		return sd_bus_message_append(m, "{sv}", name, "u",
					     (uint32_t)number);
	case METADATA_LOCAL:
		break;
	}
	return 0;
}

static int append_devices(sd_bus_message *m, const struct metadata *vm)
{
	const char *addresses[METADATA_DEVICES_MAX + 1] = { NULL };
	char texts[METADATA_DEVICES_MAX][PCI_ADDRESS_TEXT_MAX];
	int r;

	for (size_t i = 0; i < vm->num_devices; i++) {
		format_pci_address(&vm->devices[i], texts[i]);
		addresses[i] = texts[i];
	}
	r = sd_bus_message_open_container(m, 'e', "sv");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", "devices");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "as");
	if (r >= 0)
		r = sd_bus_message_append_strv(m, (char **)addresses);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r;
}

static int append_settings(sd_bus_message *m, const struct metadata *vm,
			   const char *owner, const char *domain)
{
	int r = sd_bus_message_open_container(m, 'a', "{sv}");

	for (size_t key = 0; r >= 0 && key < METADATA_KEYS; key++)
		r = append_setting(m, vm, (enum metadata_key)key);
	if (r >= 0)
		r = append_devices(m, vm);
	if (r >= 0 && owner)
		r = sd_bus_message_append(m, "{sv}", "owner", "s", owner);
	if (r >= 0 && *domain)
		r = sd_bus_message_append(m, "{sv}", "domain", "s", domain);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r;
}

int ctl_bus_start_vm(sd_bus *bus, const char *name, const struct metadata *vm,
		     const char *owner, const char *domain)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	_cleanup_(cleanup_message) sd_bus_message *m = NULL;
	int r;

	r = sd_bus_message_new_method_call(bus, &m, SERVICE, MANAGER_PATH,
					   MANAGER, "StartVM");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", name);
	if (r >= 0)
		r = append_settings(m, vm, owner, domain);
	if (r >= 0)
		r = sd_bus_call(bus, m, 0, &error, NULL);
	return r < 0 ? ctl_bus_failed(r, &error, "start VM", name) : 0;
}

int ctl_bus_stop_vm(sd_bus *bus, const char *name)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	int r = sd_bus_call_method(bus, SERVICE, MANAGER_PATH, MANAGER,
				   "StopVM", &error, NULL, "s", name);

	return r < 0 ? ctl_bus_failed(r, &error, "stop VM", name) : 0;
}

static int count_devices(sd_bus *bus, const char *path, sd_bus_error *error,
			 size_t *ret)
{
	_cleanup_(cleanup_message) sd_bus_message *reply = NULL;
	size_t n = 0;
	int r = sd_bus_get_property(bus, SERVICE, path, VM_INTERFACE, "Devices",
				    error, &reply, "a(suss)");

	if (r >= 0)
		r = sd_bus_message_enter_container(reply, 'a', "(suss)");
	while (r >= 0 && (r = sd_bus_message_at_end(reply, 0)) == 0) {
		r = sd_bus_message_skip(reply, "(suss)");
		n++;
	}
	*ret = n;
	return r < 0 ? r : 0;
}

/* A service that is older than this program does not know. */
static int get_domain(sd_bus *bus, const char *path, sd_bus_error *error,
		      char **ret)
{
	int r = sd_bus_get_property_string(bus, SERVICE, path, VM_INTERFACE,
					   "Domain", error, ret);

	if (r >= 0 ||
	    !sd_bus_error_has_name(error, SD_BUS_ERROR_UNKNOWN_PROPERTY))
		return r;
	sd_bus_error_free(error);
	*ret = strdup("");
	return *ret ? 0 : -ENOMEM;
}

bool ctl_bus_vm_is_of(const struct ctl_bus_vm *vm, const char *uuid)
{
	return !*vm->domain ||
	       strcasecmp(vm->domain, *uuid ? uuid : "none") == 0;
}

int ctl_bus_get_vm(sd_bus *bus, const char *name, struct ctl_bus_vm *ret)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	_cleanup_(cleanup_message) sd_bus_message *reply = NULL;
	struct ctl_bus_vm vm = { 0 };
	const char *path;
	int r = sd_bus_call_method(bus, SERVICE, MANAGER_PATH, MANAGER, "GetVM",
				   &error, &reply, "s", name);

	if (r >= 0)
		r = sd_bus_message_read(reply, "o", &path);
	if (r >= 0)
		r = sd_bus_get_property_string(bus, SERVICE, path, VM_INTERFACE,
					       "State", &error, &vm.state);
	if (r >= 0)
		r = get_domain(bus, path, &error, &vm.domain);
	if (r >= 0)
		r = count_devices(bus, path, &error, &vm.num_devices);
	if (r < 0) {
		ctl_bus_vm_done(&vm);
		return ctl_bus_failed(r, &error, "ask for VM", name);
	}
	*ret = vm;
	return 0;
}

void ctl_bus_vm_done(struct ctl_bus_vm *vm)
{
	free(vm->state);
	free(vm->domain);
	*vm = (struct ctl_bus_vm){ 0 };
}

int ctl_bus_add_device(sd_bus *bus, const char *name, const char *address,
		       char **ret_socket)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	_cleanup_(cleanup_message) sd_bus_message *reply = NULL;
	_cleanup_free_ char *path = vm_path(name);
	const char *socket;
	int r = -ENOMEM;

	if (path)
		r = sd_bus_call_method(bus, SERVICE, path, VM_INTERFACE,
				       "AddDevice", &error, &reply, "s",
				       address);
	if (r >= 0)
		r = sd_bus_message_read(reply, "s", &socket);
	if (r < 0)
		return ctl_bus_failed(r, &error, "add device", address);
	*ret_socket = strdup(socket);
	return *ret_socket ? 0 : log_err_errno(ENOMEM, "cannot add a device");
}

int ctl_bus_remove_device(sd_bus *bus, const char *name, const char *address)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	_cleanup_free_ char *path = vm_path(name);
	int r = -ENOMEM;

	if (path)
		r = sd_bus_call_method(bus, SERVICE, path, VM_INTERFACE,
				       "RemoveDevice", &error, NULL, "s",
				       address);
	return r < 0 ? ctl_bus_failed(r, &error, "remove device", address) : 0;
}
