// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/lib/watchdog.c: what the service manager is told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/watchdog.h"

/* The service manager's end, of an abstract name that is this process's. */
static int listen_here(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int n = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1,
			 "pvdma-watchdog-%ld", (long)getpid());
	char name[128];

	assert_true(fd >= 0);
	assert_int_equal(
		bind(fd, (struct sockaddr *)&address,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
				 (size_t)n)),
		0);
	(void)snprintf(name, sizeof(name), "@%s", address.sun_path + 1);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	return fd;
}

static void assert_told(int fd, const char *expected)
{
	char text[256];
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(text, expected);
}

static void assert_silence(int fd)
{
	char text[256];

	assert_int_equal(recv(fd, text, sizeof(text), 0), -1);
	assert_int_equal(errno, EAGAIN);
}

static void set_time(const char *usec)
{
	char pid[24];

	(void)snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	assert_int_equal(setenv("WATCHDOG_PID", pid, 1), 0);
	assert_int_equal(setenv("WATCHDOG_USEC", usec, 1), 0);
}

static void test_waits(void **state)
{
	_cleanup_close_ int fd = listen_here();

	(void)state;
	set_time("30000000");
	watchdog_wait();
	assert_told(fd, "WATCHDOG=1\nWATCHDOG_USEC=600000000");
	watchdog_go_on();
	assert_told(fd, "WATCHDOG=1\nWATCHDOG_USEC=30000000");
	assert_silence(fd);
}

static void test_never_less(void **state)
{
	_cleanup_close_ int fd = listen_here();

	(void)state;
	set_time("900000000");
	watchdog_wait();
	watchdog_go_on();
	assert_silence(fd);
}

static void test_no_watchdog(void **state)
{
	_cleanup_close_ int fd = listen_here();

	(void)state;
	assert_int_equal(unsetenv("WATCHDOG_USEC"), 0);
	watchdog_wait();
	watchdog_go_on();
	assert_silence(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_never_less),
		cmocka_unit_test(test_no_watchdog),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
