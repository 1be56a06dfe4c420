/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memory.h - the guest's memory as its VMM describes it over vfio-user
 *
 * Owns: the list of regions (sorted by address, never overlapping) and their
 * mmaps in this process. A region may be announced by several sources (one
 * vfio-user connection each); it lives until the last of them takes it back.
 * Knows nothing of the IOMMU: whoever holds pointers into regions, or mapped
 * them for DMA, lets go in the leaving callback.
 *
 * The sources tell one story, each at its own pace: while the VMM changes the
 * layout, one may announce the new one before another took back the old one.
 * So a new region replaces those in its way that only others announced; what
 * is replaced stays known, out of sight, until its sources take it back.
 */
#ifndef PVDMA_AGENT_MEMORY_H
#define PVDMA_AGENT_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct memory;

#define MEMORY_PAGE	   4096u /* regions are multiples of it */
#define MEMORY_SOURCES_MAX 64u	 /* announcers of one region */
#define MEMORY_REGIONS_MAX 65535u

struct memory_region {
	uint64_t gpa;  /* guest-physical = IOVA, bytes */
	uint64_t size; /* bytes, > 0 */
	void *vaddr;   /* of gpa, in this process */
	uint32_t prot; /* IOMMU_READ | IOMMU_WRITE */
};

static inline uint64_t memory_region_last(const struct memory_region *region)
{
	return region->gpa + (region->size - 1);
}

/*
 * @leaving is called before a region goes, except by memory_free(); it must
 * not change the memory. Where it returns a negative errno, the region stays
 * and the call that wanted it to go returns that.
 */
int memory_new(int (*leaving)(const struct memory_region *region,
			      void *userdata),
	       void *userdata, struct memory **ret);
/* Takes NULL. */
void memory_free(struct memory *mem);

/*
 * Adds [gpa, gpa + size), backed by @fd at @offset, on behalf of @source (any
 * pointer that stands for the announcer). Borrows @fd. A region equal to one
 * that exists (same place, same file, same offset, same @prot) is shared with
 * it. *@ret_new (may be NULL) gets the region, or NULL if it was there before.
 * Returns 0; a positive verdict for the peer's fault: EINVAL (unaligned to
 * MEMORY_PAGE, wraps, beyond the end of the file, no or unknown @prot), EEXIST
 * (overlaps what @source announced itself); or a negative errno of ours.
 */
int memory_add(struct memory *mem, const void *source, uint64_t gpa,
	       uint64_t size, int fd, uint64_t offset, uint32_t prot,
	       const struct memory_region **ret_new);

/*
 * Takes back @source's announcement of exactly the regions within
 * [gpa, gpa + size). Returns 0; a positive verdict: ENOENT (nothing of this
 * source there), EINVAL (cuts a region of this source); or what the leaving
 * callback returned.
 */
int memory_remove(struct memory *mem, const void *source, uint64_t gpa,
		  uint64_t size);

/* Takes back all that @source announced. 0, or what the callback returned. */
int memory_drop(struct memory *mem, const void *source);

/*
 * The region that contains @gpa, or the first one above it if @next.
 * NULL: none. Valid until the next change.
 */
const struct memory_region *memory_find(const struct memory *mem, uint64_t gpa,
					bool next);

/*
 * The address here of [gpa, gpa + size), if one region with all of @prot
 * covers it; NULL otherwise.
 */
void *memory_translate(const struct memory *mem, uint64_t gpa, uint64_t size,
		       uint32_t prot);

/* Bytes of all regions. */
uint64_t memory_size(const struct memory *mem);

#endif
