/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vfio_open.h - opens what an agent needs of VFIO: a group, a container
 */
#ifndef PVDMA_PVDMAD_VFIO_OPEN_H
#define PVDMA_PVDMAD_VFIO_OPEN_H

#include "pvdmad/problem.h"
#include "pvdmad/sysfs.h"

/*
 * Opens IOMMU group @group, whose devices are bound to vfio-pci. Only one may
 * have it open: -EBUSY otherwise, and the problem names the process that has it,
 * if it can be found. Returns the descriptor (close-on-exec), the caller's, or a
 * negative errno with *@ret_problem set, not logged.
 */
int vfio_open_group(const struct sysfs *sysfs, int group,
		    struct problem *ret_problem);

/* Says why group @group could not be opened: @error is a negative errno. */
void vfio_open_explain(const struct sysfs *sysfs, int group, int error,
		       struct problem *p);

/* Opens a new container, /dev/vfio/vfio. As above. */
int vfio_open_container(const struct sysfs *sysfs, struct problem *ret_problem);

#endif
