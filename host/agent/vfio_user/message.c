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

#include "lib/cleanup.h"
#include "lib/durable.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "state.h"

/* Buffers have at least this size; larger ones are not kept. */
#define KEEP_MAX 8192u

static void init(struct vfu_channel *channel, int fd,
		 const struct vfu_room *room)
{
	*channel = (struct vfu_channel){ .fd = fd, .out_fd = -1 };
	channel->w = &channel->own;
	if (!room)
		return;
	channel->w = room->wire;
	channel->state = room->state;
	channel->in_body.offset = room->offset;
	channel->out.offset = room->offset + VFU_ROOM_HALF;
}

void vfu_channel_init(struct vfu_channel *channel, int fd)
{
	init(channel, fd, NULL);
	stream_in_init(&channel->w->in, NULL, VFU_FDS_MAX);
}

void vfu_channel_init_kept(struct vfu_channel *channel, int fd,
			   const struct vfu_room *room)
{
	init(channel, fd, room);
	memset(channel->w, 0, sizeof(*channel->w));
	stream_in_init(&channel->w->in, room->keeper, VFU_FDS_MAX);
}

void vfu_channel_done(struct vfu_channel *channel)
{
	vfu_channel_release(channel);
	channel->fd = close_fd(channel->fd);
	if (!channel->state) {
		free(channel->in_body.at);
		free(channel->out.at);
	}
	*channel = (struct vfu_channel){ .fd = -EBADF, .out_fd = -1 };
}

/* Room in the arena: memory is there up to the capacity. */
static bool reserve_kept(struct state *state, struct vfu_buffer *buf,
			 size_t size)
{
	assert(size <= VFU_ROOM_HALF);
	size = min(align_up(size, 4096), (uint64_t)VFU_ROOM_HALF);
	if (state_back(state, buf->offset, size) < 0)
		return false;
	buf->at = (uint8_t *)state_sparse(state) + buf->offset;
	buf->capacity = size;
	return true;
}

static bool reserve(struct vfu_channel *channel, struct vfu_buffer *buf,
		    size_t size)
{
	uint8_t *p;

	if (size <= buf->capacity)
		return true;
	/* What it held is of no use any more. */
	size = max(size, (size_t)KEEP_MAX);
	if (channel->state)
		return reserve_kept(channel->state, buf, size);
	p = malloc(size);
	if (!p)
		return false;
	free(buf->at);
	buf->at = p;
	buf->capacity = size;
	return true;
}

static void shrink(struct vfu_channel *channel, struct vfu_buffer *buf)
{
	if (buf->capacity <= KEEP_MAX)
		return;
	if (channel->state) {
		state_unback(channel->state, buf->offset + KEEP_MAX,
			     VFU_ROOM_HALF - KEEP_MAX);
		buf->capacity = KEEP_MAX;
		return;
	}
	free(buf->at);
	buf->at = NULL;
	buf->capacity = 0;
}

/*
 * One read of at most @size bytes. VFU_OK, VFU_AGAIN, VFU_CLOSED, or a negative
 * errno.
 */
static int receive_some(struct vfu_channel *channel, void *buf, size_t size)
{
	ssize_t n = stream_in_read(channel->fd, &channel->w->in, buf, size);

	if (n == -EAGAIN)
		return VFU_AGAIN;
	if (n == 0 || n == -ECONNRESET)
		return VFU_CLOSED;
	return n < 0 ? (int)n : VFU_OK;
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

/* Room for the body, once its size is known. VFU_OK or another verdict. */
static int prepare_body(struct vfu_channel *channel)
{
	const struct vfio_user_header *header = &channel->w->header;
	int r = check_frame(header);

	if (r != VFU_OK)
		return r;
	if (!reserve(channel, &channel->in_body,
		     header->size - sizeof(*header)))
		return -ENOMEM;
	return VFU_OK;
}

static int receive_part(struct vfu_channel *channel)
{
	const size_t hsize = sizeof(channel->w->header);
	uint64_t done = stream_done(&channel->w->in.count);
	uint8_t *to = (uint8_t *)&channel->w->header + done;
	size_t end = hsize;
	int r;

	if (done >= hsize) {
		/* (Again, after each part; it costs two comparisons.) */
		r = prepare_body(channel);
		if (r != VFU_OK)
			return r;
		end = channel->w->header.size;
		if (done == end)
			return VFU_OK;
		to = channel->in_body.at + (done - hsize);
	}
	r = receive_some(channel, to, end - done);
	if (r == VFU_CLOSED && done > 0) {
		log_ratelimited(LOG_WARNING,
				"vfio-user: connection ended in a message");
		return VFU_BROKEN;
	}
	return r;
}

static bool received(const struct vfu_channel *channel)
{
	uint64_t done = stream_done(&channel->w->in.count);

	return done >= sizeof(channel->w->header) &&
	       done == channel->w->header.size;
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
	r = prepare_body(channel);
	if (r != VFU_OK)
		return r;
	*msg = (struct vfu_message){
		.header = channel->w->header,
		.body = channel->in_body.at,
		.size = channel->w->header.size - sizeof(msg->header),
		.fds = channel->w->in.fds,
		.nfds = channel->w->in.num,
		.fds_lost = channel->w->in.lost,
	};
	*ret = msg;
	return VFU_OK;
}

void vfu_channel_release(struct vfu_channel *channel)
{
	if (channel->w)
		stream_in_done(&channel->w->in);
	channel->in = (struct vfu_message){ 0 };
	shrink(channel, &channel->in_body);
}

void *vfu_channel_payload(struct vfu_channel *channel, size_t size)
{
	const size_t hsize = sizeof(struct vfio_user_header);

	assert(!vfu_channel_sending(channel));
	if (!reserve(channel, &channel->out, hsize + size))
		return NULL;
	memset(channel->out.at + hsize, 0, size);
	return channel->out.at + hsize;
}

int vfu_channel_put(struct vfu_channel *channel,
		    const struct vfio_user_header *header, size_t size, int fd,
		    uint32_t region)
{
	struct vfio_user_header h = *header;
	struct vfu_wire *w = channel->w;

	assert(!vfu_channel_sending(channel));
	if (!reserve(channel, &channel->out, sizeof(h)))
		return -ENOMEM;
	assert(sizeof(h) + size <= channel->out.capacity);
	h.size = (uint32_t)(sizeof(h) + size);
	memcpy(channel->out.at, &h, sizeof(h));
	stream_set(&w->out_count, 0);
	w->out_region = fd >= 0 ? region + 1 : 0;
	channel->out_fd = fd;
	durable_store(&w->out_size, h.size);
	return 0;
}

int vfu_channel_send(struct vfu_channel *channel,
		     const struct vfio_user_header *header, size_t size, int fd)
{
	int r = vfu_channel_put(channel, header, size, fd, 0);

	return r < 0 ? r : vfu_channel_flush(channel);
}

/* One call for what is left. Bytes, or a negative errno. */
static ssize_t send_some(const struct vfu_channel *channel)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct vfu_wire *w = channel->w;
	uint64_t done = stream_done(&w->out_count);
	struct iovec iov = {
		.iov_base = channel->out.at + done,
		.iov_len = w->out_size - done,
	};
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (done == 0 && channel->out_fd >= 0) {
		mh.msg_control = &control;
		mh.msg_controllen = sizeof(control);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.align), &channel->out_fd,
		       sizeof(int));
	}
	return stream_send(channel->fd, &w->out_count, &mh);
}

int vfu_channel_flush(struct vfu_channel *channel)
{
	struct vfu_wire *w = channel->w;

	while (vfu_channel_sending(channel)) {
		ssize_t n = 0;

		if (stream_done(&w->out_count) < w->out_size)
			n = send_some(channel);
		if (n == -EAGAIN || n == -EWOULDBLOCK)
			return VFU_AGAIN;
		if (n == -EPIPE || n == -ECONNRESET)
			return VFU_CLOSED;
		if (n < 0)
			return (int)n;
		if (stream_done(&w->out_count) == w->out_size)
			durable_store(&w->out_size, 0u);
	}
	channel->out_fd = -1;
	shrink(channel, &channel->out);
	return VFU_OK;
}

bool vfu_channel_sending(const struct vfu_channel *channel)
{
	return channel->w->out_size > 0;
}

int vfu_channel_resume(struct vfu_channel *channel, int fd,
		       const struct vfu_room *room, bool executed)
{
	struct vfu_wire *w = room->wire;
	int r = 0;

	if (stream_done(&w->in.count) > VFU_MESSAGE_MAX ||
	    w->out_size > VFU_MESSAGE_MAX ||
	    stream_done(&w->out_count) > VFU_MESSAGE_MAX ||
	    (w->out_size > 0 && stream_done(&w->out_count) > w->out_size))
		return -EUCLEAN;
	init(channel, fd, room);
	stream_in_begin(&w->in, room->keeper);
	if (executed)
		stream_in_forget(&w->in, room->keeper);
	else
		r = stream_in_resume(&w->in, room->keeper);
	if (r < 0)
		return r;
	/* The bytes of both are where they were. */
	if (!reserve_kept(room->state, &channel->in_body, VFU_ROOM_HALF) ||
	    !reserve_kept(room->state, &channel->out, VFU_ROOM_HALF))
		return -ENOMEM;
	return 0;
}
