// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/lib/cleanup.h: who closes and frees what, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "cleanup.h"

static int open_null(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void test_close_fd(void **state)
{
	int fd = open_null();

	(void)state;
	errno = ENOANO;
	assert_int_equal(close_fd(fd), -EBADF);
	assert_int_equal(errno, ENOANO);
	assert_false(is_open(fd));
	errno = ENOANO;
	assert_int_equal(close_fd(-EBADF), -EBADF);
	assert_int_equal(close_fd(-1), -EBADF);
	assert_int_equal(errno, ENOANO);
}

static void test_close_fds(void **state)
{
	int fds[] = { open_null(), -EBADF, open_null() };
	int first = fds[0], last = fds[2];

	(void)state;
	close_fds(fds, 3);
	assert_false(is_open(first));
	assert_false(is_open(last));
	for (int i = 0; i < 3; i++)
		assert_int_equal(fds[i], -EBADF);
	close_fds(NULL, 0);
}

/* Opens a descriptor and lets go of it, handing it on if @keep. */
static int scope_fd(bool keep, int *ret_number)
{
	_cleanup_close_ int fd = open_null();

	*ret_number = fd;
	if (keep)
		return steal_fd(&fd);
	return -EBADF;
}

static void test_scope_fd(void **state)
{
	int fd, number;

	(void)state;
	fd = scope_fd(false, &number);
	assert_int_equal(fd, -EBADF);
	assert_false(is_open(number));
	fd = scope_fd(true, &number);
	assert_int_equal(fd, number);
	assert_true(is_open(fd));
	close_fd(fd);
}

/* The leak checker and the address sanitizer judge these two. */
static char *scope_ptr(bool keep)
{
	_cleanup_free_ char *p = malloc(16);

	assert_non_null(p);
	if (keep)
		return steal_ptr(p);
	return NULL;
}

static void test_scope_ptr(void **state)
{
	char *p;

	(void)state;
	assert_null(scope_ptr(false));
	p = scope_ptr(true);
	assert_non_null(p);
	p[15] = 'x';
	free(p);
}

static void test_scope_file(void **state)
{
	int fd;

	(void)state;
	{
		_cleanup_fclose_ FILE *f = fopen("/dev/null", "re");
		_cleanup_fclose_ FILE *none = NULL;

		assert_non_null(f);
		assert_null(none);
		fd = fileno(f);
		assert_true(is_open(fd));
	}
	assert_false(is_open(fd));
}

static int things_freed;

static void thing_free(int *thing)
{
	things_freed += *thing;
}

DEFINE_CLEANUP(thing, int *, thing_free);

static void test_define_cleanup(void **state)
{
	int three = 3;

	(void)state;
	{
		_cleanup_(cleanup_thing) int *thing = &three;

		assert_int_equal(*thing, 3);
	}
	assert_int_equal(things_freed, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_close_fd),
		cmocka_unit_test(test_close_fds),
		cmocka_unit_test(test_scope_fd),
		cmocka_unit_test(test_scope_ptr),
		cmocka_unit_test(test_scope_file),
		cmocka_unit_test(test_define_cleanup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
