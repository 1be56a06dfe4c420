// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/lib/stream.c: counts that outlive the process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/stream.h"

/* What two processes share: that is where counts lie. */
struct shared {
	struct stream_count out;
	struct stream_in in;
	char bytes[64];
};

struct world {
	struct shared *s;
	int fds[2];
};

static int setup(void **state)
{
	static struct world w;

	w.s = mmap(NULL, sizeof(*w.s), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w.s == MAP_FAILED ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, w.fds) < 0)
		return -1;
	stream_in_init(&w.s->in, NULL, 2);
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	close_fds(w->fds, 2);
	return munmap(w->s, sizeof(*w->s));
}

static ssize_t send_bytes(struct world *w, const char *text, size_t size)
{
	struct iovec iov = { (void *)(uintptr_t)text, size };
	const struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	return stream_send(w->fds[0], &w->s->out, &msg);
}

/* Runs @fn in a process that is killed behind it. */
static void killed(struct world *w, void (*fn)(struct world *w))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		fn(w);
		(void)raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void send_five(struct world *w)
{
	(void)send_bytes(w, "hello", 5);
}

static void test_sent(void **state)
{
	struct world *w = *state;
	char got[16];

	assert_int_equal(stream_done(&w->s->out), 0);
	assert_int_equal(send_bytes(w, "abc", 3), 3);
	killed(w, send_five);
	/* Nobody has added it up, and still it is known. */
	assert_int_equal(stream_done(&w->s->out), 8);
	assert_int_equal(send_bytes(w, "!", 1), 1);
	assert_int_equal(stream_done(&w->s->out), 9);
	assert_int_equal(recv(w->fds[1], got, sizeof(got), 0), 9);
	assert_memory_equal(got, "abchello!", 9);
	stream_set(&w->s->out, 0);
	assert_int_equal(stream_done(&w->s->out), 0);
}

/* A socket that is full takes a part, or nothing. */
static void test_full(void **state)
{
	static char many[1 << 16];
	struct world *w = *state;
	uint64_t sum = 0;
	ssize_t n;

	while ((n = send_bytes(w, many, sizeof(many))) > 0) {
		sum += (uint64_t)n;
		assert_int_equal(stream_done(&w->s->out), sum);
	}
	assert_int_equal(n, -EAGAIN);
	assert_int_equal(stream_done(&w->s->out), sum);
	close_fd(w->fds[1]);
	w->fds[1] = -EBADF;
	assert_true(send_bytes(w, many, 1) < 0);
	assert_int_equal(stream_done(&w->s->out), sum);
}

static void read_four(struct world *w)
{
	uint64_t at = stream_done(&w->s->in.count);

	(void)stream_in_read(w->fds[1], &w->s->in, w->s->bytes + at, 4);
}

static void test_received(void **state)
{
	struct world *w = *state;

	assert_int_equal(send_bytes(w, "abcdefgh", 8), 8);
	killed(w, read_four);
	assert_int_equal(stream_done(&w->s->in.count), 4);
	killed(w, read_four);
	assert_int_equal(stream_done(&w->s->in.count), 8);
	assert_memory_equal(w->s->bytes, "abcdefgh", 8);
	assert_int_equal(stream_in_read(w->fds[1], &w->s->in, w->s->bytes, 4),
			 -EAGAIN);
	assert_int_equal(stream_done(&w->s->in.count), 8);
	stream_in_done(&w->s->in);
	assert_int_equal(stream_done(&w->s->in.count), 0);
	close_fd(w->fds[0]);
	w->fds[0] = -EBADF;
	assert_int_equal(stream_in_read(w->fds[1], &w->s->in, w->s->bytes, 4),
			 0);
}

static void send_with_fds(const struct world *w, unsigned int n)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))] = {
		0
	};
	struct iovec iov = { (void *)(uintptr_t) "x", 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};
	struct cmsghdr *cmsg = (struct cmsghdr *)control;
	_cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (unsigned int i = 0; i < n; i++)
		memcpy(CMSG_DATA(cmsg) + i * sizeof(fd), &fd, sizeof(fd));
	assert_int_equal(sendmsg(w->fds[0], &msg, 0), 1);
}

static void test_descriptors(void **state)
{
	struct world *w = *state;
	struct stream_in *in = &w->s->in;
	uint64_t id = 42;
	int fd;

	send_with_fds(w, 2);
	assert_int_equal(stream_in_read(w->fds[1], in, w->s->bytes, 8), 1);
	assert_int_equal(in->num, 2);
	fd = stream_in_take(in, 1, &id);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(id, 0); /* there is no store */
	assert_int_equal(stream_in_take(in, 1, &id), -EBADF);
	assert_int_equal(stream_in_take(in, 2, &id), -EBADF);
	/* What was taken stays open, the rest does not. */
	stream_in_done(in);
	assert_int_equal(in->num, 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close_fd(fd);
	/* More than a message may have: none is leaked, and it is known. */
	send_with_fds(w, 5);
	assert_int_equal(stream_in_read(w->fds[1], in, w->s->bytes, 8), 1);
	assert_int_equal(in->num, 2);
	assert_true(in->lost);
	stream_in_done(in);
	assert_false(in->lost);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_sent),
		TEST(test_full),
		TEST(test_received),
		TEST(test_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
