// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/sim/guest.c and engine.c: a driver that copies small misses
 * instead of waiting for them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/lib/log.h"
#include "host/sim/engine.h"
#include "protocol/virtio_pvdma.h"
#include "tests/unit/support/trace.h"

#define POOL (4 * 4096)

static void run(const struct trace *trace, unsigned int shift, uint64_t quota,
		struct engine_result *ret)
{
	struct engine_config config;

	engine_config_init(&config);
	config.granule_shift = shift;
	config.quota = quota;
	config.pool_max = 0;
	assert_int_equal(engine_run(trace, &config, &cost_default, ret), 0);
	assert_true(ret->pinned_peak <= quota);
	assert_int_equal(ret->bounced_bytes, 0);
}

/* With copies, in a pool of 16 KiB: those are small quotas. */
static void run_copying(const struct trace *trace, uint64_t quota,
			struct engine_result *ret)
{
	struct engine_config config;

	engine_config_init(&config);
	config.granule_shift = 12;
	config.ahead = false;
	config.quota = quota;
	assert_int_equal(engine_run(trace, &config, &cost_default, ret), 0);
	assert_true(ret->pinned_peak <= quota);
}

/*
 * A page that is not mapped is copied, and mapped for the next time: who copies
 * waits less, and what is copied is a small share. DRV-PREFETCH-2: the pool is
 * mapped and held, and a part of the quota.
 */
static void test_copies(void **state)
{
	struct engine_result with, without;
	struct trace *trace = new_trace();
	uint64_t bytes = 0;
	const uint64_t quota = 64 * 4096;

	(void)state;
	seed = 7;
	for (uint32_t i = 0; i < 5000; i++) {
		struct trace_segment s = { (uint64_t)rnd(100) * 8192, 1024 };
		struct trace_map map = { .time_us = (uint64_t)i * 100,
					 .segments = &s,
					 .n_segments = 1,
					 .dir = TRACE_FROM_DEVICE };
		uint32_t id;

		assert_int_equal(trace_add_map(trace, &map, &id), 0);
		assert_int_equal(trace_add_unmap(trace, map.time_us + 5, 0, id),
				 0);
		bytes += s.len;
	}
	/* all fits in the end */
	run(trace, 12, 2 * quota, &without);
	run_copying(trace, 2 * quota, &with);
	assert_true(with.bounced_bytes > 0);
	assert_true(with.bounced_bytes <= bytes / 20 + (32 << 10));
	assert_true(with.waits < without.waits);
	/* more than the half does not: hardly anybody waits, and much is copied */
	run(trace, 12, quota, &without);
	run_copying(trace, quota, &with);
	assert_int_equal(without.pinned_peak, quota);
	assert_int_equal(with.pinned_peak, quota);
	assert_true(with.bounced_bytes > bytes / 10);
	assert_true(with.waits < without.waits / 2);
	assert_int_equal(with.refused, 0);
	trace_free(trace);
}

/* The quota is full of what is held: copied instead of refused. */
static void test_full(void **state)
{
	struct trace *trace = new_trace();
	const uint64_t quota = 64 * 4096;
	struct engine_result e;

	(void)state;
	/* all but the pool; more than is copied to save a wait */
	(void)add(trace, 1 << 20, quota - POOL);
	for (uint32_t i = 0; i < 4; i++) {
		uint32_t id = add(trace, (2 << 20) + (uint64_t)i * 8192, 4096);

		assert_int_equal(trace_add_unmap(trace, 0, 0, id), 0);
	}
	run(trace, 12, quota - POOL, &e);
	assert_int_equal(e.unserved, 4);
	run_copying(trace, quota, &e);
	assert_int_equal(e.unserved, 0);
	assert_int_equal(e.refused, 0);
	assert_int_equal(e.bounced_bytes, 4 * 4096);
	/* what is received into: the half of the pool, and there it stays */
	for (uint32_t i = 0; i < 5; i++)
		(void)add_as(trace, (4 << 20) + (uint64_t)i * 8192, 2048,
			     TRACE_FROM_DEVICE);
	run_copying(trace, quota, &e);
	assert_int_equal(e.unserved, 1);
	assert_int_equal(e.refused, 1);
	trace_free(trace);
}

/* What cannot be copied, and who does not. */
static void test_copies_not(void **state)
{
	struct engine_config config;
	struct engine_result e;
	struct trace *trace = new_trace();

	(void)state;
	for (uint32_t i = 0; i < 8; i++) {
		struct trace_segment s = { (uint64_t)i * 8192, 64 };
		struct trace_map map = { .segments = &s,
					 .n_segments = 1,
					 .kind = i % 2 ? TRACE_COHERENT :
							 TRACE_POOL };
		uint32_t id;

		assert_int_equal(trace_add_map(trace, &map, &id), 0);
	}
	run_copying(trace, 64 * 4096, &e);
	assert_int_equal(e.waits, 8);
	assert_int_equal(e.bounced_bytes, 0);
	trace_free(trace);
	/* nor what device and driver look at without a sync, room or not */
	trace = new_trace();
	(void)add_as(trace, 8192, 64, TRACE_BIDIRECTIONAL);
	run_copying(trace, 64 * 4096, &e);
	assert_int_equal(e.waits, 1);
	assert_int_equal(e.bounced_bytes, 0);
	(void)add(trace, 1 << 20, 64 * 4096 - POOL - 4096);
	(void)add_as(trace, 4 << 20, 64, TRACE_BIDIRECTIONAL);
	run_copying(trace, 64 * 4096, &e);
	assert_int_equal(e.unserved, 1);
	assert_int_equal(e.bounced_bytes, 0);
	trace_free(trace);
	trace = new_trace();
	(void)add(trace, 8192, 64);
	engine_config_init(&config);
	config.granule_shift = 12;
	config.ahead = false;
	config.quota = 64 * 4096;
	config.strategy = VIRTIO_PVDMA_S_SHARED;
	assert_int_equal(engine_run(trace, &config, &cost_default, &e), 0);
	assert_int_equal(e.waits, 1);
	assert_int_equal(e.pinned_peak, 4096);
	config.strategy = VIRTIO_PVDMA_S_ON_DEMAND;
	assert_int_equal(engine_run(trace, &config, &cost_default, &e), 0);
	assert_int_equal(e.waits, 0);
	assert_int_equal(e.bounced_bytes, 64);
	/* the pool; the hint came too late */
	assert_int_equal(e.pinned_peak, POOL);
	trace_free(trace);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_copies_not),
	};

	log_set_max_level(LOG_WARNING);
	return cmocka_run_group_tests_name("sim_copies", tests, NULL, NULL);
}
