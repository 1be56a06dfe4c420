// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * handover.c - how the service gives an agent its configuration and its
 * descriptors
 *
 * Owns: the one message and its limits. Invariant: a message is taken whole or
 * not at all; a descriptor that came along with a refused one is closed.
 *
 * Locks: none. In a request's way: not; once, when an agent starts.
 */
#include "handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/socket.h"

/* The service may have to ask others who we are. */
#define TIMEOUT_SECONDS 30

union fd_message {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(HANDOVER_FDS_MAX * sizeof(int))];
};

int handover_send(int conn, const char *text, const int *fds, size_t num)
{
	struct iovec iov = {
		.iov_base = (char *)text,
		.iov_len = strlen(text),
	};
	union fd_message space = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (iov.iov_len > HANDOVER_TEXT_MAX || num > HANDOVER_FDS_MAX)
		return -E2BIG;
	if (num > 0) {
		struct cmsghdr *cmsg = &space.header;

		msg.msg_control = space.bytes;
		msg.msg_controllen = CMSG_SPACE(num * sizeof(int));
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(num * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, num * sizeof(int));
	}
	do {
		n = sendmsg(conn, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* The descriptors of a message; all of them are ours to close. */
static size_t take_fds(struct msghdr *msg, int fds[static HANDOVER_FDS_MAX])
{
	size_t num = 0;

	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg;
	     cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t n;

		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (n > HANDOVER_FDS_MAX - num)
			n = HANDOVER_FDS_MAX - num;
		memcpy(fds + num, CMSG_DATA(cmsg), n * sizeof(int));
		num += n;
	}
	return num;
}

/* Moves each to its place. On failure those that are left stay in @fds. */
static int place_fds(int *fds, size_t num)
{
	for (size_t i = 0; i < num; i++) {
		int place = HANDOVER_FD_BASE + (int)i;

		if (fcntl(place, F_GETFD) >= 0)
			return -EBUSY;
		if (dup3(fds[i], place, O_CLOEXEC) < 0)
			return -errno;
		fds[i] = close_fd(fds[i]);
	}
	return 0;
}

static int receive_message(int conn, char *text)
{
	struct iovec iov = { .iov_base = text, .iov_len = HANDOVER_TEXT_MAX };
	union fd_message space;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = space.bytes,
		.msg_controllen = sizeof(space.bytes),
	};
	int fds[HANDOVER_FDS_MAX];
	size_t num;
	ssize_t n;
	int r;

	do {
		n = recvmsg(conn, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	num = take_fds(&msg, fds);
	if (n == 0)
		r = -ECONNREFUSED; /* It closed the connection. */
	else if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		r = -EMSGSIZE;
	else
		r = place_fds(fds, num);
	if (r < 0)
		close_fds(fds, num);
	text[r < 0 ? 0 : n] = '\0';
	return r;
}

int handover_receive(const char *path, char **ret_text)
{
	const struct timeval timeout = { .tv_sec = TIMEOUT_SECONDS };
	_cleanup_free_ char *text = malloc(HANDOVER_TEXT_MAX + 1);
	_cleanup_close_ int conn = -EBADF;
	int r;

	if (!text)
		return log_err_errno(ENOMEM, "cannot take the handover");
	conn = socket_connect_seqpacket(path);
	if (conn < 0)
		return log_err_errno(
			conn, "cannot connect to %s: is pvdmad running?", path);
	(void)setsockopt(conn, SOL_SOCKET, SO_RCVTIMEO, &timeout,
			 sizeof(timeout));
	r = receive_message(conn, text);
	if (r == -ECONNREFUSED)
		return log_err_errno(
			r,
			"%s: the service has nothing for this process; its log says why. Agents of units are started with pvdmactl",
			path);
	if (r < 0)
		return log_err_errno(r, "%s: cannot take the handover", path);
	*ret_text = steal_ptr(text);
	return 0;
}
