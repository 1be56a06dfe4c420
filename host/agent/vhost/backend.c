// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * backend.c - the virtio device pvdma as a vhost-user backend
 *
 * Theory of operation. One front-end at a time: its connection is a session,
 * which ends with it and leaves nothing behind. Messages are handled one after
 * the other (dispatch.c), a few at a turn. Nothing here ever waits for the
 * front-end: an answer that its socket does not take is kept, and no further
 * message is read before it is gone. Changes of the configuration space are
 * announced on a channel of their own; while the front-end does not read, they
 * merge into one.
 *
 * Owns: the listening socket, the session with its sockets, guest memory and
 * queues.
 *
 * Invariant: no session, no memory, no running queue. At most one answer and
 * one announcement wait to be sent.
 *
 * Locks: none; one event loop. In a request's way: not; queue.c is.
 */
#include "vhost/backend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "vm.h"
#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/durable.h"
#include "lib/log.h"

/* Messages handled before the rest of the agent has a turn */
#define MESSAGES_PER_TURN 16

/* When accept() fails for want of descriptors, do not try all the time. */
#define ACCEPT_INTERVAL_USEC 1000000
#define ACCEPT_BURST	     200

#define BIT(n) (1ULL << (n))

/* --- the channel on which we speak first --- */

/* Another channel takes the place of this one; or none, -EBADF and 0. */
static void channel_replace(struct vhost *vhost, int fd, uint64_t id,
			    sd_event_source *source)
{
	uint64_t old = vhost->s->channel;
	bool held = vhost->channel_fd >= 0;

	sd_event_source_disable_unref(vhost->channel_source);
	close_fd(vhost->channel_fd);
	vhost->channel_source = source;
	vhost->channel_fd = fd;
	/* (After a kill it is the same one, with what waits there.) */
	if (id == 0 || id != old)
		vhost->s->channel_out.size = 0;
	durable_store(&vhost->s->channel, id);
	if (held)
		keeper_drop(vhost->keeper, old);
}

static void channel_close(struct vhost *vhost)
{
	channel_replace(vhost, -EBADF, 0, NULL);
}

/* Sends what waits; when the socket is full, waits until it is not. */
static void channel_flush(struct vhost *vhost)
{
	int r = message_flush(vhost->channel_fd, &vhost->s->channel_out);

	if (r < 0 && r != -EAGAIN) {
		log_ratelimited(LOG_WARNING,
				"vhost-user: cannot tell the front-end of "
				"configuration changes: %s",
				strerror(-r));
		channel_close(vhost);
		return;
	}
	(void)sd_event_source_set_io_events(vhost->channel_source,
					    r == 0 ? EPOLLIN : EPOLLOUT);
}

/* What the front-end says on this channel does not matter: we never ask. */
static void channel_discard(struct vhost *vhost)
{
	uint8_t bytes[256];
	ssize_t n;

	n = recv(vhost->channel_fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		channel_close(vhost);
}

static int on_channel(sd_event_source *s, int fd, uint32_t revents,
		      void *userdata)
{
	struct vhost *vhost = userdata;

	(void)s;
	(void)fd;
	if (revents & EPOLLOUT)
		channel_flush(vhost);
	else
		channel_discard(vhost);
	return 0;
}

int backend_set_channel(struct vhost *vhost, int fd, uint64_t id)
{
	sd_event_source *source = NULL;
	int r;

	r = sd_event_add_io(vhost->event, &source, fd, EPOLLIN, on_channel,
			    vhost);
	if (r < 0)
		return r;
	channel_replace(vhost, fd, id, source);
	return 0;
}

/*
 * Runs once after any number of changes, and only while a queue runs: before
 * that the front-end's device has no driver that could hear of it, and QEMU 11
 * (hw/virtio/vhost-user-base.c) follows a null pointer when it is told.
 */
static int on_config_changed(sd_event_source *s, void *userdata)
{
	struct vhost *vhost = userdata;

	(void)s;
	if (vhost->channel_fd < 0 || vhost->num_running == 0)
		return 0;
	vhost->config_changed = false;
	/* One that still waits announces this change, too. */
	if (!message_out_busy(&vhost->s->channel_out))
		message_put(&vhost->s->channel_out,
			    VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, 0, NULL, 0);
	channel_flush(vhost);
	return 0;
}

void backend_announce(struct vhost *vhost)
{
	if (vhost->config_changed && vhost->num_running > 0)
		(void)sd_event_source_set_enabled(vhost->config_source,
						  SD_EVENT_ONESHOT);
}

/*
 * What already left cannot be called back: a front-end that stops its device in
 * this very moment may still trip over it.
 */
void backend_withdraw(struct vhost *vhost)
{
	if (!message_out_busy(&vhost->s->channel_out) ||
	    stream_done(&vhost->s->channel_out.sent) > 0)
		return;
	vhost->s->channel_out.size = 0;
	vhost->config_changed = true;
	(void)sd_event_source_set_io_events(vhost->channel_source, EPOLLIN);
}

void vhost_config_changed(struct vhost *vhost)
{
	/* Without a session there is nobody to tell, and nobody who missed it. */
	vhost->config_changed = vhost->fd >= 0;
	backend_announce(vhost);
}

/* --- the session --- */

static void session_close(struct vhost *vhost)
{
	uint64_t id = vhost->s->connection;

	for (unsigned int i = 0; i < vhost->num_queues; i++)
		queue_reset(&vhost->queues[i]);
	channel_close(vhost);
	(void)sd_event_source_set_enabled(vhost->config_source, SD_EVENT_OFF);
	vhost->source = sd_event_source_disable_unref(vhost->source);
	vhost->fd = close_fd(vhost->fd);
	message_done(&vhost->s->in);
	vhost->s->out.size = 0;
	kept_clear(vhost);
	regions_clear(&vhost->mem);
	vhost->s->phase = VHOST_IDLE;
	vhost->s->features = 0;
	vhost->s->protocol_features = 0;
	vhost->seen_chain = false;
	vhost->told_unshared = false;
	vhost->config_changed = false;
	vhost->again = false;
	crash_point("vhost-closed");
	/* Last of all: who goes on finds the connection closed, and does this. */
	durable_store(&vhost->s->connection, (uint64_t)0);
	keeper_drop(vhost->keeper, id);
}

/* Logs a message that was not obeyed. */
static void log_refusal(struct vhost *vhost, const struct message *msg, int r,
			const char *why)
{
	vhost->stats.errors++;
	log_ratelimited(LOG_WARNING, "vhost-user: %s (%u) refused: %s",
			message_strrequest(msg->head.request),
			msg->head.request, why ? why : strerror(abs(r)));
}

static void put_reply(struct vhost *vhost, const struct message *msg,
		      const struct reply *reply, int r)
{
	bool ack = (msg->head.flags & VHOST_USER_FLAGS_NEED_REPLY) &&
		   (vhost->s->protocol_features &
		    BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK));
	uint64_t status = r ? 1 : 0;

	if (reply->wanted)
		message_put(&vhost->s->out, msg->head.request,
			    VHOST_USER_FLAGS_REPLY, &reply->body, reply->size);
	else if (ack)
		message_put(&vhost->s->out, msg->head.request,
			    VHOST_USER_FLAGS_REPLY, &status, sizeof(status));
}

/* Sends what waits. False: the session is over. */
static bool session_flush(struct vhost *vhost)
{
	int r = message_flush(vhost->fd, &vhost->s->out);

	if (r < 0 && r != -EAGAIN) {
		if (r != -EPIPE && r != -ECONNRESET)
			log_warn_errno(r, "vhost-user: cannot answer");
		session_close(vhost);
		return false;
	}
	(void)sd_event_source_set_io_events(vhost->source,
					    r == 0 ? EPOLLIN : EPOLLOUT);
	return true;
}

/* Handles vhost->s->in, which is complete. False: the session is over. */
static bool session_handle(struct vhost *vhost)
{
	struct message *msg = &vhost->s->in;
	struct reply reply;
	int r;

	vhost->stats.messages++;
	durable_store(&vhost->s->phase, (uint32_t)VHOST_EXECUTING);
	crash_point("vhost-message");
	r = dispatch_message(vhost, msg, &reply);
	crash_point("vhost-executed");
	vhost->again = false;
	log_debug("vhost-user: %s: %d", message_strrequest(msg->head.request),
		  r);
	if (r)
		log_refusal(vhost, msg, r, reply.why);
	put_reply(vhost, msg, &reply, r);
	durable_store(&vhost->s->phase, (uint32_t)VHOST_EXECUTED);
	crash_point("vhost-answer");
	message_done(msg);
	crash_point("vhost-message-done");
	durable_store(&vhost->s->phase, (uint32_t)VHOST_IDLE);
	if (reply.fatal) {
		session_close(vhost);
		return false;
	}
	return session_flush(vhost);
}

/* Reads and handles one message. False: no more for now. */
static bool session_turn(struct vhost *vhost)
{
	int r = message_receive(vhost->fd, &vhost->s->in);

	switch (r) {
	case MESSAGE_COMPLETE:
		return session_handle(vhost) &&
		       !message_out_busy(&vhost->s->out);
	case MESSAGE_AGAIN:
		return false;
	case MESSAGE_CLOSED:
		log_ratelimited(LOG_INFO,
				"vhost-user: the front-end disconnected");
		break;
	default:
		vhost->stats.errors++;
		log_ratelimited(LOG_WARNING,
				"vhost-user: the front-end is disconnected: %s",
				r < 0 ? strerror(-r) : message_strverdict(r));
	}
	session_close(vhost);
	return false;
}

static int on_message(sd_event_source *s, int fd, uint32_t revents,
		      void *userdata)
{
	struct vhost *vhost = userdata;

	(void)s;
	(void)fd;
	(void)revents;
	if (message_out_busy(&vhost->s->out) &&
	    (!session_flush(vhost) || message_out_busy(&vhost->s->out)))
		return 0;
	for (int i = 0; i < MESSAGES_PER_TURN; i++)
		if (!session_turn(vhost))
			break;
	return 0;
}

static int session_serve(struct vhost *vhost, int fd)
{
	int r = sd_event_add_io(vhost->event, &vhost->source, fd, EPOLLIN,
				on_message, vhost);

	if (r == 0)
		vhost->fd = fd;
	return r;
}

/* Takes ownership of @fd on success. */
static int session_open(struct vhost *vhost, int fd)
{
	int r = session_serve(vhost, fd);

	if (r < 0)
		return r;
	durable_store(&vhost->s->connection,
		      keeper_put(vhost->keeper, KEEPER_CLIENT, fd));
	crash_point("vhost-connected");
	vhost->stats.connections++;
	log_ratelimited(LOG_INFO, "vhost-user: a front-end connected");
	return 0;
}

static int on_connect(sd_event_source *s, int listen_fd, uint32_t revents,
		      void *userdata)
{
	struct vhost *vhost = userdata;
	_cleanup_close_ int fd = -EBADF;
	int r;

	(void)s;
	(void)revents;
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			log_ratelimited(LOG_WARNING,
					"vhost-user: cannot accept: %s",
					strerror(errno));
		return 0;
	}
	if (vhost->fd >= 0) {
		log_ratelimited(LOG_WARNING,
				"vhost-user: a second front-end was turned "
				"away: there is one already");
		return 0;
	}
	r = session_open(vhost, fd);
	if (r < 0) {
		log_err_errno(r, "vhost-user: cannot serve the front-end");
		return 0;
	}
	steal_fd(&fd);
	return 0;
}

/* --- the backend --- */

static struct vhost *vhost_alloc(sd_event *event, struct vm *vm,
				 uint16_t num_queues, struct vhost_state *state)
{
	struct vhost *vhost = calloc(1, sizeof(*vhost));

	if (!vhost || num_queues > QUEUES_MAX) {
		free(vhost);
		return NULL;
	}
	vhost->own = state ? NULL : calloc(1, sizeof(*vhost->own));
	vhost->s = state ? state : vhost->own;
	if (!vhost->s) {
		free(vhost);
		return NULL;
	}
	vhost->event = sd_event_ref(event);
	vhost->vm = vm;
	vhost->trace = vm_trace(vm);
	vhost->listen_fd = -EBADF;
	vhost->fd = -EBADF;
	vhost->channel_fd = -EBADF;
	/* One byte more tells a request that is too long. */
	vhost->request_size = vm_request_max(vm) + 1;
	vhost->request = malloc(vhost->request_size);
	vhost->queues = calloc(num_queues, sizeof(*vhost->queues));
	if (!vhost->request || !vhost->queues) {
		vhost_free(vhost);
		return NULL;
	}
	vhost->num_queues = num_queues;
	return vhost;
}

static int vhost_init(struct vhost *vhost)
{
	int r;

	for (uint16_t i = 0; i < vhost->num_queues; i++) {
		r = queue_init(&vhost->queues[i], vhost, i);
		if (r < 0)
			return r;
	}
	r = unshared_init(vhost);
	if (r < 0)
		return r;
	r = sd_event_add_defer(vhost->event, &vhost->config_source,
			       on_config_changed, vhost);
	if (r < 0)
		return r;
	return sd_event_source_set_enabled(vhost->config_source, SD_EVENT_OFF);
}

/* Listens on @fd, or serves it when it is a connection. */
static int vhost_attach(struct vhost *vhost, int fd)
{
	socklen_t len = sizeof(int);
	int listening, r;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0)
		return -errno;
	if (!listening)
		return session_open(vhost, fd);
	r = sd_event_add_io(vhost->event, &vhost->listen_source, fd, EPOLLIN,
			    on_connect, vhost);
	if (r < 0)
		return r;
	r = sd_event_source_set_ratelimit(vhost->listen_source,
					  ACCEPT_INTERVAL_USEC, ACCEPT_BURST);
	if (r < 0)
		return r;
	vhost->listen_fd = fd;
	return 0;
}

size_t vhost_state_size(void)
{
	return sizeof(struct vhost_state);
}

int vhost_new(sd_event *event, int listen_fd, struct vm *vm,
	      uint16_t num_queues, struct vhost **ret)
{
	return vhost_new_kept(event, listen_fd, vm, num_queues, NULL, NULL,
			      ret);
}

int vhost_new_kept(sd_event *event, int listen_fd, struct vm *vm,
		   uint16_t num_queues, struct keeper *keeper,
		   struct vhost_state *state, struct vhost **ret)
{
	struct vhost *vhost;
	int r;

	/* Before anything walks it, be it to close it. */
	if (state && state->connection != 0 && !kept_is_sound(state)) {
		log_err("vhost-user: the session of the process before is damaged");
		return -EUCLEAN;
	}
	vhost = vhost_alloc(event, vm, num_queues, state);
	if (!vhost)
		return -ENOMEM;
	vhost->keeper = keeper;
	if (vhost->s->connection == 0) {
		memset(vhost->s, 0, sizeof(*vhost->s));
		message_init(&vhost->s->in, keeper);
	} else {
		stream_in_begin(&vhost->s->in.in, keeper);
	}
	r = vhost_init(vhost);
	if (r == 0)
		r = vhost_attach(vhost, listen_fd);
	if (r < 0) {
		vhost_free(vhost);
		return r;
	}
	*ret = vhost;
	return 0;
}

/* Where the process before was with the message that it was about. */
static int resume_message(struct vhost *vhost)
{
	struct vhost_state *s = vhost->s;

	if (s->phase == VHOST_EXECUTING && !message_out_busy(&s->out)) {
		vhost->again = true;
	} else if (s->phase != VHOST_IDLE) {
		stream_in_forget(&s->in.in, vhost->keeper);
		durable_store(&s->phase, (uint32_t)VHOST_IDLE);
	}
	return message_resume(&s->in, vhost->keeper);
}

static int resume_channel(struct vhost *vhost)
{
	uint64_t id = vhost->s->channel;
	int fd = keeper_claim(vhost->keeper, id), r;

	if (fd < 0)
		return id == 0 ? 0 : -EBADF;
	r = backend_set_channel(vhost, fd, id);
	if (r < 0)
		close_fd(fd);
	return r;
}

static int resume_session(struct vhost *vhost)
{
	struct vhost_state *s = vhost->s;
	int fd = keeper_claim(vhost->keeper, s->connection), r;

	if (fd < 0)
		return -EBADF;
	r = session_serve(vhost, fd);
	if (r < 0) {
		close_fd(fd);
		return r;
	}
	r = resume_message(vhost);
	if (r == 0)
		r = kept_resume(vhost);
	if (r == 0)
		r = resume_channel(vhost);
	for (unsigned int i = 0; r == 0 && i < vhost->num_queues; i++)
		r = queue_resume(&vhost->queues[i]);
	return r;
}

int vhost_resume(struct vhost *vhost)
{
	int r = vhost->s->connection == 0 ? 0 : resume_session(vhost);

	if (r < 0)
		return log_err_errno(
			r, "vhost-user: the session cannot be resumed");
	/* the last queue's stop is noted before the VM hears of it */
	if (vhost->num_running == 0)
		vm_queues_stop(vhost->vm);
	return 0;
}

void vhost_go_on(struct vhost *vhost)
{
	if (vhost->fd < 0)
		return;
	for (unsigned int i = 0; i < vhost->num_queues; i++)
		queue_go_on(&vhost->queues[i]);
	vhost_config_changed(vhost);
	/* An answer may wait, or a message be whole already. */
	(void)on_message(vhost->source, vhost->fd, 0, vhost);
}

void vhost_set_poll(struct vhost *vhost, uint64_t ns)
{
	vhost->poll_ns = ns;
}

void vhost_free(struct vhost *vhost)
{
	if (!vhost)
		return;
	session_close(vhost);
	for (unsigned int i = 0; i < vhost->num_queues; i++)
		queue_done(&vhost->queues[i]);
	sd_event_source_disable_unref(vhost->listen_source);
	sd_event_source_disable_unref(vhost->config_source);
	sd_event_source_disable_unref(vhost->unshared_source);
	close_fd(vhost->listen_fd);
	free(vhost->queues);
	free(vhost->request);
	free(vhost->own);
	sd_event_unref(vhost->event);
	free(vhost);
}

void vhost_get_stats(const struct vhost *vhost, struct vhost_stats *ret)
{
	*ret = vhost->stats;
}
