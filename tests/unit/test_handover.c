// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/lib/handover.c: all of a message, or nothing of it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "lib/handover.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "lib/socket.h"
#include "pvdmad/spec.h"

/* Of a VM with as many devices as it may have: two each, and the VM's own. */
#define MOST (2 * SPEC_DEVICES_MAX + 3)

static int service; /* its end of the connection */
static int agent;   /* the other one, until it is taken */
static unsigned int open_fds;

int __wrap_socket_connect_seqpacket(const char *path);

int __wrap_socket_connect_seqpacket(const char *path)
{
	assert_string_equal(path, "handover");
	return agent;
}

static unsigned int count_fds(int first, int end)
{
	unsigned int n = 0;

	for (int fd = first; fd < end; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static unsigned int count_places(void)
{
	return count_fds(HANDOVER_FD_BASE, HANDOVER_FD_BASE + HANDOVER_FDS_MAX);
}

static int setup(void **state)
{
	int ends[2], room = 2 * HANDOVER_TEXT_MAX;

	(void)state;
	log_set_max_level(-1);
	(void)close_range(HANDOVER_FD_BASE, ~0U, 0);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	service = ends[0];
	agent = ends[1];
	open_fds = count_fds(0, HANDOVER_FD_BASE);
	return setsockopt(service, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
}

/* The connection is closed in any case; nothing else is, and nothing stays. */
static int teardown(void **state)
{
	(void)state;
	assert_int_equal(count_fds(0, HANDOVER_FD_BASE), open_fds - 1);
	close(service);
	return 0;
}

/* A message with @num descriptors, as a service may send it that is not ours. */
static void say(const char *text, size_t size, size_t num)
{
	static _Alignas(struct cmsghdr) char control[CMSG_SPACE(1000)];
	struct iovec iov = { .iov_base = (char *)text, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg = (struct cmsghdr *)control;
	_cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC);

	if (num > 0) {
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(num * sizeof(int));
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(num * sizeof(int));
	}
	for (size_t i = 0; i < num; i++)
		memcpy(CMSG_DATA(cmsg) + i * sizeof(fd), &fd, sizeof(fd));
	assert_int_equal(sendmsg(service, &msg, 0), size);
}

static void assert_refused(int error)
{
	char *text = NULL;

	assert_int_equal(handover_receive("handover", &text), error);
	assert_null(text);
}

static void test_whole(void **state)
{
	_cleanup_free_ char *text = NULL;
	int fds[HANDOVER_FDS_MAX + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = service;
	assert_int_equal(handover_send(service, "quota=1M\n", fds, MOST), 0);
	assert_int_equal(handover_receive("handover", &text), 0);
	assert_string_equal(text, "quota=1M\n");
	assert_int_equal(count_places(), MOST);
	for (int i = 0; i < MOST; i++)
		assert_int_equal(fcntl(HANDOVER_FD_BASE + i, F_GETFD),
				 FD_CLOEXEC);
	assert_int_equal(handover_send(service, "", fds, ARRAY_SIZE(fds)),
			 -E2BIG);
}

static void test_nothing(void **state)
{
	(void)state;
	(void)shutdown(service, SHUT_WR);
	assert_refused(-ECONNREFUSED);
}

static void test_text_too_long(void **state)
{
	static char text[HANDOVER_TEXT_MAX + 1];

	(void)state;
	memset(text, '#', sizeof(text));
	say(text, sizeof(text), 2);
	assert_refused(-EMSGSIZE);
	assert_int_equal(count_places(), 0);
}

static void test_too_many_fds(void **state)
{
	(void)state;
	say("#", 1, HANDOVER_FDS_MAX + 2);
	assert_refused(-EMSGSIZE);
	assert_int_equal(count_places(), 0);
}

/* What is open already in a place stays what it is. */
static void test_place_taken(void **state)
{
	int flags;

	(void)state;
	assert_int_equal(dup2(service, HANDOVER_FD_BASE), HANDOVER_FD_BASE);
	flags = fcntl(HANDOVER_FD_BASE, F_GETFD);
	assert_int_equal(flags, 0);
	say("#", 1, 1);
	assert_refused(-EBUSY);
	assert_int_equal(fcntl(HANDOVER_FD_BASE, F_GETFD), flags);
	assert_int_equal(count_places(), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_whole),	  TEST(test_nothing),
		TEST(test_text_too_long), TEST(test_too_many_fds),
		TEST(test_place_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
