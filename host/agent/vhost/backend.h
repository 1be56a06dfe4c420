/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backend.h - inside of the vhost-user backend: one front-end and its queues
 *
 * For the files of this folder alone; the rest of the agent includes vhost.h.
 */
#ifndef PVDMA_AGENT_VHOST_BACKEND_H
#define PVDMA_AGENT_VHOST_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "vhost/message.h"
#include "vhost/poll.h"
#include "vhost/regions.h"
#include "vhost/vhost.h"
#include "vhost/virtq.h"

struct vm;

/*
 * One request queue. It runs while it is started (the front-end gave a kick
 * descriptor and did not take the ring back by GET_VRING_BASE), enabled and
 * not broken.
 */
struct queue {
	struct vhost *vhost;
	uint16_t index;
	struct virtq ring;
	int kick_fd;
	int call_fd; /* -EBADF: nobody wants to be called */
	int err_fd;
	bool started;
	bool enabled;
	bool broken;  /* malformed; latched until the next start */
	bool running; /* counted in vhost->num_running */
	sd_event_source *kick_source;
	sd_event_source *drain_source; /* another turn, after others had one */
	struct poll_window window;
};

struct vhost {
	sd_event *event;
	struct vm *vm;
	struct trace *trace; /* the VM's */
	int listen_fd;	     /* -EBADF when one connection was handed in */
	sd_event_source *listen_source;
	struct vhost_stats stats;
	uint64_t poll_ns; /* queues' longest window */

	/* The session: all below is fresh for each front-end. */
	int fd; /* -EBADF: nobody is connected */
	sd_event_source *source;
	struct message in;
	struct message_out out;
	uint64_t features; /* acknowledged */
	uint64_t protocol_features;
	struct regions mem;
	bool seen_chain;		  /* of any queue */
	bool told_unshared;		  /* that guest memory is not shared */
	sd_event_source *unshared_source; /* waits for the first chain */

	/* The channel on which we speak first */
	int channel_fd;
	sd_event_source *channel_source;
	struct message_out channel_out;
	sd_event_source *config_source; /* a change is to be announced */
	bool config_changed;		/* and was not announced yet */

	uint16_t num_queues;
	unsigned int num_running;
	struct queue *queues;

	/* Scratch of the queue that is served at the moment */
	struct virtq_chain chain;
	uint8_t *request;
	size_t request_size;
};

/* --- queue.c --- */

int queue_init(struct queue *q, struct vhost *vhost, uint16_t index);
/* Stops the queue and forgets its set-up. Takes one that never ran. */
void queue_reset(struct queue *q);
void queue_done(struct queue *q);

/*
 * Starts the queue with @kick_fd, which is owned on success. 0; verdicts EINVAL
 * (ring not set up, or the descriptor cannot be polled); negative errno.
 */
int queue_start(struct queue *q, int kick_fd);
/* The ring's position stays; descriptors other than kick's stay, too. */
void queue_stop(struct queue *q);
void queue_set_enabled(struct queue *q, bool enabled);
/* Takes ownership of @fd, or -EBADF for none. */
void queue_set_call(struct queue *q, int fd);
void queue_set_err(struct queue *q, int fd);
/* The memory table changed: looks the ring up again. */
void queue_memory_changed(struct queue *q);

/* --- unshared.c --- */

int unshared_init(struct vhost *vhost);
/* The first queue runs; something stood in a ring; the last queue stopped. */
void unshared_arm(struct vhost *vhost);
void unshared_refute(struct vhost *vhost);
void unshared_stop(struct vhost *vhost);
/* The guest's rings are set up, and there is no memory that they could be in. */
void unshared_no_memory(struct vhost *vhost);

/* --- dispatch.c --- */

struct reply {
	bool wanted; /* the message has an answer of its own */
	union vhost_user_payload body;
	size_t size;
	const char *why; /* of a refusal, or NULL */
	bool fatal;	 /* refused, and there is no way to say so */
};

/*
 * Acts on one complete message. Returns 0, a positive verdict (the front-end's
 * fault, with reply->why), or a negative errno. reply->wanted is set when
 * reply->body is to be sent.
 */
int dispatch_message(struct vhost *vhost, struct message *msg,
		     struct reply *reply);

/* --- backend.c --- */

/* Takes ownership of @fd, a connected stream socket, for our own messages. */
int backend_set_channel(struct vhost *vhost, int fd);

/* Announces a change of the configuration that waits for a running queue. */
void backend_announce(struct vhost *vhost);

/* The last queue stops: keeps an announcement that did not go out yet. */
void backend_withdraw(struct vhost *vhost);

#endif
