/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci.h - the PCI devices of the host, as /sys shows them
 */
#ifndef PVDMA_PVDMAD_PCI_H
#define PVDMA_PVDMAD_PCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/parse.h"
#include "pvdmad/sysfs.h"

/* Where /sys has devices and drivers, relative to the root of a sysfs. */
#define PCI_DEVICES "sys/bus/pci/devices"
#define PCI_DRIVERS "sys/bus/pci/drivers"

/* Longest text and name of a driver, with their NULs; longer ones are cut. */
#define PCI_TEXT_MAX   128
#define PCI_DRIVER_MAX 64

struct pci_device {
	struct pci_address address;
	char name[PCI_ADDRESS_TEXT_MAX]; /* the address as text */
	uint32_t class;			 /* as the attribute: 24 bits */
	uint16_t vendor;
	uint16_t device;
	char text[PCI_TEXT_MAX];     /* "NVMe controller [144d:a808]" */
	char driver[PCI_DRIVER_MAX]; /* "" for none */
	int group;		     /* IOMMU group; -1 for none */
	bool bridge;		     /* to another bus; cannot be assigned */
	bool vf;		     /* SR-IOV: a virtual function */
	struct pci_address pf;	     /* if @vf: whose */
	uint32_t vfs;		     /* SR-IOV: virtual functions switched on */
	uint32_t vfs_max;	     /* SR-IOV: those it could have */
};

/*
 * Looks at the device at @address. 0, or a negative errno, not logged: -ENODEV
 * when there is none.
 */
int pci_read(const struct sysfs *sysfs, const struct pci_address *address,
	     struct pci_device *ret);

/*
 * All devices, in the order of their addresses. 0 with *@ret to be freed by
 * free(), or a negative errno, not logged; -ENOENT when the host has no PCI.
 * A device that goes while they are listed is left out.
 */
int pci_list(const struct sysfs *sysfs, struct pci_device **ret,
	     size_t *ret_count);

/* Less than, equal to, greater than 0, as strcmp(). */
int pci_compare(const struct pci_address *a, const struct pci_address *b);

/* True for the drivers that VFIO uses a device through. */
bool pci_is_vfio_driver(const char *driver);

/* Words for a class (24 bits), such as "USB controller". Never NULL. */
const char *pci_class_text(uint32_t class);

#endif
