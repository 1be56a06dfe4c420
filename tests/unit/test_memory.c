// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/agent/memory.c: regions, their sources, layouts that change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/agent/iommu/iommu.h"
#include "host/agent/memory.h"

#define RW   (IOMMU_READ | IOMMU_WRITE)
#define PAGE 4096ULL

struct fixture {
	struct memory *mem;
	int fd, other_fd;
	unsigned int left;	   /* regions that went */
	struct memory_region last; /* of them */
	int refuse;		   /* what the callback returns */
};

static const char a, b; /* sources */

static int leaving(const struct memory_region *region, void *userdata)
{
	struct fixture *f = userdata;

	if (f->refuse)
		return f->refuse;
	/* It must be there still, for those who hold pointers into it. */
	(void)*(volatile char *)region->vaddr;
	f->left++;
	f->last = *region;
	return 0;
}

static int setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	*state = &f;
	f.fd = memfd_create("a", MFD_CLOEXEC);
	f.other_fd = memfd_create("b", MFD_CLOEXEC);
	if (ftruncate(f.fd, 64 * PAGE) < 0 ||
	    ftruncate(f.other_fd, 64 * PAGE) < 0)
		return -1;
	return memory_new(leaving, &f, &f.mem);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	memory_free(f->mem);
	memory_free(NULL);
	(void)close(f->fd);
	(void)close(f->other_fd);
	return 0;
}

static int add(struct fixture *f, const char *source, uint64_t page,
	       uint64_t pages, uint64_t offset)
{
	return memory_add(f->mem, source, page * PAGE, pages * PAGE, f->fd,
			  offset * PAGE, RW, NULL);
}

static int drop(struct fixture *f, const char *source, uint64_t page,
		uint64_t pages)
{
	return memory_remove(f->mem, source, page * PAGE, pages * PAGE);
}

static void test_find(void **state)
{
	struct fixture *f = *state;
	const struct memory_region *region;
	char *p;

	assert_int_equal(add(f, &a, 10, 2, 0), 0);
	assert_int_equal(add(f, &a, 12, 1, 5), 0);
	assert_int_equal(add(f, &a, 20, 1, 6), 0);
	assert_int_equal(memory_size(f->mem), 4 * PAGE);
	assert_null(memory_find(f->mem, 0, false));
	region = memory_find(f->mem, 0, true);
	assert_non_null(region);
	assert_int_equal(region->gpa, 10 * PAGE);
	assert_int_equal(region->size, 2 * PAGE);
	region = memory_find(f->mem, 12 * PAGE, false);
	assert_int_equal(region->gpa, 12 * PAGE);
	region = memory_find(f->mem, 13 * PAGE, true);
	assert_int_equal(region->gpa, 20 * PAGE);
	assert_null(memory_find(f->mem, 21 * PAGE, true));
	/* Pages of the file at the offset that was said. */
	assert_int_equal(pwrite(f->fd, "x", 1, 5 * PAGE + 7), 1);
	p = memory_translate(f->mem, 12 * PAGE + 7, 1, RW);
	assert_non_null(p);
	assert_int_equal(*p, 'x');
}

static void test_translate(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(add(f, &a, 1, 1, 0), 0);
	assert_int_equal(add(f, &a, 2, 1, 1), 0);
	assert_int_equal(memory_add(f->mem, &a, 8 * PAGE, PAGE, f->fd, 2 * PAGE,
				    IOMMU_READ, NULL),
			 0);
	assert_non_null(memory_translate(f->mem, PAGE, PAGE, RW));
	/* Neighbours here need not be neighbours in this process. */
	assert_null(memory_translate(f->mem, PAGE, PAGE + 1, RW));
	assert_null(memory_translate(f->mem, PAGE - 1, 2, RW));
	assert_null(memory_translate(f->mem, PAGE, 0, RW));
	assert_null(memory_translate(f->mem, UINT64_MAX, 2, RW));
	assert_null(memory_translate(f->mem, 8 * PAGE, 1, RW));
	assert_non_null(memory_translate(f->mem, 8 * PAGE, 1, IOMMU_READ));
}

static void test_refused(void **state)
{
	struct fixture *f = *state;
	struct memory *m = f->mem;

	assert_int_equal(memory_add(m, &a, 1, PAGE, f->fd, 0, RW, NULL),
			 EINVAL);
	assert_int_equal(memory_add(m, &a, 0, 1, f->fd, 0, RW, NULL), EINVAL);
	assert_int_equal(memory_add(m, &a, 0, PAGE, f->fd, 1, RW, NULL),
			 EINVAL);
	assert_int_equal(memory_add(m, &a, 0, 0, f->fd, 0, RW, NULL), EINVAL);
	assert_int_equal(memory_add(m, &a, -PAGE, 2 * PAGE, f->fd, 0, RW, NULL),
			 EINVAL);
	assert_int_equal(memory_add(m, &a, 0, PAGE, f->fd, -PAGE, RW, NULL),
			 EINVAL);
	assert_int_equal(memory_add(m, &a, 0, 2 * PAGE, f->fd, -PAGE, RW, NULL),
			 EINVAL);
	assert_int_equal(memory_add(m, &a, 0, PAGE, f->fd, 64 * PAGE, RW, NULL),
			 EINVAL);
	assert_int_equal(memory_add(m, &a, 0, 65 * PAGE, f->fd, 0, RW, NULL),
			 EINVAL);
	assert_int_equal(memory_add(m, &a, 0, PAGE, f->fd, 0, 0, NULL), EINVAL);
	assert_int_equal(memory_add(m, &a, 0, PAGE, f->fd, 0, 8, NULL), EINVAL);
	assert_int_equal(memory_add(m, &a, 0, PAGE, -1, 0, RW, NULL), -EBADF);
	assert_int_equal(memory_size(m), 0);
	/* The last page of the address space is as good as any. */
	assert_int_equal(memory_add(m, &a, -PAGE, PAGE, f->fd, 0, RW, NULL), 0);
	assert_non_null(memory_translate(m, UINT64_MAX, 1, RW));
}

static void test_overlap(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(add(f, &a, 10, 4, 0), 0);
	assert_int_equal(add(f, &a, 13, 1, 3), EEXIST);
	assert_int_equal(add(f, &a, 8, 3, 8), EEXIST);
	assert_int_equal(add(f, &a, 0, 64, 0), EEXIST);
	assert_int_equal(add(f, &a, 10, 4, 0), EEXIST);
	assert_int_equal(f->left, 0);
}

static void test_remove(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(add(f, &a, 10, 2, 0), 0);
	assert_int_equal(add(f, &a, 12, 2, 2), 0);
	assert_int_equal(drop(f, &a, 10, 1), EINVAL);
	assert_int_equal(drop(f, &a, 11, 3), EINVAL);
	assert_int_equal(drop(f, &a, 0, 10), ENOENT);
	assert_int_equal(drop(f, &b, 10, 2), ENOENT);
	assert_int_equal(memory_remove(f->mem, &a, 0, 0), EINVAL);
	assert_int_equal(drop(f, &a, 0, 64), 0);
	assert_int_equal(f->left, 2);
	assert_int_equal(memory_size(f->mem), 0);
	assert_int_equal(drop(f, &a, 0, 64), ENOENT);
}

static void test_callback_refuses(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(add(f, &a, 10, 2, 0), 0);
	f->refuse = -EIO;
	assert_int_equal(drop(f, &a, 10, 2), -EIO);
	assert_int_equal(memory_drop(f->mem, &a), -EIO);
	assert_int_equal(memory_size(f->mem), 2 * PAGE);
	f->refuse = 0;
	assert_int_equal(memory_drop(f->mem, &a), 0);
	assert_int_equal(f->left, 1);
}

static void test_shared(void **state)
{
	const struct memory_region *region;
	struct fixture *f = *state;

	assert_int_equal(memory_add(f->mem, &a, 0, PAGE, f->fd, 0, RW, &region),
			 0);
	assert_non_null(region);
	assert_int_equal(memory_add(f->mem, &b, 0, PAGE, f->fd, 0, RW, &region),
			 0);
	assert_null(region); /* it was there */
	assert_int_equal(memory_size(f->mem), PAGE);
	assert_int_equal(drop(f, &a, 0, 1), 0);
	assert_int_equal(f->left, 0);
	assert_int_equal(drop(f, &a, 0, 1), ENOENT);
	assert_int_equal(drop(f, &b, 0, 1), 0);
	assert_int_equal(f->left, 1);
}

/* Two connections follow one change of the layout at their own pace. */
static void test_paces(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(add(f, &a, 0, 16, 0), 0);
	assert_int_equal(add(f, &b, 0, 16, 0), 0);
	/* A is ahead: it takes the old layout back, announces the new one. */
	assert_int_equal(drop(f, &a, 0, 16), 0);
	assert_int_equal(f->left, 0);
	assert_int_equal(add(f, &a, 0, 8, 0), 0);
	assert_int_equal(f->left, 1);
	assert_int_equal(f->last.size, 16 * PAGE);
	assert_int_equal(add(f, &a, 12, 4, 12), 0);
	assert_int_equal(memory_size(f->mem), 12 * PAGE);
	assert_null(memory_find(f->mem, 8 * PAGE, false));
	/* B still has the old one announced, though it is out of sight. */
	assert_int_equal(add(f, &b, 0, 8, 0), EEXIST);
	assert_int_equal(drop(f, &b, 0, 16), 0);
	assert_int_equal(f->left, 1);
	assert_int_equal(add(f, &b, 0, 8, 0), 0);
	assert_int_equal(add(f, &b, 12, 4, 12), 0);
	assert_int_equal(memory_size(f->mem), 12 * PAGE);
	assert_int_equal(memory_drop(f->mem, &a), 0);
	assert_int_equal(f->left, 1);
	assert_int_equal(memory_drop(f->mem, &b), 0);
	assert_int_equal(f->left, 3);
}

/* One lags so far that it announces what the other left behind already. */
static void test_lagging(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(add(f, &a, 0, 8, 0), 0); /* second layout */
	assert_int_equal(drop(f, &a, 0, 8), 0);
	assert_int_equal(add(f, &a, 4, 8, 4), 0); /* third */
	assert_int_equal(add(f, &b, 0, 8, 0), 0); /* b: second */
	assert_int_equal(memory_size(f->mem), 8 * PAGE);
	assert_int_equal(drop(f, &b, 0, 8), 0);
	assert_int_equal(memory_size(f->mem), 0);
	assert_int_equal(add(f, &b, 4, 8, 4), 0); /* b: third */
	assert_int_equal(memory_size(f->mem), 8 * PAGE);
	/* A announced it, too: it outlives b. */
	assert_int_equal(memory_drop(f->mem, &b), 0);
	assert_int_equal(memory_size(f->mem), 8 * PAGE);
	assert_int_equal(drop(f, &a, 4, 8), 0);
	assert_int_equal(memory_size(f->mem), 0);
}

static void test_different_file(void **state)
{
	struct fixture *f = *state;
	char *p;

	assert_int_equal(add(f, &a, 0, 1, 0), 0);
	assert_int_equal(pwrite(f->other_fd, "y", 1, 0), 1);
	assert_int_equal(
		memory_add(f->mem, &b, 0, PAGE, f->other_fd, 0, RW, NULL), 0);
	assert_int_equal(f->left, 1);
	p = memory_translate(f->mem, 0, 1, RW);
	assert_int_equal(*p, 'y');
}

static void test_many_sources(void **state)
{
	struct fixture *f = *state;
	char sources[MEMORY_SOURCES_MAX + 1];

	for (size_t i = 0; i < MEMORY_SOURCES_MAX; i++)
		assert_int_equal(add(f, &sources[i], 0, 1, 0), 0);
	assert_int_equal(add(f, &sources[MEMORY_SOURCES_MAX], 0, 1, 0),
			 -ENOSPC);
	for (size_t i = 0; i < MEMORY_SOURCES_MAX; i++)
		assert_int_equal(memory_drop(f->mem, &sources[i]), 0);
	assert_int_equal(f->left, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_find, setup, teardown),
		cmocka_unit_test_setup_teardown(test_translate, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overlap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_remove, setup, teardown),
		cmocka_unit_test_setup_teardown(test_callback_refuses, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_shared, setup, teardown),
		cmocka_unit_test_setup_teardown(test_paces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lagging, setup, teardown),
		cmocka_unit_test_setup_teardown(test_different_file, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_many_sources, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
