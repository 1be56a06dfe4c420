// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/agent/reclaim.c: how mappings end, and which do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "tests/unit/support/assert_mapped.h"
#include "tests/unit/support/guest.h"

#define OK     VIRTIO_PVDMA_R_OK
#define IOERR  VIRTIO_PVDMA_R_IOERR
#define QUOTA  VIRTIO_PVDMA_R_QUOTA
#define LIMIT  VIRTIO_PVDMA_R_LIMIT
#define MAPPED VIRTIO_PVDMA_W_MAPPED

static struct guest g;

static int start(const struct guest_options *options)
{
	guest_start(&g, options);
	guest_boot(&g);
	return 0;
}

/* 64 MiB, a quota of 4 MiB, granules of 4 KiB; the driver is up. */
static int setup(void **state)
{
	(void)state;
	return start(&(struct guest_options){
		.size = MB(64),
		.quota = MB(4),
		.shift = 12,
	});
}

/* The same, and the host has only 16 mapping entries. */
static int setup_entries(void **state)
{
	(void)state;
	return start(&(struct guest_options){
		.size = MB(64),
		.quota = MB(4),
		.shift = 12,
		.entries_max = 16,
	});
}

/* The same, and the host lets only 1 MiB be locked. */
static int setup_memlock(void **state)
{
	(void)state;
	return start(&(struct guest_options){
		.size = MB(64),
		.quota = MB(4),
		.shift = 12,
		.bytes_max = MB(1),
	});
}

static int teardown(void **state)
{
	(void)state;
	guest_check(&g, true);
	guest_stop(&g);
	return 0;
}

/* --- room in the quota --- */

/*
 * DEV-EVICT-1: Before it unmaps a granule, the device MUST clear MAPPED by a
 * compare-exchange that expects a count of zero; if the exchange fails because
 * the count is not zero, it MUST leave the granule mapped.
 */
static void test_evict(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(guest_map(&g, i * 128, 128), OK);
	guest_hold(&g, 0);
	guest_hold(&g, 128 + 127);
	assert_int_equal(guest_map(&g, 4096, 128), OK);
	assert_mapped(&g, 0, 256, true);
	assert_mapped(&g, 256, 128, false);
	assert_int_equal(guest_stats(&g).evictions, 1);
	assert_int_equal(guest_stats(&g).evicted_bytes, KB(512));
	assert_int_equal(guest_stats(&g).evict_busy, 2);
	guest_drop(&g, 0);
	guest_drop(&g, 128 + 127);
}

/*
 * DEV-EVICT-2: Where several granules are unmapped as one and one of them is
 * held, the device MUST set MAPPED again in those that it cleared: they are
 * still mapped.
 */
static void test_restore(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(guest_map(&g, i * 128, 128), OK);
	/* All but two are held: what is picked does not suffice. */
	for (uint64_t i = 2; i < 8; i++)
		guest_hold(&g, i * 128 + 100);
	assert_int_equal(guest_map(&g, 4096, 300), QUOTA);
	assert_mapped(&g, 0, 1024, true);
	assert_int_equal(guest_stats(&g).evictions, 0);
	assert_int_equal(guest_map(&g, 4096, 256), OK);
	assert_mapped(&g, 0, 256, false);
	assert_mapped(&g, 256, 768, true);
	for (uint64_t i = 2; i < 8; i++)
		guest_drop(&g, i * 128 + 100);
}

/* What was used lately stays, what was not goes. */
static void test_second_chance(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(guest_map(&g, i * 128, 128), OK);
	guest_touch(&g, 5);
	guest_touch(&g, 128);
	assert_int_equal(guest_map(&g, 4096, 128), OK);
	assert_mapped(&g, 0, 256, true);
	assert_mapped(&g, 256, 128, false);
	assert_int_equal(guest_look(&g, 5), MAPPED);
	/* All were used: then one of them goes all the same. */
	for (uint64_t i = 0; i < 16384; i++)
		guest_touch(&g, i);
	assert_int_equal(guest_map(&g, 8192, 128), OK);
}

/* Victims that touch each other go in one call. */
static void test_batch(void **state)
{
	struct vm_stats before;

	(void)state;
	for (uint64_t i = 0; i < 64; i++)
		assert_int_equal(guest_map(&g, i * 16, 16), OK);
	before = guest_stats(&g);
	assert_int_equal(guest_map(&g, 4096, 512), OK);
	assert_int_equal(guest_stats(&g).evictions, before.evictions + 32);
	assert_int_equal(guest_stats(&g).iommu_unmaps, before.iommu_unmaps + 1);
	assert_int_equal(guest_stats(&g).iommu_maps, before.iommu_maps + 1);
}

/* --- limits of the host --- */

/*
 * DEV-MAP-6: The device MUST answer LIMIT when a limit of its system (mapping
 * entries, locked memory) stops it, after evicting what is idle did not help.
 */
static void test_entries(void **state)
{
	struct virtio_pvdma_range r[17];
	uint64_t entries;

	(void)state;
	for (uint64_t i = 0; i < 16; i++)
		assert_int_equal(guest_map(&g, i * 2, 1), OK);
	null_iommu_usage(g.iommu, &entries, NULL);
	assert_int_equal(entries, 16);
	assert_int_equal(guest_map(&g, 1000, 1), OK);
	assert_mapped(&g, 0, 1, false);
	for (uint64_t i = 1; i < 16; i++)
		guest_hold(&g, i * 2);
	guest_hold(&g, 1000);
	assert_int_equal(guest_map(&g, 2000, 1), LIMIT);
	assert_int_equal(guest_stats(&g).failed_limit, 1);
	guest_drop(&g, 1000);
	assert_int_equal(guest_map(&g, 2000, 1), OK);
	for (uint64_t i = 1; i < 16; i++)
		guest_drop(&g, i * 2);
	/* More pieces than there are entries: nothing of it is mapped. */
	for (uint32_t i = 0; i < 17; i++)
		r[i] = guest_range(5000 + 2 * i, 1);
	assert_int_equal(guest_ranges(&g, VIRTIO_PVDMA_T_MAP, r, 17), LIMIT);
	assert_mapped(&g, 5000, 40, false);
	assert_int_equal(guest_ranges(&g, VIRTIO_PVDMA_T_MAP, r, 16), OK);
}

/* DEV-MAP-6, for the limit that only the kernel knows. */
static void test_memlock(void **state)
{
	(void)state;
	assert_int_equal(guest_map(&g, 0, 128), OK);
	assert_int_equal(guest_map(&g, 128, 128), OK);
	assert_int_equal(guest_map(&g, 1024, 64), OK);
	assert_int_equal(guest_stats(&g).mapped_bytes, KB(512) + KB(256));
	assert_mapped(&g, 0, 128, false);
	guest_hold(&g, 128);
	guest_hold(&g, 1024);
	assert_int_equal(guest_map(&g, 2048, 128), LIMIT);
	assert_mapped(&g, 128, 128, true);
	assert_mapped(&g, 1024, 64, true);
	assert_mapped(&g, 2048, 128, false);
	assert_int_equal(guest_map(&g, 2048, 64), OK);
	guest_drop(&g, 128);
	guest_drop(&g, 1024);
	/* Larger than what could ever be locked. */
	assert_int_equal(guest_map(&g, 4096, 512), LIMIT);
}

/* An entry limit that shows itself only when it is hit. */
static void test_nospc(void **state)
{
	(void)state;
	assert_int_equal(guest_map(&g, 0, 1), OK);
	null_iommu_fail_map(g.iommu, 0, -ENOSPC, 1);
	assert_int_equal(guest_map(&g, 10, 1), OK);
	assert_mapped(&g, 0, 1, false);
	null_iommu_fail_map(g.iommu, 0, -ENOSPC, 10);
	assert_int_equal(guest_map(&g, 20, 1), LIMIT);
	assert_mapped(&g, 20, 1, false);
	null_iommu_fail_map(g.iommu, 0, -EINVAL, 1);
	assert_int_equal(guest_map(&g, 20, 1), LIMIT);
	null_iommu_fail_map(g.iommu, 0, 0, 0);
	/* A victim that the request itself needs is none: DEV-MAP-7. */
	assert_int_equal(guest_map(&g, 0, 8), OK);
	null_iommu_fail_map(g.iommu, 0, -ENOMEM, 1);
	assert_int_equal(guest_map(&g, 0, 16), LIMIT);
	assert_mapped(&g, 0, 8, true);
}

/* --- UNMAP, RELEASE --- */

/*
 * DEV-UNMAP-1: The device MUST end the mappings of all granules of an UNMAP
 * whose count is zero before it answers; the others stay as they are. So do
 * granules that share an IOMMU mapping with one that is held.
 */
static void test_unmap(void **state)
{
	(void)state;
	assert_int_equal(guest_map(&g, 0, 4), OK);
	assert_int_equal(guest_map(&g, 4, 4), OK);
	assert_int_equal(guest_map(&g, 100, 4), OK);
	guest_hold(&g, 5);
	assert_int_equal(guest_unmap(&g, 0, 1000), OK);
	assert_mapped(&g, 0, 4, false);
	assert_mapped(&g, 4, 4, true);
	assert_mapped(&g, 100, 4, false);
	guest_drop(&g, 5);
	assert_int_equal(guest_unmap(&g, 5, 1), OK);
	assert_int_equal(guest_stats(&g).mapped_bytes, 0);
	assert_int_equal(guest_stats(&g).unmaps, 3);
	assert_int_equal(guest_stats(&g).evictions, 0);
	/* Nothing there is fine, too. */
	assert_int_equal(guest_unmap(&g, 0, (1u << 30) >> 12), OK);
}

/* Neighbours go in one call. */
static void test_unmap_batch(void **state)
{
	uint64_t before;

	(void)state;
	for (uint64_t i = 0; i < 64; i++)
		assert_int_equal(guest_map(&g, i, 1), OK);
	assert_int_equal(guest_stats(&g).extents, 64);
	before = guest_stats(&g).iommu_unmaps;
	assert_int_equal(guest_unmap(&g, 0, 64), OK);
	assert_int_equal(guest_stats(&g).iommu_unmaps, before + 1);
	assert_int_equal(guest_stats(&g).extents, 0);
}

/* When the IOMMU fails to unmap, the books say what is true. */
static void test_unmap_fails(void **state)
{
	(void)state;
	assert_int_equal(guest_map(&g, 0, 4), OK);
	null_iommu_fail_unmap(g.iommu, 0, -EIO, 1);
	assert_int_equal(guest_unmap(&g, 0, 4), IOERR);
	assert_int_equal(guest_stats(&g).mapped_bytes, KB(16));
	assert_int_equal(guest_look(&g, 0), 0);
	assert_int_equal(guest_map(&g, 0, 4), OK);
	assert_mapped(&g, 0, 4, true);
	assert_int_equal(g.mapped, 0);
	assert_int_equal(guest_unmap(&g, 0, 4), OK);
	/* The same while room is made. */
	for (uint64_t i = 0; i < 1024; i += 512)
		assert_int_equal(guest_map(&g, i, 512), OK);
	null_iommu_fail_unmap(g.iommu, 0, -EIO, 1);
	assert_int_equal(guest_map(&g, 2000, 1), IOERR);
	guest_check(&g, true);
	/* ... and while a failed map is rolled back. */
	assert_int_equal(guest_unmap(&g, 0, 1024), OK);
	null_iommu_fail_map(g.iommu, 1, -EIO, 1);
	null_iommu_fail_unmap(g.iommu, 0, -EIO, 1);
	assert_int_equal(guest_map(&g, 500, 100), IOERR);
	guest_check(&g, true);
	assert_int_equal(guest_look(&g, 500), 0);
}

/*
 * DEV-RELEASE-1: The device MUST treat RELEASE as advice: it prefers these
 * granules as victims, and MUST NOT unmap one that is held.
 */
static void test_release(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(guest_map(&g, i * 256, 256), OK);
	guest_touch(&g, 512);
	assert_int_equal(guest_release(&g, 512, 1), OK);
	assert_mapped(&g, 512, 256, true);
	assert_int_equal(guest_map(&g, 5000, 256), OK);
	assert_mapped(&g, 512, 256, false);
	guest_hold(&g, 256);
	assert_int_equal(guest_release(&g, 0, 1024), OK);
	assert_int_equal(guest_map(&g, 6000, 512), OK);
	assert_mapped(&g, 256, 256, true);
	guest_drop(&g, 256);
	assert_int_equal(guest_release(&g, 0, (1u << 30) >> 12), OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_evict),
		TEST(test_restore),
		TEST(test_second_chance),
		TEST(test_batch),
		cmocka_unit_test_setup_teardown(test_entries, setup_entries,
						teardown),
		cmocka_unit_test_setup_teardown(test_memlock, setup_memlock,
						teardown),
		TEST(test_nospc),
		TEST(test_unmap),
		TEST(test_unmap_batch),
		TEST(test_unmap_fails),
		TEST(test_release),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
