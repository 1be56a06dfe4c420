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
	uint32_t slot; /* in the pool STATE_REGIONS */
};

/* Sorted by address, never overlapping; all zero is an empty one. */
struct vfu_dma {
	struct vfu_dma_region *regions;
	size_t count;
	size_t capacity;
};

void vfu_dma_done(struct vfu_dma *dma);

struct vfu_session;
struct vm;

/* The VM has dropped all regions of the session: so does the state. */
void vfu_dma_drop(struct vfu_session *session);

/*
 * Announces to the VM again what was announced to the process before, by the
 * sessions that @find knows (NULL: none has this endpoint). 0 or a negative errno,
 * logged.
 */
int vfu_dma_resume(struct vm *vm,
		   struct vfu_session *(*find)(void *userdata,
					       uint32_t endpoint),
		   void *userdata);

#endif
