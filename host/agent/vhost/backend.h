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

#include "lib/keeper.h"
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
/* What of a queue outlives the process; ids are the keeper's. */
struct queue_state {
	uint64_t desc_user, avail_user, used_user;
	uint64_t kick, call, err;
	uint32_t position; /* next available entry | next used one << 16 */
	uint16_t size;
	uint8_t started;
	uint8_t enabled;
	uint8_t broken;
	uint8_t reserved[7];
};

struct queue {
	struct vhost *vhost;
	struct queue_state *s;
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

#define QUEUES_MAX 64

/* A region of guest memory, and its file in the keeper. */
struct vhost_region_state {
	struct vhost_user_region region;
	uint64_t file;
};

struct vhost_memory_state {
	uint64_t count;
	struct vhost_region_state regions[REGIONS_MAX];
};

/* How far the message is. */
enum vhost_phase {
	VHOST_IDLE,	 /* not complete, or not looked at yet */
	VHOST_EXECUTING, /* and answered, if an answer is there */
	VHOST_EXECUTED,
};

/*
 * What of a session outlives the process. Zero: nobody is connected. A value of
 * its own changes by one store; where a message changes several, it is executed
 * again.
 */
struct vhost_state {
	uint64_t connection; /* ids are the keeper's */
	uint64_t channel;
	uint64_t features; /* acknowledged */
	uint64_t protocol_features;
	uint32_t phase;
	/* A chain is being served: queue + 1 | its available entry << 16. */
	uint32_t serving;
	uint32_t memory; /* which of both is right */
	uint32_t reserved;
	struct message in;
	struct message_out out;
	struct message_out channel_out;
	struct vhost_memory_state memories[2];
	struct queue_state queues[QUEUES_MAX];
};

struct vhost {
	sd_event *event;
	struct keeper *keeper; /* may be NULL */
	struct vhost_state *s;
	struct vhost_state *own; /* of a backend that is not kept */
	struct vm *vm;
	struct trace *trace; /* the VM's */
	int listen_fd;	     /* -EBADF when one connection was handed in */
	sd_event_source *listen_source;
	struct vhost_stats stats;
	uint64_t poll_ns; /* queues' longest window */

	/* The session: all below is fresh for each front-end. */
	int fd; /* -EBADF: nobody is connected */
	sd_event_source *source;
	bool again; /* the message may have been executed before */
	struct regions mem;
	bool seen_chain;		  /* of any queue */
	bool told_unshared;		  /* that guest memory is not shared */
	sd_event_source *unshared_source; /* waits for the first chain */

	/* The channel on which we speak first */
	int channel_fd;
	sd_event_source *channel_source;
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
int queue_start(struct queue *q, int kick_fd, uint64_t id);
/* The ring's position stays; descriptors other than kick's stay, too. */
void queue_stop(struct queue *q);
void queue_set_enabled(struct queue *q, bool enabled);
/* Takes ownership of @fd, or -EBADF for none. */
void queue_set_call(struct queue *q, int fd, uint64_t id);
void queue_set_err(struct queue *q, int fd, uint64_t id);
/* The ring's set-up or position changed, by the front-end. */
void queue_note(struct queue *q);
/* Goes on where the process before stood. 0 or a negative errno. */
int queue_resume(struct queue *q);
/* All are resumed: serves what was being served, and whatever came since. */
void queue_go_on(struct queue *q);
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

/* --- kept.c: guest memory in the state --- */

/* All regions of @table; its files are @msg's descriptors. */
void kept_set_table(struct vhost *vhost,
		    const struct vhost_user_mem_table *table,
		    const struct message *msg);
void kept_add(struct vhost *vhost, const struct vhost_user_region *region,
	      int fd);
void kept_remove(struct vhost *vhost, const struct vhost_user_region *region);
/* Is this very region kept? */
bool kept_has(const struct vhost *vhost,
	      const struct vhost_user_region *region);
void kept_clear(struct vhost *vhost);
/* Is the state of another process such that it can be walked, or closed? */
bool kept_is_sound(const struct vhost_state *s);
/* Maps what was kept. 0 or a negative errno, logged. */
int kept_resume(struct vhost *vhost);

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

/*
 * Takes ownership of @fd, a connected stream socket, for our own messages; @id is
 * its own in the keeper.
 */
int backend_set_channel(struct vhost *vhost, int fd, uint64_t id);

/* Announces a change of the configuration that waits for a running queue. */
void backend_announce(struct vhost *vhost);

/* The last queue stops: keeps an announcement that did not go out yet. */
void backend_withdraw(struct vhost *vhost);

#endif
