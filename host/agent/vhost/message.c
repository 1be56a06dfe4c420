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

#include "lib/durable.h"
#include "lib/macros.h"

/* Offsets in the stream below this one belong to the header. */
#define HEAD_SIZE sizeof(struct vhost_user_header)

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

void message_init(struct message *msg, struct keeper *keeper)
{
	stream_in_init(&msg->in, keeper, VHOST_USER_FDS_MAX);
}

int message_resume(struct message *msg, struct keeper *keeper)
{
	if (stream_done(&msg->in.count) > sizeof(msg->head) + sizeof(msg->body))
		return -EUCLEAN;
	return stream_in_resume(&msg->in, keeper);
}

void message_done(struct message *msg)
{
	stream_in_done(&msg->in);
}

int message_take_fd(struct message *msg, unsigned int i, uint64_t *ret_id)
{
	return stream_in_take(&msg->in, i, ret_id);
}

void message_put_back_fd(struct message *msg, unsigned int i, int fd)
{
	stream_in_put_back(&msg->in, i, fd);
}

int message_fd(const struct message *msg, unsigned int i)
{
	return i < msg->in.num ? msg->in.fds[i] : -EBADF;
}

unsigned int message_num_fds(const struct message *msg)
{
	return msg->in.num;
}

/* Reads up to @size bytes to @to, and descriptors. */
static int receive_some(int socket, struct message *msg, void *to, size_t size)
{
	bool begun = stream_done(&msg->in.count) > 0;
	ssize_t n = stream_in_read(socket, &msg->in, to, size);

	if (n == -EAGAIN)
		return MESSAGE_AGAIN;
	if (n == 0 || n == -ECONNRESET)
		return begun ? MESSAGE_CUT : MESSAGE_CLOSED;
	if (n < 0)
		return (int)n;
	return msg->in.lost ? MESSAGE_TOO_MANY_FDS : MESSAGE_COMPLETE;
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
	size_t have;
	int r;

	while ((have = stream_done(&msg->in.count)) < HEAD_SIZE) {
		r = receive_some(socket, msg, (uint8_t *)&msg->head + have,
				 HEAD_SIZE - have);
		if (r != MESSAGE_COMPLETE)
			return r;
	}
	r = check_head(&msg->head);
	if (r != MESSAGE_COMPLETE)
		return r;
	while ((have = stream_done(&msg->in.count)) <
	       HEAD_SIZE + msg->head.size) {
		have -= HEAD_SIZE;

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
	stream_set(&out->sent, 0);
	durable_store(&out->size, (uint32_t)(sizeof(head) + size));
}

int message_flush(int socket, struct message_out *out)
{
	uint64_t sent;

	while ((sent = stream_done(&out->sent)) < out->size) {
		struct iovec iov = {
			.iov_base = out->bytes + sent,
			.iov_len = out->size - sent,
		};
		const struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n = stream_send(socket, &out->sent, &msg);

		if (n < 0)
			return (int)n;
	}
	durable_store(&out->size, 0u);
	return 0;
}
