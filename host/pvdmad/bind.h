/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bind.h - takes devices from the host's drivers, and gives them back
 *
 * Both ways may take as long as a driver needs to let go or to start: seconds
 * for some disks.
 */
#ifndef PVDMA_PVDMAD_BIND_H
#define PVDMA_PVDMAD_BIND_H

#include <stdbool.h>

#include "pvdmad/pci.h"
#include "pvdmad/problem.h"
#include "pvdmad/sysfs.h"

/* Is the driver vfio-pci there, so that devices can be bound to it? */
bool bind_has_vfio(const struct sysfs *sysfs);
/* The problem that it is not. */
void bind_explain_no_vfio(struct problem *ret);

/*
 * Binds the device at @address to vfio-pci, whatever the host does with it: see
 * check.h. The name of the driver that it had goes to @ret_driver, "" for none,
 * for bind_restore(). Nothing is done to a device that has vfio-pci, or a
 * variant of it, already; that is its driver then.
 *
 * On failure, a negative errno with *@ret_problem set and @ret_driver untouched,
 * the device is back with the driver that it had, as far as that takes it.
 * Not logged.
 */
int bind_vfio(const struct sysfs *sysfs, const struct pci_address *address,
	      char ret_driver[static PCI_DRIVER_MAX],
	      struct problem *ret_problem);

/*
 * Gives the device at @address back to @driver, as bind_vfio() has named it: "",
 * it shall have none. Nothing is done when it has that driver, and nothing but
 * that its driver_override is cleared when it has another than vfio-pci. A device
 * that had vfio-pci before stays as it is.
 *
 * 0, also when the device is gone; or a negative errno with *@ret_problem set:
 * -EBUSY if the device, or another one of its IOMMU group, is still open; then
 * nothing is changed, and it can be tried again when that is closed. All other
 * failures, too, can be tried again. Not logged.
 */
int bind_restore(const struct sysfs *sysfs, const struct pci_address *address,
		 const char *driver, struct problem *ret_problem);

#endif
