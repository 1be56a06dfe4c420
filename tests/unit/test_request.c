// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/agent/request.c, plan.c, extent.c: requests and answers. */
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
#define UNSUPP VIRTIO_PVDMA_R_UNSUPP
#define INVAL  VIRTIO_PVDMA_R_INVAL
#define RANGE  VIRTIO_PVDMA_R_RANGE
#define NOENT  VIRTIO_PVDMA_R_NOENT
#define STATE  VIRTIO_PVDMA_R_STATE
#define QUOTA  VIRTIO_PVDMA_R_QUOTA
#define LIMIT  VIRTIO_PVDMA_R_LIMIT
#define BADMEM VIRTIO_PVDMA_R_BADMEM
#define MAPPED VIRTIO_PVDMA_W_MAPPED

static struct guest g;

/* 64 MiB, a quota of 4 MiB, granules of 4 KiB; the driver is up. */
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
	guest_check(&g, true);
	guest_stop(&g);
	return 0;
}

/* --- before and with INIT --- */

/*
 * DEV-INIT-1: The device MUST answer STATE to any other request until an INIT
 * was answered OK.
 */
static void test_before_init(void **state)
{
	struct guest fresh;

	(void)state;
	guest_start(&fresh, &(struct guest_options){
				    .size = MB(4),
				    .quota = MB(4),
				    .shift = 12,
			    });
	assert_int_equal(vm_endpoint_add(fresh.vm, 0), 0);
	vm_set_features(fresh.vm, vm_features(fresh.vm));
	vm_queues_start(fresh.vm);
	assert_int_equal(guest_leaf(&fresh, 0), STATE);
	assert_int_equal(guest_attach(&fresh, 0), STATE);
	assert_int_equal(guest_detach(&fresh, 0), STATE);
	assert_int_equal(guest_map(&fresh, 0, 1), STATE);
	assert_int_equal(guest_unmap(&fresh, 0, 1), STATE);
	assert_int_equal(guest_release(&fresh, 0, 1), STATE);
	/* A failed one does not count. */
	assert_int_equal(guest_init_at(&fresh, 9, 0, 1), UNSUPP);
	assert_int_equal(guest_leaf(&fresh, 0), STATE);
	assert_int_equal(guest_init(&fresh), OK);
	assert_int_equal(guest_leaf(&fresh, 0), OK);
	guest_stop(&fresh);
}

/* DEV-INIT-2: The device MUST answer an unknown version with UNSUPP. */
static void test_init_version(void **state)
{
	(void)state;
	assert_int_equal(guest_init_at(&g, 0, 0, GUEST_NONCE), UNSUPP);
	assert_int_equal(guest_init_at(&g, VIRTIO_PVDMA_VERSION + 1, 0,
				       GUEST_NONCE),
			 UNSUPP);
	assert_int_equal(guest_init_at(&g, 0xffff, 0, GUEST_NONCE), UNSUPP);
	assert_int_equal(guest_init(&g), OK);
}

/*
 * DEV-INIT-3: The device MUST answer BADMEM when the nonce is not there, RANGE
 * when the address is not guest memory, and INVAL when the nonce is 0 or the
 * address is not aligned.
 */
static void test_init_nonce(void **state)
{
	(void)state;
	assert_int_equal(guest_init_at(&g, 1, 0, GUEST_NONCE + 1), BADMEM);
	assert_int_equal(guest_init_at(&g, 1, 8, GUEST_NONCE), BADMEM);
	assert_int_equal(guest_init_at(&g, 1, g.size, GUEST_NONCE), RANGE);
	assert_int_equal(guest_init_at(&g, 1, -8ULL, GUEST_NONCE), RANGE);
	assert_int_equal(guest_init_at(&g, 1, 0, 0), INVAL);
	assert_int_equal(guest_init_at(&g, 1, 4, GUEST_NONCE), INVAL);
	memcpy(g.mem + g.size - 8, g.mem, 8);
	assert_int_equal(guest_init_at(&g, 1, g.size - 8, GUEST_NONCE), OK);
}

/* A refused INIT leaves the driver that is there alone. */
static void test_init_refused(void **state)
{
	(void)state;
	assert_int_equal(guest_map(&g, 0, 1), OK);
	assert_int_equal(guest_init_at(&g, 1, 0, GUEST_NONCE + 1), BADMEM);
	assert_mapped(&g, 0, 1, true);
	assert_int_equal(guest_map(&g, 1, 1), OK);
}

/*
 * DEV-INIT-4: An accepted INIT MUST forget all leaves and attachments, and end
 * all mappings that were made for requests, without writing to any leaf: the
 * memory may have new owners.
 */
static void test_init_forgets(void **state)
{
	uint32_t word;

	(void)state;
	guest_hold(&g, 5);
	assert_int_equal(guest_map(&g, 5, 100), OK);
	word = guest_look(&g, 5);
	assert_int_equal(guest_init(&g), OK);
	assert_int_equal(guest_look(&g, 5), word);
	assert_int_equal(guest_look(&g, 50), MAPPED);
	for (uint64_t i = 0; i < 200; i++)
		assert_false(guest_in_iommu(&g, i));
	assert_int_equal(guest_stats(&g).leaves, 0);
	assert_int_equal(guest_stats(&g).mapped_bytes, 0);
	assert_int_equal(guest_map(&g, 0, 1), STATE);
	assert_int_equal(guest_attach(&g, 0), OK);
	assert_int_equal(guest_map(&g, 0, 1), NOENT);
	for (uint64_t i = 0; i < guest_granules(&g); i++)
		*guest_word(&g, i) = 0;
}

/* --- features, types, lengths --- */

/*
 * DEV-FEAT-1: The device MUST answer UNMAP, RELEASE, or PREFETCH with UNSUPP
 * where its feature was not negotiated.
 */
static void test_features(void **state)
{
	(void)state;
	assert_int_equal(vm_features(g.vm),
			 1 << VIRTIO_PVDMA_F_UNMAP |
				 1 << VIRTIO_PVDMA_F_RELEASE |
				 1 << VIRTIO_PVDMA_F_PREFETCH |
				 1 << VIRTIO_PVDMA_F_SAMPLE);
	assert_int_equal(guest_map(&g, 0, 1), OK);
	vm_set_features(g.vm, 1 << VIRTIO_PVDMA_F_UNMAP);
	assert_int_equal(guest_release(&g, 0, 1), UNSUPP);
	assert_int_equal(guest_prefetch(&g, 0, 1), UNSUPP);
	assert_int_equal(guest_unmap(&g, 0, 1), OK);
	vm_set_features(g.vm, 1 << VIRTIO_PVDMA_F_RELEASE);
	assert_int_equal(guest_unmap(&g, 0, 1), UNSUPP);
	assert_int_equal(guest_release(&g, 0, 1), OK);
	vm_set_features(g.vm, 1 << VIRTIO_PVDMA_F_PREFETCH);
	assert_int_equal(guest_prefetch(&g, 0, 1), OK);
}

/* DEV-REQ-2, DEV-REQ-3 end to end; test_decode.c has them in detail. */
static void test_malformed(void **state)
{
	struct virtio_pvdma_req_head head = { .type = 0x77 };

	(void)state;
	assert_int_equal(guest_send(&g, &head, sizeof(head)), UNSUPP);
	assert_int_equal(guest_send(&g, &head, 0), INVAL);
	assert_int_equal(guest_send(&g, &head, sizeof(head) - 1), INVAL);
	head.type = VIRTIO_PVDMA_T_MAP;
	assert_int_equal(guest_send(&g, &head, sizeof(head)), INVAL);
	assert_int_equal(vm_request_max(g.vm), 8 + 64 * 16);
}

/*
 * DEV-REQ-1: The device MUST read each byte of a request once, and judge and
 * use only what it read. (The copy is the caller's; here it is only read.)
 */
static void test_copy(void **state)
{
	struct {
		struct virtio_pvdma_req_head head;
		struct virtio_pvdma_range range;
	} *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_true(page != MAP_FAILED);
	page->head.type = VIRTIO_PVDMA_T_MAP;
	page->head.count = htole16(1);
	page->range = guest_range(7, 1);
	assert_int_equal(mprotect(page, 4096, PROT_READ), 0);
	assert_int_equal(guest_send(&g, page, sizeof(*page)), OK);
	assert_mapped(&g, 7, 1, true);
	(void)munmap(page, 4096);
}

/*
 * DEV-REQ-5: The device MUST put the number of the first item that failed into
 * index.
 */
static void test_index(void **state)
{
	struct virtio_pvdma_range r[4] = {
		guest_range(0, 1),
		guest_range(10, 1),
		guest_range(guest_granules(&g), 1),
		guest_range(guest_granules(&g) + 1, 1),
	};
	struct virtio_pvdma_range many[32];
	struct virtio_pvdma_leaf leaves[3] = {
		{ 0, htole64(guest_leaves(&g)) },
		{ htole64(1), htole64(1) },
		{ htole64(2), htole64(2) },
	};

	(void)state;
	assert_int_equal(guest_ranges(&g, VIRTIO_PVDMA_T_MAP, r, 4), RANGE);
	assert_int_equal(g.index, 2);
	assert_int_equal(g.mapped, 0);
	r[1].count = 0;
	assert_int_equal(guest_ranges(&g, VIRTIO_PVDMA_T_MAP, r, 4), INVAL);
	assert_int_equal(g.index, 1);
	assert_int_equal(guest_ask(&g, VIRTIO_PVDMA_T_LEAF, 0, leaves, 3, 16),
			 INVAL);
	assert_int_equal(g.index, 1);
	/* An item after ones that are fine, and one that sorts before them. */
	r[0] = guest_range(100, 600);
	r[1] = guest_range(800, 500);
	assert_int_equal(guest_ranges(&g, VIRTIO_PVDMA_T_MAP, r, 2), QUOTA);
	assert_int_equal(g.index, 1);
	assert_int_equal(guest_map(&g, 0, 1), OK);
	assert_int_equal(g.index, 0);
	/* Many that name the same, over and over: walked over once. */
	for (unsigned int i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = guest_range(i, 200);
	assert_int_equal(guest_ranges(&g, VIRTIO_PVDMA_T_MAP, many,
				      ARRAY_SIZE(many)),
			 OK);
	many[ARRAY_SIZE(many) - 1] = guest_range(guest_granules(&g), 1);
	assert_int_equal(guest_ranges(&g, VIRTIO_PVDMA_T_MAP, many,
				      ARRAY_SIZE(many)),
			 RANGE);
	assert_int_equal(g.index, ARRAY_SIZE(many) - 1);
}

/* Not what is mapped already, where there is no room for the rest. */
static void test_index_full(void **state)
{
	const struct virtio_pvdma_range r[2] = {
		guest_range(1500, 200),
		guest_range(2000, 1),
	};

	(void)state;
	assert_int_equal(guest_map(&g, 2000, 924), OK);
	for (uint64_t i = 0; i < 924; i++)
		guest_hold(&g, 2000 + i);
	assert_int_equal(guest_ranges(&g, VIRTIO_PVDMA_T_MAP, r, 2), QUOTA);
	assert_int_equal(g.index, 0);
}

/* --- endpoints --- */

/*
 * DEV-ATTACH-1: The device MUST answer NOENT for an endpoint that it does not
 * have, and INVAL for a strategy that is not known or laxer than the VM's.
 */
static void test_attach(void **state)
{
	(void)state;
	assert_int_equal(guest_attach(&g, 1), NOENT);
	for (unsigned int s = 0; s <= 0xff; s++)
		assert_int_equal(guest_attach_as(&g, 0, (uint8_t)s),
				 s <= VIRTIO_PVDMA_S_ON_DEMAND ? OK : INVAL);
	assert_int_equal(vm_endpoint_add(g.vm, 1), 0);
	assert_int_equal(guest_attach(&g, 1), OK);
}

/*
 * DEV-ATTACH-2: The device MUST answer OK to ATTACH for an endpoint attached
 * already, and STATE to DETACH for one that is not attached.
 */
static void test_attach_again(void **state)
{
	(void)state;
	assert_int_equal(guest_attach(&g, 0), OK);
	assert_int_equal(vm_endpoint_add(g.vm, 7), 0);
	assert_int_equal(guest_detach(&g, 7), STATE);
	assert_int_equal(guest_detach(&g, 8), NOENT);
	assert_int_equal(guest_detach(&g, 0), OK);
	assert_int_equal(guest_detach(&g, 0), STATE);
}

/*
 * DEV-DETACH-1: When the last attached endpoint is detached, the device MUST
 * end all mappings made for requests, and clear MAPPED in their words.
 */
static void test_detach_last(void **state)
{
	(void)state;
	assert_int_equal(vm_endpoint_add(g.vm, 1), 0);
	assert_int_equal(guest_attach(&g, 1), OK);
	guest_hold(&g, 3);
	assert_int_equal(guest_map(&g, 3, 10), OK);
	assert_int_equal(guest_detach(&g, 0), OK);
	assert_mapped(&g, 3, 10, true);
	assert_int_equal(guest_detach(&g, 1), OK);
	assert_mapped(&g, 3, 10, false);
	assert_int_equal(guest_look(&g, 3), 1);
	guest_drop(&g, 3);
}

/* --- MAP --- */

/*
 * DEV-MAP-1: The device MUST set MAPPED only after the IOMMU maps the granule,
 * and before it answers OK.
 */
static void test_map(void **state)
{
	struct vm_stats stats;

	(void)state;
	assert_int_equal(guest_map(&g, 10, 5), OK);
	assert_int_equal(g.mapped, 5);
	assert_mapped(&g, 10, 5, true);
	assert_mapped(&g, 9, 1, false);
	assert_mapped(&g, 15, 1, false);
	stats = guest_stats(&g);
	assert_int_equal(stats.mapped_bytes, KB(20));
	assert_int_equal(stats.iommu_maps, 1); /* one mapping, not five */
	assert_int_equal(stats.map_granules, 5);
	/* When the IOMMU refuses, MAPPED stays clear. */
	null_iommu_fail_map(g.iommu, 0, -EIO, 1);
	assert_int_equal(guest_map(&g, 100, 1), IOERR);
	assert_mapped(&g, 100, 1, false);
	assert_int_equal(null_iommu_translate(g.iommu, 10 << 12, NULL) != NULL,
			 1);
}

/* Pieces of one request become as few mappings as can be. */
static void test_coalesce(void **state)
{
	struct virtio_pvdma_range r[] = {
		guest_range(40, 4), guest_range(36, 4),	 guest_range(44, 1),
		guest_range(38, 4), guest_range(700, 1),
	};

	(void)state;
	assert_int_equal(guest_ranges(&g, VIRTIO_PVDMA_T_MAP, r, 5), OK);
	assert_int_equal(g.mapped, 10);
	assert_int_equal(guest_stats(&g).extents, 2);
	assert_mapped(&g, 36, 9, true);
	assert_mapped(&g, 700, 1, true);
	/* Extents end at multiples of 2 MiB. */
	assert_int_equal(guest_map(&g, 1000, 50), OK);
	assert_int_equal(guest_stats(&g).extents, 4);
	/* What is there already splits what is new. */
	assert_int_equal(guest_map(&g, 30, 20), OK);
	assert_int_equal(g.mapped, 11);
	assert_int_equal(guest_stats(&g).extents, 6);
}

/*
 * DEV-MAP-2: MAP MUST succeed whole or fail whole: after a failure nothing is
 * mapped that was not mapped before.
 */
static void test_map_whole(void **state)
{
	struct virtio_pvdma_range r[] = {
		guest_range(0, 4),
		guest_range(10, 4),
		guest_range(20, 4),
	};
	uint64_t entries, bytes;

	(void)state;
	assert_int_equal(guest_map(&g, 11, 1), OK);
	for (unsigned int n = 0; n < 4; n++) {
		null_iommu_fail_map(g.iommu, n, -EIO, 1);
		assert_int_equal(guest_ranges(&g, VIRTIO_PVDMA_T_MAP, r, 3),
				 IOERR);
		null_iommu_usage(g.iommu, &entries, &bytes);
		assert_int_equal(entries, 1);
		assert_int_equal(bytes, KB(4));
		guest_check(&g, true);
	}
	/* Also where validation fails behind what would have worked. */
	r[2] = guest_range(guest_granules(&g) - 1, 2);
	assert_int_equal(guest_ranges(&g, VIRTIO_PVDMA_T_MAP, r, 3), RANGE);
	assert_mapped(&g, 0, 11, false);
	assert_mapped(&g, 11, 1, true);
}

/*
 * DEV-MAP-3: The device MUST answer OK for granules that are mapped already,
 * and charge them once.
 */
static void test_map_again(void **state)
{
	struct virtio_pvdma_range r[] = {
		guest_range(5, 3),
		guest_range(5, 3),
		guest_range(6, 1),
	};

	(void)state;
	assert_int_equal(guest_map(&g, 5, 2), OK);
	assert_int_equal(guest_map(&g, 5, 2), OK);
	assert_int_equal(g.mapped, 0);
	assert_int_equal(guest_stats(&g).mapped_bytes, KB(8));
	assert_int_equal(guest_ranges(&g, VIRTIO_PVDMA_T_MAP, r, 3), OK);
	assert_int_equal(g.mapped, 1);
	assert_int_equal(guest_stats(&g).mapped_bytes, KB(12));
	assert_int_equal(guest_stats(&g).map_present, 4);
}

/*
 * DEV-MAP-4: The device MUST NOT let the bytes mapped exceed the quota at any
 * instant; it answers QUOTA when there is no room and everything else is held.
 */
static void test_map_quota(void **state)
{
	uint64_t bytes;

	(void)state;
	for (uint64_t i = 0; i < 1024; i += 32)
		assert_int_equal(guest_map(&g, i, 32), OK);
	assert_int_equal(guest_stats(&g).mapped_bytes, MB(4));
	/* Full, and all idle: the next one fits, because another one goes. */
	assert_int_equal(guest_map(&g, 2000, 1), OK);
	assert_int_equal(guest_stats(&g).evictions, 1);
	/* Full, and all held. */
	for (uint64_t i = 0; i < guest_granules(&g); i++) {
		if (guest_look(&g, i) & MAPPED)
			guest_hold(&g, i);
	}
	assert_int_equal(guest_map(&g, 4000, 32), QUOTA);
	assert_int_equal(guest_map(&g, 4000, 31), OK); /* is left over */
	assert_int_equal(guest_map(&g, 8000, 32), QUOTA);
	null_iommu_usage(g.iommu, NULL, &bytes);
	assert_true(bytes <= MB(4));
	assert_true(guest_stats(&g).mapped_peak <= MB(4));
	assert_int_equal(guest_stats(&g).failed_quota, 2);
	/* More than the whole quota is refused without a look at victims. */
	assert_int_equal(guest_map(&g, 4000, 1025), QUOTA);
}

static void test_map_no_quota(void **state)
{
	(void)state;
	assert_int_equal(vm_set_quota(g.vm, 0), 0);
	assert_int_equal(guest_map(&g, 0, 1), QUOTA);
	assert_int_equal(vm_set_quota(g.vm, 4095), 0);
	assert_int_equal(guest_map(&g, 0, 1), QUOTA);
	assert_int_equal(vm_set_quota(g.vm, 4096), 0);
	assert_int_equal(guest_map(&g, 0, 1), OK);
	assert_int_equal(guest_map(&g, 9, 1), OK);
	assert_mapped(&g, 0, 1, false);
	assert_int_equal(guest_map(&g, 0, 2), QUOTA);
}

/*
 * DEV-MAP-5: The device MUST answer RANGE for a granule without guest memory,
 * NOENT for one whose leaf is not registered, NOENT for an endpoint that does
 * not exist, and STATE for one that is not attached.
 */
static void test_map_refused(void **state)
{
	struct virtio_pvdma_range range = guest_range(0, 1);
	uint64_t end = guest_granules(&g);

	(void)state;
	assert_int_equal(guest_map(&g, end, 1), RANGE);
	assert_int_equal(guest_map(&g, end - 1, 2), RANGE);
	assert_int_equal(guest_map(&g, UINT64_MAX >> 12, 1), RANGE);
	assert_int_equal(guest_map(&g, UINT64_MAX, 1), RANGE);
	assert_int_equal(guest_map(&g, 0, (1u << 30) >> 12), RANGE);
	assert_int_equal(guest_map(&g, 0, UINT32_MAX), INVAL);
	/* Memory without a leaf. */
	assert_int_equal(guest_plug(&g, &g, 0, KB(4), GUEST_RW), EEXIST);
	assert_int_equal(
		vm_memory_add(g.vm, &g, MB(4096), MB(1), g.fd, 0, GUEST_RW), 0);
	assert_int_equal(guest_map(&g, MB(4096) >> 12, 1), NOENT);
	assert_int_equal(guest_leaf_at(&g, MB(4096) >> 22, MB(4096)), OK);
	assert_int_equal(guest_map(&g, MB(4096) >> 12, 256), OK);
	assert_int_equal(guest_map(&g, MB(4096) >> 12, 257), RANGE);
	/* Endpoints. */
	assert_int_equal(guest_ask(&g, VIRTIO_PVDMA_T_MAP, 5, &range, 1,
				   sizeof(range)),
			 NOENT);
	assert_int_equal(vm_endpoint_add(g.vm, 5), 0);
	assert_int_equal(guest_ask(&g, VIRTIO_PVDMA_T_MAP, 5, &range, 1,
				   sizeof(range)),
			 STATE);
	assert_int_equal(guest_attach(&g, 5), OK);
	assert_int_equal(guest_ask(&g, VIRTIO_PVDMA_T_MAP, 5, &range, 1,
				   sizeof(range)),
			 OK);
}

/*
 * DEV-MAP-7: The device MUST NOT evict a granule of a MAP for another granule
 * of the same MAP. (The driver should hold them, but need not be honest.)
 */
static void test_map_keeps_own(void **state)
{
	struct virtio_pvdma_range r[2];

	(void)state;
	assert_int_equal(guest_map(&g, 0, 512), OK);
	assert_int_equal(guest_map(&g, 512, 512), OK);
	r[0] = guest_range(0, 1);
	r[1] = guest_range(2048, 100);
	assert_int_equal(guest_ranges(&g, VIRTIO_PVDMA_T_MAP, r, 2), OK);
	assert_mapped(&g, 0, 512, true);
	assert_mapped(&g, 512, 512, false);
	assert_mapped(&g, 2048, 100, true);
	r[1] = guest_range(4096, 513);
	assert_int_equal(guest_ranges(&g, VIRTIO_PVDMA_T_MAP, r, 2), QUOTA);
	assert_mapped(&g, 0, 512, true);
}

/*
 * DEV-TABLE-1: The device MUST NOT rely on the table for what is mapped or
 * charged: it keeps books of its own.
 */
static void test_lying_table(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 2048; i++)
		*guest_word(&g, i) = 0xffffffff;
	assert_int_equal(guest_map(&g, 0, 512), OK);
	assert_int_equal(g.mapped, 512);
	assert_int_equal(guest_stats(&g).mapped_bytes, MB(2));
	for (uint64_t i = 0; i < 2048; i++)
		*guest_word(&g, i) = 0;
	assert_int_equal(guest_map(&g, 0, 512), OK);
	assert_int_equal(g.mapped, 0);
	assert_int_equal(guest_map(&g, 512, 1024), OK);
	assert_int_equal(guest_stats(&g).mapped_bytes, MB(4));
	guest_check(&g, false);
}

/* The longest request, in the worst order. */
static void test_many_ranges(void **state)
{
	struct virtio_pvdma_range r[64];

	(void)state;
	for (uint32_t i = 0; i < 64; i++)
		r[i] = guest_range((i * 37 % 64) * 8, i % 2 ? 8 : 9);
	assert_int_equal(guest_ranges(&g, VIRTIO_PVDMA_T_MAP, r, 64), OK);
	assert_int_equal(guest_stats(&g).extents <= 2, 1);
	assert_mapped(&g, 0, 512, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_before_init),	  TEST(test_init_version),
		TEST(test_init_nonce),	  TEST(test_init_refused),
		TEST(test_init_forgets),  TEST(test_features),
		TEST(test_malformed),	  TEST(test_copy),
		TEST(test_index),	  TEST(test_index_full),
		TEST(test_attach),	  TEST(test_attach_again),
		TEST(test_detach_last),	  TEST(test_map),
		TEST(test_coalesce),	  TEST(test_map_whole),
		TEST(test_map_again),	  TEST(test_map_quota),
		TEST(test_map_no_quota),  TEST(test_map_refused),
		TEST(test_map_keeps_own), TEST(test_lying_table),
		TEST(test_many_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
