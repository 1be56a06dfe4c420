/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * message.h - whole vfio-user messages over a non-blocking socket
 *
 * Knows framing and file descriptors, and nothing of what a message means.
 */
#ifndef PVDMA_AGENT_VFIO_USER_MESSAGE_H
#define PVDMA_AGENT_VFIO_USER_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/stream.h"
#include "vfio_user/protocol.h"

/* What one message may carry; both are announced to the client. */
#define VFU_FDS_MAX  16
#define VFU_XFER_MAX (1024u * 1024u)

/* The longest message: a write of VFU_XFER_MAX bytes. */
#define VFU_MESSAGE_MAX                    \
	(sizeof(struct vfio_user_header) + \
	 sizeof(struct vfio_user_region_access) + VFU_XFER_MAX)

/* Results beside negative errnos, which are faults of ours. */
enum vfu_verdict {
	VFU_OK = 0,
	VFU_AGAIN,  /* the socket would block */
	VFU_CLOSED, /* the peer is gone */
	VFU_BROKEN, /* the peer's stream cannot be followed any more */
};

struct vfu_message {
	struct vfio_user_header header;
	const uint8_t *body; /* aligned for any type */
	size_t size;	     /* of the body, bytes */
	int *fds;	     /* owned by the message; -EBADF: taken */
	unsigned int nfds;   /* that came */
	bool fds_lost;	     /* more came than fit; they were closed */
};

static_assert(VFU_FDS_MAX <= STREAM_FDS_MAX, "a message's descriptors");

/*
 * What of a connection outlives the process, beside its socket and the bytes of
 * both messages. Zero: nothing was received or sent.
 */
struct vfu_wire {
	struct stream_in in;
	struct vfio_user_header header; /* as far as it has come */
	struct stream_count out_count;
	uint32_t out_size;   /* 0: nothing is being sent */
	uint32_t out_region; /* whose descriptor goes along, plus 1; 0: none */
};

struct keeper;
struct state;

/* Where that is, and where the bytes are: in the sparse part of @state. */
struct vfu_room {
	struct keeper *keeper;
	struct state *state;
	struct vfu_wire *wire;
	uint64_t offset; /* bytes, of VFU_ROOM_SIZE */
};

/* Each message has a half of it. */
#define VFU_ROOM_HALF ((VFU_MESSAGE_MAX + 4095) / 4096 * 4096)
#define VFU_ROOM_SIZE (2 * VFU_ROOM_HALF)

struct vfu_buffer {
	uint8_t *at;
	size_t capacity;
	uint64_t offset; /* in the room's state */
};

/*
 * One connection. At most one message is being received and one being sent;
 * what the peer sends meanwhile waits in the socket. Use through the
 * functions below only.
 */
struct vfu_channel {
	int fd;
	struct vfu_wire *w;
	struct vfu_wire own; /* of a connection that is not kept */
	struct state *state; /* NULL: buffers are of malloc() */
	struct vfu_message in;
	struct vfu_buffer in_body;
	struct vfu_buffer out; /* header and payload */
	int out_fd;	       /* to go with the first byte; borrowed */
};

/* Takes ownership of @fd, a connected and non-blocking stream socket. */
void vfu_channel_init(struct vfu_channel *channel, int fd);
/* The same for one that is kept; the wire is of zeros. */
void vfu_channel_init_kept(struct vfu_channel *channel, int fd,
			   const struct vfu_room *room);
/*
 * The same with the wire of another process, which has executed the message that
 * it has, or has not. 0 or a negative errno: it cannot be, and @fd stays the
 * caller's.
 */
int vfu_channel_resume(struct vfu_channel *channel, int fd,
		       const struct vfu_room *room, bool executed);

/* Closes the socket and whatever was on its way. */
void vfu_channel_done(struct vfu_channel *channel);

/*
 * Goes on receiving. VFU_OK: *@ret is a message, valid until
 * vfu_channel_release(). VFU_AGAIN: not whole yet. VFU_CLOSED, VFU_BROKEN or
 * a negative errno: the connection is over, and nothing more is received.
 */
int vfu_channel_receive(struct vfu_channel *channel, struct vfu_message **ret);

/* Ends the use of a received message; closes the fds left in it. */
void vfu_channel_release(struct vfu_channel *channel);

/*
 * Room for a payload of @size bytes to be sent next, zeroed and aligned for
 * any type; NULL if there is no memory. Only while nothing is being sent.
 */
void *vfu_channel_payload(struct vfu_channel *channel, size_t size);

/*
 * As vfu_channel_send(), but for vfu_channel_flush() it waits for its turn. 0 or
 * -ENOMEM. @region is the one that @fd is of.
 */
int vfu_channel_put(struct vfu_channel *channel,
		    const struct vfio_user_header *header, size_t size, int fd,
		    uint32_t region);

/*
 * Sends @header, whose size field is filled in, and the first @size bytes of
 * the payload prepared before. @fd (-1: none) goes along; it is borrowed and
 * must stay open until the message is out. VFU_OK: sent. VFU_AGAIN: kept, call
 * vfu_channel_flush() when the socket is writable. Otherwise as for receive.
 */
int vfu_channel_send(struct vfu_channel *channel,
		     const struct vfio_user_header *header, size_t size,
		     int fd);
int vfu_channel_flush(struct vfu_channel *channel);

/* Whether a message waits for the socket to become writable. */
bool vfu_channel_sending(const struct vfu_channel *channel);

#endif
