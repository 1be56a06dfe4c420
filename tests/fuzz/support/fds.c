// SPDX-License-Identifier: GPL-2.0-or-later
/* fds.c - see fds.h; a closed descriptor cannot be sent, the kernel sees to it */
#include "tests/fuzz/support/fds.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "tests/fuzz/support/input.h"

/* Numbers beyond it are not looked at. */
#define FDS_LOOK 400

static int list[FUZZ_FD_KINDS];

static int memory(const char *name, off_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	fuzz_must(fd >= 0 && ftruncate(fd, size) == 0, "no memfd");
	return fd;
}

static int sealed(off_t size, int seals)
{
	int fd = memory("sealed", size);

	fuzz_must(fcntl(fd, F_ADD_SEALS, seals) == 0, "no seals");
	return fd;
}

static int socket_end(bool gone)
{
	int ends[2];

	fuzz_must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0,
		  "no sockets");
	if (gone)
		close(ends[1]);
	return ends[0];
}

static int pipe_end(void)
{
	int ends[2];

	fuzz_must(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0, "no pipe");
	close(ends[1]);
	return ends[0];
}

void fuzz_fds_open(size_t size, uint8_t **ret_memory)
{
	char path[64];

	(void)signal(SIGPIPE, SIG_IGN);
	list[FUZZ_FD_MEMORY] = memory("guest", (off_t)size);
	list[FUZZ_FD_EVENT] = eventfd(1, EFD_CLOEXEC);
	list[FUZZ_FD_SMALL] = memory("small", 100);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d",
		       list[FUZZ_FD_MEMORY]);
	list[FUZZ_FD_READ_ONLY] = open(path, O_RDONLY | O_CLOEXEC);
	list[FUZZ_FD_PIPE] = pipe_end();
	list[FUZZ_FD_FOLDER] = open("/", O_RDONLY | O_CLOEXEC);
	list[FUZZ_FD_SOCKET] = socket_end(false);
	list[FUZZ_FD_KICK] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	list[FUZZ_FD_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
	list[FUZZ_FD_HUGE] = memory("huge", INT64_MAX & ~(off_t)0xfff);
	list[FUZZ_FD_FIXED] = sealed((off_t)size, F_SEAL_SHRINK | F_SEAL_WRITE);
	list[FUZZ_FD_LATE] = sealed((off_t)size, F_SEAL_FUTURE_WRITE);
	list[FUZZ_FD_GONE] = socket_end(true);
	list[FUZZ_FD_PATH] = open("/", O_PATH | O_CLOEXEC);
	list[FUZZ_FD_TIMER] = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	list[FUZZ_FD_MIXED] = list[FUZZ_FD_MEMORY];
	for (size_t i = 0; i < FUZZ_FD_KINDS; i++)
		fuzz_must(list[i] >= 0, "a descriptor is missing");
	if (!ret_memory)
		return;
	*ret_memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
			   list[FUZZ_FD_MEMORY], 0);
	fuzz_must(*ret_memory != MAP_FAILED, "no memory");
}

int fuzz_fds_get(enum fuzz_fd kind)
{
	return list[kind];
}

void fuzz_fds_kick(void)
{
	(void)eventfd_write(list[FUZZ_FD_KICK], 1);
}

static void send_all(int peer, const void *buf, size_t size, const int *fds,
		     size_t n)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(FUZZ_FDS_MANY * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf,
			     .iov_len = size };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (size == 0)
		return;
	if (n > 0) {
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, n * sizeof(int));
	}
	(void)sendmsg(peer, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void fuzz_fds_send(int peer, const void *buf, size_t size, uint8_t fds)
{
	size_t n = (fds & 15) == 15 ? FUZZ_FDS_MANY : fds & 15;
	bool mixed = fds >> 4 == FUZZ_FD_MIXED;
	int some[FUZZ_FDS_MANY];

	for (size_t i = 0; i < n; i++)
		some[i] = list[mixed ? i % FUZZ_FD_KINDS : fds >> 4];
	send_all(peer, buf, size, some, n);
}

void fuzz_fds_send_one(int peer, const void *buf, size_t size, int fd)
{
	send_all(peer, buf, size, &fd, 1);
	close(fd);
}

int fuzz_fds_drain(int peer)
{
	static uint8_t buf[65536];
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(FUZZ_FDS_MANY * sizeof(int))];
	} control;
	int any = 0;

	for (;;) {
		struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
		struct msghdr mh = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof(control),
		};
		struct cmsghdr *cmsg;
		int fd;

		if (recvmsg(peer, &mh, MSG_DONTWAIT) <= 0)
			return any;
		any = 1;
		cmsg = CMSG_FIRSTHDR(&mh);
		for (size_t at = CMSG_LEN(0); cmsg && at < cmsg->cmsg_len;
		     at += sizeof(fd)) {
			memcpy(&fd, (uint8_t *)cmsg + at, sizeof(fd));
			close(fd);
		}
	}
}

unsigned int fuzz_fds_count(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < FDS_LOOK; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}
