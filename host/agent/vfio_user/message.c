// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * message.c: the frames of the vfio-user protocol, in and out.
 *
 * Owns a connection's socket, the one message that is being received with the
 * descriptors that came along, and the one that is being sent.
 *
 * Invariants: no read goes past the end of a message, so that descriptors,
 * which the kernel hands over with the bytes they were sent with, always
 * belong to the message being received; each message is sent by a call of its
 * own, because clients expect a header to arrive in one piece; every
 * descriptor received is either in vfu_message.fds or closed; nothing blocks.
 *
 * Locks: none; one event loop.
 *
 * In a request's way: not at all. A message changes the memory layout or
 * sets up the device; mappings are asked for elsewhere (vhost/).
 */
#include "vfio_user/message.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/macros.h"

/* Buffers have at least this size; larger ones are not kept. */
#define KEEP_MAX 8192u

void vfu_channel_init(struct vfu_channel *channel, int fd)
{
	*channel = (struct vfu_channel){ .fd = fd, .out_fd = -1 };
}

void vfu_channel_done(struct vfu_channel *channel)
{
	vfu_channel_release(channel);
	channel->fd = close_fd(channel->fd);
	free(channel->in_body);
	free(channel->out);
	*channel = (struct vfu_channel){ .fd = -EBADF, .out_fd = -1 };
}

static bool reserve(uint8_t **buf, size_t *capacity, size_t size)
{
	uint8_t *p;

	if (size <= *capacity)
		return true;
	/* What it held is of no use any more. */
	size = max(size, (size_t)KEEP_MAX);
	p = malloc(size);
	if (!p)
		return false;
	free(*buf);
	*buf = p;
	*capacity = size;
	return true;
}

static void shrink(uint8_t **buf, size_t *capacity)
{
	if (*capacity <= KEEP_MAX)
		return;
	free(*buf);
	*buf = NULL;
	*capacity = 0;
}

static void take_fds(struct vfu_message *msg, struct msghdr *mh)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (msg->nfds < VFU_FDS_MAX) {
				msg->fds[msg->nfds++] = fd;
			} else {
				close_fd(fd);
				msg->fds_lost = true;
			}
		}
	}
	/* The kernel closed those that did not fit into the buffer. */
	if (mh->msg_flags & MSG_CTRUNC)
		msg->fds_lost = true;
}

/*
 * One recvmsg() of at most @size bytes. VFU_OK with *@ret > 0, VFU_AGAIN,
 * VFU_CLOSED, or a negative errno.
 */
static int receive_some(struct vfu_channel *channel, void *buf, size_t size,
			size_t *ret)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(VFU_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	do {
		n = recvmsg(channel->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return VFU_AGAIN;
		return errno == ECONNRESET ? VFU_CLOSED : -errno;
	}
	take_fds(&channel->in, &mh);
	if (n == 0)
		return VFU_CLOSED;
	*ret = (size_t)n;
	return VFU_OK;
}

/* Whether the bytes after this header can be told from the next message. */
static int check_frame(const struct vfio_user_header *h)
{
	if (h->size < sizeof(*h) || h->size > VFU_MESSAGE_MAX) {
		log_ratelimited(LOG_WARNING,
				"vfio-user: message of %u bytes (16 to %zu)",
				h->size, (size_t)VFU_MESSAGE_MAX);
		return VFU_BROKEN;
	}
	/* We never send commands: there is nothing to reply to. */
	if ((h->flags & VFIO_USER_F_TYPE_MASK) != VFIO_USER_F_TYPE_COMMAND) {
		log_ratelimited(LOG_WARNING,
				"vfio-user: message that is no command "
				"(flags 0x%x)",
				h->flags);
		return VFU_BROKEN;
	}
	return VFU_OK;
}

static int receive_part(struct vfu_channel *channel)
{
	const size_t hsize = sizeof(channel->in.header);
	size_t end, n = 0;
	uint8_t *to;
	int r;

	if (channel->in_done < hsize) {
		end = hsize;
		to = (uint8_t *)&channel->in.header + channel->in_done;
	} else {
		end = channel->in.header.size;
		to = channel->in_body + (channel->in_done - hsize);
	}
	r = receive_some(channel, to, end - channel->in_done, &n);
	if (r == VFU_CLOSED && channel->in_done > 0) {
		log_ratelimited(LOG_WARNING,
				"vfio-user: connection ended in a message");
		return VFU_BROKEN;
	}
	if (r != VFU_OK)
		return r;
	channel->in_done += n;
	if (end != hsize || channel->in_done < end)
		return VFU_OK;

	r = check_frame(&channel->in.header);
	if (r != VFU_OK)
		return r;
	if (!reserve(&channel->in_body, &channel->in_capacity,
		     channel->in.header.size - hsize))
		return -ENOMEM;
	return VFU_OK;
}

static bool received(const struct vfu_channel *channel)
{
	return channel->in_done >= sizeof(channel->in.header) &&
	       channel->in_done == channel->in.header.size;
}

int vfu_channel_receive(struct vfu_channel *channel, struct vfu_message **ret)
{
	struct vfu_message *msg = &channel->in;
	int r;

	while (!received(channel)) {
		r = receive_part(channel);
		if (r != VFU_OK)
			return r;
	}
	msg->body = channel->in_body;
	msg->size = msg->header.size - sizeof(msg->header);
	*ret = msg;
	return VFU_OK;
}

void vfu_channel_release(struct vfu_channel *channel)
{
	close_fds(channel->in.fds, channel->in.nfds);
	channel->in = (struct vfu_message){ 0 };
	channel->in_done = 0;
	shrink(&channel->in_body, &channel->in_capacity);
}

void *vfu_channel_payload(struct vfu_channel *channel, size_t size)
{
	const size_t hsize = sizeof(struct vfio_user_header);

	assert(!vfu_channel_sending(channel));
	if (!reserve(&channel->out, &channel->out_capacity, hsize + size))
		return NULL;
	memset(channel->out + hsize, 0, size);
	return channel->out + hsize;
}

int vfu_channel_send(struct vfu_channel *channel,
		     const struct vfio_user_header *header, size_t size, int fd)
{
	struct vfio_user_header h = *header;

	assert(!vfu_channel_sending(channel));
	if (!reserve(&channel->out, &channel->out_capacity, sizeof(h)))
		return -ENOMEM;
	assert(sizeof(h) + size <= channel->out_capacity);
	h.size = (uint32_t)(sizeof(h) + size);
	memcpy(channel->out, &h, sizeof(h));
	channel->out_size = h.size;
	channel->out_done = 0;
	channel->out_fd = fd;
	return vfu_channel_flush(channel);
}

/* One sendmsg() of what is left. Bytes, or a negative errno. */
static ssize_t send_some(const struct vfu_channel *channel)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = {
		.iov_base = channel->out + channel->out_done,
		.iov_len = channel->out_size - channel->out_done,
	};
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (channel->out_fd >= 0) {
		mh.msg_control = &control;
		mh.msg_controllen = sizeof(control);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.align), &channel->out_fd,
		       sizeof(int));
	}
	do {
		n = sendmsg(channel->fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int vfu_channel_flush(struct vfu_channel *channel)
{
	while (vfu_channel_sending(channel)) {
		ssize_t n = send_some(channel);

		if (n == -EAGAIN || n == -EWOULDBLOCK)
			return VFU_AGAIN;
		if (n == -EPIPE || n == -ECONNRESET)
			return VFU_CLOSED;
		if (n < 0)
			return (int)n;
		channel->out_fd = -1;
		channel->out_done += (size_t)n;
		if (channel->out_done == channel->out_size)
			channel->out_size = 0;
	}
	shrink(&channel->out, &channel->out_capacity);
	return VFU_OK;
}

bool vfu_channel_sending(const struct vfu_channel *channel)
{
	return channel->out_size > 0;
}
