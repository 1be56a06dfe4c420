/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memory.h - the guest's memory as its VMM describes it over vfio-user
 *
 * Owns: the list of regions (sorted by address, never overlapping) and their
 * mmaps in this process. A region may be announced by several sources (one
 * vfio-user connection each); it lives until the last of them takes it back.
 * Knows nothing of the IOMMU: vm.c unmaps before a region goes.
 */
#ifndef PVDMA_AGENT_MEMORY_H
#define PVDMA_AGENT_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct memory;

struct memory_region {
	uint64_t gpa;		/* guest-physical = IOVA, bytes */
	uint64_t size;		/* bytes, > 0 */
	void *vaddr;		/* of gpa, in this process */
	uint32_t prot;		/* IOMMU_READ | IOMMU_WRITE */
};

int memory_new(struct memory **ret);
void memory_free(struct memory *mem);

/*
 * Adds [gpa, gpa + size), backed by @fd at @offset, on behalf of @source (any
 * pointer that stands for the announcer). Borrows @fd. A region equal to one
 * that exists (same place, same file, same offset) is shared with it.
 * Returns 0; a positive verdict for the peer's fault: EINVAL (unaligned to
 * 4 KiB, wraps, beyond the end of the file), EEXIST (overlaps another), or
 * a negative errno of ours.
 */
int memory_add(struct memory *mem, const void *source, uint64_t gpa,
	       uint64_t size, int fd, uint64_t offset, uint32_t prot);

/*
 * Takes back @source's announcement of exactly the regions within
 * [gpa, gpa + size). Returns 0, or a positive verdict: ENOENT (nothing of this
 * source there), EINVAL (cuts a region). Regions whose last source left are
 * unmapped from this process: whoever holds pointers into them dropped them
 * before (see memory_for_each_leaving()).
 */
int memory_remove(struct memory *mem, const void *source, uint64_t gpa,
		  uint64_t size);

/* Calls @fn for each region that memory_remove() would end. */
void memory_for_each_leaving(struct memory *mem, const void *source,
			     uint64_t gpa, uint64_t size,
			     void (*fn)(const struct memory_region *region,
					void *userdata),
			     void *userdata);

/*
 * The region that contains @gpa, or the first one above it if @next.
 * NULL: none. Valid until the next memory_add() or memory_remove().
 */
const struct memory_region *memory_find(const struct memory *mem,
					uint64_t gpa, bool next);

/*
 * The address here of [gpa, gpa + size), if one region with all of @prot
 * covers it; NULL otherwise.
 */
void *memory_translate(const struct memory *mem, uint64_t gpa, uint64_t size,
		       uint32_t prot);

/* Bytes of all regions. */
uint64_t memory_size(const struct memory *mem);

#endif
