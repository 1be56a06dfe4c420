// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * server.c: one device on one listening socket, for one client at a time.
 *
 * Owns the listening socket and the session of the client that is connected.
 * The session does the work (session.c); this file waits for it.
 *
 * Invariants: with a client connected, further ones are turned away, not left
 * waiting: whoever made that mistake should hear of it. Events of a client are
 * handled before those of the listening socket, so that a client that left is
 * seen to have left before its successor comes. A dispatch handles few
 * messages, so that no client can keep the event loop to itself.
 *
 * Locks: none; one event loop. In a request's way: not at all.
 */
#include "vfio_user/vfio_user.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "device/device.h"
#include "lib/cleanup.h"
#include "lib/keeper.h"
#include "lib/log.h"
#include "vfio_user/message.h"
#include "vfio_user/session.h"
#include "vfio_user/session_impl.h"

/* Messages that one dispatch handles. */
#define BUDGET 16

/* How long to wait after accept() failed for want of something. */
#define RETRY_USEC 1000000

#define PRIORITY_CLIENT SD_EVENT_PRIORITY_NORMAL
#define PRIORITY_LISTEN (SD_EVENT_PRIORITY_NORMAL + 1)

struct vfio_user {
	sd_event *event;
	sd_event_source *listen_source;
	sd_event_source *retry_source;
	sd_event_source *client_source;
	struct vfu_session *session; /* NULL: no client */
	struct device *dev;
	struct vm *vm;
	uint32_t endpoint;
	int listen_fd;
	struct vfu_state *state; /* NULL: nothing is kept */
	struct vfu_room room;
	struct vfio_user_stats stats;
};

static void disconnect(struct vfio_user *server)
{
	server->client_source =
		sd_event_source_disable_unref(server->client_source);
	vfu_session_free(server->session);
	server->session = NULL;
}

/* A client can come and go as often as it likes: all this is rate-limited. */
static void say_why(const struct vfio_user *server, int result)
{
	const char *name = device_name(server->dev);

	if (result == VFU_CLOSED)
		log_ratelimited(LOG_INFO, "vfio-user: the client of %s is gone",
				name);
	else if (result == VFU_BROKEN)
		log_ratelimited(LOG_WARNING,
				"vfio-user: gave up the client of %s", name);
	else
		log_ratelimited(LOG_ERR, "vfio-user: lost the client of %s: %s",
				name, strerror(-result));
}

static int on_client(sd_event_source *source, int fd, uint32_t revents,
		     void *userdata)
{
	struct vfio_user *server = userdata;
	int r;

	(void)fd;
	(void)revents;
	r = vfu_session_run(server->session, BUDGET);
	if (r == VFU_OK || r == VFU_AGAIN)
		r = sd_event_source_set_io_events(
			source, vfu_session_sending(server->session) ?
					EPOLLOUT :
					EPOLLIN);
	if (r >= 0 && r != VFU_CLOSED && r != VFU_BROKEN)
		return 0;
	say_why(server, r);
	disconnect(server);
	return 0;
}

static int watch_client(struct vfio_user *server, int fd)
{
	int r;

	r = sd_event_add_io(server->event, &server->client_source, fd, EPOLLIN,
			    on_client, server);
	if (r >= 0)
		r = sd_event_source_set_priority(server->client_source,
						 PRIORITY_CLIENT);
	return r;
}

static int new_session(struct vfio_user *server, int fd)
{
	if (!server->state)
		return vfu_session_new(fd, server->dev, server->vm,
				       server->endpoint, &server->stats,
				       &server->session);
	return vfu_session_new_kept(fd, server->dev, server->vm,
				    server->endpoint, &server->stats,
				    server->state, &server->room,
				    &server->session);
}

/* Takes ownership of @fd in any case. */
static int connect_client(struct vfio_user *server, int fd)
{
	_cleanup_close_ int owned = fd;
	int r;

	r = new_session(server, owned);
	if (r < 0)
		return r;
	steal_fd(&owned);
	r = watch_client(server, fd);
	if (r < 0) {
		disconnect(server);
		return r;
	}
	server->stats.connections++;
	log_ratelimited(LOG_INFO, "vfio-user: a client of %s connected",
			device_name(server->dev));
	return 0;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct vfio_user *server = userdata;

	(void)source;
	(void)usec;
	return sd_event_source_set_enabled(server->listen_source, SD_EVENT_ON);
}

/* The connection stays in the backlog: without a pause we would spin. */
static int pause_listening(struct vfio_user *server, int error)
{
	int r;

	log_ratelimited(LOG_WARNING,
			"vfio-user: cannot accept a client of %s: "
			"%s; trying again in a second",
			device_name(server->dev), strerror(-error));
	r = sd_event_source_set_enabled(server->listen_source, SD_EVENT_OFF);
	if (r < 0)
		return r;
	r = sd_event_source_set_time_relative(server->retry_source, RETRY_USEC);
	if (r < 0)
		return r;
	return sd_event_source_set_enabled(server->retry_source,
					   SD_EVENT_ONESHOT);
}

static int on_listen(sd_event_source *source, int listen_fd, uint32_t revents,
		     void *userdata)
{
	struct vfio_user *server = userdata;
	int fd, r;

	(void)source;
	(void)revents;
	fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return 0;
		return pause_listening(server, -errno);
	}
	if (server->session) {
		log_ratelimited(LOG_WARNING,
				"vfio-user: turned a client away: %s has one",
				device_name(server->dev));
		close_fd(fd);
		return 0;
	}
	r = connect_client(server, fd);
	if (r < 0)
		log_ratelimited(LOG_ERR,
				"vfio-user: cannot serve a client of %s: %s",
				device_name(server->dev), strerror(-r));
	return 0;
}

static int add_sources(struct vfio_user *server)
{
	int r;

	r = sd_event_add_io(server->event, &server->listen_source,
			    server->listen_fd, EPOLLIN, on_listen, server);
	if (r < 0)
		return r;
	r = sd_event_source_set_priority(server->listen_source,
					 PRIORITY_LISTEN);
	if (r < 0)
		return r;
	r = sd_event_add_time_relative(server->event, &server->retry_source,
				       CLOCK_MONOTONIC, RETRY_USEC, 0, on_retry,
				       server);
	if (r < 0)
		return r;
	return sd_event_source_set_enabled(server->retry_source, SD_EVENT_OFF);
}

static void cleanup_server(struct vfio_user **server)
{
	vfio_user_free(*server);
}

size_t vfio_user_state_size(void)
{
	return sizeof(struct vfu_state);
}

size_t vfio_user_room_size(void)
{
	return VFU_ROOM_SIZE;
}

int vfio_user_new(sd_event *event, int listen_fd, struct device *dev,
		  struct vm *vm, uint32_t endpoint, struct vfio_user **ret)
{
	return vfio_user_new_kept(event, listen_fd, dev, vm, endpoint, NULL,
				  ret);
}

int vfio_user_new_kept(sd_event *event, int listen_fd, struct device *dev,
		       struct vm *vm, uint32_t endpoint,
		       const struct vfio_user_kept *kept,
		       struct vfio_user **ret)
{
	_cleanup_(cleanup_server) struct vfio_user *server =
		calloc(1, sizeof(*server));
	int r;

	if (!server)
		return -ENOMEM;
	server->event = sd_event_ref(event);
	server->dev = dev;
	server->vm = vm;
	server->endpoint = endpoint;
	server->listen_fd = listen_fd;
	if (kept) {
		server->state = kept->of;
		server->room = (struct vfu_room){
			.keeper = kept->keeper,
			.state = kept->state,
			.wire = &kept->of->wire,
			.offset = kept->room,
		};
	}
	r = add_sources(server);
	if (r < 0) {
		server->listen_fd = -EBADF; /* stays the caller's */
		return r;
	}
	*ret = steal_ptr(server);
	return 0;
}

int vfio_user_resume(struct vfio_user *server)
{
	_cleanup_close_ int fd = -EBADF;
	int watched, r;

	if (!server->state || server->state->connection == 0)
		return 0;
	fd = keeper_claim(server->room.keeper, server->state->connection);
	r = fd < 0 ? -EBADF :
		     vfu_session_resume(fd, server->dev, server->vm,
					server->endpoint, &server->stats,
					server->state, &server->room,
					&server->session);
	if (r == 0) {
		watched = steal_fd(&fd);
		r = watch_client(server, watched);
	}
	if (r < 0)
		return log_err_errno(
			r, "vfio-user: the client of %s cannot be served on",
			device_name(server->dev));
	return 0;
}

struct servers {
	struct vfio_user *const *list;
	size_t num;
};

static struct vfu_session *find_session(void *userdata, uint32_t endpoint)
{
	const struct servers *servers = userdata;

	for (size_t i = 0; i < servers->num; i++)
		if (servers->list[i]->endpoint == endpoint)
			return servers->list[i]->session;
	return NULL;
}

int vfio_user_resume_memory(struct vm *vm, struct vfio_user *const *servers,
			    size_t num)
{
	struct servers userdata = { servers, num };

	return vfu_dma_resume(vm, find_session, &userdata);
}

void vfio_user_go_on(struct vfio_user *server)
{
	if (server->session)
		(void)on_client(server->client_source, -1, 0, server);
}

void vfio_user_free(struct vfio_user *server)
{
	if (!server)
		return;
	disconnect(server);
	sd_event_source_disable_unref(server->retry_source);
	sd_event_source_disable_unref(server->listen_source);
	close_fd(server->listen_fd);
	sd_event_unref(server->event);
	free(server);
}

bool vfio_user_is_connected(const struct vfio_user *server)
{
	return server->session;
}

void vfio_user_get_stats(const struct vfio_user *server,
			 struct vfio_user_stats *ret)
{
	*ret = server->stats;
}
