// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/agent/layout.c: memory that comes and goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "tests/unit/support/assert_mapped.h"
#include "tests/unit/support/guest.h"

#define OK     VIRTIO_PVDMA_R_OK
#define RANGE  VIRTIO_PVDMA_R_RANGE
#define NOENT  VIRTIO_PVDMA_R_NOENT
#define STATE  VIRTIO_PVDMA_R_STATE
#define QUOTA  VIRTIO_PVDMA_R_QUOTA
#define MAPPED VIRTIO_PVDMA_W_MAPPED

static struct guest g;

static int setup(void **state)
{
	(void)state;
	guest_start(&g, &(struct guest_options){
				.size = MB(64),
				.quota = MB(4),
				.shift = 12,
			});
	guest_boot(&g);
	return 0;
}

/* Granules of 64 KiB over a memory map like that of a PC: cuts at 4 KiB. */
static int setup_cut(void **state)
{
	(void)state;
	guest_start(&g, &(struct guest_options){
				.size = MB(64),
				.quota = MB(1),
				.shift = 16,
				.no_memory = true,
			});
	assert_int_equal(guest_plug(&g, &g, 0, KB(636), GUEST_RW), 0);
	assert_int_equal(guest_plug(&g, &g, KB(640), KB(8), IOMMU_READ), 0);
	assert_int_equal(guest_plug(&g, &g, MB(1), MB(63), GUEST_RW), 0);
	guest_boot(&g);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guest_check(&g, false);
	guest_stop(&g);
	return 0;
}

/* --- memory --- */

/*
 * DEV-EVICT-3: Only these end the mapping of a granule that is held: INIT,
 * device reset, DETACH of the last endpoint, removal of the memory, and the
 * death of the VM. The device MUST bound its attempts where a word changes
 * under it all the time.
 */
static void test_held(void **state)
{
	(void)state;
	assert_int_equal(
		vm_memory_add(g.vm, &g, MB(128), MB(4), g.fd, 0, GUEST_RW), 0);
	assert_int_equal(guest_leaf_at(&g, MB(128) >> 22, MB(60)), OK);
	memset(g.mem + MB(60), 0, 4096);
	guest_hold(&g, 0);
	assert_int_equal(guest_map(&g, 0, 1), OK);
	assert_int_equal(guest_map(&g, MB(128) >> 12, 8), OK);
	*(uint32_t *)(void *)(g.mem + MB(60)) |= htole32(1);
	/* These do not. */
	assert_int_equal(guest_unmap(&g, 0, (1u << 30) >> 12), OK);
	assert_int_equal(vm_set_quota(g.vm, 0), 0);
	guest_work(&g);
	assert_int_equal(vm_set_quota(g.vm, MB(4)), 0);
	for (uint64_t i = 512; i < 8192; i += 512)
		(void)guest_map(&g, i, 512);
	vm_queues_stop(g.vm);
	vm_queues_start(g.vm);
	assert_mapped(&g, 0, 1, true);
	assert_true(guest_in_iommu(&g, MB(128) >> 12));
	/* Removal does, of that memory; the word says so. */
	assert_int_equal(guest_release(&g, 0, 1), OK);
	assert_int_equal(vm_memory_remove(g.vm, &g, MB(128), MB(4)), 0);
	assert_false(guest_in_iommu(&g, MB(128) >> 12));
	assert_int_equal(*(uint32_t *)(void *)(g.mem + MB(60)), htole32(1));
	assert_mapped(&g, 0, 1, true);
	guest_drop(&g, 0);
}

/*
 * DEV-LEAF-3: ... MUST NOT use the leaf after the memory that holds it was
 * taken away.
 */
static void test_leaf_goes(void **state)
{
	(void)state;
	assert_int_equal(vm_memory_add(g.vm, &g, MB(128), MB(4), g.fd, MB(8),
				       GUEST_RW),
			 0);
	assert_int_equal(guest_leaf_at(&g, MB(128) >> 22, MB(128)), OK);
	assert_int_equal(guest_map(&g, MB(128) >> 12, 8), OK);
	assert_int_equal(vm_memory_remove(g.vm, &g, MB(128), MB(4)), 0);
	assert_int_equal(vm_memory_add(g.vm, &g, MB(128), MB(4), g.fd, MB(8),
				       GUEST_RW),
			 0);
	assert_int_equal(guest_map(&g, MB(128) >> 12, 8), NOENT);
	assert_int_equal(guest_leaf_at(&g, MB(128) >> 22, MB(9)), OK);
	assert_int_equal(guest_map(&g, MB(128) >> 12, 8), OK);
}

/* Memory that goes while nothing may be written is made up for. */
static void test_memory_goes_stopped(void **state)
{
	(void)state;
	assert_int_equal(
		vm_memory_add(g.vm, &g, MB(128), MB(4), g.fd, 0, GUEST_RW), 0);
	assert_int_equal(guest_leaf_at(&g, MB(128) >> 22, MB(60)), OK);
	memset(g.mem + MB(60), 0, 4096);
	assert_int_equal(guest_map(&g, MB(128) >> 12, 2), OK);
	assert_int_equal(guest_map(&g, 0, 2), OK);
	vm_queues_stop(g.vm);
	vm_memory_drop(g.vm, &state); /* announced nothing */
	assert_int_equal(vm_memory_remove(g.vm, &g, MB(128), MB(4)), 0);
	assert_int_equal(*(uint32_t *)(void *)(g.mem + MB(60)),
			 htole32(MAPPED));
	vm_queues_start(g.vm);
	assert_int_equal(guest_release(&g, 0, 1), OK);
	assert_int_equal(*(uint32_t *)(void *)(g.mem + MB(60)), 0);
	assert_mapped(&g, 0, 2, true);
}

static void test_memory_drop(void **state)
{
	(void)state;
	assert_int_equal(guest_plug(&g, state, 0, g.size, GUEST_RW), 0);
	assert_int_equal(guest_map(&g, 0, 4), OK);
	vm_memory_drop(g.vm, &g);
	assert_mapped(&g, 0, 4, true); /* another source has it announced */
	vm_memory_drop(g.vm, state);
	assert_int_equal(guest_stats(&g).mapped_bytes, 0);
	assert_int_equal(guest_stats(&g).leaves, 0);
	assert_int_equal(guest_map(&g, 0, 4), RANGE);
}

static void test_memory_unmap_fails(void **state)
{
	(void)state;
	assert_int_equal(guest_map(&g, 0, 4), OK);
	null_iommu_fail_unmap(g.iommu, 0, -EIO, 1);
	assert_int_equal(vm_memory_remove(g.vm, &g, 0, g.size), -EIO);
	guest_check(&g, true);
	assert_int_equal(guest_stats(&g).mapped_bytes, KB(16));
	assert_int_equal(vm_memory_remove(g.vm, &g, 0, g.size), 0);
	assert_int_equal(guest_stats(&g).mapped_bytes, 0);
}

/* --- granules that borders cut --- */

static void test_cut_map(void **state)
{
	uint32_t prot;

	(void)state;
	/* 9: up to 636 KiB. 10: read-only from 640 KiB, 8 KiB. 11: nothing. */
	assert_int_equal(guest_map(&g, 8, 3), OK);
	assert_int_equal(guest_stats(&g).mapped_bytes, KB(64 + 60 + 8));
	assert_int_equal(guest_stats(&g).extents, 3);
	assert_int_equal(ledger_pieces(g.vm->ledger), 3);
	assert_true(null_iommu_mapped(g.iommu, KB(636) - 1));
	assert_false(null_iommu_mapped(g.iommu, KB(636)));
	assert_non_null(null_iommu_translate(g.iommu, KB(640), &prot));
	assert_int_equal(prot, IOMMU_READ);
	assert_false(null_iommu_mapped(g.iommu, KB(648)));
	assert_int_equal(guest_map(&g, 11, 1), RANGE);
	assert_int_equal(guest_map(&g, 8, 4), RANGE);
	assert_int_equal(guest_map(&g, 10, 6), RANGE);
	assert_int_equal(guest_map(&g, 16, 2), OK);
	assert_int_equal(guest_unmap(&g, 0, 32), OK);
	assert_int_equal(guest_stats(&g).mapped_bytes, 0);
}

/* Two pieces in one granule; one of them goes, and comes again. */
static void test_cut_pieces(void **state)
{
	(void)state;
	assert_int_equal(guest_plug(&g, &g, KB(660), KB(4), GUEST_RW), 0);
	guest_hold(&g, 10);
	assert_int_equal(guest_map(&g, 10, 1), OK);
	assert_int_equal(guest_stats(&g).mapped_bytes, KB(12));
	assert_int_equal(ledger_pieces(g.vm->ledger), 2);
	assert_int_equal(vm_memory_remove(g.vm, &g, KB(640), KB(8)), 0);
	assert_int_equal(guest_stats(&g).mapped_bytes, KB(4));
	assert_int_equal(guest_look(&g, 10), MAPPED | 1);
	guest_check(&g, true);
	/* It is held: what comes to it is mapped at once. */
	assert_int_equal(guest_plug(&g, &g, KB(640), KB(8), IOMMU_READ), 0);
	assert_int_equal(guest_stats(&g).mapped_bytes, KB(12));
	guest_check(&g, true);
	assert_int_equal(vm_memory_remove(g.vm, &g, KB(640), KB(8)), 0);
	assert_int_equal(vm_memory_remove(g.vm, &g, KB(660), KB(4)), 0);
	assert_int_equal(guest_stats(&g).mapped_bytes, 0);
	assert_int_equal(guest_look(&g, 10), 1);
	guest_drop(&g, 10);
	/* It is idle: then the mapping ends, and the next MAP has it all. */
	assert_int_equal(guest_plug(&g, &g, KB(640), KB(8), IOMMU_READ), 0);
	assert_int_equal(guest_map(&g, 10, 1), OK);
	assert_int_equal(guest_plug(&g, &g, KB(660), KB(4), GUEST_RW), 0);
	assert_int_equal(guest_look(&g, 10), 0);
	assert_int_equal(guest_map(&g, 10, 1), OK);
	assert_int_equal(guest_stats(&g).mapped_bytes, KB(12));
}

/* Memory comes to a held granule, and there is no room for it. */
static void test_cut_no_room(void **state)
{
	(void)state;
	guest_hold(&g, 10);
	assert_int_equal(guest_map(&g, 10, 1), OK);
	assert_int_equal(vm_set_quota(g.vm, KB(8)), 0);
	assert_int_equal(guest_plug(&g, &g, KB(660), KB(4), GUEST_RW), 0);
	assert_true(null_iommu_mapped(g.iommu, KB(640)));
	assert_int_equal(guest_look(&g, 10), 1);
	assert_int_equal(vm_set_quota(g.vm, MB(1)), 0);
	assert_int_equal(guest_map(&g, 10, 1), QUOTA);
	assert_true(null_iommu_mapped(g.iommu, KB(640)));
	/* Once it is idle, it starts over. */
	guest_drop(&g, 10);
	assert_int_equal(guest_unmap(&g, 10, 1), OK);
	assert_int_equal(guest_map(&g, 10, 1), OK);
	assert_true(null_iommu_mapped(g.iommu, KB(660)));
	/* The new memory goes again: what was mapped before stays. */
	guest_hold(&g, 10);
	assert_int_equal(vm_memory_remove(g.vm, &g, KB(660), KB(4)), 0);
	assert_int_equal(guest_look(&g, 10), MAPPED | 1);
	guest_drop(&g, 10);
}

/* A region that replaces one of another source ends its mappings. */
static void test_replaced(void **state)
{
	(void)state;
	assert_int_equal(guest_map(&g, 16, 4), OK);
	assert_int_equal(
		vm_memory_add(g.vm, state, MB(1), MB(1), g.fd, 0, GUEST_RW), 0);
	assert_int_equal(guest_stats(&g).mapped_bytes, 0);
	assert_int_equal(guest_look(&g, 16), 0);
	assert_int_equal(vm_memory_remove(g.vm, &g, MB(1), MB(63)), 0);
	assert_int_equal(vm_memory_remove(g.vm, &g, MB(1), MB(63)), ENOENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_CUT(name) \
	cmocka_unit_test_setup_teardown(name, setup_cut, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_held),
		TEST(test_leaf_goes),
		TEST(test_memory_goes_stopped),
		TEST(test_memory_drop),
		TEST(test_memory_unmap_fails),
		TEST_CUT(test_cut_map),
		TEST_CUT(test_cut_pieces),
		TEST_CUT(test_cut_no_room),
		TEST_CUT(test_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
