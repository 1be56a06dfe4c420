// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Calls of the IOMMU that fail, each in its turn.
 *
 * A VM's life (what drivers ask for, a quota that moves, memory that goes and
 * comes, a reset) is played once as it should be, to count its calls of the
 * IOMMU and to note its answers. Then it is played again for each of these calls
 * and each errno that VFIO knows, with that call failing, once or from there
 * on. After each step the books are those of the IOMMU; one failed call spoils
 * one answer at most, and with a status that says so; and when the IOMMU works
 * again, the same VM gives the answers that it gave at first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "host/lib/log.h"
#include "tests/unit/support/guest.h"

#define OK    VIRTIO_PVDMA_R_OK
#define QUOTA VIRTIO_PVDMA_R_QUOTA
#define LIMIT VIRTIO_PVDMA_R_LIMIT
#define IOERR VIRTIO_PVDMA_R_IOERR

#define ALWAYS	  100000u /* times: more than a life has calls */
#define STEPS_MAX 64

/* Granules: of all memory, and of a piece of it that goes and comes back. */
#define GRANULES   2304u
#define PLUG_FIRST 1024u
#define PLUG_COUNT 1024u
#define QUOTA_MOST 64u

static struct guest g;
static uint8_t shift;
/* Bytes of the first granule of that piece that are not of it, but stay. */
static uint64_t cut;

struct life {
	unsigned int n; /* steps done */
	uint8_t answers[STEPS_MAX];
	uint64_t maps, unmaps; /* calls of the IOMMU */
};

static void note(struct life *life, uint8_t answer)
{
	assert_in_range(life->n, 0, STEPS_MAX - 1);
	life->answers[life->n++] = answer;
	guest_check(&g, true);
}

/* --- steps --- */

/*
 * DEV-MAP-1, DEV-MAP-2: after OK, all words say MAPPED; after a failure, none
 * does that did not before.
 */
static void map(struct life *life, uint64_t first, uint32_t count)
{
	bool before[512];
	uint8_t answer;

	for (uint32_t i = 0; i < count; i++)
		before[i] = guest_look(&g, first + i) & VIRTIO_PVDMA_W_MAPPED;
	answer = guest_map(&g, first, count);
	for (uint32_t i = 0; i < count; i++) {
		bool now = guest_look(&g, first + i) & VIRTIO_PVDMA_W_MAPPED;

		if (answer == OK)
			assert_true(now && guest_in_iommu(&g, first + i));
		else
			assert_true(!now || before[i]);
	}
	note(life, answer);
}

/* Two pieces, with room between them: two mappings of the IOMMU. */
static void map_two(struct life *life, uint64_t first, uint32_t count)
{
	struct virtio_pvdma_range ranges[] = {
		guest_range(first, count),
		guest_range(first + 2 * count, count),
	};

	note(life, guest_ranges(&g, VIRTIO_PVDMA_T_MAP, ranges, 2));
}

static void quota(struct life *life, uint64_t granules)
{
	int r = vm_set_quota(g.vm, granules << g.shift);

	note(life, r == 0 ? OK : IOERR);
	guest_work(&g);
	guest_check(&g, true);
}

/* Memory that a device may still reach is not given back: it is tried again. */
static void unplug(struct life *life)
{
	uint64_t at = ((uint64_t)PLUG_FIRST << g.shift) + cut;
	uint64_t size = ((uint64_t)PLUG_COUNT << g.shift) - cut;
	int r = vm_memory_remove(g.vm, &g, at, size);

	note(life, r == 0 ? OK : IOERR);
	for (uint64_t i = PLUG_FIRST + 1; r == 0 && i < PLUG_FIRST + PLUG_COUNT;
	     i++)
		assert_false(guest_in_iommu(&g, i));
	if (r == 0)
		r = guest_plug(&g, &g, at, size, GUEST_RW);
	assert_true(r == 0 || life->answers[life->n - 1] == IOERR);
	guest_check(&g, true);
}

static void reset(struct life *life)
{
	vm_queues_stop(g.vm);
	vm_device_reset(g.vm);
	guest_check(&g, false);
	memset(g.mem + guest_leaves(&g), 0, g.size - guest_leaves(&g));
	vm_queues_start(g.vm);
	note(life, guest_init(&g));
}

/* From INIT on; nothing is mapped before. */
static void live(struct life *life)
{
	struct vm_stats before = guest_stats(&g), after;

	life->n = 0;
	reset(life);
	for (uint64_t i = 0; i < guest_leaf_count(&g); i++)
		note(life, guest_leaf(&g, i));
	note(life, guest_attach(&g, 0));
	map(life, 0, 8);
	guest_hold(&g, 3);
	map_two(life, 100, 8);
	map(life, PLUG_FIRST, 16);
	map(life, 200, 48); /* evicts */
	map(life, 500, 30); /* two extents: their borders are at 2 MiB */
	note(life, guest_unmap(&g, 500, 12));
	note(life, guest_prefetch(&g, 300, 4));
	guest_work(&g);
	quota(life, 16);
	map(life, 600, 4);
	map(life, 700, 40); /* beyond the quota */
	quota(life, QUOTA_MOST);
	map(life, PLUG_FIRST + 1000, 24);
	guest_drop(&g, 3);
	unplug(life);
	map(life, PLUG_FIRST + 1000, 24);
	note(life, guest_detach(&g, 0));
	note(life, guest_attach(&g, 0));
	map_two(life, 40, 16);
	after = guest_stats(&g);
	life->maps = after.iommu_maps - before.iommu_maps;
	life->unmaps = after.iommu_unmaps - before.iommu_unmaps;
}

/* --- faults --- */

typedef void (*inject_fn)(struct iommu *iommu, unsigned int after, int error,
			  unsigned int times);

static void begin(void)
{
	uint64_t size = (uint64_t)GRANULES << shift;
	uint64_t from = ((uint64_t)PLUG_FIRST << shift) + cut;
	uint64_t to = (uint64_t)(PLUG_FIRST + PLUG_COUNT) << shift;

	guest_start(&g, &(struct guest_options){
				.size = size,
				.quota = (uint64_t)QUOTA_MOST << shift,
				.shift = shift,
				.no_memory = true,
			});
	assert_int_equal(guest_plug(&g, &g, 0, from, GUEST_RW), 0);
	assert_int_equal(guest_plug(&g, &g, from, to - from, GUEST_RW), 0);
	assert_int_equal(guest_plug(&g, &g, to, size - to, GUEST_RW), 0);
	assert_int_equal(vm_endpoint_add(g.vm, 0), 0);
	vm_set_features(g.vm, vm_features(g.vm));
	vm_queues_start(g.vm);
}

static unsigned int spoiled(const struct life *good, const struct life *life)
{
	unsigned int n = 0;

	assert_int_equal(life->n, good->n);
	for (unsigned int i = 0; i < good->n; i++) {
		uint8_t answer = life->answers[i];

		if (answer == good->answers[i])
			continue;
		assert_true(answer == IOERR || answer == LIMIT);
		n++;
	}
	return n;
}

/* True if something became of it. */
static bool try_fault(const struct life *good, inject_fn inject,
		      unsigned int at, int error, unsigned int times)
{
	struct life life;
	unsigned int n;

	begin();
	inject(g.iommu, at, error, times);
	live(&life);
	n = spoiled(good, &life);
	if (times == 1)
		assert_in_range(n, 0, 1);
	inject(g.iommu, 0, 0, 0);
	live(&life);
	assert_int_equal(spoiled(good, &life), 0);
	guest_stop(&g);
	return n > 0;
}

static void try_all(inject_fn inject, bool unmaps, const int *errors, size_t n)
{
	unsigned int seen = 0, calls;
	struct life good;

	begin();
	live(&good);
	guest_stop(&g);
	calls = (unsigned int)(unmaps ? good.unmaps : good.maps);
	log_set_max_level(LOG_CRIT); /* they are injected by the hundred */
	for (unsigned int at = 0; at < calls; at++) {
		for (size_t i = 0; i < n; i++) {
			seen += try_fault(&good, inject, at, errors[i], 1);
			seen += try_fault(&good, inject, at, errors[i], ALWAYS);
		}
	}
	log_set_max_level(LOG_INFO);
	print_message(
		"%u calls, %zu errors each; %u lives with an answer that says so\n",
		calls, n, seen);
	/* Where nothing ever fails, nothing was tried. */
	assert_true(calls >= 8 && seen >= calls);
}

/* A border of memory within a granule of 16 KiB: it takes two mappings. */
static int setup_cut(void **state)
{
	(void)state;
	shift = 14;
	cut = KB(4);
	return 0;
}

static int setup_whole(void **state)
{
	(void)state;
	shift = 12;
	cut = 0;
	return 0;
}

static void test_map_faults(void **state)
{
	static const int errors[] = { -ENOMEM, -ENOSPC, -EFAULT,
				      -EINVAL, -EEXIST, -EIO };

	(void)state;
	try_all(null_iommu_fail_map, false, errors, ARRAY_SIZE(errors));
}

static void test_unmap_faults(void **state)
{
	static const int errors[] = { -EINVAL, -ENOMEM, -EIO };

	(void)state;
	try_all(null_iommu_fail_unmap, true, errors, ARRAY_SIZE(errors));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_map_faults, setup_whole),
		cmocka_unit_test_setup(test_unmap_faults, setup_whole),
		cmocka_unit_test_setup(test_map_faults, setup_cut),
		cmocka_unit_test_setup(test_unmap_faults, setup_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
