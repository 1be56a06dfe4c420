// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * stream.c - bytes over a stream socket, each counted exactly once
 *
 * Descriptors come with bytes, and would be lost with the process that read them.
 * So bytes are looked at first (MSG_PEEK, which gives descriptors, too); those are
 * put into the keeper; and then the bytes are read. What was put in for bytes that
 * were not read before a kill is nobody's. Looking shows more than belongs to the
 * bytes: where those end, Linux goes on to the descriptors of what comes next. Only
 * reading tells; the kernel leaves in msg_controllen whether any came.
 *
 * Owns: nothing. Invariant: the sum of the active cell is right between any two
 * instructions; the cell of the next call is prepared before one store makes it
 * the active one, with the same sum.
 *
 * Locks: none. In a request's way: not.
 */
#include "stream.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/durable.h"
#include "lib/keeper.h"

uint64_t stream_done(const struct stream_count *count)
{
	const struct stream_cell *cell = &count->cells[count->active & 1];

	return cell->before + cell->of.msg_len;
}

/* The other cell, with a sum of @done. */
static struct stream_cell *prepare(struct stream_count *count, uint64_t done,
				   const struct msghdr *msg)
{
	struct stream_cell *cell = &count->cells[~count->active & 1];

	cell->before = done;
	cell->of.msg_len = 0;
	if (msg)
		cell->of.msg_hdr = *msg;
	durable_store(&count->active, ~count->active & 1);
	return cell;
}

void stream_set(struct stream_count *count, uint64_t done)
{
	(void)prepare(count, done, NULL);
}

ssize_t stream_send(int fd, struct stream_count *count,
		    const struct msghdr *msg)
{
	struct stream_cell *cell = prepare(count, stream_done(count), msg);
	int n;

	crash_point("send");
	do
		n = sendmmsg(fd, &cell->of, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	durable_order();
	if (n < 0)
		return -errno;
	crash_point("sent");
	return (ssize_t)cell->of.msg_len;
}

ssize_t stream_receive(int fd, struct stream_count *count, struct msghdr *msg)
{
	struct stream_cell *cell = prepare(count, stream_done(count), msg);
	int n;

	do
		n = recvmmsg(fd, &cell->of, 1, MSG_DONTWAIT | MSG_CMSG_CLOEXEC,
			     NULL);
	while (n < 0 && errno == EINTR);
	durable_order();
	if (n < 0)
		return -errno;
	crash_point("received");
	*msg = cell->of.msg_hdr;
	return (ssize_t)cell->of.msg_len;
}

/* --- messages with descriptors --- */

void stream_in_begin(struct stream_in *in, struct keeper *keeper)
{
	in->keeper = keeper;
	for (int i = 0; i < STREAM_FDS_MAX; i++) {
		in->fds[i] = -EBADF;
		in->taken[i] = false;
	}
}

void stream_in_init(struct stream_in *in, struct keeper *keeper, uint32_t max)
{
	memset(in, 0, sizeof(*in));
	in->max = max;
	stream_in_begin(in, keeper);
}

void stream_in_forget(struct stream_in *in, struct keeper *keeper)
{
	stream_set(&in->count, 0);
	in->num = 0;
	in->lost = 0;
	stream_in_begin(in, keeper);
}

int stream_in_resume(struct stream_in *in, struct keeper *keeper)
{
	const struct stream_cell *last = &in->count.cells[in->count.active & 1];
	uint64_t done = stream_done(&in->count);
	uint32_t num = 0;

	stream_in_begin(in, keeper);
	if (in->num > STREAM_FDS_MAX || in->max > STREAM_FDS_MAX)
		return -EUCLEAN;
	while (num < in->num && in->kept[num].at < done &&
	       (in->kept[num].at < last->before ||
		last->of.msg_hdr.msg_controllen > 0 ||
		(last->of.msg_hdr.msg_flags & MSG_CTRUNC))) {
		/* One that was not kept was taken, or is refused later. */
		if (in->kept[num].id != 0) {
			in->fds[num] = keeper_claim(keeper, in->kept[num].id);
			if (in->fds[num] < 0)
				return -EBADF;
		}
		num++;
	}
	if (num < in->num)
		in->lost = 0;
	if (last->of.msg_len > 0 && (last->of.msg_hdr.msg_flags & MSG_CTRUNC))
		in->lost = 1;
	in->num = num;
	return 0;
}

void stream_in_done(struct stream_in *in)
{
	uint32_t num = in->num;

	/* First of all: from here on they are nobody's. */
	stream_set(&in->count, 0);
	in->num = 0;
	in->lost = 0;
	for (uint32_t i = 0; i < num; i++) {
		in->fds[i] = close_fd(in->fds[i]);
		if (!in->taken[i])
			keeper_drop(in->keeper, in->kept[i].id);
		in->taken[i] = false;
	}
}

int stream_in_take(struct stream_in *in, uint32_t i, uint64_t *ret_id)
{
	*ret_id = 0;
	if (i >= in->num)
		return -EBADF;
	*ret_id = in->kept[i].id;
	in->taken[i] = true;
	return steal_fd(&in->fds[i]);
}

void stream_in_put_back(struct stream_in *in, uint32_t i, int fd)
{
	in->fds[i] = fd;
	in->taken[i] = false;
}

static void keep_fd(struct stream_in *in, int fd)
{
	uint32_t i = in->num;

	if (i == in->max) {
		close_fd(fd);
		in->lost = 1;
		return;
	}
	in->fds[i] = fd;
	in->kept[i].id = keeper_put(in->keeper, KEEPER_MESSAGE, fd);
	in->kept[i].at = stream_done(&in->count);
	durable_store(&in->num, i + 1);
}

/* Gives each descriptor that came along to @fn, which owns it then. How many? */
static size_t each_fd(struct msghdr *msg, struct stream_in *in,
		      void (*fn)(struct stream_in *in, int fd))
{
	size_t all = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c;
	     c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			fn(in, fd);
		}
		all += n;
	}
	return all;
}

/* Each descriptor that came is in @in, or closed. How many came? */
static size_t take_fds(struct stream_in *in, struct msghdr *msg)
{
	size_t n = each_fd(msg, in, keep_fd);

	/*
	 * The kernel closed those that did not fit into the buffer, or that
	 * it could not give us.
	 */
	if (msg->msg_flags & MSG_CTRUNC)
		in->lost = 1;
	return n;
}

/* What was looked at belongs to what comes next. */
static void forget_from(struct stream_in *in, uint32_t first)
{
	uint32_t num = in->num;

	durable_store(&in->num, first);
	for (uint32_t i = first; i < num; i++) {
		in->fds[i] = close_fd(in->fds[i]);
		keeper_drop(in->keeper, in->kept[i].id);
	}
}

/* It is there already, from having looked. */
static void drop_fd(struct stream_in *in, int fd)
{
	(void)in;
	close_fd(fd);
}

/* Room for more than a message may have: the kernel drops what has no room. */
union fd_room {
	struct cmsghdr align;
	char bytes[CMSG_SPACE((STREAM_FDS_MAX + 2) * sizeof(int))];
};

/*
 * Puts what comes with the next bytes into the keeper; how many these are, and
 * *@ret_fds descriptors.
 */
static ssize_t look(int fd, struct stream_in *in, const struct iovec *iov,
		    size_t *ret_fds)
{
	union fd_room room;
	struct iovec copy = *iov;
	struct msghdr msg = {
		.msg_iov = &copy,
		.msg_iovlen = 1,
		.msg_control = &room,
		.msg_controllen = sizeof(room),
	};
	ssize_t n;

	do
		n = recvmsg(fd, &msg,
			    MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_PEEK);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	crash_point("peeked");
	*ret_fds = take_fds(in, &msg);
	crash_point("message-fds-kept");
	return n;
}

/*
 * The bytes were read of which was @seen that they come with so many descriptors.
 * None came: what was seen belongs to what comes next, unless the kernel says that
 * it could not give them. Another number: some are lost.
 */
static void settle_fds(struct stream_in *in, struct msghdr *msg, size_t seen,
		       uint32_t before, uint32_t lost)
{
	size_t n = each_fd(msg, in, drop_fd);

	if (n == 0 && !(msg->msg_flags & MSG_CTRUNC)) {
		forget_from(in, before);
		in->lost = lost;
	} else if (n != seen || (msg->msg_flags & MSG_CTRUNC)) {
		in->lost = 1;
	}
}

ssize_t stream_in_read(int fd, struct stream_in *in, void *to, size_t size)
{
	union fd_room room;
	struct iovec iov = { .iov_base = to, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	uint32_t before = in->num, lost = in->lost;
	bool kept = keeper_active(in->keeper);
	size_t seen = 0;
	ssize_t n;

	if (kept) {
		n = look(fd, in, &iov, &seen);
		if (n <= 0)
			return n;
		iov.iov_len = (size_t)n;
	}
	msg.msg_control = &room;
	msg.msg_controllen = sizeof(room);
	n = stream_receive(fd, &in->count, &msg);
	if (n < 0) {
		forget_from(in, before);
		in->lost = lost;
	} else if (kept) {
		settle_fds(in, &msg, seen, before, lost);
	} else {
		(void)take_fds(in, &msg);
	}
	return n;
}
