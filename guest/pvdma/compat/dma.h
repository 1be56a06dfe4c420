/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dma.h - what changed between kernels in the DMA API's inner side
 */
#ifndef PVDMA_COMPAT_DMA_H
#define PVDMA_COMPAT_DMA_H

#include <linux/dma-map-ops.h>
#include <linux/iommu.h>
#ifdef PVDMA_HAVE_USE_DMA_IOMMU
#include <linux/iommu-dma.h>
#endif

/* A mapping of something that is no memory; elsewhere map_resource says it */
#ifdef DMA_ATTR_MMIO
#define PVDMA_ATTR_MMIO DMA_ATTR_MMIO
#else
#define PVDMA_ATTR_MMIO 0ul
#endif

/* A mapping that must not be copied */
#ifdef DMA_ATTR_REQUIRE_COHERENT
#define PVDMA_ATTR_NO_BOUNCE DMA_ATTR_REQUIRE_COHERENT
#else
#define PVDMA_ATTR_NO_BOUNCE 0ul
#endif

/* Does the kernel's own IOMMU code map for this device (a virtual IOMMU)? */
static inline bool pvdma_compat_dma_iommu(struct device *dev)
{
#ifdef PVDMA_HAVE_USE_DMA_IOMMU
	return use_dma_iommu(dev);
#else
	struct iommu_domain *domain = iommu_get_domain_for_dev(dev);

	return domain && (domain->type & __IOMMU_DOMAIN_DMA_API);
#endif
}

/* Undoes "nothing to sync", which the core may have noted for other ops */
static inline void pvdma_compat_need_sync(struct device *dev)
{
#ifdef PVDMA_HAVE_RESET_NEED_SYNC
	dma_reset_need_sync(dev);
#endif
}

#endif
