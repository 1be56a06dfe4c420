/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * null.h - what tests may ask of the null backend, besides iommu.h
 *
 * Only for backends made by null_iommu_new(). These calls, and map and unmap
 * against them, may come from several threads.
 */
#ifndef PVDMA_AGENT_IOMMU_NULL_H
#define PVDMA_AGENT_IOMMU_NULL_H

#include <stdbool.h>
#include <stdint.h>

struct iommu;

/*
 * Keeps the mappings in the memfd @fd, too (borrowed), so that they outlive the
 * process, as a kernel's do; and has those that are in it already. An array of
 * struct null_kept, of which those with `size` are mappings. 0 or -errno.
 */
struct null_kept {
	uint64_t iova;
	uint64_t size; /* bytes; 0: none */
	uint64_t prot;
};

#define NULL_KEPT_MAX 65536u

int null_iommu_keep(struct iommu *iommu, int fd);

/* Would a device's access to @iova reach memory? */
bool null_iommu_mapped(struct iommu *iommu, uint64_t iova);

/* What is mapped at @iova: vaddr and prot, or NULL. */
void *null_iommu_translate(struct iommu *iommu, uint64_t iova,
			   uint32_t *ret_prot);

/* Mappings and bytes mapped now; each may be NULL. */
void null_iommu_usage(struct iommu *iommu, uint64_t *ret_entries,
		      uint64_t *ret_bytes);
/* The most bytes that were ever mapped at once. */
uint64_t null_iommu_peak(struct iommu *iommu);

/*
 * After @maps more successful ones (@unmaps likewise), calls fail with
 * @error (negative errno), @times times; @error 0 ends that.
 */
void null_iommu_fail_map(struct iommu *iommu, unsigned int maps, int error,
			 unsigned int times);
void null_iommu_fail_unmap(struct iommu *iommu, unsigned int unmaps, int error,
			   unsigned int times);

#endif
