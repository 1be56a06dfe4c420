// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ctl.c - what all verbs that ask the service have in common
 *
 * Owns: the connection, and what errors become: words, and an exit status.
 *
 * Invariant: an exit status other than 0 was explained on stderr, once.
 *
 * Locks: none. In a request's way: not.
 */
#include "ctl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus.h"
#include "lib/cleanup.h"
#include "lib/log.h"

/* Devices are bound, agents started; and somebody may type a password. */
#define TIMEOUT_USEC 180000000ULL

DEFINE_CLEANUP(message, sd_bus_message *, sd_bus_message_unref);

int ctl_status_of(int r, const char *name)
{
	switch (r) {
	case 0:
		return CTL_OK;
	case CTL_BUS_NO_SUCH_VM:
		log_err("there is no VM of the name %s: pvdmactl list shows all",
			name);
		return CTL_NO_SUCH_VM;
	case -EACCES:
	case -EPERM:
		return CTL_NOT_ALLOWED;
	case -EHOSTUNREACH:
	case -ETIMEDOUT:
	case -ECONNRESET:
	case -ENOTCONN:
		return CTL_NO_SERVICE;
	default:
		return CTL_FAILED;
	}
}

int ctl_connect(struct ctl *ctl)
{
	int r;

	if (ctl->bus)
		return CTL_OK;
	r = ctl_bus_open(TIMEOUT_USEC, &ctl->bus);
	if (r < 0)
		return CTL_NO_SERVICE;
	/* Somebody may be at hand whom polkit can ask. */
	(void)sd_bus_set_allow_interactive_authorization(ctl->bus, true);
	return CTL_OK;
}

void ctl_done(struct ctl *ctl)
{
	ctl->bus = sd_bus_flush_close_unref(ctl->bus);
}

char *ctl_path(const char *vm)
{
	char *path = NULL;

	if (!vm)
		return strdup(CTL_MANAGER_PATH);
	return sd_bus_path_encode(CTL_VM_PREFIX, vm, &path) < 0 ? NULL : path;
}

int ctl_call(struct ctl *ctl, const char *vm, const char *method,
	     const char *what, sd_bus_message **reply, const char *types, ...)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	_cleanup_(cleanup_message) sd_bus_message *m = NULL;
	_cleanup_free_ char *path = ctl_path(vm);
	const char *name = vm ? vm : "";
	va_list args;
	int r = ctl_connect(ctl);

	if (r != 0)
		return r;
	r = -ENOMEM;
	if (path)
		r = sd_bus_message_new_method_call(ctl->bus, &m, CTL_SERVICE,
						   path,
						   vm ? CTL_VM : CTL_MANAGER,
						   method);
	if (r >= 0) {
		va_start(args, types);
		r = sd_bus_message_appendv(m, types, args);
		va_end(args);
	}
	if (r >= 0)
		r = sd_bus_call(ctl->bus, m, 0, &error, reply);
	if (r >= 0)
		return CTL_OK;
	return ctl_status_of(ctl_bus_failed(r, &error, what, name), name);
}

int ctl_print_json(struct ctl *ctl, json_object *object, bool one_line)
{
	int flags = JSON_C_TO_STRING_NOSLASHESCAPE;

	if (!one_line)
		flags |= JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED;
	ctl->printed = true;
	(void)puts(json_object_to_json_string_ext(object, flags));
	json_object_put(object);
	if (fflush(stdout) == 0)
		return CTL_OK;
	log_err_errno(errno, "cannot print");
	return CTL_FAILED;
}

void ctl_print_error(struct ctl *ctl, int status)
{
	json_object *object = json_object_new_object();

	json_object_object_add(object, "error",
			       json_object_new_string(log_last_error()));
	json_object_object_add(object, "status", json_object_new_int(status));
	(void)ctl_print_json(ctl, object, true);
}
