/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * message.h - frames of the vhost-user protocol on a non-blocking socket
 */
#ifndef PVDMA_AGENT_VHOST_MESSAGE_H
#define PVDMA_AGENT_VHOST_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/stream.h"
#include "vhost/protocol.h"

/* A message that is being received, or has been. Lies in the state. */
struct message {
	struct vhost_user_header head;
	union vhost_user_payload body;
	struct stream_in in;
};

/* A reply on its way out. Likewise. */
struct message_out {
	uint8_t bytes[sizeof(struct vhost_user_header) +
		      sizeof(union vhost_user_payload)];
	uint32_t size; /* 0: nothing to send */
	struct stream_count sent;
};

/* What message_receive() says when it is not an error of ours. */
enum message_verdict {
	MESSAGE_COMPLETE = 0,
	MESSAGE_AGAIN,	/* nothing more to read at the moment */
	MESSAGE_CLOSED, /* the peer hung up between two messages */
	MESSAGE_CUT,	/* ... in the middle of one */
	MESSAGE_BAD_VERSION,
	MESSAGE_BAD_FLAGS, /* a reply where a request belongs */
	MESSAGE_TOO_LONG,
	MESSAGE_TOO_MANY_FDS,
};

struct keeper;

/* Descriptors are put into @keeper, which may be NULL. */
void message_init(struct message *msg, struct keeper *keeper);
/* Goes on with one of another process. 0 or a negative errno. */
int message_resume(struct message *msg, struct keeper *keeper);

/* Closes the descriptors that nobody took, and makes ready for the next. */
void message_done(struct message *msg);

/*
 * Reads what is there of one message, and never a byte of the next: the
 * descriptors in @msg are those of this message. Returns an enum
 * message_verdict, or a negative errno. After anything but COMPLETE and AGAIN
 * the stream cannot be used further; @msg still needs message_done().
 */
int message_receive(int socket, struct message *msg);

/*
 * Takes the @i-th descriptor out of @msg; the caller owns it, and its id in the
 * keeper. -EBADF where there is none.
 */
int message_take_fd(struct message *msg, unsigned int i, uint64_t *ret_id);
/* The caller has no use for the one that it took. */
void message_put_back_fd(struct message *msg, unsigned int i, int fd);
/* The same as message_take_fd(), borrowed. */
int message_fd(const struct message *msg, unsigned int i);
unsigned int message_num_fds(const struct message *msg);

const char *message_strverdict(int verdict);
const char *message_strrequest(uint32_t request);

/*
 * Prepares a message of @size bytes of payload to be sent. @out must be idle
 * (size 0) and @size not above sizeof(union vhost_user_payload).
 */
void message_put(struct message_out *out, uint32_t request, uint32_t flags,
		 const void *payload, size_t size);

/*
 * Sends what the socket takes. Returns 0 when all of it is gone (@out is idle
 * again), -EAGAIN when something is left, or another negative errno.
 */
int message_flush(int socket, struct message_out *out);

static inline bool message_out_busy(const struct message_out *out)
{
	return out->size > 0;
}

#endif
