// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * meter.c - an IOMMU backend that puts a price on each call
 *
 * Owns the null backend behind it, the sums, and a byte for each granule that
 * says whether it is mapped and nobody has held it since. Locks: none.
 */
#include "host/sim/meter.h"

#include <errno.h>
#include <stdlib.h>

#include "host/agent/iommu/iommu.h"
#include "host/lib/macros.h"

struct meter {
	struct iommu iommu; /* first: see iommu.h */
	struct iommu *null;
	const struct cost_model *cost;
	meter_holds_fn holds;
	void *userdata;
	unsigned int shift;
	uint64_t granules;
	uint8_t *ahead; /* by granule: mapped, and not held since */
	struct meter_result sums;
};

static struct meter *meter_of(struct iommu *iommu)
{
	return container_of(iommu, struct meter, iommu);
}

static void meter_free(struct iommu *iommu)
{
	struct meter *meter = meter_of(iommu);

	iommu_free(meter->null);
	free(meter->ahead);
	free(meter);
}

static int meter_map(struct iommu *iommu, const struct iommu_map *map)
{
	struct meter *meter = meter_of(iommu);
	struct meter_result *sums = &meter->sums;
	uint64_t last = (map->iova + map->size - 1) >> meter->shift;
	int r = iommu_map(meter->null, map);

	sums->map_calls++;
	sums->us += cost_map(meter->cost, map->size);
	if (r)
		return r;
	sums->mapped_bytes += map->size;
	sums->now += map->size;
	sums->peak = max(sums->peak, sums->now);
	for (uint64_t g = map->iova >> meter->shift;
	     g <= last && g < meter->granules; g++) {
		meter->ahead[g] = !meter->holds(meter->userdata, g);
		sums->prefetched += meter->ahead[g];
	}
	return 0;
}

static int meter_unmap(struct iommu *iommu, uint64_t iova, uint64_t size,
		       uint64_t *ret_size)
{
	struct meter *meter = meter_of(iommu);
	struct meter_result *sums = &meter->sums;
	uint64_t last = (iova + size - 1) >> meter->shift;
	uint64_t bytes = 0;
	int r = iommu_unmap(meter->null, iova, size, &bytes);

	sums->unmap_calls++;
	sums->us += cost_unmap(meter->cost, max(bytes, (uint64_t)1));
	if (r)
		return r;
	sums->now -= bytes;
	for (uint64_t g = iova >> meter->shift;
	     g <= last && g < meter->granules; g++)
		meter->ahead[g] = 0;
	if (ret_size)
		*ret_size = bytes;
	return 0;
}

static int meter_get_limits(struct iommu *iommu, struct iommu_limits *ret)
{
	return iommu_get_limits(meter_of(iommu)->null, ret);
}

static const struct iommu_ops meter_ops = {
	.name = "meter",
	.free = meter_free,
	.map = meter_map,
	.unmap = meter_unmap,
	.get_limits = meter_get_limits,
};

int meter_new(uint64_t size, unsigned int shift, uint64_t entries_max,
	      const struct cost_model *cost, meter_holds_fn holds,
	      void *userdata, struct meter **ret)
{
	struct meter *meter = calloc(1, sizeof(*meter));

	if (!meter)
		return -ENOMEM;
	*meter = (struct meter){
		.iommu.ops = &meter_ops,
		.cost = cost,
		.holds = holds,
		.userdata = userdata,
		.shift = shift,
		.granules = size >> shift,
	};
	meter->ahead = calloc(meter->granules + 1, 1);
	if (!meter->ahead || null_iommu_new(entries_max, 0, &meter->null)) {
		free(meter->ahead);
		free(meter);
		return -ENOMEM;
	}
	*ret = meter;
	return 0;
}

struct iommu *meter_iommu(struct meter *meter)
{
	return &meter->iommu;
}

void meter_use(struct meter *meter, uint64_t first, uint64_t last)
{
	for (uint64_t g = first; g <= last && g < meter->granules; g++)
		if (meter->ahead[g]) {
			meter->ahead[g] = 0;
			meter->sums.prefetch_used++;
		}
}

void meter_get(const struct meter *meter, struct meter_result *ret)
{
	*ret = meter->sums;
}
