// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/agent/vhost/message.c: frames and descriptors over a
 * socket pair.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/macros.h"
#include "vhost/message.h"

struct pair {
	struct message msg;
	int ours;
	int peer;
	unsigned int open_fds;
};

static unsigned int count_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 400; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int setup(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));
	int fds[2];

	if (!p || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0)
		return -1;
	p->ours = fds[0];
	p->peer = fds[1];
	message_init(&p->msg, NULL);
	p->open_fds = count_fds();
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct pair *p = *state;

	message_done(&p->msg);
	assert_int_equal(count_fds(), p->open_fds);
	close(p->ours);
	close_fd(p->peer);
	free(p);
	return 0;
}

static void send_fds(int socket, const void *buf, size_t size, unsigned int n)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(100 * sizeof(int))];
	struct iovec iov = { (void *)(uintptr_t)buf, size };
	struct msghdr hdr = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg = (struct cmsghdr *)control;
	_cleanup_close_ int fd = eventfd(0, 0);

	if (n > 0) {
		hdr.msg_control = control;
		hdr.msg_controllen = CMSG_SPACE(n * sizeof(int));
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
		for (unsigned int i = 0; i < n; i++)
			memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &fd,
			       sizeof(fd));
	}
	assert_int_equal(sendmsg(socket, &hdr, 0), size);
}

static void send_head(struct pair *p, uint32_t request, uint32_t flags,
		      uint32_t size, unsigned int fds)
{
	const struct vhost_user_header head = { request, flags, size };

	send_fds(p->peer, &head, sizeof(head), fds);
}

static void test_piecemeal(void **state)
{
	struct pair *p = *state;
	const struct vhost_user_header head = { VHOST_USER_SET_FEATURES, 9, 8 };
	const uint64_t body = 0x1122334455667788;
	uint8_t bytes[sizeof(head) + sizeof(body)];

	memcpy(bytes, &head, sizeof(head));
	memcpy(bytes + sizeof(head), &body, sizeof(body));
	for (size_t i = 0; i < sizeof(bytes); i++) {
		assert_int_equal(message_receive(p->ours, &p->msg),
				 MESSAGE_AGAIN);
		assert_int_equal(send(p->peer, bytes + i, 1, 0), 1);
	}
	assert_int_equal(message_receive(p->ours, &p->msg), MESSAGE_COMPLETE);
	assert_int_equal(p->msg.head.request, VHOST_USER_SET_FEATURES);
	assert_true(p->msg.body.u64 == body);
}

/* A read never goes into the next message, whose descriptors stay with it. */
static void test_two_messages(void **state)
{
	struct pair *p = *state;
	uint64_t id;
	int fd;

	send_head(p, VHOST_USER_SET_OWNER, 1, 0, 0);
	send_head(p, VHOST_USER_SET_BACKEND_REQ_FD, 1, 0, 2);
	assert_int_equal(message_receive(p->ours, &p->msg), MESSAGE_COMPLETE);
	assert_int_equal(message_num_fds(&p->msg), 0);
	message_done(&p->msg);
	assert_int_equal(message_receive(p->ours, &p->msg), MESSAGE_COMPLETE);
	assert_int_equal(message_num_fds(&p->msg), 2);
	fd = message_take_fd(&p->msg, 0, &id);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(message_take_fd(&p->msg, 0, &id), -EBADF);
	assert_int_equal(message_take_fd(&p->msg, 2, &id), -EBADF);
	close(fd);
}

static void test_fds_with_any_byte(void **state)
{
	struct pair *p = *state;

	send_head(p, VHOST_USER_SET_FEATURES, 1, 8, 3);
	send_fds(p->peer, "abcd", 4, 2);
	send_fds(p->peer, "efgh", 4, 3);
	assert_int_equal(message_receive(p->ours, &p->msg), MESSAGE_COMPLETE);
	assert_int_equal(message_num_fds(&p->msg), 8);
	assert_memory_equal(&p->msg.body, "abcdefgh", 8);
}

static void test_too_many_fds(void **state)
{
	static const unsigned int counts[] = { 9, 10, 11, 12, 64, 100 };
	struct pair *p = *state;

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		send_head(p, VHOST_USER_SET_MEM_TABLE, 1, 0, counts[i]);
		assert_int_equal(message_receive(p->ours, &p->msg),
				 MESSAGE_TOO_MANY_FDS);
		message_done(&p->msg);
		assert_int_equal(count_fds(), p->open_fds);
	}
	send_head(p, VHOST_USER_SET_FEATURES, 1, 8, 5);
	send_fds(p->peer, "abcdefgh", 8, 4);
	assert_int_equal(message_receive(p->ours, &p->msg),
			 MESSAGE_TOO_MANY_FDS);
}

static void test_bad_heads(void **state)
{
	static const struct {
		uint32_t flags;
		uint32_t size;
		int verdict;
	} cases[] = {
		{ 0, 0, MESSAGE_BAD_VERSION },
		{ 2, 0, MESSAGE_BAD_VERSION },
		{ 3, 0, MESSAGE_BAD_VERSION },
		{ 5, 0, MESSAGE_BAD_FLAGS },
		{ 13, 8, MESSAGE_BAD_FLAGS },
		{ 1, sizeof(union vhost_user_payload) + 1, MESSAGE_TOO_LONG },
		{ 9, UINT32_MAX, MESSAGE_TOO_LONG },
	};
	struct pair *p = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		send_head(p, 1, cases[i].flags, cases[i].size, 1);
		assert_int_equal(message_receive(p->ours, &p->msg),
				 cases[i].verdict);
		message_done(&p->msg);
	}
}

/* A message that another process left cannot be longer than one. */
static void test_resume(void **state)
{
	struct pair *p = *state;
	size_t most = sizeof(p->msg.head) + sizeof(p->msg.body);

	stream_set(&p->msg.in.count, most);
	assert_int_equal(message_resume(&p->msg, NULL), 0);
	stream_set(&p->msg.in.count, most + 1);
	assert_int_equal(message_resume(&p->msg, NULL), -EUCLEAN);
	message_init(&p->msg, NULL);
}

static void test_end(void **state)
{
	struct pair *p = *state;

	send_head(p, VHOST_USER_SET_FEATURES, 1, 8, 1);
	p->peer = close_fd(p->peer);
	p->open_fds--;
	assert_int_equal(message_receive(p->ours, &p->msg), MESSAGE_CUT);
	message_done(&p->msg);
	assert_int_equal(message_receive(p->ours, &p->msg), MESSAGE_CLOSED);
}

static void test_send(void **state)
{
	struct pair *p = *state;
	struct message_out out = { .size = 0 };
	struct vhost_user_header head;
	uint64_t v = 42;

	assert_false(message_out_busy(&out));
	message_put(&out, VHOST_USER_GET_FEATURES, VHOST_USER_FLAGS_REPLY, &v,
		    sizeof(v));
	assert_true(message_out_busy(&out));
	assert_int_equal(message_flush(p->ours, &out), 0);
	assert_false(message_out_busy(&out));
	assert_int_equal(recv(p->peer, &head, sizeof(head), 0), sizeof(head));
	assert_int_equal(head.request, VHOST_USER_GET_FEATURES);
	assert_int_equal(head.flags, 5);
	assert_int_equal(head.size, 8);
}

static void test_send_to_a_full_socket(void **state)
{
	struct pair *p = *state;
	struct message_out out = { .size = 0 };
	static uint8_t payload[200], got[1 << 20];
	size_t sent = 0, received = 0;
	ssize_t n;
	int r;

	do {
		message_put(&out, 1, 0, payload, sizeof(payload));
		sent += out.size;
		r = message_flush(p->ours, &out);
	} while (r == 0);
	assert_int_equal(r, -EAGAIN);
	assert_true(message_out_busy(&out));
	/* It goes on where it stopped, and no byte is lost or sent twice. */
	while (received < sent) {
		n = recv(p->peer, got, sizeof(got), 0);
		if (n > 0)
			received += (size_t)n;
		else
			assert_int_equal(message_flush(p->ours, &out), 0);
	}
	assert_int_equal(received, sent);
	assert_false(message_out_busy(&out));
}

static void test_send_to_nobody(void **state)
{
	struct pair *p = *state;
	struct message_out out = { .size = 0 };

	p->peer = close_fd(p->peer);
	p->open_fds--;
	message_put(&out, 1, 0, NULL, 0);
	assert_int_equal(message_flush(p->ours, &out), -EPIPE);
}

static void test_words(void **state)
{
	(void)state;
	for (int v = MESSAGE_COMPLETE; v <= MESSAGE_TOO_MANY_FDS; v++)
		assert_string_not_equal(message_strverdict(v), "unknown");
	assert_string_equal(message_strverdict(99), "unknown");
	assert_string_equal(message_strrequest(VHOST_USER_REM_MEM_REG),
			    "REM_MEM_REG");
	assert_string_equal(message_strrequest(0), "an unknown request");
	assert_string_equal(message_strrequest(UINT32_MAX),
			    "an unknown request");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_piecemeal),
		TEST(test_two_messages),
		TEST(test_fds_with_any_byte),
		TEST(test_too_many_fds),
		TEST(test_bad_heads),
		TEST(test_resume),
		TEST(test_end),
		TEST(test_send),
		TEST(test_send_to_a_full_socket),
		TEST(test_send_to_nobody),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
