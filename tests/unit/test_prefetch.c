// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/agent/prefetch.c: what drivers hint at, when it is mapped,
 * and what is never given up, or done, for a hint.
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
#define INVAL  VIRTIO_PVDMA_R_INVAL
#define STATE  VIRTIO_PVDMA_R_STATE
#define NOENT  VIRTIO_PVDMA_R_NOENT
#define MAPPED VIRTIO_PVDMA_W_MAPPED

#define PAGES 64u /* of the quota */

static struct guest g;

static void start(const struct guest_options *more)
{
	struct guest_options o = *more;

	log_set_max_level(-1);
	o.size = MB(16);
	o.quota = PAGES * KB(4);
	o.shift = 12;
	o.enforce_usec = 1000000000;
	guest_start(&g, &o);
	guest_boot(&g);
}

static int setup(void **state)
{
	(void)state;
	start(&(struct guest_options){ 0 });
	return 0;
}

static int setup_ahead(void **state)
{
	(void)state;
	start(&(struct guest_options){ .ahead = true });
	return 0;
}

static int setup_persistent(void **state)
{
	(void)state;
	start(&(struct guest_options){ .strategy = VIRTIO_PVDMA_S_PERSISTENT });
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < guest_granules(&g); i++)
		while (guest_look(&g, i) & VIRTIO_PVDMA_W_COUNT)
			guest_drop(&g, i);
	guest_check(&g, true);
	guest_stop(&g);
	return 0;
}

static bool is_mapped(uint64_t granule)
{
	bool mapped = guest_in_iommu(&g, granule);

	assert_int_equal(mapped, (guest_look(&g, granule) & MAPPED) != 0);
	return mapped;
}

static void hint(uint64_t first, uint32_t count)
{
	assert_int_equal(guest_prefetch(&g, first, count), OK);
	guest_work(&g);
}

static void fill(bool hold)
{
	for (uint64_t i = 0; i < PAGES; i++) {
		assert_int_equal(guest_map(&g, 1000 + i, 1), OK);
		if (hold)
			guest_hold(&g, 1000 + i);
	}
}

/* The answer comes first; the mapping when there is nothing else to do. */
static void test_room(void **state)
{
	unsigned int news = g.work_news;

	(void)state;
	assert_int_equal(guest_prefetch(&g, 100, 3), OK);
	assert_int_equal(g.mapped, 0);
	assert_false(is_mapped(100));
	assert_int_equal(g.work_news, news + 1);
	guest_work(&g);
	for (uint64_t i = 99; i < 104; i++)
		assert_int_equal(is_mapped(i), i >= 100 && i < 103);
	assert_int_equal(guest_stats(&g).hints, 1);
	assert_int_equal(guest_stats(&g).hinted_granules, 3);
	assert_int_equal(guest_stats(&g).iommu_maps, 1);
	/* again, and asked for: it is there already, and charged once */
	hint(100, 3);
	assert_int_equal(guest_map(&g, 100, 3), OK);
	assert_int_equal(guest_stats(&g).hinted_granules, 3);
	assert_int_equal(guest_stats(&g).mapped_bytes, 3 * KB(4));
	assert_int_equal(guest_stats(&g).hints_dropped, 0);
}

/* Others that are idle go for it, as for a MAP. */
static void test_full(void **state)
{
	(void)state;
	fill(false);
	hint(99, 2);
	assert_true(is_mapped(99));
	assert_true(is_mapped(100));
	assert_int_equal(guest_stats(&g).evictions, 2);
	assert_int_equal(guest_stats(&g).mapped_bytes, PAGES * KB(4));
}

/* What is lost each second, if @n granules are hinted at in one. */
static double loss(uint32_t n, uint8_t sample)
{
	static uint64_t now, granule = 2000;
	struct vm_curve curve;

	now += 10000 * UINT64_C(1000000);
	(void)vm_observe(g.vm, now);
	while (n--) {
		assert_int_equal(guest_prefetch_for(&g, granule++, 1, sample),
				 OK);
		guest_work(&g);
	}
	now += 1000000;
	(void)vm_observe(g.vm, now);
	vm_get_curve(g.vm, &curve);
	assert_true(curve.n > 0);
	return curve.points[0].cost_us_per_s;
}

/*
 * DEV-PREFETCH-5: What a PREFETCH stands for MUST NOT have an effect but on what
 * the device takes the VM's need to be.
 */
static void test_sample(void **state)
{
	double once, often;

	(void)state;
	(void)loss(200, 0); /* its interval is another one */
	once = loss(200, 0);
	often = loss(200, 5);
	assert_true(once > 0);
	assert_true(often > 24 * once && often < 40 * once);
	assert_int_equal(guest_stats(&g).hinted_granules, 600);
	assert_int_equal(guest_stats(&g).copies, 400 + 200 * 32);
	assert_int_equal(guest_stats(&g).mapped_bytes, PAGES * KB(4));
}

/*
 * DEV-PREFETCH-5, too: The device MUST answer INVAL where flags are above 8, or
 * not zero without VIRTIO_PVDMA_F_SAMPLE.
 */
static void test_sample_refused(void **state)
{
	(void)state;
	assert_int_equal(guest_prefetch_for(&g, 100, 1, 8), OK);
	assert_int_equal(guest_prefetch_for(&g, 100, 1, 9), INVAL);
	vm_set_features(g.vm, 1 << VIRTIO_PVDMA_F_PREFETCH);
	assert_int_equal(guest_prefetch_for(&g, 100, 1, 0), OK);
	assert_int_equal(guest_prefetch_for(&g, 100, 1, 1), INVAL);
}

/*
 * DEV-PREFETCH-1: The device MUST treat PREFETCH as advice. It MUST NOT unmap
 * for it a granule that is held [...]
 */
static void test_held(void **state)
{
	(void)state;
	fill(true);
	for (unsigned int i = 0; i < 4; i++)
		hint(100, 1);
	assert_false(is_mapped(100));
	assert_int_equal(guest_stats(&g).hints_dropped, 4);
	assert_int_equal(guest_stats(&g).evictions, 0);
	for (uint64_t i = 0; i < PAGES; i++)
		assert_true(is_mapped(1000 + i));
	guest_drop(&g, 1001);
	hint(100, 1);
	assert_true(is_mapped(100));
	assert_false(is_mapped(1001));
}

/* DEV-PREFETCH-1, too: ... nor one that DEV-PERSIST-1 protects ... */
static void test_persistent(void **state)
{
	(void)state;
	assert_int_equal(guest_detach(&g, 0), OK);
	assert_int_equal(guest_attach_as(&g, 0, VIRTIO_PVDMA_S_PERSISTENT), OK);
	fill(false);
	for (unsigned int i = 0; i < 4; i++)
		hint(100, 1);
	assert_false(is_mapped(100));
	for (uint64_t i = 0; i < PAGES; i++)
		assert_true(is_mapped(1000 + i));
}

/* DEV-PREFETCH-1, too: ... and MUST keep the quota as [...] DEV-QUOTA-3 say. */
static void test_quota_lowered(void **state)
{
	(void)state;
	fill(true);
	assert_int_equal(vm_set_quota(g.vm, 8 * KB(4)), 0);
	hint(100, 1);
	hint(100, 1);
	guest_drop(&g, 1000);
	hint(100, 1);
	assert_false(is_mapped(100));
	assert_true(guest_stats(&g).over_quota_bytes > 0);
	for (uint64_t i = 1; i < PAGES; i++)
		guest_drop(&g, 1000 + i);
	guest_tick(&g, GUEST_LATE - 1);
	hint(100, 1);
	assert_true(is_mapped(100));
	assert_true(guest_stats(&g).mapped_bytes <= 8 * KB(4));
}

/*
 * DEV-PREFETCH-2: What it maps because of a PREFETCH it MUST map as for a MAP:
 * [...] only where there is memory and a word in a registered leaf, and nothing
 * while an endpoint is attached with a strict strategy.
 */
static void test_nonsense(void **state)
{
	static const struct {
		uint64_t first;
		uint32_t count;
	} ranges[] = {
		{ MB(16) >> 12, 1 },
		{ (MB(16) >> 12) - 1, 2 },
		{ UINT64_C(1) << 51, 4 },
		{ 0, (1u << 30) >> 12 },
		{ 0, 513 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		hint(ranges[i].first, ranges[i].count);
		hint(ranges[i].first, ranges[i].count);
	}
	assert_int_equal(guest_stats(&g).mapped_bytes, 0);
	assert_int_equal(guest_stats(&g).hints_dropped, 2 * ARRAY_SIZE(ranges));
	/* more than the whole quota */
	hint(0, PAGES + 1);
	hint(0, PAGES + 1);
	assert_int_equal(guest_stats(&g).mapped_bytes, 0);
}

static void test_no_leaf(void **state)
{
	(void)state;
	assert_int_equal(guest_init(&g), OK);
	assert_int_equal(guest_leaf(&g, 0), OK);
	assert_int_equal(guest_attach(&g, 0), OK);
	hint(1023, 2);
	hint(1024, 1);
	assert_int_equal(guest_stats(&g).mapped_bytes, 0);
	hint(1023, 1);
	assert_true(is_mapped(1023));
}

/* DEV-PREFETCH-2, DEV-STRICT-1: nothing is mapped ahead for a strict driver. */
static void test_strict(void **state)
{
	(void)state;
	assert_int_equal(guest_prefetch(&g, 100, 1), OK);
	assert_int_equal(guest_detach(&g, 0), OK);
	assert_int_equal(guest_attach_as(&g, 0, VIRTIO_PVDMA_S_SHARED), OK);
	guest_work(&g);
	hint(100, 1);
	hint(100, 1);
	assert_false(is_mapped(100));
	assert_int_equal(guest_stats(&g).hinted_granules, 0);
}

/*
 * DEV-PREFETCH-3: The device MUST answer NOENT for an endpoint that does not
 * exist, and STATE for one that is not attached.
 */
static void test_endpoint(void **state)
{
	struct virtio_pvdma_range range = guest_range(100, 1);

	(void)state;
	assert_int_equal(guest_ask(&g, VIRTIO_PVDMA_T_PREFETCH, 7, &range, 1,
				   sizeof(range)),
			 NOENT);
	assert_int_equal(guest_prefetch(&g, 100, 1), OK);
	assert_int_equal(guest_detach(&g, 0), OK);
	guest_work(&g);
	assert_false(is_mapped(100));
	assert_int_equal(guest_prefetch(&g, 100, 1), STATE);
	assert_int_equal(vm_endpoint_add(g.vm, 1), 0);
	assert_int_equal(guest_attach(&g, 0), OK);
	assert_int_equal(guest_ask(&g, VIRTIO_PVDMA_T_PREFETCH, 1, &range, 1,
				   sizeof(range)),
			 STATE);
}

/* What waits when the driver goes is not mapped for the next one. */
static void test_reset(void **state)
{
	(void)state;
	assert_int_equal(guest_prefetch(&g, 100, 1), OK);
	vm_queues_stop(g.vm);
	guest_work(&g);
	vm_queues_start(g.vm);
	assert_int_equal(guest_prefetch(&g, 101, 1), OK);
	guest_boot(&g);
	guest_work(&g);
	assert_int_equal(guest_stats(&g).mapped_bytes, 0);
}

/* Memory that goes before it is mapped. */
static void test_unplug(void **state)
{
	(void)state;
	assert_int_equal(guest_prefetch(&g, 100, 1), OK);
	memset(guest_word(&g, 0), 0, guest_granules(&g) * 4);
	assert_int_equal(vm_memory_remove(g.vm, &g, 0, g.size), 0);
	guest_work(&g);
	assert_int_equal(guest_stats(&g).mapped_bytes, 0);
}

/* So many wait, and no more; the rest is dropped. */
static void test_flood(void **state)
{
	unsigned int pieces = 1;

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(guest_prefetch(&g, i * 2, 1), OK);
	while (vm_work(g.vm))
		pieces++;
	assert_true(pieces <= PREFETCH_PENDING + 1);
	assert_int_equal(guest_stats(&g).hints, 1000);
	assert_int_equal(guest_stats(&g).hints_dropped,
			 1000 - PREFETCH_PENDING);
	assert_int_equal(guest_stats(&g).hinted_granules, PREFETCH_PENDING);
	assert_true(guest_stats(&g).mapped_bytes <= PAGES * KB(4));
}

/* What the host's limits refuse is dropped. */
static void test_faults(void **state)
{
	(void)state;
	null_iommu_fail_map(g.iommu, 0, -ENOMEM, 1);
	hint(100, 2);
	assert_false(is_mapped(100));
	assert_int_equal(guest_stats(&g).hints_dropped, 1);
	hint(100, 2);
	assert_true(is_mapped(100));
}

/* With ahead=on a hint is a miss: what lies around it may be mapped, too. */
static void test_ahead(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 8; i++) {
		assert_int_equal(guest_prefetch(&g, i * 512, 1), OK);
		guest_work(&g);
		assert_true(is_mapped(i * 512));
	}
	assert_true(guest_stats(&g).ahead_granules > 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(room),
		TEST(full),
		TEST(sample),
		TEST(sample_refused),
		TEST(held),
		TEST(quota_lowered),
		TEST(nonsense),
		TEST(no_leaf),
		TEST(strict),
		TEST(endpoint),
		TEST(reset),
		TEST(unplug),
		TEST(flood),
		TEST(faults),
		cmocka_unit_test_setup_teardown(test_persistent,
						setup_persistent, teardown),
		cmocka_unit_test_setup_teardown(test_ahead, setup_ahead,
						teardown),
	};

	return cmocka_run_group_tests_name("prefetch", tests, NULL, NULL);
}
