/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vfio_group.h - the IOMMU group of a device, ready for use
 */
#ifndef PVDMA_AGENT_VFIO_GROUP_H
#define PVDMA_AGENT_VFIO_GROUP_H

struct iommu;

/*
 * Makes sure that the group of device @bdf ("0000:01:00.0") can be used, and
 * puts it into @iommu's container. *@group_fd is the group, if it was handed in
 * (>= 0); otherwise it is opened and stored there, also on failure. 0 or a
 * negative errno, having logged what an operator can do about it.
 */
int vfio_group_open(const char *bdf, struct iommu *iommu, int *group_fd);

#endif
