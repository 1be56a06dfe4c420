// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * price.c - what mapping costs on this host, in nanoseconds
 *
 * Owns nothing beyond a call. Invariant: a price never falls with the size, so
 * that noise in a measurement cannot make more memory look cheaper. Locks: none.
 * Not in a request's way; what is measured here is what decides there.
 */
#include "host/agent/price.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "host/agent/iommu/iommu.h"
#include "host/lib/clock.h"
#include "host/lib/log.h"
#include "host/lib/macros.h"

#define PRICE_SHIFT 12u
#define PRICE_MAX   ((uint64_t)1 << (PRICE_SHIFT + PRICE_SIZES - 1))
/* Below 4 GiB, which every IOMMU reaches, away from its MSI window. */
#define PRICE_IOVA   ((uint64_t)1 << 30)
#define PRICE_ROUNDS 5
/*
 * The host does not see how long the guest waits before its kick arrives and
 * after the answer has gone. Where exits cost what they cost, that is some maps
 * of one page.
 */
#define PRICE_TRIP_MAPS 5

/* VFIO type1 with an emulated VT-d, pages present: 4 KiB, 64 KiB, 2 MiB. */
void price_init(struct price *price)
{
	static const struct price measured = {
		.trip = 80000,
		.map = { 17000, 24000, 33000, 46000, 64000, 116000, 208000,
			 374000, 671000, 1204000 },
		.unmap = { 15000, 19000, 25000, 33000, 42000, 77000, 140000,
			   255000, 463000, 842000 },
	};

	*price = measured;
}

static uint64_t price_size(unsigned int i)
{
	return (uint64_t)1 << (PRICE_SHIFT + i);
}

/* The least of some rounds. False: the backend does not map it. */
static bool measure_size(struct iommu *iommu, void *mem, uint64_t size,
			 uint64_t *ret_map, uint64_t *ret_unmap)
{
	const struct iommu_map map = {
		.iova = PRICE_IOVA,
		.size = size,
		.vaddr = mem,
		.prot = IOMMU_READ | IOMMU_WRITE,
	};

	*ret_map = *ret_unmap = UINT64_MAX;
	for (int i = 0; i < PRICE_ROUNDS; i++) {
		uint64_t start = clock_ns(), mapped;
		int r;

		if (iommu_map(iommu, &map) < 0)
			return false;
		mapped = clock_ns();
		r = iommu_unmap(iommu, map.iova, size, NULL);
		if (r < 0) {
			(void)log_err_errno(
				r,
				"0x%" PRIx64
				" bytes of the agent's stay mapped at 0x%" PRIx64,
				size, map.iova);
			return false;
		}
		*ret_map = min(*ret_map, mapped - start);
		*ret_unmap = min(*ret_unmap, clock_ns() - mapped);
	}
	return true;
}

/*
 * Fills found->map and ->unmap from the smallest size up to @most bytes; the number
 * of those that the backend maps.
 */
static unsigned int measure_sizes(struct iommu *iommu, struct price *found,
				  uint64_t most)
{
	uint64_t map = 1, unmap = 1;
	void *mem = mmap(NULL, most, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned int i = 0;

	if (mem == MAP_FAILED)
		return 0;
	/* in pages, as guests mostly have it; and there, as it mostly is */
	(void)madvise(mem, most, MADV_NOHUGEPAGE);
	memset(mem, 0, most);
	for (; i < PRICE_SIZES && price_size(i) <= most; i++) {
		if (!measure_size(iommu, mem, price_size(i), &found->map[i],
				  &found->unmap[i]))
			break;
		map = found->map[i] = max(found->map[i], map);
		unmap = found->unmap[i] = max(found->unmap[i], unmap);
	}
	(void)munmap(mem, most);
	return i;
}

/* What the sizes from @from on cost if they relate to the one before as assumed. */
static void extrapolate(uint64_t *table, const uint64_t *assumed,
			unsigned int from)
{
	for (unsigned int i = from; i < PRICE_SIZES; i++)
		table[i] = max(table[from - 1] * assumed[i] / assumed[from - 1],
			       table[i - 1]);
}

uint64_t price_measure(struct price *price, struct iommu *iommu, uint64_t most)
{
	struct price found = { 0 };
	unsigned int n = 0;

	most = min(most, PRICE_MAX);
	if (most >= price_size(0))
		n = measure_sizes(iommu, &found, most);
	if (n == 0)
		return 0;
	extrapolate(found.map, price->map, n);
	extrapolate(found.unmap, price->unmap, n);
	found.trip = PRICE_TRIP_MAPS * found.map[0];
	*price = found;
	return price_size(n - 1);
}

/* Between two sizes in proportion; above the largest in pieces of it. */
static uint64_t look_up(const uint64_t *table, uint64_t bytes)
{
	uint64_t size = (uint64_t)1 << PRICE_SHIFT;
	unsigned int i = 0;

	if (bytes <= size)
		return table[0];
	if (bytes >= PRICE_MAX)
		return table[PRICE_SIZES - 1] * (bytes >> 12) /
		       (PRICE_MAX >> 12);
	while (size * 2 <= bytes) {
		size *= 2;
		i++;
	}
	return table[i] + (table[i + 1] - table[i]) * (bytes - size) / size;
}

uint64_t price_map(const struct price *price, uint64_t bytes)
{
	return look_up(price->map, bytes);
}

uint64_t price_unmap(const struct price *price, uint64_t bytes)
{
	return look_up(price->unmap, bytes);
}
