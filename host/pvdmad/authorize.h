/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * authorize.h - who may call what: polkit's decisions
 */
#ifndef PVDMA_PVDMAD_AUTHORIZE_H
#define PVDMA_PVDMAD_AUTHORIZE_H

#include <stddef.h>
#include <stdbool.h>
#include <systemd/sd-bus.h>

/* packaging/polkit/org.pvdma1.policy has them. */
#define AUTHORIZE_INSPECT     "org.pvdma1.inspect"
#define AUTHORIZE_MANAGE_VMS  "org.pvdma1.manage-vms"
#define AUTHORIZE_MANAGE_HOST "org.pvdma1.manage-host"

/*
 * Runs @fn for the method call @m if its sender may do @action, now or when
 * polkit has answered; a refusal is answered here. As a handler of sd-bus, @fn
 * returns a negative errno or sets the error, which is sent to the caller. What
 * it needs it finds by the message: objects may be gone by then. To be returned
 * from a handler of sd-bus.
 */
int authorize(sd_bus_message *m, const char *action,
	      sd_bus_message_handler_t fn, void *userdata,
	      sd_bus_error *ret_error);

/* A method, what one needs for it, and what it does. */
struct authorize_method {
	const char *member;
	const char *action;
	sd_bus_message_handler_t fn;
};

/*
 * The handler of a whole interface: authorize() for the one of @methods that @m
 * calls. To be returned from a handler of sd-bus.
 */
int authorize_method(sd_bus_message *m, const struct authorize_method *methods,
		     size_t num, void *userdata, sd_bus_error *ret_error);

/* True if the caller is root, or the service's own user. */
bool authorize_is_trusted(sd_bus_message *m);

#endif
