/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * machine.h - a guest with one assigned device, and its host, in miniature
 *
 * The module's own operations, endpoint, queue and table, in kernel.h's kernel.
 * The host maps what it is asked for within a quota, for which it evicts what is
 * idle. The device reads and writes by the addresses that it is given, and only
 * where they are mapped and held, and within its mask.
 */
#ifndef PVDMA_TEST_MACHINE_H
#define PVDMA_TEST_MACHINE_H

#include "tests/unit/guest/kernel/kernel.h"

struct pvdma;
struct pvdma_traffic;
struct pvdma_endpoint;
struct pvdma_counters;

#define MACHINE_4G     (4ull << 30)
#define MACHINE_MEMORY (MACHINE_4G + (16ull << 20))
/* Where drivers have their memory below 4 GiB */
#define MACHINE_LOW   (512ull << 20)
#define MACHINE_QUOTA 1024ul /* granules of a page, at first */

/* The host */
struct machine {
	bool mapped[MACHINE_MEMORY / 4096];
	u64 n_mapped, quota; /* granules */
	u64 hinted;	     /* granules of PREFETCHes */
	u64 told;	     /* copies that these stand for */
	bool prefetches;     /* and it maps them */
	bool silent;	     /* it answers nothing */
	int undone;	     /* segments of a strict endpoint that failed */
};

extern struct machine machine;
extern struct pvdma pv;
extern struct pvdma_traffic traffic;
extern struct pvdma_endpoint ep;
extern struct pvdma_counters counters;
extern struct device *const dev;

/* The device is attached, and some memory is mapped for copies. */
void machine_start(void);
/* Every mapping was given up: nothing is left of any. */
void machine_stop(void);

/* The host looks at its queue. */
void machine_host(void);
/* All that is idle goes, as if the host had other uses for it. */
void machine_evict(void);

/* As a driver does it. */
dma_addr_t machine_map(u64 phys, size_t size, enum dma_data_direction dir,
		       unsigned long attrs);
void machine_unmap(dma_addr_t addr, size_t size, enum dma_data_direction dir,
		   unsigned long attrs);

/* What is at an address for the device, and for a driver. */
u8 *machine_at(dma_addr_t addr, size_t size);
u8 *machine_mem(u64 phys);
void machine_assert_bytes(const u8 *p, u8 value, size_t n);

#endif
