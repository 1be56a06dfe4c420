/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * table_words.h - which words of the table stand for which granules
 */
#ifndef PVDMA_AGENT_TABLE_WORDS_H
#define PVDMA_AGENT_TABLE_WORDS_H

#include <endian.h>
#include <stdint.h>

#include "protocol/virtio_pvdma.h"

/* Constants as they stand in a little-endian word. */
#define W_MAPPED     htole32(VIRTIO_PVDMA_W_MAPPED)
#define W_REFERENCED htole32(VIRTIO_PVDMA_W_REFERENCED)
#define W_COUNT	     htole32(VIRTIO_PVDMA_W_COUNT)

#define LEAF_SHIFT  VIRTIO_PVDMA_LEAF_SHIFT
#define LEAF_WORDS  VIRTIO_PVDMA_LEAF_WORDS
#define LEAF_BLOCKS VIRTIO_PVDMA_LEAF_BLOCKS
#define BLOCK_SHIFT VIRTIO_PVDMA_BLOCK_SHIFT
#define BLOCK	    ((uint64_t)VIRTIO_PVDMA_BLOCK_GRANULES)

/* Words in a row: of granules, or (level LEAF_BLOCKS) of blocks. */
struct words {
	uint64_t level; /* 0 or LEAF_BLOCKS */
	uint64_t first;
	uint64_t count;
};

static inline struct words of_granules(uint64_t first, uint64_t count)
{
	return (struct words){ 0, first, count };
}

/* The blocks that have any of granules [first, first + count). */
static inline struct words of_blocks(uint64_t first, uint64_t count)
{
	uint64_t block = first >> BLOCK_SHIFT;
	uint64_t end = (first + count + BLOCK - 1) >> BLOCK_SHIFT;

	return (struct words){ LEAF_BLOCKS, block, count ? end - block : 0 };
}

#endif
