// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/agent/iommu: one suite for all backends.
 *
 *   null        always
 *   type1       on a pretended kernel: ioctl() on two fds is answered here
 *   type1-vfio  on the real one, if the environment names a container and a
 *               group whose devices are bound to vfio-pci, such as
 *               PVDMA_TEST_CONTAINER=/dev/vfio/vfio PVDMA_TEST_GROUP=/dev/vfio/7
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/agent/iommu/iommu.h"
#include "host/agent/iommu/null.h"
#include "host/lib/macros.h"

#define PAGE 4096ULL
#define SIZE (4ULL << 20)
#define IOVA (1ULL << 30)
#define RW   (IOMMU_READ | IOMMU_WRITE)

/* --- the pretended kernel --- */

#define FAKE_MAPS 64

static struct {
	bool on;
	int container, group; /* fds */
	int api_version;
	bool type1v2, viable, group_is_set, iommu_is_set;
	int set_container_error, set_iommu_error;
	struct vfio_iommu_type1_dma_map maps[FAKE_MAPS];
	unsigned int n;
	bool no_caps;	      /* as old kernels */
	unsigned int padding; /* makes the info longer */
} fake;

static void fake_reset(void)
{
	memset(&fake, 0, sizeof(fake));
	fake.on = true;
	fake.container = memfd_create("container", MFD_CLOEXEC);
	fake.group = memfd_create("group", MFD_CLOEXEC);
	fake.api_version = VFIO_API_VERSION;
	fake.type1v2 = true;
	fake.viable = true;
}

static int fail_with(int error)
{
	errno = error;
	return -1;
}

static int fake_map(const struct vfio_iommu_type1_dma_map *map)
{
	uint64_t last = map->iova + (map->size - 1);

	if (((map->iova | map->size | map->vaddr) & (PAGE - 1)) ||
	    map->size == 0 || last < map->iova)
		return fail_with(EINVAL);
	for (unsigned int i = 0; i < fake.n; i++) {
		if (fake.maps[i].iova <= last &&
		    fake.maps[i].iova + (fake.maps[i].size - 1) >= map->iova)
			return fail_with(EEXIST);
	}
	if (fake.n == FAKE_MAPS)
		return fail_with(ENOSPC);
	if (map->iova <= 0xfeefffff && last >= 0xfee00000)
		return fail_with(EINVAL);
	fake.maps[fake.n++] = *map;
	return 0;
}

static int fake_unmap(struct vfio_iommu_type1_dma_unmap *unmap)
{
	uint64_t last = unmap->iova + (unmap->size - 1), size = 0;

	if (((unmap->iova | unmap->size) & (PAGE - 1)) || unmap->size == 0)
		return fail_with(EINVAL);
	for (unsigned int i = 0; i < fake.n; i++) {
		uint64_t first = fake.maps[i].iova;
		uint64_t end = first + (fake.maps[i].size - 1);

		if (end < unmap->iova || first > last)
			continue;
		if (first < unmap->iova || end > last)
			return fail_with(EINVAL);
	}
	for (unsigned int i = 0; i < fake.n;) {
		if (fake.maps[i].iova < unmap->iova ||
		    fake.maps[i].iova > last) {
			i++;
			continue;
		}
		size += fake.maps[i].size;
		fake.maps[i] = fake.maps[--fake.n];
	}
	unmap->size = size;
	return 0;
}

/* The struct, a hole, one capability of no interest, and the one that is. */
static int fake_info(struct vfio_iommu_type1_info *info)
{
	struct vfio_iommu_type1_info_dma_avail avail = {
		.header = { .id = VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
			    .version = 1 },
		.avail = FAKE_MAPS - fake.n,
	};
	struct vfio_info_cap_header other = { .id = 99, .version = 1 };
	uint32_t at = 64 + fake.padding, argsz = info->argsz;
	uint32_t need = at + (uint32_t)(sizeof(other) + sizeof(avail));

	if (!fake.iommu_is_set)
		return fail_with(EINVAL);
	info->flags = VFIO_IOMMU_INFO_PGSIZES;
	info->iova_pgsizes = PAGE | (2 << 20);
	if (fake.no_caps)
		return 0;
	info->flags |= VFIO_IOMMU_INFO_CAPS;
	info->argsz = need;
	if (argsz < need)
		return 0;
	info->cap_offset = at;
	other.next = at + (uint32_t)sizeof(other);
	memcpy((char *)info + at, &other, sizeof(other));
	memcpy((char *)info + other.next, &avail, sizeof(avail));
	return 0;
}

static int fake_container(unsigned long request, void *arg)
{
	switch (request) {
	case VFIO_GET_API_VERSION:
		return fake.api_version;
	case VFIO_CHECK_EXTENSION:
		return (uintptr_t)arg == VFIO_TYPE1v2_IOMMU && fake.type1v2;
	case VFIO_SET_IOMMU:
		if (fake.set_iommu_error)
			return fail_with(fake.set_iommu_error);
		if (!fake.group_is_set || fake.iommu_is_set)
			return fail_with(EINVAL);
		fake.iommu_is_set = true;
		return 0;
	case VFIO_IOMMU_GET_INFO:
		return fake_info(arg);
	case VFIO_IOMMU_MAP_DMA:
		return fake_map(arg);
	case VFIO_IOMMU_UNMAP_DMA:
		return fake_unmap(arg);
	default:
		return fail_with(ENOTTY);
	}
}

static int fake_group(unsigned long request, void *arg)
{
	struct vfio_group_status *status = arg;

	switch (request) {
	case VFIO_GROUP_GET_STATUS:
		status->flags = fake.viable ? VFIO_GROUP_FLAGS_VIABLE : 0;
		return 0;
	case VFIO_GROUP_SET_CONTAINER:
		if (fake.set_container_error)
			return fail_with(fake.set_container_error);
		if (*(int *)arg != fake.container)
			return fail_with(EBADF);
		fake.group_is_set = true;
		return 0;
	case VFIO_GROUP_UNSET_CONTAINER:
		fake.group_is_set = false;
		return 0;
	default:
		return fail_with(ENOTTY);
	}
}

/* Takes the place of the C library's. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (fake.on && fd == fake.container)
		return fake_container(request, arg);
	if (fake.on && fd == fake.group)
		return fake_group(request, arg);
	return (int)syscall(SYS_ioctl, fd, request, arg);
}

/* --- the backends --- */

struct fixture {
	struct iommu *iommu;
	uint8_t *mem; /* SIZE bytes */
	int group;    /* to be closed */
};

enum kind {
	KIND_NULL,
	KIND_FAKE,
	KIND_VFIO,
};

static int start_vfio(struct fixture *f)
{
	const char *container = getenv("PVDMA_TEST_CONTAINER");
	const char *group = getenv("PVDMA_TEST_GROUP");
	int fd;

	if (!container || !group) {
		print_message(
			"PVDMA_TEST_CONTAINER and PVDMA_TEST_GROUP name no VFIO container and group\n");
		return 0;
	}
	fd = open(container, O_RDWR | O_CLOEXEC);
	f->group = open(group, O_RDWR | O_CLOEXEC);
	if (fd < 0 || f->group < 0) {
		print_error("cannot open %s or %s: %s\n", container, group,
			    strerror(errno));
		return -1;
	}
	if (type1_new(fd, &f->iommu) < 0)
		return -1;
	return type1_add_group(f->iommu, f->group, group);
}

static int start(void **state, enum kind kind)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	*state = f;
	f->group = -EBADF;
	f->mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (f->mem == MAP_FAILED)
		return -1;
	if (kind == KIND_NULL)
		return null_iommu_new(FAKE_MAPS, 0, &f->iommu);
	if (kind == KIND_VFIO)
		return start_vfio(f);
	fake_reset();
	f->group = fake.group;
	if (type1_new(fake.container, &f->iommu) < 0)
		return -1;
	return type1_add_group(f->iommu, fake.group, "7");
}

static int start_null(void **state)
{
	return start(state, KIND_NULL);
}

static int start_fake(void **state)
{
	return start(state, KIND_FAKE);
}

static int start_real(void **state)
{
	return start(state, KIND_VFIO);
}

static int stop(void **state)
{
	struct fixture *f = *state;

	iommu_free(f->iommu);
	iommu_free(NULL);
	if (f->group >= 0)
		(void)close(f->group);
	(void)munmap(f->mem, SIZE);
	free(f);
	memset(&fake, 0, sizeof(fake));
	return 0;
}

static struct fixture *fixture(void **state)
{
	struct fixture *f = *state;

	if (!f->iommu)
		skip();
	return f;
}

/* --- the suite --- */

static int map_as(struct fixture *f, uint64_t iova, uint64_t offset,
		  uint64_t size, uint32_t prot)
{
	struct iommu_map map = {
		.iova = iova,
		.size = size,
		.vaddr = f->mem + offset,
		.prot = prot,
	};

	return iommu_map(f->iommu, &map);
}

static int map(struct fixture *f, uint64_t page, uint64_t pages)
{
	return map_as(f, IOVA + page * PAGE, page * PAGE, pages * PAGE, RW);
}

static uint64_t unmap(struct fixture *f, uint64_t page, uint64_t pages)
{
	uint64_t size = 12345;

	assert_int_equal(iommu_unmap(f->iommu, IOVA + page * PAGE, pages * PAGE,
				     &size),
			 0);
	return size / PAGE;
}

static void suite_map(void **state)
{
	struct fixture *f = fixture(state);

	assert_int_equal(map(f, 0, 1), 0);
	assert_int_equal(map(f, 1, 15), 0);
	assert_int_equal(map(f, 512, 512), 0);
	assert_int_equal(unmap(f, 0, 1), 1);
	assert_int_equal(map(f, 0, 1), 0);
	assert_int_equal(unmap(f, 0, 1024), 528);
	assert_int_equal(unmap(f, 0, 1024), 0);
	assert_int_equal(map_as(f, IOVA, 0, PAGE, IOMMU_READ), 0);
	assert_int_equal(iommu_unmap(f->iommu, IOVA, PAGE, NULL), 0);
	assert_int_equal(map_as(f, IOVA, 0, PAGE, IOMMU_WRITE), 0);
	assert_int_equal(unmap(f, 0, 1), 1);
	/* The same memory may be mapped at two places. */
	assert_int_equal(map_as(f, IOVA, 0, PAGE, RW), 0);
	assert_int_equal(map_as(f, IOVA + PAGE, 0, PAGE, RW), 0);
	assert_int_equal(unmap(f, 0, 2), 2);
}

static void suite_refused(void **state)
{
	struct fixture *f = fixture(state);

	assert_int_equal(map_as(f, IOVA + 1, 0, PAGE, RW), -EINVAL);
	assert_int_equal(map_as(f, IOVA, 0, PAGE + 1, RW), -EINVAL);
	assert_int_equal(map_as(f, IOVA, 1, PAGE, RW), -EINVAL);
	assert_int_equal(map_as(f, IOVA, 0, 0, RW), -EINVAL);
	assert_int_equal(map_as(f, IOVA, 0, PAGE, 0), -EINVAL);
	assert_int_equal(map_as(f, IOVA, 0, PAGE, 4), -EINVAL);
	assert_int_equal(map_as(f, -PAGE, 0, 2 * PAGE, RW), -EINVAL);
	/* Where interrupts go. */
	assert_int_equal(map_as(f, 0xfee00000, 0, PAGE, RW), -EINVAL);
	assert_int_equal(iommu_unmap(f->iommu, IOVA + 1, PAGE, NULL), -EINVAL);
	assert_int_equal(iommu_unmap(f->iommu, IOVA, 0, NULL), -EINVAL);
	assert_int_equal(iommu_unmap(f->iommu, -PAGE, 2 * PAGE, NULL), -EINVAL);
	assert_int_equal(unmap(f, 0, 1024), 0);
}

static void suite_overlap(void **state)
{
	struct fixture *f = fixture(state);

	assert_int_equal(map(f, 4, 4), 0);
	assert_int_equal(map(f, 4, 4), -EEXIST);
	assert_int_equal(map(f, 7, 1), -EEXIST);
	assert_int_equal(map(f, 0, 5), -EEXIST);
	assert_int_equal(map(f, 0, 16), -EEXIST);
	assert_int_equal(map(f, 0, 4), 0);
	assert_int_equal(map(f, 8, 1), 0);
	assert_int_equal(unmap(f, 0, 16), 9);
}

/* Only whole mappings can be unmapped; then nothing changed. */
static void suite_cut(void **state)
{
	struct fixture *f = fixture(state);

	assert_int_equal(map(f, 4, 4), 0);
	assert_int_equal(map(f, 0, 2), 0);
	assert_int_equal(iommu_unmap(f->iommu, IOVA + 4 * PAGE, PAGE, NULL),
			 -EINVAL);
	assert_int_equal(iommu_unmap(f->iommu, IOVA, 6 * PAGE, NULL), -EINVAL);
	assert_int_equal(iommu_unmap(f->iommu, IOVA + 7 * PAGE, 2 * PAGE, NULL),
			 -EINVAL);
	assert_int_equal(map(f, 5, 1), -EEXIST);
	assert_int_equal(map(f, 1, 1), -EEXIST);
	assert_int_equal(unmap(f, 0, 8), 6);
}

static void suite_limits(void **state)
{
	struct fixture *f = fixture(state);
	struct iommu_limits limits;
	uint64_t before;

	assert_int_equal(iommu_get_limits(f->iommu, &limits), 0);
	assert_true(limits.pgsizes & PAGE);
	assert_true(limits.entries_max >= limits.entries_free);
	before = limits.entries_free;
	assert_int_equal(map(f, 0, 4), 0);
	assert_int_equal(map(f, 8, 4), 0);
	assert_int_equal(iommu_get_limits(f->iommu, &limits), 0);
	if (before != IOMMU_ENTRIES_UNKNOWN)
		assert_int_equal(limits.entries_free, before - 2);
	assert_int_equal(unmap(f, 0, 16), 8);
	assert_int_equal(iommu_get_limits(f->iommu, &limits), 0);
	assert_int_equal(limits.entries_free, before);
}

/* Up to the limit, or as far as memory for this test goes. */
static void suite_entries(void **state)
{
	struct fixture *f = fixture(state);
	struct iommu_limits limits;
	uint64_t n;

	assert_int_equal(iommu_get_limits(f->iommu, &limits), 0);
	if (limits.entries_max > SIZE / PAGE) {
		print_message(
			"%llu mapping entries are more than this test uses up\n",
			(unsigned long long)limits.entries_max);
		skip();
	}
	n = limits.entries_max;
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(map(f, i, 1), 0);
	assert_int_equal(map(f, n, 1), -ENOSPC);
	assert_int_equal(unmap(f, 0, 1), 1);
	assert_int_equal(map(f, n, 1), 0);
	assert_int_equal(unmap(f, 0, n + 1), n);
}

/* --- what only one of them has --- */

static void test_null_bytes(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	f.mem = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(null_iommu_new(0, 4 * PAGE, &f.iommu), 0);
	assert_int_equal(map(&f, 0, 5), -ENOMEM);
	assert_int_equal(map(&f, 0, 3), 0);
	assert_int_equal(map(&f, 3, 2), -ENOMEM);
	assert_int_equal(map(&f, 3, 1), 0);
	assert_int_equal(unmap(&f, 0, 4), 4);
	iommu_free(f.iommu);
	(void)munmap(f.mem, SIZE);
}

static void test_null_questions(void **state)
{
	struct fixture *f = *state;
	uint64_t entries, bytes;
	uint32_t prot;

	assert_int_equal(map_as(f, IOVA, PAGE, 2 * PAGE, IOMMU_READ), 0);
	assert_true(null_iommu_mapped(f->iommu, IOVA));
	assert_true(null_iommu_mapped(f->iommu, IOVA + 2 * PAGE - 1));
	assert_false(null_iommu_mapped(f->iommu, IOVA - 1));
	assert_false(null_iommu_mapped(f->iommu, IOVA + 2 * PAGE));
	assert_ptr_equal(null_iommu_translate(f->iommu, IOVA + 5, &prot),
			 f->mem + PAGE + 5);
	assert_int_equal(prot, IOMMU_READ);
	null_iommu_usage(f->iommu, &entries, &bytes);
	assert_int_equal(entries, 1);
	assert_int_equal(bytes, 2 * PAGE);
	null_iommu_fail_map(f->iommu, 1, -EIO, 2);
	assert_int_equal(map(f, 10, 1), 0);
	assert_int_equal(map(f, 11, 1), -EIO);
	assert_int_equal(map(f, 11, 1), -EIO);
	assert_int_equal(map(f, 11, 1), 0);
	null_iommu_fail_unmap(f->iommu, 0, -EIO, 1);
	assert_int_equal(iommu_unmap(f->iommu, IOVA, 16 * PAGE, NULL), -EIO);
	assert_int_equal(unmap(f, 0, 16), 4);
}

static void test_type1_refused(void **state)
{
	struct iommu *iommu = NULL;
	struct iommu_limits limits;

	(void)state;
	assert_int_equal(type1_new(-1, &iommu), -EBADF);
	fake_reset();
	fake.api_version = 7;
	assert_int_equal(type1_new(fake.container, &iommu), -EPROTO);
	fake.api_version = VFIO_API_VERSION;
	fake.type1v2 = false;
	assert_int_equal(type1_new(fake.container, &iommu), -EOPNOTSUPP);
	fake.type1v2 = true;
	assert_int_equal(type1_new(fake.container, &iommu), 0);
	/* No group, no limits known. */
	assert_int_equal(iommu_get_limits(iommu, &limits), 0);
	assert_int_equal(limits.pgsizes, 0);
	assert_int_equal(limits.entries_max, IOMMU_ENTRIES_UNKNOWN);
	fake.viable = false;
	assert_int_equal(type1_add_group(iommu, fake.group, "7"), -EPERM);
	fake.viable = true;
	fake.set_container_error = EBUSY;
	assert_int_equal(type1_add_group(iommu, fake.group, "7"), -EBUSY);
	fake.set_container_error = EINVAL;
	assert_int_equal(type1_add_group(iommu, fake.group, "7"), -EINVAL);
	fake.set_container_error = 0;
	fake.set_iommu_error = ENODEV;
	assert_int_equal(type1_add_group(iommu, fake.group, "7"), -ENODEV);
	assert_false(fake.group_is_set);
	fake.set_iommu_error = 0;
	assert_int_equal(type1_add_group(iommu, fake.group, "7"), 0);
	/* A second group finds the IOMMU selected. */
	assert_int_equal(type1_add_group(iommu, fake.group, "8"), 0);
	assert_int_equal(type1_add_group(iommu, -1, "9"), -EBADF);
	iommu_free(iommu);
	(void)close(fake.group);
	memset(&fake, 0, sizeof(fake));
	assert_int_equal(null_iommu_new(0, 0, &iommu), 0);
	assert_int_equal(type1_add_group(iommu, -1, "7"), -EINVAL);
	iommu_free(iommu);
}

static void test_type1_info(void **state)
{
	struct fixture *f = *state;
	struct iommu_limits limits;

	/* Longer than what is asked with at first. */
	fake.padding = 5000;
	assert_int_equal(iommu_get_limits(f->iommu, &limits), 0);
	assert_int_equal(limits.entries_free, FAKE_MAPS);
	assert_int_equal(limits.entries_max, FAKE_MAPS);
	assert_int_equal(limits.pgsizes, PAGE | (2 << 20));
	fake.no_caps = true;
	assert_int_equal(iommu_get_limits(f->iommu, &limits), 0);
	assert_int_equal(limits.entries_free, IOMMU_ENTRIES_UNKNOWN);
}

#define SUITE(setup, kind)                                              \
	{ kind ": map and unmap", suite_map, setup, stop, NULL },       \
		{ kind ": refused", suite_refused, setup, stop, NULL }, \
		{ kind ": overlap", suite_overlap, setup, stop, NULL }, \
		{ kind ": cut", suite_cut, setup, stop, NULL },         \
		{ kind ": limits", suite_limits, setup, stop, NULL },   \
	{                                                               \
		kind ": entries", suite_entries, setup, stop, NULL      \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SUITE(start_null, "null"),
		SUITE(start_fake, "type1"),
		SUITE(start_real, "type1-vfio"),
		cmocka_unit_test(test_null_bytes),
		cmocka_unit_test_setup_teardown(test_null_questions, start_null,
						stop),
		cmocka_unit_test(test_type1_refused),
		cmocka_unit_test_setup_teardown(test_type1_info, start_fake,
						stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
