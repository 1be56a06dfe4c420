/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * edu_regs.h - the DMA engine of QEMU's "edu" device (docs/specs/edu.rst)
 *
 * For edudma.c, which is a module, and tests/e2e/edu.c, which is not.
 */
#ifndef PVDMA_EDU_REGS_H
#define PVDMA_EDU_REGS_H

#define EDU_ID		  0x00 /* 0x....00ed */
#define EDU_DMA_SRC	  0x80
#define EDU_DMA_DST	  0x88
#define EDU_DMA_COUNT	  0x90
#define EDU_DMA_CMD	  0x98
#define EDU_CMD_START	  1u
#define EDU_CMD_TO_MEMORY 2u
/* Its own memory, in the addresses of the engine */
#define EDU_BUFFER 0x40000u /* zeroes at first */

#endif
