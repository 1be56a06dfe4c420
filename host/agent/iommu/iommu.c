// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * iommu.c - the backends behind one interface
 *
 * Owns nothing: checks what no backend should have to, and dispatches. Locks:
 * none. In a request's way: the last step before the commit.
 */
#include "host/agent/iommu/iommu.h"

#include <errno.h>

#include "host/lib/macros.h"

int iommu_map(struct iommu *iommu, const struct iommu_map *map)
{
	uint64_t last;

	if (!range_last(map->iova, map->size, &last) ||
	    (map->prot & (IOMMU_READ | IOMMU_WRITE)) == 0 ||
	    (map->prot & ~(IOMMU_READ | IOMMU_WRITE)) != 0)
		return -EINVAL;
	return iommu->ops->map(iommu, map);
}

int iommu_unmap(struct iommu *iommu, uint64_t iova, uint64_t size,
		uint64_t *ret_size)
{
	uint64_t last, unmapped = 0;
	int r;

	if (!range_last(iova, size, &last))
		return -EINVAL;
	r = iommu->ops->unmap(iommu, iova, size, &unmapped);
	if (r == 0 && ret_size)
		*ret_size = unmapped;
	return r;
}

int iommu_get_limits(struct iommu *iommu, struct iommu_limits *ret)
{
	return iommu->ops->get_limits(iommu, ret);
}

void iommu_take_over(struct iommu *iommu, uint64_t entries_max)
{
	if (iommu->ops->take_over)
		iommu->ops->take_over(iommu, entries_max);
}

void iommu_free(struct iommu *iommu)
{
	if (iommu)
		iommu->ops->free(iommu);
}
