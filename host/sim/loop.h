/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * loop.h - a trace again and again, as a workload that goes on
 */
#ifndef PVDMA_SIM_LOOP_H
#define PVDMA_SIM_LOOP_H

#include <stdint.h>

#include "host/sim/trace.h"

/*
 * @times times @trace, one after the other. What it does not unmap is a ring, or
 * the like, and mapped the first time only. *@ret_us is how long one round
 * takes. 0, or as trace_add_map().
 */
int loop_new(const struct trace *trace, unsigned int times, uint64_t *ret_us,
	     struct trace **ret);

#endif
