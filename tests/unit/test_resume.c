// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/agent/resume.c: the books of a VM against what the IOMMU says.
 * (Kills are in tests/wire/test_crash.py.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "host/agent/state.h"
#include "host/agent/vm_private.h"
#include "tests/unit/support/guest.h"

#define OK VIRTIO_PVDMA_R_OK

/* The one that was killed, as far as the other knows; and what was mapped. */
static struct guest g;
static int mapped_fd;
static struct iommu *iommu;
static struct vm *next;

static int setup(void **state)
{
	(void)state;
	guest_start(&g, &(struct guest_options){
				.size = MB(64),
				.quota = MB(4),
				.shift = 12,
				.entries_max = 1000,
			});
	mapped_fd = memfd_create("mapped", MFD_CLOEXEC);
	assert_int_equal(null_iommu_keep(g.iommu, mapped_fd), 0);
	guest_boot(&g);
	assert_int_equal(guest_map(&g, 0, 8), OK);
	assert_int_equal(guest_map(&g, 100, 8), OK);
	assert_int_equal(null_iommu_new(1000, 0, &iommu), 0);
	assert_int_equal(null_iommu_keep(iommu, mapped_fd), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vm_free(next);
	guest_stop(&g);
	close(mapped_fd);
	return 0;
}

static int resume(void)
{
	const struct vm_notify notify = { 0 };
	struct vm_config config = *vm_get_config(g.vm);

	config.state_fd = dup(state_fd(vm_state(g.vm)));
	assert_int_equal(vm_new(&config, iommu, &notify, &next), 0);
	assert_int_equal(
		vm_memory_restore(next, &g, 0, g.size, g.fd, 0, GUEST_RW), 0);
	return vm_resume(next);
}

static void assert_resumed(void)
{
	struct vm_stats stats;

	assert_int_equal(resume(), 0);
	vm_get_stats(next, &stats);
	assert_int_equal(stats.entries, 2);
	assert_int_equal(stats.mapped_bytes, KB(64));
}

static void test_agree(void **state)
{
	(void)state;
	assert_resumed();
}

static void test_one_more(void **state)
{
	const struct iommu_map map = {
		.iova = MB(32),
		.size = KB(4),
		.vaddr = g.mem,
		.prot = GUEST_RW,
	};

	(void)state;
	assert_int_equal(iommu_map(iommu, &map), 0);
	assert_int_equal(resume(), -EUCLEAN);
}

static int get_no_count(struct iommu *of, struct iommu_limits *ret)
{
	(void)of;
	*ret = (struct iommu_limits){
		.pgsizes = KB(4),
		.entries_max = UINT32_MAX,
		.entries_free = UINT32_MAX,
	};
	return 0;
}

/* As iommufd answers in VFIO's place: it has no limit. */
static void test_nobody_counts(void **state)
{
	struct iommu_ops ops = *iommu->ops;

	(void)state;
	ops.get_limits = get_no_count;
	iommu->ops = &ops;
	assert_resumed();
	/* It is used up to its end. */
	vm_free(next);
	next = NULL;
}

/* What is configuration is not taken from what may be damaged. */
static void test_damaged_shift(void **state)
{
	struct vm_root *root = state_root(vm_state(g.vm));

	(void)state;
	root->table.granule_shift = 3;
	assert_resumed();
	assert_int_equal(next->root->table.granule_shift, 12);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_agree),
		TEST(test_one_more),
		TEST(test_nobody_counts),
		TEST(test_damaged_shift),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
