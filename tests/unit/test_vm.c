// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/agent/vm.c, endpoints.c: pause and reset, the quota that
 * moves, what the guest hears.
 */
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

static int teardown(void **state)
{
	(void)state;
	guest_check(&g, false);
	guest_stop(&g);
	return 0;
}

/* --- configuration --- */

static void refuse(struct vm_config config)
{
	struct vm_notify notify = { 0 };
	struct iommu *iommu;
	struct vm *vm = NULL;

	assert_int_equal(null_iommu_new(0, 0, &iommu), 0);
	assert_int_equal(vm_new(&config, iommu, &notify, &vm), -EINVAL);
	assert_null(vm);
	iommu_free(iommu); /* it is still ours */
}

static void test_bad_config(void **state)
{
	struct vm_config good = {
		.quota = MB(1),
		.granule_shift = 12,
		.strategy = VIRTIO_PVDMA_S_ON_DEMAND,
		.policy = "clock",
		.num_queues = 1,
		.max_ranges = 1,
	}, bad;

	(void)state;
	bad = good;
	bad.granule_shift = 11;
	refuse(bad);
	bad = good;
	bad.granule_shift = 22;
	refuse(bad);
	bad = good;
	bad.strategy = VIRTIO_PVDMA_STRATEGIES;
	refuse(bad);
	bad = good;
	bad.policy = "nothing";
	refuse(bad);
	bad = good;
	bad.num_queues = 0;
	refuse(bad);
	bad = good;
	bad.max_ranges = 0;
	refuse(bad);
	vm_free(NULL);
}

static void test_config_space(void **state)
{
	struct virtio_pvdma_config config;

	(void)state;
	vm_config_read(g.vm, &config);
	assert_int_equal(le32toh(config.magic), VIRTIO_PVDMA_MAGIC);
	assert_int_equal(le16toh(config.version), VIRTIO_PVDMA_VERSION);
	assert_int_equal(config.granule_shift, 12);
	assert_int_equal(config.strategy, VIRTIO_PVDMA_S_ON_DEMAND);
	assert_int_equal(le16toh(config.num_queues), 2);
	assert_int_equal(le16toh(config.max_ranges), 64);
	assert_int_equal(le64toh(config.quota), MB(4));
	assert_int_equal(le32toh(config.num_endpoints), 1);
	assert_int_not_equal(config.vm_tag, 0);
	assert_int_equal(le32toh(config.vm_tag), vm_tag(g.vm));
	for (size_t i = 0; i < sizeof(config.reserved); i++)
		assert_int_equal(config.reserved[i], 0);
}

/*
 * DEV-CONF-1: The device MUST increment the counter that belongs to a field
 * after it changed the field, and MUST send a configuration change notification
 * after that.
 */
static void test_news(void **state)
{
	struct virtio_pvdma_config before, after;
	unsigned int news = g.config_news;

	(void)state;
	vm_config_read(g.vm, &before);
	assert_int_equal(vm_set_quota(g.vm, MB(8)), 0);
	vm_config_read(g.vm, &after);
	assert_int_equal(le64toh(after.quota), MB(8));
	assert_int_equal(le32toh(after.quota_news),
			 le32toh(before.quota_news) + 1);
	assert_int_equal(g.config_news, news + 1);
	assert_int_equal(vm_set_quota(g.vm, MB(8)), 0); /* no change */
	assert_int_equal(g.config_news, news + 1);
	assert_int_equal(vm_endpoint_add(g.vm, 3), 0);
	vm_config_read(g.vm, &after);
	assert_int_equal(le32toh(after.endpoint_news),
			 le32toh(before.endpoint_news) + 1);
	assert_int_equal(le32toh(after.num_endpoints), 2);
	vm_endpoint_remove(g.vm, 3);
	vm_endpoint_remove(g.vm, 3); /* harmless */
	vm_config_read(g.vm, &after);
	assert_int_equal(le32toh(after.endpoint_news),
			 le32toh(before.endpoint_news) + 2);
	assert_int_equal(le32toh(after.num_endpoints), 1);
	assert_int_equal(g.config_news, news + 3);
}

static void test_endpoints(void **state)
{
	(void)state;
	assert_int_equal(vm_endpoint_add(g.vm, 0), -EEXIST);
	for (uint32_t i = 1; i < VM_ENDPOINTS_MAX; i++)
		assert_int_equal(vm_endpoint_add(g.vm, i * 1000), 0);
	assert_int_equal(vm_endpoint_add(g.vm, 7), -ENOSPC);
	/* The device goes with its driver attached: as after DETACH. */
	assert_int_equal(guest_map(&g, 0, 8), OK);
	vm_endpoint_remove(g.vm, 0);
	assert_mapped(&g, 0, 8, false);
	assert_int_equal(guest_map(&g, 0, 8), NOENT);
	assert_int_equal(vm_endpoint_add(g.vm, 0), 0);
	assert_int_equal(guest_map(&g, 0, 8), STATE);
	/* Between others, and the last one: all that are left are found. */
	for (uint32_t i = 2; i < VM_ENDPOINTS_MAX; i += 2)
		vm_endpoint_remove(g.vm, i * 1000);
	assert_int_equal(vm_endpoint_add(g.vm, 63000), -EEXIST);
	vm_endpoint_remove(g.vm, 63000);
	assert_int_equal(vm_endpoint_add(g.vm, 61000), -EEXIST);
	assert_int_equal(vm_endpoint_add(g.vm, 63000), 0);
	assert_int_equal(vm_endpoint_add(g.vm, 63000), -EEXIST);
}

/* --- pause and reset --- */

/*
 * DEV-RESET-2: When queues run again without a new INIT (the VM was paused),
 * the device MUST go on as if nothing had happened.
 */
static void test_pause(void **state)
{
	(void)state;
	guest_hold(&g, 1);
	assert_int_equal(guest_map(&g, 0, 8), OK);
	vm_queues_stop(g.vm);
	assert_mapped(&g, 0, 8, true);
	vm_queues_start(g.vm);
	assert_mapped(&g, 0, 8, true);
	assert_int_equal(guest_map(&g, 8, 8), OK);
	assert_mapped(&g, 0, 16, true);
	assert_int_equal(guest_stats(&g).resets, 1); /* the first INIT */
}

/* DEV-RESET-1: While no queue runs, the device MUST NOT write to the table. */
static void test_stopped(void **state)
{
	(void)state;
	assert_int_equal(guest_map(&g, 0, 512), OK);
	assert_int_equal(guest_map(&g, 512, 512), OK);
	guest_touch(&g, 3);
	vm_queues_stop(g.vm);
	for (uint64_t i = 0; i < guest_granules(&g); i++)
		*guest_word(&g, i) |= htole32(VIRTIO_PVDMA_W_REFERENCED);
	assert_int_equal(vm_set_quota(g.vm, MB(1)), 0);
	guest_work(&g);
	for (uint64_t i = 0; i < 1024; i++)
		assert_int_equal(guest_look(&g, i),
				 MAPPED | VIRTIO_PVDMA_W_REFERENCED);
	/* Nor after a start, before the old driver gave a sign of life. */
	vm_queues_start(g.vm);
	guest_work(&g);
	assert_int_equal(guest_look(&g, 0), MAPPED | VIRTIO_PVDMA_W_REFERENCED);
	assert_int_equal(guest_stats(&g).mapped_bytes, MB(4));
	g.work_news = 0;
	assert_int_equal(guest_release(&g, 0, 1), OK);
	assert_int_equal(g.work_news, 1);
	guest_work(&g);
	assert_int_equal(guest_stats(&g).mapped_bytes, 0);
	assert_int_equal(guest_look(&g, 0) & MAPPED, 0);
}

/* A new driver's memory is not written to for the old one's sake. */
static void test_new_driver(void **state)
{
	(void)state;
	assert_int_equal(guest_map(&g, 0, 512), OK);
	vm_queues_stop(g.vm);
	vm_queues_start(g.vm);
	assert_int_equal(vm_set_quota(g.vm, 0), 0);
	guest_work(&g);
	assert_int_equal(guest_look(&g, 0), MAPPED);
	assert_int_equal(guest_init(&g), OK);
	guest_work(&g);
	assert_int_equal(guest_look(&g, 0), MAPPED);
	assert_false(guest_in_iommu(&g, 0));
	assert_int_equal(guest_stats(&g).resets, 2);
}

static void assert_reset(void)
{
	assert_int_equal(guest_stats(&g).mapped_bytes, 0);
	assert_int_equal(guest_stats(&g).leaves, 0);
	assert_int_equal(guest_look(&g, 0), MAPPED);
	vm_queues_start(g.vm);
	assert_int_equal(guest_map(&g, 0, 1), STATE);
}

/* DEV-RESET-1, with a device reset while the queues are stopped. */
static void test_reset_stopped(void **state)
{
	(void)state;
	assert_int_equal(guest_map(&g, 0, 8), OK);
	vm_queues_stop(g.vm);
	assert_int_equal(guest_stats(&g).mapped_bytes, KB(32));
	vm_device_reset(g.vm);
	assert_reset();
	assert_int_equal(guest_stats(&g).resets, 2);
}

/* A function reset while the guest runs is none of the VM. */
static void test_reset_running(void **state)
{
	(void)state;
	assert_int_equal(guest_map(&g, 0, 8), OK);
	vm_device_reset(g.vm);
	assert_int_equal(guest_map(&g, 8, 8), OK);
	vm_queues_stop(g.vm);
	vm_queues_start(g.vm);
	assert_int_equal(guest_map(&g, 0, 1), OK);
	assert_mapped(&g, 0, 16, true);
}

/* ... but with stopped queues and a layout that changes after it, it is. */
static void test_reset_layout(void **state)
{
	(void)state;
	assert_int_equal(guest_map(&g, 0, 8), OK);
	vm_device_reset(g.vm);
	vm_queues_stop(g.vm);
	assert_mapped(&g, 0, 8, true);
	assert_int_equal(vm_memory_remove(g.vm, &g, 0, g.size), 0);
	assert_int_equal(guest_plug(&g, &g, 0, g.size, GUEST_RW), 0);
	assert_reset();
}

/* A device that was plugged in, which its VMM resets: those that work go on. */
static void test_reset_plugged(void **state)
{
	(void)state;
	assert_int_equal(guest_map(&g, 0, 8), OK);
	assert_int_equal(vm_endpoint_add(g.vm, 1), 0);
	vm_queues_stop(g.vm);
	vm_endpoint_reset(g.vm, 1);
	assert_int_equal(
		vm_memory_add(g.vm, &g, MB(128), MB(1), g.fd, 0, GUEST_RW), 0);
	vm_queues_start(g.vm);
	assert_int_equal(guest_map(&g, 0, 1), OK);
	assert_mapped(&g, 0, 8, true);
	/* and while the VM runs, and is paused later */
	vm_endpoint_reset(g.vm, 1);
	vm_queues_stop(g.vm);
	assert_int_equal(vm_memory_remove(g.vm, &g, MB(128), MB(1)), 0);
	vm_queues_start(g.vm);
	assert_int_equal(guest_map(&g, 0, 1), OK);
	assert_mapped(&g, 0, 8, true);
	assert_int_equal(guest_stats(&g).resets, 1);
	/* with the VM all are reset, in any order */
	vm_queues_stop(g.vm);
	vm_endpoint_reset(g.vm, 1);
	vm_endpoint_reset(g.vm, 0);
	assert_reset();
}

/* ... nor does the driver of a VM that has no device yet have to begin anew. */
static void test_reset_plugged_first(void **state)
{
	(void)state;
	assert_int_equal(guest_detach(&g, 0), OK);
	vm_queues_stop(g.vm);
	assert_int_equal(vm_endpoint_add(g.vm, 1), 0);
	vm_endpoint_reset(g.vm, 1);
	vm_queues_start(g.vm);
	assert_int_equal(guest_attach(&g, 1), OK);
	/* but one that was there before has been reset with the VM */
	assert_int_equal(guest_detach(&g, 1), OK);
	vm_queues_stop(g.vm);
	vm_endpoint_reset(g.vm, 1);
	vm_queues_start(g.vm);
	assert_int_equal(guest_attach(&g, 1), STATE);
}

static void test_reset_init(void **state)
{
	(void)state;
	/* An INIT after the reset begins a new life: it is not remembered. */
	vm_device_reset(g.vm);
	guest_boot(&g);
	assert_int_equal(guest_map(&g, 0, 8), OK);
	vm_queues_stop(g.vm);
	assert_int_equal(
		vm_memory_add(g.vm, &g, MB(128), MB(1), g.fd, 0, GUEST_RW), 0);
	vm_queues_start(g.vm);
	assert_int_equal(guest_map(&g, 0, 8), OK);
	assert_int_equal(g.mapped, 0);
}

static void test_not_running(void **state)
{
	(void)state;
	vm_queues_stop(g.vm);
	assert_int_equal(guest_map(&g, 0, 1), STATE);
	assert_int_equal(guest_init(&g), STATE);
}

/* --- the quota --- */

static void test_quota_lowered(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 1024; i += 128)
		assert_int_equal(guest_map(&g, i, 128), OK);
	guest_hold(&g, 0);
	guest_hold(&g, 512);
	assert_int_equal(vm_set_quota(g.vm, KB(512)), 0);
	guest_work(&g);
	assert_int_equal(guest_stats(&g).mapped_bytes, MB(1));
	assert_int_equal(guest_stats(&g).quota, KB(512));
	assert_mapped(&g, 0, 128, true);
	assert_mapped(&g, 512, 128, true);
	/* Over it, nothing new fits. */
	assert_int_equal(guest_map(&g, 2048, 1), QUOTA);
	/* DEV-MAP-3 holds: what is mapped already is. */
	assert_int_equal(guest_map(&g, 0, 128), OK);
	guest_drop(&g, 0);
	guest_work(&g);
	assert_int_equal(guest_stats(&g).mapped_bytes, KB(512));
	guest_drop(&g, 512);
	assert_int_equal(guest_map(&g, 2048, 1), OK);
	assert_true(guest_stats(&g).mapped_bytes <= KB(512));
}

static void test_stats(void **state)
{
	struct vm_stats s;

	(void)state;
	s = guest_stats(&g);
	assert_int_equal(s.requests, 2 + guest_leaf_count(&g));
	assert_int_equal(s.leaves, guest_leaf_count(&g));
	assert_int_equal(guest_map(&g, 0, 8), OK);
	assert_int_equal(guest_map(&g, 4, 8), OK);
	assert_int_equal(guest_map(&g, 1 << 30, 8), RANGE);
	s = guest_stats(&g);
	assert_int_equal(s.map_requests, 3);
	assert_int_equal(s.map_granules, 12);
	assert_int_equal(s.map_present, 4);
	assert_int_equal(s.failed_requests, 1);
	assert_int_equal(s.failed_quota, 0);
	assert_int_equal(s.extents, 2);
	assert_int_equal(s.mapped_bytes, KB(48));
	assert_int_equal(s.mapped_peak, KB(48));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_config),
		TEST(test_config_space),
		TEST(test_news),
		TEST(test_endpoints),
		TEST(test_pause),
		TEST(test_stopped),
		TEST(test_new_driver),
		TEST(test_reset_stopped),
		TEST(test_reset_running),
		TEST(test_reset_plugged),
		TEST(test_reset_plugged_first),
		TEST(test_reset_layout),
		TEST(test_reset_init),
		TEST(test_not_running),
		TEST(test_quota_lowered),
		TEST(test_stats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
