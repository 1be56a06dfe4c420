/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bus.h - calls of the system service pvdmad, org.pvdma1 on the system bus
 */
#ifndef PVDMA_PVDMACTL_BUS_H
#define PVDMA_PVDMACTL_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-bus.h>

#include "metadata.h"

/* The service's answers that callers handle by themselves. */
enum ctl_bus_verdict {
	CTL_BUS_NO_SUCH_VM = 1, /* there is no VM of that name */
};

/* The error's name by which the service says so. */
#define CTL_BUS_ERROR_NO_SUCH_VM "org.pvdma1.Error.NoSuchVM"

/*
 * The bus at @address, which stays the caller's, instead of the system's: for
 * tests.
 */
void ctl_bus_use(const char *address);

/*
 * Connects to the bus. 0 with *@ret for sd_bus_flush_close_unref(), or a
 * negative errno, not logged.
 */
int ctl_bus_connect(sd_bus **ret);

/*
 * Says that what was asked of the service, @what with @name, failed by @r and
 * @error. Returns a negative errno, or a verdict, which is not logged: -EACCES
 * is a refusal, -EHOSTUNREACH that it does not run, -ETIMEDOUT that it is late.
 */
int ctl_bus_failed(int r, const sd_bus_error *error, const char *what,
		   const char *name);

/*
 * Connects to the system bus; a call takes at most @timeout_usec. 0 with *@ret
 * for sd_bus_flush_close_unref(), or a negative errno, logged.
 */
int ctl_bus_open(uint64_t timeout_usec, sd_bus **ret);

/* A VM as the service knows it. */
struct ctl_bus_vm {
	char *state; /* starting, running, stopping, failed */
	/* UUID of the libvirt domain that it is for, "none"; "": not known */
	char *domain;
	size_t num_devices; /* that it has */
};

/* Is it that of the domain with this UUID ("": none), as far as is known? */
bool ctl_bus_vm_is_of(const struct ctl_bus_vm *vm, const char *uuid);

/*
 * The calls. All return 0, or a negative errno, logged as "cannot do this: what
 * the service says", or a verdict, which is not logged. Who gets a string
 * frees it.
 */
/*
 * @owner: USER[:GROUP] that QEMU runs as, or NULL: as the service thinks.
 * @domain: UUID of the domain that the VM is for; "": none.
 */
int ctl_bus_start_vm(sd_bus *bus, const char *name, const struct metadata *vm,
		     const char *owner, const char *domain);
int ctl_bus_stop_vm(sd_bus *bus, const char *name);
/* For ctl_bus_vm_done(), which takes one that is all zero, too. */
int ctl_bus_get_vm(sd_bus *bus, const char *name, struct ctl_bus_vm *ret);
void ctl_bus_vm_done(struct ctl_bus_vm *vm);
/* *@ret_socket: where QEMU finds the device. */
int ctl_bus_add_device(sd_bus *bus, const char *name, const char *address,
		       char **ret_socket);
int ctl_bus_remove_device(sd_bus *bus, const char *name, const char *address);

#endif
