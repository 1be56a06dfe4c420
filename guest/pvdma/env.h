/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * env.h - what the table, the batches and the wire encoding need of a kernel
 *
 * track.c, batch.c and encode.c hold the protocol's logic and nothing else of
 * the kernel, so that unit tests and callgrind run the very same source. In
 * the kernel this header is a list of includes; elsewhere the build provides
 * pvdma_env.h with the same names (tests/unit/guest).
 */
#ifndef PVDMA_ENV_H
#define PVDMA_ENV_H

#ifdef __KERNEL__

#include <linux/atomic.h>
#include <linux/build_bug.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/memremap.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/pfn.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/types.h>

#include <asm/byteorder.h>

#ifdef __BIG_ENDIAN
#error "pvdma: the tracking table is little-endian and changed by atomics"
#endif

/*
 * May a device be let loose on this address? Asked on a miss only: what is
 * mapped has passed. 0, -EINVAL for what is not memory (a BAR), -EREMOTEIO
 * for the memory of another device.
 */
static inline int pvdma_env_check(u64 addr)
{
	unsigned long pfn = PHYS_PFN(addr);

	if (PFN_PHYS(pfn) != (addr & PAGE_MASK) || !pfn_valid(pfn))
		return -EINVAL;
	if (is_pci_p2pdma_page(pfn_to_page(pfn)))
		return -EREMOTEIO;
	return 0;
}

#else
#include "pvdma_env.h"
#endif

#include "virtio_pvdma.h"

#endif
