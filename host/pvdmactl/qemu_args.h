/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qemu_args.h - the arguments by which QEMU gets pvdma's devices
 */
#ifndef PVDMA_PVDMACTL_QEMU_ARGS_H
#define PVDMA_PVDMACTL_QEMU_ARGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "metadata.h"

/* Ids of ours begin so, in QEMU and in the domain's XML. */
#define QEMU_ARGS_PREFIX "pvdma-"
#define QEMU_ARGS_VIRTIO "pvdma-virtio"
#define QEMU_ARGS_VHOST	 "pvdma-vhost"
#define QEMU_ARGS_PORT	 "pvdma-port"

/*
 * Milliseconds: a late answer of the agent's must not cut the device off. QEMU
 * reckons with an int: with more than INT_MAX it aborts at the first answer that
 * it has to wait for.
 */
#define QEMU_ARGS_TIMEOUT 2000000000U

#define QEMU_ARGS_PATH_MAX 128
#define QEMU_ARGS_ID_MAX   40

/* What kind of PCI a machine has. */
enum qemu_bus {
	QEMU_BUS_PCIE, /* q35: pcie.0; devices get a root port each */
	QEMU_BUS_PCI,  /* pc: pci.0; devices sit on it */
};

/* Where /run/pvdma/vm/@name/vhost.sock is. */
void qemu_args_vhost_path(const char *name,
			  char buf[static QEMU_ARGS_PATH_MAX]);
/* Where a device's socket is. */
void qemu_args_device_path(const char *name, const struct pci_address *address,
			   char buf[static QEMU_ARGS_PATH_MAX]);
/* The id of a device, in which QEMU allows no colons. */
void qemu_args_device_id(const struct pci_address *address,
			 char buf[static QEMU_ARGS_ID_MAX]);

/*
 * The properties of a device, as one JSON object. @bus or @addr NULL: as QEMU
 * likes it.
 */
void qemu_args_put_device(FILE *f, const char *id, const char *path,
			  const char *bus, const char *addr);

/* Whether the value of a -device or -chardev is one of ours. */
bool qemu_args_is_ours(const char *value);
/*
 * The slot on the first bus that an argument of the user's names, 0 to 31, or -1.
 */
int qemu_args_slot(const char *value);

/*
 * Writes all arguments for @vm, an argument a line, to @f. Bit n of @used says
 * that slot n of the first bus is taken. 0, or -ENOSPC: there are not enough
 * slots.
 */
int qemu_args_put(FILE *f, const char *name, const struct metadata *vm,
		  enum qemu_bus bus, uint32_t used);

#endif
