/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * trace.h - traces made by a test, and numbers that are the same in each run
 */
#ifndef PVDMA_TEST_TRACE_H
#define PVDMA_TEST_TRACE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/sim/trace.h"

static uint64_t seed;

static inline uint32_t rnd(uint32_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % n;
}

static inline struct trace *new_trace(void)
{
	struct trace_info info = { .memory = 64u << 20,
				   .cpus = 1,
				   .n_devices = 1 };
	struct trace *trace = NULL;

	assert_int_equal(trace_new(&info, &trace), 0);
	return trace;
}

static inline uint32_t add_as(struct trace *trace, uint64_t addr, uint64_t len,
			      enum trace_dir dir)
{
	struct trace_segment s = { addr, len };
	struct trace_map map = { .segments = &s,
				 .n_segments = 1,
				 .dir = (uint8_t)dir };
	uint32_t id;

	assert_int_equal(trace_add_map(trace, &map, &id), 0);
	return id;
}

static inline uint32_t add(struct trace *trace, uint64_t addr, uint64_t len)
{
	return add_as(trace, addr, len, TRACE_TO_DEVICE);
}

#endif
