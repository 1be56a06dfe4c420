/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * manager.h - the service on the bus: org.pvdma1
 */
#ifndef PVDMA_PVDMAD_MANAGER_H
#define PVDMA_PVDMAD_MANAGER_H

#include <systemd/sd-bus.h>

#include "machine.h"

#define MANAGER_NAME	  "org.pvdma1"
#define MANAGER_PATH	  "/org/pvdma1"
#define MANAGER_INTERFACE "org.pvdma1.Manager"
#define MANAGER_VM_PREFIX "/org/pvdma1/vm"
#define MANAGER_VM	  "org.pvdma1.VM"

/* Errors, named in org.pvdma1(5). */
#define ERROR_NO_SUCH_VM "org.pvdma1.Error.NoSuchVM"
#define ERROR_EXISTS	 "org.pvdma1.Error.Exists"
#define ERROR_SETTING	 "org.pvdma1.Error.InvalidSetting"
#define ERROR_DEVICE	 "org.pvdma1.Error.Device"
#define ERROR_BUDGET	 "org.pvdma1.Error.Budget"
#define ERROR_AGENT	 "org.pvdma1.Error.Agent"
#define ERROR_FAILED	 "org.pvdma1.Error.Failed"

struct manager;
struct service;

/* Puts the objects on the bus. 0 or a negative errno, logged. */
int manager_new(struct service *service, struct manager **ret);
/* Takes NULL. */
void manager_free(struct manager *manager);

/* To be called when such a thing happened: sends the signals. */
void manager_vm_added(const struct machine *machine);
void manager_vm_removed(const struct machine *machine);
void manager_vm_changed(const struct machine *machine, const char *property);
void manager_changed(const struct service *service, const char *property);

/* --- manager_vm.c --- */

/* Objects below MANAGER_VM_PREFIX. 0 or a negative errno. */
int manager_vm_register(struct service *service, sd_bus_slot **objects,
			sd_bus_slot **enumerator);

/* --- for both --- */

/*
 * Fails a call with the error @name and the words that were logged last. A
 * negative errno, for a handler to return.
 */
int manager_fail(sd_bus_error *error, const char *name);

/* A machine_done_fn whose userdata is a call: answers it, and unrefs it. */
void manager_reply_done(void *userdata, const char *error);

#endif
