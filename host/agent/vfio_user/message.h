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
	const uint8_t *body;  /* aligned for any type */
	size_t size;	      /* of the body, bytes */
	int fds[VFU_FDS_MAX]; /* owned by the message; -EBADF: taken */
	unsigned int nfds;    /* that came */
	bool fds_lost;	      /* more came than fit; they were closed */
};

/*
 * One connection. At most one message is being received and one being sent;
 * what the peer sends meanwhile waits in the socket. Use through the
 * functions below only.
 */
struct vfu_channel {
	int fd;
	struct vfu_message in;
	size_t in_done; /* bytes received of header and body */
	uint8_t *in_body;
	size_t in_capacity;
	uint8_t *out; /* header and payload */
	size_t out_capacity;
	size_t out_size; /* 0: nothing is being sent */
	size_t out_done;
	int out_fd; /* to go with the first byte; borrowed */
};

/* Takes ownership of @fd, a connected and non-blocking stream socket. */
void vfu_channel_init(struct vfu_channel *channel, int fd);

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
