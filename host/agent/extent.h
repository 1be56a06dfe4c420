/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * extent.h - an extent and the IOMMU mappings that it is made of
 *
 * See ledger.h for the two kinds of extents. Everything that the agent maps
 * and unmaps goes through here, so that books and IOMMU change together.
 */
#ifndef PVDMA_AGENT_EXTENT_H
#define PVDMA_AGENT_EXTENT_H

#include <stdint.h>

struct vm;

struct extent_shape {
	uint32_t count;	 /* granules; 0: no memory there */
	uint32_t pieces; /* IOMMU mappings */
	uint64_t bytes;	 /* of memory */
};

/*
 * The longest extent that begins at @granule, ends at or below @end, and does
 * not cross a multiple of @window granules (a power of two).
 */
void extent_shape(const struct vm *vm, uint64_t granule, uint64_t end,
		  uint64_t window, struct extent_shape *ret);

/*
 * Maps all pieces of a charged draft, or none. 0, or the negative errno of
 * iommu_map().
 */
int extent_map(struct vm *vm, uint32_t extent);

/*
 * Ends all mappings of granules [first, end), which are those of whole
 * extents with @bytes together. 0, or the negative errno of iommu_unmap(),
 * with all of them still mapped.
 */
int extent_unmap(struct vm *vm, uint64_t first, uint64_t end, uint64_t bytes);
/*
 * The books say what extent_unmap() did. Until then whoever takes over after a
 * kill does it again, so that nothing may be mapped there in between.
 */
void extent_unmap_done(struct vm *vm);

/*
 * Memory [from, last] of a granule that borders cut came, or goes. The extent
 * is in the ledger. Adding may make room by evicting others. 0 or a negative
 * errno with nothing changed; a verdict of extent_add_piece(): no room.
 */
int extent_add_piece(struct vm *vm, uint32_t extent, uint64_t from,
		     uint64_t last);
int extent_lose_piece(struct vm *vm, uint32_t extent, uint64_t from,
		      uint64_t last);

/* Strikes an extent, whose mappings ended, out of all books. */
void extent_forget(struct vm *vm, uint32_t extent);

#endif
