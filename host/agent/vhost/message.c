// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * message.c - frames of the vhost-user protocol on a non-blocking socket
 *
 * Owns: the bytes and the file descriptors of a message between the socket
 * and the handler that takes them.
 *
 * Invariant: a descriptor that arrived is closed exactly once: by who took it
 * with message_take_fd(), or by message_done(). A read never goes beyond the
 * message, so descriptors cannot slip from one message to the next; they may
 * come with any of its bytes.
 *
 * Locks: none; the event loop owns it. In a request's way it is not: the
 * front-end's messages set the queues up, requests come through the queues.
 */
#include "vhost/message.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/macros.h"

/* Offsets in the stream below this one belong to the header. */
#define HEAD_SIZE sizeof(struct vhost_user_header)

/*
 * Room for more descriptors than a message may have: the kernel would drop
 * those without room silently but for a flag, and pads odd numbers.
 */
#define CONTROL_FDS (VHOST_USER_FDS_MAX + 2)

static const char *const verdict_words[] = {
	[MESSAGE_COMPLETE] = "complete",
	[MESSAGE_AGAIN] = "incomplete",
	[MESSAGE_CLOSED] = "connection closed",
	[MESSAGE_CUT] = "connection closed in the middle of a message",
	[MESSAGE_BAD_VERSION] = "unknown protocol version",
	[MESSAGE_BAD_FLAGS] = "reply flag set in a request",
	[MESSAGE_TOO_LONG] = "payload too long",
	[MESSAGE_TOO_MANY_FDS] = "too many file descriptors",
};

static const char *const request_names[] = {
	[VHOST_USER_GET_FEATURES] = "GET_FEATURES",
	[VHOST_USER_SET_FEATURES] = "SET_FEATURES",
	[VHOST_USER_SET_OWNER] = "SET_OWNER",
	[VHOST_USER_RESET_OWNER] = "RESET_OWNER",
	[VHOST_USER_SET_MEM_TABLE] = "SET_MEM_TABLE",
	[VHOST_USER_SET_VRING_NUM] = "SET_VRING_NUM",
	[VHOST_USER_SET_VRING_ADDR] = "SET_VRING_ADDR",
	[VHOST_USER_SET_VRING_BASE] = "SET_VRING_BASE",
	[VHOST_USER_GET_VRING_BASE] = "GET_VRING_BASE",
	[VHOST_USER_SET_VRING_KICK] = "SET_VRING_KICK",
	[VHOST_USER_SET_VRING_CALL] = "SET_VRING_CALL",
	[VHOST_USER_SET_VRING_ERR] = "SET_VRING_ERR",
	[VHOST_USER_GET_PROTOCOL_FEATURES] = "GET_PROTOCOL_FEATURES",
	[VHOST_USER_SET_PROTOCOL_FEATURES] = "SET_PROTOCOL_FEATURES",
	[VHOST_USER_GET_QUEUE_NUM] = "GET_QUEUE_NUM",
	[VHOST_USER_SET_VRING_ENABLE] = "SET_VRING_ENABLE",
	[VHOST_USER_SET_BACKEND_REQ_FD] = "SET_BACKEND_REQ_FD",
	[VHOST_USER_GET_CONFIG] = "GET_CONFIG",
	[VHOST_USER_SET_CONFIG] = "SET_CONFIG",
	[VHOST_USER_RESET_DEVICE] = "RESET_DEVICE",
	[VHOST_USER_GET_MAX_MEM_SLOTS] = "GET_MAX_MEM_SLOTS",
	[VHOST_USER_ADD_MEM_REG] = "ADD_MEM_REG",
	[VHOST_USER_REM_MEM_REG] = "REM_MEM_REG",
};

const char *message_strverdict(int verdict)
{
	if (verdict < 0 || (size_t)verdict >= ARRAY_SIZE(verdict_words))
		return "unknown";
	return verdict_words[verdict];
}

const char *message_strrequest(uint32_t request)
{
	if (request >= ARRAY_SIZE(request_names) || !request_names[request])
		return "an unknown request";
	return request_names[request];
}

void message_init(struct message *msg)
{
	memset(msg, 0, sizeof(*msg));
	for (unsigned int i = 0; i < VHOST_USER_FDS_MAX; i++)
		msg->fds[i] = -EBADF;
}

void message_done(struct message *msg)
{
	close_fds(msg->fds, VHOST_USER_FDS_MAX);
	message_init(msg);
}

int message_take_fd(struct message *msg, unsigned int i)
{
	if (i >= msg->num_fds)
		return -EBADF;
	return steal_fd(&msg->fds[i]);
}

/* Takes one descriptor into @msg, or closes it and returns false. */
static bool keep_fd(struct message *msg, int fd)
{
	if (msg->num_fds >= VHOST_USER_FDS_MAX) {
		close_fd(fd);
		return false;
	}
	msg->fds[msg->num_fds++] = fd;
	return true;
}

/*
 * Takes all descriptors that @hdr brought; every one of them ends up in @msg
 * or closed, also when there are too many.
 */
static int collect_fds(struct message *msg, struct msghdr *hdr)
{
	bool fits = !(hdr->msg_flags & MSG_CTRUNC);
	struct cmsghdr *cmsg;

	for (cmsg = CMSG_FIRSTHDR(hdr); cmsg; cmsg = CMSG_NXTHDR(hdr, cmsg)) {
		size_t n;

		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd),
			       sizeof(fd));
			if (!keep_fd(msg, fd))
				fits = false;
		}
	}
	return fits ? MESSAGE_COMPLETE : MESSAGE_TOO_MANY_FDS;
}

/* Reads up to @size bytes to @to, and descriptors. Updates msg->received. */
static int receive_some(int socket, struct message *msg, void *to, size_t size)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(CONTROL_FDS * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = to, .iov_len = size };
	struct msghdr hdr = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	do {
		n = recvmsg(socket, &hdr, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (errno == EAGAIN)
			return MESSAGE_AGAIN;
		if (errno == ECONNRESET)
			return msg->received ? MESSAGE_CUT : MESSAGE_CLOSED;
		return -errno;
	}
	if (n == 0)
		return msg->received ? MESSAGE_CUT : MESSAGE_CLOSED;
	msg->received += (size_t)n;
	return collect_fds(msg, &hdr);
}

/* Judges a complete header. */
static int check_head(const struct vhost_user_header *head)
{
	if ((head->flags & VHOST_USER_FLAGS_VERSION) != VHOST_USER_VERSION)
		return MESSAGE_BAD_VERSION;
	if (head->flags & VHOST_USER_FLAGS_REPLY)
		return MESSAGE_BAD_FLAGS;
	if (head->size > sizeof(union vhost_user_payload))
		return MESSAGE_TOO_LONG;
	return MESSAGE_COMPLETE;
}

int message_receive(int socket, struct message *msg)
{
	int r;

	while (msg->received < HEAD_SIZE) {
		r = receive_some(socket, msg,
				 (uint8_t *)&msg->head + msg->received,
				 HEAD_SIZE - msg->received);
		if (r != MESSAGE_COMPLETE)
			return r;
	}
	r = check_head(&msg->head);
	if (r != MESSAGE_COMPLETE)
		return r;
	while (msg->received < HEAD_SIZE + msg->head.size) {
		size_t have = msg->received - HEAD_SIZE;

		r = receive_some(socket, msg, (uint8_t *)&msg->body + have,
				 msg->head.size - have);
		if (r != MESSAGE_COMPLETE)
			return r;
	}
	return MESSAGE_COMPLETE;
}

void message_put(struct message_out *out, uint32_t request, uint32_t flags,
		 const void *payload, size_t size)
{
	struct vhost_user_header head = {
		.request = request,
		.flags = flags | VHOST_USER_VERSION,
		.size = (uint32_t)size,
	};

	assert(!message_out_busy(out));
	assert(size <= sizeof(union vhost_user_payload));
	memcpy(out->bytes, &head, sizeof(head));
	if (size > 0)
		memcpy(out->bytes + sizeof(head), payload, size);
	out->size = sizeof(head) + size;
	out->sent = 0;
}

int message_flush(int socket, struct message_out *out)
{
	while (out->sent < out->size) {
		ssize_t n = send(socket, out->bytes + out->sent,
				 out->size - out->sent,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		out->sent += (size_t)n;
	}
	out->size = 0;
	return 0;
}
