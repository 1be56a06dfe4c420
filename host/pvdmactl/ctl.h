/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ctl.h - what all verbs that ask the service have in common
 */
#ifndef PVDMA_PVDMACTL_CTL_H
#define PVDMA_PVDMACTL_CTL_H

#include <stdbool.h>
#include <stdint.h>

#include <json-c/json.h>
#include <systemd/sd-bus.h>

#define CTL_SERVICE	 "org.pvdma1"
#define CTL_MANAGER_PATH "/org/pvdma1"
#define CTL_MANAGER	 "org.pvdma1.Manager"
#define CTL_VM_PREFIX	 "/org/pvdma1/vm"
#define CTL_VM		 "org.pvdma1.VM"

/* The program's exit statuses, which pvdmactl(1) lists. */
enum ctl_status {
	CTL_OK,
	CTL_FAILED,
	CTL_USAGE,
	CTL_NO_SUCH_VM,
	CTL_NOT_ALLOWED,
	CTL_NO_SERVICE,
};

struct ctl {
	sd_bus *bus;  /* NULL: not connected yet */
	bool json;    /* for programs */
	bool printed; /* JSON was */
};

/*
 * The exit status for what a function of bus.h returned about @name, a VM or
 * what else was asked for; says so if that was not said yet.
 */
int ctl_status_of(int r, const char *name);

/* Connects, if that was not done. 0 or an exit status, said. */
int ctl_connect(struct ctl *ctl);
void ctl_done(struct ctl *ctl);

/*
 * Calls a method of the manager (@vm is NULL) or of a VM, whose arguments are
 * @types, ..., as sd_bus_call_method() takes them. The answer is for
 * sd_bus_message_unref() in *@reply, unless that is NULL. @what is "list VMs",
 * for the message. 0 or an exit status, said.
 */
int ctl_call(struct ctl *ctl, const char *vm, const char *method,
	     const char *what, sd_bus_message **reply, const char *types, ...);

/* Where the object of a VM is; NULL: the manager's. Allocated, or NULL. */
char *ctl_path(const char *vm);

/* Prints @object, with or without line breaks, and puts it. CTL_OK or _FAILED. */
int ctl_print_json(struct ctl *ctl, json_object *object, bool one_line);

/* The @status as a JSON object, with the words that were logged last. */
void ctl_print_error(struct ctl *ctl, int status);

#endif
