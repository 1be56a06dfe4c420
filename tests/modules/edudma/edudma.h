/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * edudma.h - the DMA engine of QEMU's "edu" device (docs/specs/edu.rst)
 */
#ifndef PVDMA_EDUDMA_H
#define PVDMA_EDUDMA_H

#include <linux/io.h>
#include <linux/types.h>

#define EDU_ID		  0x00 /* 0x....00ed */
#define EDU_DMA_SRC	  0x80
#define EDU_DMA_DST	  0x88
#define EDU_DMA_COUNT	  0x90
#define EDU_DMA_CMD	  0x98
#define EDU_CMD_START	  1u
#define EDU_CMD_TO_MEMORY 2u
/* Its own memory, in the addresses of the engine */
#define EDU_BUFFER 0x40000u /* zeroes at first */

/* What a transfer moves. */
#define EDUDMA_BYTES 64u

/* Whether what @bar maps is the device. */
bool edudma_is_edu(void __iomem *bar);

/*
 * A transfer of EDUDMA_BYTES; waits for its end, and may sleep. -ETIMEDOUT and a
 * word in the log when it has none; whether the device's DMA got through is not
 * for it to know.
 */
int edudma_move(void __iomem *bar, u64 from, u64 to, u32 command);

#endif
