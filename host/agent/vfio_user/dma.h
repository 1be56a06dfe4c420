/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dma.h - the memory that one client announced
 */
#ifndef PVDMA_AGENT_VFIO_USER_DMA_H
#define PVDMA_AGENT_VFIO_USER_DMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vfu_dma_region {
	uint64_t address;
	uint64_t last; /* inclusive */
	bool backed;   /* by a file: memory, which the VM knows of */
};

/* Sorted by address, never overlapping; all zero is an empty one. */
struct vfu_dma {
	struct vfu_dma_region *regions;
	size_t count;
	size_t capacity;
};

void vfu_dma_done(struct vfu_dma *dma);

#endif
