// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * null.c - an IOMMU that remembers what it was told, and judges like type1
 *
 * Owns a sorted list of mappings. Invariant: they never overlap. Locks: one
 * mutex around the list, for tests in which threads stand in for devices.
 */
#include "host/agent/iommu/null.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/agent/iommu/iommu.h"
#include "host/lib/durable.h"
#include "host/lib/macros.h"

#define NULL_PAGE 4096u

/* Where interrupts are written on x86: an IOMMU does not translate these. */
#define NULL_MSI_FIRST 0xfee00000u
#define NULL_MSI_LAST  0xfeefffffu

struct fault {
	unsigned int after; /* calls that still succeed */
	unsigned int times; /* calls that fail then */
	int error;
};

struct null_iommu {
	struct iommu iommu;
	pthread_mutex_t lock;
	struct iommu_map *maps; /* sorted by iova */
	size_t n, max;
	struct null_kept *kept; /* NULL: they end with the process */
	uint64_t bytes;
	uint64_t peak;
	uint64_t entries_max; /* 0: none */
	uint64_t bytes_max;   /* 0: none */
	struct fault map_fault, unmap_fault;
};

static struct null_iommu *null_of(struct iommu *iommu)
{
	return container_of(iommu, struct null_iommu, iommu);
}

/* The place of the first mapping that ends at or above @iova. */
static size_t place(const struct null_iommu *null, uint64_t iova)
{
	size_t low = 0, high = null->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct iommu_map *map = &null->maps[mid];

		if (map->iova + (map->size - 1) < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static const struct iommu_map *find(const struct null_iommu *null,
				    uint64_t iova)
{
	size_t at = place(null, iova);

	if (at == null->n || null->maps[at].iova > iova)
		return NULL;
	return &null->maps[at];
}

/* True if this call is one that a test wants to fail. */
static bool faulty(struct fault *fault)
{
	if (fault->error == 0 || fault->times == 0)
		return false;
	if (fault->after > 0) {
		fault->after--;
		return false;
	}
	fault->times--;
	return true;
}

static int reserve(struct null_iommu *null)
{
	size_t max = null->max ? 2 * null->max : 64;
	struct iommu_map *maps;

	if (null->n < null->max)
		return 0;
	maps = reallocarray(null->maps, max, sizeof(*maps));
	if (!maps)
		return -ENOMEM;
	null->maps = maps;
	null->max = max;
	return 0;
}

static int check_map(const struct null_iommu *null, const struct iommu_map *map)
{
	uint64_t last = map->iova + (map->size - 1);
	size_t at = place(null, map->iova);

	if (!is_aligned(map->iova | map->size | (uintptr_t)map->vaddr,
			NULL_PAGE))
		return -EINVAL;
	if (at < null->n && null->maps[at].iova <= last)
		return -EEXIST;
	if (null->entries_max && null->n >= null->entries_max)
		return -ENOSPC;
	if (map->iova <= NULL_MSI_LAST && last >= NULL_MSI_FIRST)
		return -EINVAL;
	if (null->bytes_max && (map->size > null->bytes_max ||
				null->bytes > null->bytes_max - map->size))
		return -ENOMEM;
	return 0;
}

/* The place where a mapping is kept, or with size 0 a free one. */
static struct null_kept *find_kept(const struct null_iommu *null, uint64_t iova,
				   uint64_t size)
{
	for (size_t i = 0; i < NULL_KEPT_MAX; i++) {
		struct null_kept *kept = &null->kept[i];

		if (kept->size == size && (size == 0 || kept->iova == iova))
			return kept;
	}
	return NULL;
}

/* As the kernel does: a mapping is there, or it is not. */
static int keep(struct null_iommu *null, const struct iommu_map *map)
{
	struct null_kept *kept;

	if (!null->kept)
		return 0;
	kept = find_kept(null, 0, 0);
	if (!kept)
		return -ENOSPC;
	kept->iova = map->iova;
	kept->prot = map->prot;
	durable_store(&kept->size, map->size);
	return 0;
}

static void drop(struct null_iommu *null, const struct iommu_map *map)
{
	struct null_kept *kept;

	if (!null->kept)
		return;
	kept = find_kept(null, map->iova, map->size);
	if (kept)
		durable_store(&kept->size, (uint64_t)0);
}

static void insert(struct null_iommu *null, const struct iommu_map *map)
{
	size_t at = place(null, map->iova);

	memmove(&null->maps[at + 1], &null->maps[at],
		(null->n - at) * sizeof(*null->maps));
	null->maps[at] = *map;
	null->n++;
	null->bytes += map->size;
	null->peak = max(null->peak, null->bytes);
}

static int map_locked(struct null_iommu *null, const struct iommu_map *map)
{
	int r;

	if (faulty(&null->map_fault))
		return null->map_fault.error;
	r = check_map(null, map);
	if (r == 0)
		r = reserve(null);
	if (r == 0)
		r = keep(null, map);
	if (r < 0)
		return r;
	insert(null, map);
	return 0;
}

int null_iommu_keep(struct iommu *iommu, int fd)
{
	struct null_iommu *null = null_of(iommu);
	const size_t size = NULL_KEPT_MAX * sizeof(*null->kept);
	void *p;

	if (ftruncate(fd, (off_t)size) < 0)
		return -errno;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	null->kept = p;
	for (size_t i = 0; i < NULL_KEPT_MAX; i++) {
		const struct iommu_map map = {
			.iova = null->kept[i].iova,
			.size = null->kept[i].size,
			.prot = (uint32_t)null->kept[i].prot,
		};
		int r = map.size > 0 ? reserve(null) : 0;

		if (r < 0)
			return r;
		if (map.size > 0)
			insert(null, &map);
	}
	return 0;
}

static int null_map(struct iommu *iommu, const struct iommu_map *map)
{
	struct null_iommu *null = null_of(iommu);
	int r;

	(void)pthread_mutex_lock(&null->lock);
	r = map_locked(null, map);
	(void)pthread_mutex_unlock(&null->lock);
	return r;
}

static int unmap_locked(struct null_iommu *null, uint64_t iova, uint64_t size,
			uint64_t *ret_size)
{
	uint64_t last = iova + (size - 1), bytes = 0;
	size_t from, to;

	if (faulty(&null->unmap_fault))
		return null->unmap_fault.error;
	if (!is_aligned(iova | size, NULL_PAGE))
		return -EINVAL;
	from = place(null, iova);
	for (to = from; to < null->n && null->maps[to].iova <= last; to++) {
		const struct iommu_map *map = &null->maps[to];

		if (map->iova < iova || map->iova + (map->size - 1) > last)
			return -EINVAL;
		bytes += map->size;
	}
	for (size_t i = from; i < to; i++)
		drop(null, &null->maps[i]);
	if (to > from)
		memmove(&null->maps[from], &null->maps[to],
			(null->n - to) * sizeof(*null->maps));
	null->n -= to - from;
	null->bytes -= bytes;
	*ret_size = bytes;
	return 0;
}

static int null_unmap(struct iommu *iommu, uint64_t iova, uint64_t size,
		      uint64_t *ret_size)
{
	struct null_iommu *null = null_of(iommu);
	int r;

	(void)pthread_mutex_lock(&null->lock);
	r = unmap_locked(null, iova, size, ret_size);
	(void)pthread_mutex_unlock(&null->lock);
	return r;
}

static int null_get_limits(struct iommu *iommu, struct iommu_limits *ret)
{
	struct null_iommu *null = null_of(iommu);

	ret->pgsizes = ~(uint64_t)(NULL_PAGE - 1);
	ret->entries_max = IOMMU_ENTRIES_UNKNOWN;
	ret->entries_free = IOMMU_ENTRIES_UNKNOWN;
	if (null->entries_max) {
		ret->entries_max = null->entries_max;
		ret->entries_free = null->entries_max - null->n;
	}
	return 0;
}

static void null_free(struct iommu *iommu)
{
	struct null_iommu *null = null_of(iommu);

	(void)pthread_mutex_destroy(&null->lock);
	if (null->kept)
		(void)munmap(null->kept, NULL_KEPT_MAX * sizeof(*null->kept));
	free(null->maps);
	free(null);
}

static const struct iommu_ops null_ops = {
	.name = "null",
	.free = null_free,
	.map = null_map,
	.unmap = null_unmap,
	.get_limits = null_get_limits,
};

int null_iommu_new(uint64_t entries_max, uint64_t bytes_max, struct iommu **ret)
{
	struct null_iommu *null = calloc(1, sizeof(*null));

	if (!null)
		return -ENOMEM;
	null->iommu.ops = &null_ops;
	null->entries_max = entries_max;
	null->bytes_max = bytes_max;
	if (pthread_mutex_init(&null->lock, NULL) != 0) {
		free(null);
		return -ENOMEM;
	}
	*ret = &null->iommu;
	return 0;
}

void *null_iommu_translate(struct iommu *iommu, uint64_t iova,
			   uint32_t *ret_prot)
{
	struct null_iommu *null = null_of(iommu);
	const struct iommu_map *map;
	void *vaddr = NULL;

	(void)pthread_mutex_lock(&null->lock);
	map = find(null, iova);
	if (map) {
		vaddr = (char *)map->vaddr + (iova - map->iova);
		if (ret_prot)
			*ret_prot = map->prot;
	}
	(void)pthread_mutex_unlock(&null->lock);
	return vaddr;
}

bool null_iommu_mapped(struct iommu *iommu, uint64_t iova)
{
	return null_iommu_translate(iommu, iova, NULL) != NULL;
}

void null_iommu_usage(struct iommu *iommu, uint64_t *ret_entries,
		      uint64_t *ret_bytes)
{
	struct null_iommu *null = null_of(iommu);

	(void)pthread_mutex_lock(&null->lock);
	if (ret_entries)
		*ret_entries = null->n;
	if (ret_bytes)
		*ret_bytes = null->bytes;
	(void)pthread_mutex_unlock(&null->lock);
}

uint64_t null_iommu_peak(struct iommu *iommu)
{
	struct null_iommu *null = null_of(iommu);
	uint64_t peak;

	(void)pthread_mutex_lock(&null->lock);
	peak = null->peak;
	(void)pthread_mutex_unlock(&null->lock);
	return peak;
}

void null_iommu_fail_map(struct iommu *iommu, unsigned int maps, int error,
			 unsigned int times)
{
	null_of(iommu)->map_fault =
		(struct fault){ .after = maps, .times = times, .error = error };
}

void null_iommu_fail_unmap(struct iommu *iommu, unsigned int unmaps, int error,
			   unsigned int times)
{
	null_of(iommu)->unmap_fault = (struct fault){
		.after = unmaps,
		.times = times,
		.error = error,
	};
}
