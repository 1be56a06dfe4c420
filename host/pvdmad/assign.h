/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * assign.h - the devices of a VM, from the host's drivers to VFIO and back
 */
#ifndef PVDMA_PVDMAD_ASSIGN_H
#define PVDMA_PVDMAD_ASSIGN_H

#include <stdbool.h>

#include "spec.h"

struct machine;
struct problems;
struct service;

/*
 * Could these devices be assigned to a VM of this name now? Notes in @spec which
 * drivers they have; nothing else is changed. 0; -EEXIST (the VM is there
 * already); or a negative errno. Logged.
 */
int assign_check(const struct service *service, struct spec *spec);

/* The same for device @i alone, of a VM that may be there. */
int assign_check_one(const struct service *service, struct spec *spec,
		     size_t i);

/* What stands in the way of the device at @address. 0 or a negative errno. */
int assign_problems(const struct service *service, const char *address,
		    struct problems *problems);

/* The VM that has the device at @address (in full form), or NULL. */
const struct machine *assign_user(const struct service *service,
				  const char *address);

/*
 * Binds all devices to vfio-pci. 0; or a negative errno, logged; then some are
 * bound, and assign_give_back() knows which.
 */
int assign_take(const struct service *service, struct spec *spec);
/* The same for device @i alone. */
int assign_take_one(const struct service *service, struct spec *spec, size_t i);

/*
 * Gives all devices that were taken back to their old drivers. 0, with failures
 * logged; or -EBUSY: somebody still has one of them open, QEMU as a rule, and it
 * is to be tried again.
 */
int assign_give_back(const struct service *service, struct spec *spec);
int assign_give_back_one(const struct service *service, struct spec *spec,
			 size_t i);

/* True if the IOMMU cannot tell the two apart. */
bool assign_same_group(const struct service *service,
		       const struct spec_device *a,
		       const struct spec_device *b);

/* Opens the VFIO group of a device, or a container: the fd, or -errno, logged. */
int assign_open(const struct service *service, const struct spec_device *dev);
int assign_open_container(const struct service *service);

#endif
