/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * clock.h - the time that never goes back
 */
#ifndef PVDMA_LIB_CLOCK_H
#define PVDMA_LIB_CLOCK_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC in nanoseconds. */
static inline uint64_t clock_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

#endif
