// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/agent/vfio_user/message.c: frames and descriptors over a
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
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/macros.h"
#include "vfio_user/message.h"

struct pair {
	struct vfu_channel channel;
	int peer;
};

static int setup(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));
	int fds[2];

	if (!p ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
		       fds) < 0)
		return -1;
	vfu_channel_init(&p->channel, fds[0]);
	p->peer = fds[1];
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct pair *p = *state;

	vfu_channel_done(&p->channel);
	close_fd(p->peer);
	free(p);
	return 0;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* Sends bytes with @nfds dups of standard input. */
static void put(const struct pair *p, const void *buf, size_t size,
		unsigned int nfds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(64 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf,
			     .iov_len = size };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	const int fd = STDIN_FILENO;

	assert_true(nfds <= 64);
	if (nfds > 0) {
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(nfds * sizeof(int));
		for (unsigned int i = 0; i < nfds; i++)
			memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &fd,
			       sizeof(fd));
	}
	assert_int_equal(sendmsg(p->peer, &mh, MSG_NOSIGNAL), size);
}

static struct vfio_user_header head(uint16_t id, uint32_t body)
{
	return (struct vfio_user_header){
		.id = id,
		.command = VFIO_USER_REGION_READ,
		.size = (uint32_t)sizeof(struct vfio_user_header) + body,
	};
}

static void put_message(const struct pair *p, uint16_t id, const char *body,
			unsigned int nfds)
{
	const size_t len = strlen(body);
	const struct vfio_user_header h = head(id, (uint32_t)len);
	char buf[256];

	assert_true(h.size <= sizeof(buf));
	memcpy(buf, &h, sizeof(h));
	memcpy(buf + sizeof(h), body, len);
	put(p, buf, h.size, nfds);
}

static void expect_message(struct pair *p, uint16_t id, const char *body,
			   unsigned int nfds)
{
	struct vfu_message *msg;

	assert_int_equal(vfu_channel_receive(&p->channel, &msg), VFU_OK);
	assert_int_equal(msg->header.id, id);
	assert_int_equal(msg->size, strlen(body));
	if (msg->size)
		assert_memory_equal(msg->body, body, msg->size);
	assert_int_equal(msg->nfds, nfds);
	for (unsigned int i = 0; i < nfds; i++)
		assert_true(fcntl(msg->fds[i], F_GETFD) & FD_CLOEXEC);
}

static void expect_nothing(struct pair *p)
{
	struct vfu_message *msg;

	assert_int_equal(vfu_channel_receive(&p->channel, &msg), VFU_AGAIN);
}

/* Descriptors stay with the message they were sent with. */
static void test_receive(void **state)
{
	struct pair *p = *state;
	int fd;

	put_message(p, 1, "", 0);
	put_message(p, 2, "two", 2);
	put_message(p, 3, "three", 0);
	put_message(p, 4, "", 1);
	expect_message(p, 1, "", 0);
	/* The same until it is released. */
	expect_message(p, 1, "", 0);
	vfu_channel_release(&p->channel);
	expect_message(p, 2, "two", 2);
	fd = p->channel.in.fds[1];
	vfu_channel_release(&p->channel);
	assert_false(is_open(fd));
	expect_message(p, 3, "three", 0);
	vfu_channel_release(&p->channel);
	expect_message(p, 4, "", 1);
	/* Taken out of the message, it stays. */
	fd = steal_fd(&p->channel.in.fds[0]);
	vfu_channel_release(&p->channel);
	assert_true(is_open(fd));
	close(fd);
	expect_nothing(p);
}

static void test_receive_in_pieces(void **state)
{
	const char body[] = { 'a', 'b', 'c', 'd', 'e' };
	struct vfio_user_header h = head(7, sizeof(body));
	struct pair *p = *state;
	char buf[sizeof(h) + sizeof(body)];

	memcpy(buf, &h, sizeof(h));
	memcpy(buf + sizeof(h), body, sizeof(body));
	for (unsigned int i = 0; i < sizeof(buf); i++) {
		expect_nothing(p);
		put(p, buf + i, 1, i % 7 == 0);
	}
	expect_message(p, 7, "abcde", 3);
}

static void test_too_many_fds(void **state)
{
	struct pair *p = *state;
	struct vfu_message *msg;

	put_message(p, 1, "x", VFU_FDS_MAX);
	put_message(p, 2, "x", VFU_FDS_MAX + 1);
	put_message(p, 3, "x", 64);
	put_message(p, 4, "x", 0);
	expect_message(p, 1, "x", VFU_FDS_MAX);
	assert_false(p->channel.in.fds_lost);
	for (uint16_t id = 2; id <= 3; id++) {
		vfu_channel_release(&p->channel);
		assert_int_equal(vfu_channel_receive(&p->channel, &msg),
				 VFU_OK);
		assert_int_equal(msg->header.id, id);
		assert_true(msg->fds_lost);
	}
	vfu_channel_release(&p->channel);
	expect_message(p, 4, "x", 0);
	assert_false(p->channel.in.fds_lost);
}

static void expect_end(struct pair *p, int verdict)
{
	struct vfu_message *msg;

	assert_int_equal(vfu_channel_receive(&p->channel, &msg), verdict);
}

static void test_closed(void **state)
{
	struct pair *p = *state;

	put_message(p, 1, "last", 0);
	p->peer = close_fd(p->peer);
	expect_message(p, 1, "last", 0);
	vfu_channel_release(&p->channel);
	expect_end(p, VFU_CLOSED);
}

static void test_closed_in_header(void **state)
{
	struct pair *p = *state;

	put(p, "abc", 3, 1);
	p->peer = close_fd(p->peer);
	expect_end(p, VFU_BROKEN);
}

static void test_closed_in_body(void **state)
{
	struct vfio_user_header h = head(1, 10);
	struct pair *p = *state;

	put(p, &h, sizeof(h), 3);
	expect_nothing(p);
	p->peer = close_fd(p->peer);
	expect_end(p, VFU_BROKEN);
}

static void test_bad_sizes(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 15, VFU_MESSAGE_MAX + 1,
					  UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct vfio_user_header h = head(1, 0);
		void *s = NULL;

		assert_int_equal(setup(&s), 0);
		h.size = sizes[i];
		put(s, &h, sizeof(h), 1);
		expect_end(s, VFU_BROKEN);
		teardown(&s);
	}
}

static void test_bad_types(void **state)
{
	(void)state;
	for (uint32_t type = 1; type <= VFIO_USER_F_TYPE_MASK; type++) {
		struct vfio_user_header h = head(1, 0);
		void *s = NULL;

		assert_int_equal(setup(&s), 0);
		h.flags = type;
		put(s, &h, sizeof(h), 0);
		expect_end(s, VFU_BROKEN);
		teardown(&s);
	}
}

/* The longest there is, through a socket that takes it in many pieces. */
static void test_longest(void **state)
{
	const uint32_t size = VFU_MESSAGE_MAX - sizeof(struct vfio_user_header);
	struct vfio_user_header h = head(1, size);
	struct pair *p = *state;
	struct vfu_message *msg;
	uint8_t buf[4096];
	uint32_t done = 0;
	int r;

	put(p, &h, sizeof(h), 0);
	do {
		for (size_t i = 0; i < sizeof(buf); i++)
			buf[i] = (uint8_t)((done + i) % 251);
		if (done < size) {
			uint32_t n = min(size - done, (uint32_t)sizeof(buf));

			put(p, buf, n, 0);
			done += n;
		}
		r = vfu_channel_receive(&p->channel, &msg);
	} while (r == VFU_AGAIN);
	assert_int_equal(r, VFU_OK);
	assert_int_equal(msg->size, size);
	for (uint32_t i = 0; i < size; i++)
		assert_int_equal(msg->body[i], i % 251);
	vfu_channel_release(&p->channel);
	/* What was needed once is not kept. */
	assert_true(p->channel.in_body.capacity < 65536);
}

/* --- sending --- */

/* Reads what is there, up to @size bytes; the number of fds in *@ret_fds. */
static size_t get(const struct pair *p, void *buf, size_t size,
		  unsigned int *ret_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	ssize_t n;

	*ret_fds = 0;
	n = recvmsg(p->peer, &mh, MSG_DONTWAIT);
	if (n <= 0)
		return 0;
	for (c = CMSG_FIRSTHDR(&mh); c; c = CMSG_NXTHDR(&mh, c)) {
		int fd;

		assert_int_equal(c->cmsg_len, CMSG_LEN(sizeof(fd)));
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
		close(fd);
		++*ret_fds;
	}
	return (size_t)n;
}

static void test_send(void **state)
{
	struct vfio_user_header h = { .id = 9,
				      .flags = VFIO_USER_F_TYPE_REPLY };
	struct pair *p = *state;
	unsigned int nfds;
	uint8_t buf[64];
	char *payload;

	payload = vfu_channel_payload(&p->channel, 8);
	assert_non_null(payload);
	assert_memory_equal(payload, "\0\0\0\0\0\0\0\0", 8);
	memcpy(payload, "payload", 8);
	assert_int_equal(vfu_channel_send(&p->channel, &h, 8, STDIN_FILENO),
			 VFU_OK);
	assert_int_equal(get(p, buf, sizeof(buf), &nfds), 24);
	assert_int_equal(nfds, 1);
	memcpy(&h, buf, sizeof(h));
	assert_int_equal(h.size, 24);
	assert_int_equal(h.id, 9);
	assert_memory_equal(buf + 16, "payload", 8);

	/* Without a payload, and without an fd of the message before. */
	assert_int_equal(vfu_channel_send(&p->channel, &h, 0, -1), VFU_OK);
	assert_int_equal(get(p, buf, sizeof(buf), &nfds), 16);
	assert_int_equal(nfds, 0);
	assert_true(is_open(STDIN_FILENO));
}

/* A peer that does not read: the message waits, its fd goes once. */
static void test_send_slowly(void **state)
{
	const struct vfio_user_header h = { .flags = VFIO_USER_F_TYPE_REPLY };
	static uint8_t expected[VFU_XFER_MAX];
	struct pair *p = *state;
	unsigned int nfds, all_fds = 0;
	size_t done = 0, n;
	uint8_t buf[5000];
	uint8_t *payload;
	int r;

	payload = vfu_channel_payload(&p->channel, VFU_XFER_MAX);
	assert_non_null(payload);
	for (size_t i = 0; i < VFU_XFER_MAX; i++)
		expected[i] = payload[i] = (uint8_t)(i % 241);
	r = vfu_channel_send(&p->channel, &h, VFU_XFER_MAX, STDIN_FILENO);
	assert_int_equal(r, VFU_AGAIN);
	assert_true(vfu_channel_sending(&p->channel));
	while (done < sizeof(h) + VFU_XFER_MAX) {
		n = get(p, buf, done ? sizeof(buf) : sizeof(h), &nfds);
		all_fds += nfds;
		if (n == 0) {
			assert_int_not_equal(r, VFU_OK);
			r = vfu_channel_flush(&p->channel);
			continue;
		}
		if (done)
			assert_memory_equal(buf, expected + done - sizeof(h),
					    n);
		done += n;
	}
	assert_int_equal(all_fds, 1);
	assert_false(vfu_channel_sending(&p->channel));
	assert_int_equal(vfu_channel_flush(&p->channel), VFU_OK);
	assert_true(p->channel.out.capacity < 65536);
}

static void test_send_to_nobody(void **state)
{
	const struct vfio_user_header h = { 0 };
	struct pair *p = *state;

	p->peer = close_fd(p->peer);
	assert_int_equal(vfu_channel_send(&p->channel, &h, 0, -1), VFU_CLOSED);
}

/* What another process left of messages cannot be longer than they are. */
static void test_resume(void **state)
{
	static struct vfu_wire wire;
	const struct vfu_room room = { .wire = &wire };
	struct vfu_channel channel;

	(void)state;
	stream_set(&wire.in.count, VFU_MESSAGE_MAX + 1);
	assert_int_equal(vfu_channel_resume(&channel, -1, &room, false),
			 -EUCLEAN);
	stream_set(&wire.in.count, 0);
	stream_set(&wire.out_count, VFU_MESSAGE_MAX + 1);
	assert_int_equal(vfu_channel_resume(&channel, -1, &room, false),
			 -EUCLEAN);
	stream_set(&wire.out_count, 0);
	wire.out_size = VFU_MESSAGE_MAX + 1;
	assert_int_equal(vfu_channel_resume(&channel, -1, &room, false),
			 -EUCLEAN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_receive, setup, teardown),
		cmocka_unit_test_setup_teardown(test_receive_in_pieces, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_too_many_fds, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_closed_in_header, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_closed_in_body, setup,
						teardown),
		cmocka_unit_test(test_bad_sizes),
		cmocka_unit_test(test_bad_types),
		cmocka_unit_test(test_resume),
		cmocka_unit_test_setup_teardown(test_longest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_send, setup, teardown),
		cmocka_unit_test_setup_teardown(test_send_slowly, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_send_to_nobody, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
