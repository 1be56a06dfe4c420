// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/agent/ahead.c, around.c and price.c: what is mapped before
 * it is asked for, for which guests, and what is never given up for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "host/lib/log.h"
#include "host/lib/macros.h"
#include "tests/unit/support/guest.h"

#define OK     VIRTIO_PVDMA_R_OK
#define MAPPED VIRTIO_PVDMA_W_MAPPED
#define REF    VIRTIO_PVDMA_W_REFERENCED

#define QUOTA	MB(8)
#define WINDOW	512u /* granules: 2 MiB, the largest there is */
#define REQUEST 64u
#define LOOKS	10000 /* more than anything should take */

static struct guest g;

static int start(bool ahead)
{
	log_set_max_level(-1);
	guest_start(&g, &(struct guest_options){
				.size = MB(128),
				.quota = QUOTA,
				.shift = 12,
				.ahead = ahead,
				.enforce_usec = 1000000000,
			});
	guest_boot(&g);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return start(true);
}

static int setup_off(void **state)
{
	(void)state;
	return start(false);
}

static int teardown(void **state)
{
	(void)state;
	guest_check(&g, true);
	guest_stop(&g);
	return 0;
}

static uint64_t ahead(void)
{
	return guest_stats(&g).ahead_granules;
}

static uint64_t mapped(uint64_t first, uint64_t count)
{
	uint64_t n = 0;

	for (uint64_t i = first; i < first + count; i++) {
		assert_int_equal(guest_in_iommu(&g, i),
				 (guest_look(&g, i) & MAPPED) != 0);
		n += guest_in_iommu(&g, i);
	}
	return n;
}

static void use(uint64_t first, uint64_t count)
{
	for (uint64_t i = first; i < first + count; i++)
		guest_touch(&g, i);
}

static void miss(uint64_t first, uint32_t count)
{
	assert_int_equal(guest_map(&g, first, count), OK);
	use(first, count);
	guest_work(&g);
}

/* --- around a miss --- */

static void test_off(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 8; i++)
		miss(i * WINDOW, REQUEST);
	assert_int_equal(ahead(), 0);
	assert_int_equal(guest_stats(&g).mapped_bytes,
			 8 * (uint64_t)REQUEST * KB(4));
	assert_false(vm_look(g.vm));
}

static void test_around(void **state)
{
	uint64_t n;

	(void)state;
	miss(WINDOW + 3, REQUEST);
	n = mapped(0, 3 * (uint64_t)WINDOW);
	assert_true(n > REQUEST);
	/* around it, in its window, and the words say so */
	assert_int_equal(mapped(WINDOW, WINDOW), n);
	assert_int_equal(ahead(), n - REQUEST);
}

/* One miss takes no more than an eighth of the quota, all no more than it. */
static void test_bounded(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 32; i++) {
		uint64_t before = ahead();

		miss(i * WINDOW, REQUEST);
		assert_true(ahead() - before <= QUOTA / 8 / KB(4));
		assert_true(guest_stats(&g).mapped_bytes <= QUOTA);
	}
}

/* Windows that nobody uses are given up. */
static void test_useless(void **state)
{
	uint64_t early, late = 0, before;

	(void)state;
	for (uint64_t i = 0; i < 500; i++)
		miss(i * 37 % 50 * WINDOW + i % 8 * REQUEST, 32);
	early = ahead();
	for (uint64_t i = 500; i < 2000; i++) {
		before = ahead();
		miss(i * 37 % 50 * WINDOW + i % 8 * REQUEST, 32);
		late += ahead() - before;
	}
	assert_true(early > 0);
	assert_true(late < early);
}

/* What was asked for and is held stays, however much could be mapped ahead. */
static void test_held(void **state)
{
	const uint32_t held = (uint32_t)(QUOTA / KB(4)) - REQUEST;

	(void)state;
	for (uint64_t i = 0; i < held; i += REQUEST) {
		assert_int_equal(guest_map(&g, i, REQUEST), OK);
		for (uint64_t k = i; k < i + REQUEST; k++)
			guest_hold(&g, k);
		guest_work(&g);
	}
	for (uint64_t i = 10; i < 20; i++)
		miss(i * WINDOW, REQUEST);
	assert_int_equal(mapped(0, held), held);
}

/* --- behind a stream --- */

static void test_stream(void **state)
{
	uint64_t next = 0, misses = 0;

	(void)state;
	/* room for two windows that are not judged yet, at a quarter */
	assert_int_equal(vm_set_quota(g.vm, 2 * QUOTA), 0);
	for (uint64_t i = 0; i < 16 * (uint64_t)WINDOW; i += REQUEST) {
		if (mapped(i, REQUEST) < REQUEST)
			misses++;
		miss(i, REQUEST);
		(void)vm_look(g.vm);
		guest_work(&g);
		next = i + REQUEST;
	}
	assert_true(misses < 16);
	/* the next part is there already */
	assert_true(mapped(next, REQUEST) > 0);
	assert_true(guest_stats(&g).ahead_used > 8 * (uint64_t)WINDOW);
}

/* A guest that does nothing is not looked at for ever. */
static void test_idle(void **state)
{
	unsigned int n = 0;

	(void)state;
	miss(0, REQUEST);
	while (vm_look(g.vm)) {
		guest_work(&g);
		assert_true(++n < LOOKS);
	}
	assert_true(n > 0);
	miss(4 * (uint64_t)WINDOW, REQUEST);
	assert_true(vm_look(g.vm));
}

/* --- when not --- */

static void test_quota_lowered(void **state)
{
	uint64_t before;

	(void)state;
	assert_int_equal(guest_map(&g, 0, 512), OK);
	for (uint64_t i = 0; i < 512; i++)
		guest_hold(&g, i);
	miss(4 * (uint64_t)WINDOW, REQUEST);
	before = ahead();
	assert_int_equal(vm_set_quota(g.vm, MB(1)), 0);
	guest_work(&g);
	assert_true(guest_stats(&g).over_quota_bytes > 0);
	assert_int_not_equal(guest_map(&g, 5 * (uint64_t)WINDOW, REQUEST), OK);
	(void)vm_look(g.vm);
	guest_work(&g);
	assert_int_equal(ahead(), before);
	for (uint64_t i = 0; i < 512; i++)
		guest_drop(&g, i);
	guest_tick(&g, GUEST_LATE - 1);
}

/* A device whose driver ends its mappings itself reaches what it asked for. */
static void test_strict(void **state)
{
	(void)state;
	assert_int_equal(guest_detach(&g, 0), OK);
	assert_int_equal(guest_attach_as(&g, 0, VIRTIO_PVDMA_S_SHARED), OK);
	for (uint64_t i = 0; i < 8; i++)
		miss(i * WINDOW, REQUEST);
	assert_int_equal(ahead(), 0);
}

/* What waits when the driver goes is not mapped for the next one. */
static void test_reset(void **state)
{
	(void)state;
	assert_int_equal(guest_map(&g, 0, REQUEST), OK);
	vm_queues_stop(g.vm);
	guest_work(&g);
	assert_int_equal(ahead(), 0);
	memset(guest_word(&g, 0), 0, guest_granules(&g) * 4);
	vm_queues_start(g.vm);
	guest_boot(&g);
	guest_work(&g);
	assert_int_equal(ahead(), 0);
	assert_int_equal(guest_stats(&g).mapped_bytes, 0);
}

/* Nor for a device without a driver. */
static void test_detach(void **state)
{
	(void)state;
	miss(8 * (uint64_t)WINDOW, REQUEST);
	assert_int_equal(guest_map(&g, 0, REQUEST), OK);
	assert_int_equal(guest_detach(&g, 0), OK);
	guest_work(&g);
	(void)vm_look(g.vm);
	guest_work(&g);
	assert_int_equal(guest_stats(&g).mapped_bytes, 0);
}

/* A guest that claims to use everything gets so much done for a miss, no more. */
static void test_liar(void **state)
{
	uint64_t before;

	(void)state;
	miss(0, REQUEST);
	before = ahead();
	use(0, guest_granules(&g) / 2);
	for (unsigned int i = 0; i < 1000 && vm_look(g.vm); i++) {
		guest_work(&g);
		use(0, guest_granules(&g) / 2);
	}
	assert_false(vm_look(g.vm));
	assert_true(ahead() - before <= 16 * (uint64_t)WINDOW);
	assert_true(guest_stats(&g).mapped_bytes <= QUOTA);
}

/* Memory that goes takes what was mapped ahead in it along. */
static void test_unplug(void **state)
{
	(void)state;
	miss(0, REQUEST);
	assert_true(mapped(0, WINDOW) > REQUEST);
	assert_int_equal(vm_memory_remove(g.vm, &g, 0, g.size), 0);
	assert_int_equal(guest_stats(&g).mapped_bytes, 0);
	(void)vm_look(g.vm);
	guest_work(&g);
	assert_int_equal(guest_stats(&g).mapped_bytes, 0);
	memset(guest_word(&g, 0), 0, guest_granules(&g) * 4);
}

/* --- what it is worth --- */

static struct around around;

static int64_t worth(const struct price *price, unsigned int level, bool evicts)
{
	const struct around_offer offer = {
		.granules = (1u << level) - 1,
		.calls = 1,
		.request = 1,
		.evicts = evicts,
	};

	return around_worth(&around, price, 12, around_context(1, 1), level,
			    &offer);
}

static void test_worth(void **state)
{
	const unsigned int context = around_context(1, 1);
	struct price price;

	(void)state;
	price_init(&price);
	around_init(&around);
	/* all of it is used: more is better */
	around_learn(&around, context, 2, 4096, 4096);
	around_learn(&around, context, 5, 4096, 4096);
	assert_true(worth(&price, 5, false) > worth(&price, 2, false));
	assert_true(worth(&price, 2, false) > 0);
	/* none of it */
	around_learn(&around, context, 5, 4096, 0);
	around_learn(&around, context, 5, 4096, 0);
	around_learn(&around, context, 5, 4096, 0);
	around_learn(&around, context, 5, 4096, 0);
	around_learn(&around, context, 5, 4096, 0);
	assert_true(worth(&price, 5, false) < 0);
	/* others are not told apart by it */
	assert_true(worth(&price, 2, false) > 0);
	assert_int_not_equal(around_context(1, 1), around_context(1, 64));
	assert_int_not_equal(around_context(1, 1), around_context(2, 1));
}

/* Room that is missed again costs more than room that is not. */
static void test_regret(void **state)
{
	const unsigned int context = around_context(1, 1);
	struct price price;
	int64_t idle, missed;

	(void)state;
	price_init(&price);
	around_init(&around);
	around_learn(&around, context, 4, 4096, 3000);
	for (uint64_t i = 0; i < 1024; i += 16)
		around_evicted(&around, i, 16);
	idle = worth(&price, 4, true);
	for (uint64_t i = 0; i < 1024; i += 16)
		around_missed(&around, i, 16, 4096);
	missed = worth(&price, 4, true);
	assert_true(missed < idle);
	assert_true(idle < worth(&price, 4, false));
	/* what went long ago is not what was evicted for it */
	around_init(&around);
	for (uint64_t i = 0; i < 1024; i += 16)
		around_evicted(&around, i, 16);
	idle = worth(&price, 4, true);
	for (uint64_t i = 0; i < 16; i += 16)
		around_missed(&around, i, 16, 16);
	assert_int_equal(worth(&price, 4, true), idle);
}

static void test_price(void **state)
{
	struct price price;
	struct iommu *iommu;
	uint64_t entries, bytes;

	(void)state;
	assert_int_equal(null_iommu_new(0, 0, &iommu), 0);
	price_init(&price);
	assert_int_equal(price_measure(&price, iommu, UINT64_MAX), MB(2));
	null_iommu_usage(iommu, &entries, &bytes);
	assert_int_equal(entries, 0);
	assert_true(price.trip > 0);
	for (uint64_t size = KB(8); size <= MB(8); size += KB(4)) {
		assert_true(price_map(&price, size) >=
			    price_map(&price, size - KB(4)));
		assert_true(price_unmap(&price, size) >=
			    price_unmap(&price, size - KB(4)));
	}
	iommu_free(iommu);
}

/* Nothing above the quota is mapped; what is larger costs in proportion. */
static void test_price_within(void **state)
{
	struct price price, assumed;
	struct iommu *iommu;
	uint64_t entries, bytes;

	(void)state;
	price_init(&assumed);
	/* a backend that refuses more, which is the same */
	for (unsigned int i = 0; i < 2; i++) {
		price_init(&price);
		assert_int_equal(null_iommu_new(0, i ? 0 : KB(64), &iommu), 0);
		assert_int_equal(price_measure(&price, iommu,
					       i ? KB(127) : UINT64_MAX),
				 KB(64));
		null_iommu_usage(iommu, &entries, &bytes);
		assert_int_equal(entries, 0);
		assert_in_range(null_iommu_peak(iommu), KB(64), KB(64));
		assert_in_range(price_map(&price, MB(2)),
				price.map[4] * assumed.map[9] / assumed.map[4],
				price.map[4] * assumed.map[9] / assumed.map[4]);
		assert_true(price_unmap(&price, MB(2)) >
			    price_unmap(&price, KB(64)));
		iommu_free(iommu);
	}
	/* no quota, no measurement */
	assert_int_equal(null_iommu_new(0, 0, &iommu), 0);
	price_init(&price);
	assert_int_equal(price_measure(&price, iommu, KB(4) - 1), 0);
	assert_int_equal(null_iommu_peak(iommu), 0);
	assert_memory_equal(&price, &assumed, sizeof(price));
	iommu_free(iommu);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_off, setup_off, teardown),
		cmocka_unit_test_setup_teardown(test_around, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_useless, setup, teardown),
		cmocka_unit_test_setup_teardown(test_held, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(test_idle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_quota_lowered, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_strict, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_detach, setup, teardown),
		cmocka_unit_test_setup_teardown(test_liar, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unplug, setup, teardown),
		cmocka_unit_test(test_worth),
		cmocka_unit_test(test_regret),
		cmocka_unit_test(test_price),
		cmocka_unit_test(test_price_within),
	};

	return cmocka_run_group_tests_name("ahead", tests, NULL, NULL);
}
