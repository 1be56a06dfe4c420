/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * iommu.h - what the agent needs of an IOMMU, and nothing more
 *
 * A backend maps ranges of the agent's own address space at IOVAs, for all
 * devices of one VM together. It keeps no books: the ledger knows what is
 * mapped. Backends: type1 (VFIO container), null (remembers only, for tests).
 * All run through one test suite, tests/unit/test_iommu.c.
 *
 * Not thread-safe: one event loop owns a VM.
 */
#ifndef PVDMA_AGENT_IOMMU_H
#define PVDMA_AGENT_IOMMU_H

#include <stddef.h>
#include <stdint.h>

#define IOMMU_READ  1u /* the device may read memory */
#define IOMMU_WRITE 2u /* the device may write memory */

struct iommu;

struct iommu_map {
	uint64_t iova; /* bytes; aligned to the page size */
	uint64_t size; /* bytes; > 0, aligned likewise */
	void *vaddr;   /* where the memory is in this process */
	uint32_t prot; /* IOMMU_READ | IOMMU_WRITE */
};

#define IOMMU_ENTRIES_UNKNOWN UINT64_MAX

struct iommu_limits {
	uint64_t pgsizes;      /* bitmap of page sizes; 0: not known yet */
	uint64_t entries_max;  /* mappings at once, or .._UNKNOWN */
	uint64_t entries_free; /* of which this many are left, likewise */
};

struct iommu_ops {
	const char *name;
	void (*free)(struct iommu *iommu);
	int (*map)(struct iommu *iommu, const struct iommu_map *map);
	int (*unmap)(struct iommu *iommu, uint64_t iova, uint64_t size,
		     uint64_t *ret_size);
	int (*get_limits)(struct iommu *iommu, struct iommu_limits *ret);
	/* May be NULL: nothing to do. */
	void (*take_over)(struct iommu *iommu, uint64_t entries_max);
};

/* Embedded first in each backend's own struct. */
struct iommu {
	const struct iommu_ops *ops;
};

/*
 * Maps one range. Pins its pages. Returns 0, or without having changed
 * anything: -EEXIST (overlaps a mapping), -ENOSPC (out of mapping entries),
 * -ENOMEM (RLIMIT_MEMLOCK or memory), -EFAULT, -EINVAL (unaligned, or an IOVA
 * that the IOMMU cannot translate, such as the MSI window), -EIO.
 */
int iommu_map(struct iommu *iommu, const struct iommu_map *map);

/*
 * Ends all mappings within [iova, iova + size), in one call; holes are fine.
 * @ret_size (may be NULL) gets the bytes that had been mapped. Returns 0, or
 * -EINVAL where a mapping crosses a border of the range (nothing changed).
 */
int iommu_unmap(struct iommu *iommu, uint64_t iova, uint64_t size,
		uint64_t *ret_size);

/* Limits as they are now; type1 knows none before it has a group. */
int iommu_get_limits(struct iommu *iommu, struct iommu_limits *ret);

/*
 * Another process had it before, with @entries_max as its limit; groups and
 * mappings are there.
 */
void iommu_take_over(struct iommu *iommu, uint64_t entries_max);

/* Ends all mappings and frees the backend. Takes NULL. */
void iommu_free(struct iommu *iommu);

/*
 * The legacy VFIO container. Takes ownership of @container_fd on success.
 * type1_add_group() puts a VFIO group into the container (VFIO_GROUP_SET_CONTAINER;
 * the first one also selects VFIO_TYPE1v2_IOMMU); it borrows @group_fd, which
 * must stay open as long as devices of the group are used. Both return 0 or a
 * negative errno, and log in words what an operator can do about it.
 */
int type1_new(int container_fd, struct iommu **ret);
int type1_add_group(struct iommu *iommu, int group_fd, const char *group_name);

/*
 * Maps nothing, but refuses what type1 would refuse. @entries_max and
 * @bytes_max (0: none) stand in for dma_entry_limit and RLIMIT_MEMLOCK. What
 * tests may ask it besides is in null.h.
 */
int null_iommu_new(uint64_t entries_max, uint64_t bytes_max,
		   struct iommu **ret);

#endif
