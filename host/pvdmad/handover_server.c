// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * handover_server.c - where agents come for what they need
 *
 * Theory of operation. Agents are users that exist only as long as they run, so
 * the socket is open to everybody; who gets something is decided by the unit
 * that the service manager started the process for. The kernel says which
 * process connected, the service manager whose it is.
 *
 * Owns: the listening socket, and connections whose peer is not known yet.
 *
 * Invariant: at most PEERS_MAX of those; nothing is read from a peer.
 *
 * Locks: none; one event loop. In a request's way: not.
 */
#include "handover_server.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/socket.h"
#include "machine.h"
#include "service.h"

#define PEERS_MAX 64

struct peer {
	struct handover_server *server;
	int fd; /* -EBADF: not in use */
	pid_t pid;
};

struct handover_server {
	struct service *service;
	int fd;
	struct socket_name name;
	sd_event_source *source;
	struct peer peers[PEERS_MAX];
};

static void on_unit(void *userdata, const char *unit_path)
{
	struct peer *peer = userdata;
	struct machine *machine = peer->server->service->machines;

	while (machine && unit_path &&
	       strcmp(machine->unit_path, unit_path) != 0)
		machine = machine->next;
	if (!machine || !unit_path)
		log_ratelimited(
			LOG_WARNING,
			"process %ld is no agent of a VM, and gets nothing",
			(long)peer->pid);
	else
		(void)machine_hand_over(machine, peer->pid, peer->fd);
	/* Where nothing was sent, the agent sees the end of the connection. */
	peer->fd = close_fd(peer->fd);
}

static int on_connect(sd_event_source *s, int listen_fd, uint32_t revents,
		      void *userdata)
{
	struct handover_server *server = userdata;
	_cleanup_close_ int fd = -EBADF;
	struct peer *peer = NULL;
	struct ucred cred;
	socklen_t len = sizeof(cred);

	(void)s;
	(void)revents;
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return 0;
	for (size_t i = 0; i < PEERS_MAX && !peer; i++)
		if (server->peers[i].fd < 0)
			peer = &server->peers[i];
	if (!peer) {
		log_ratelimited(LOG_WARNING, "too many processes at %s",
				server->name.path);
		return 0;
	}
	peer->pid = cred.pid;
	peer->fd = steal_fd(&fd);
	if (units_of_pid(server->service->units, cred.pid, on_unit, peer) < 0)
		peer->fd = close_fd(peer->fd);
	return 0;
}

int handover_server_new(struct service *service, struct handover_server **ret)
{
	static const struct socket_access access = {
		.mode = 0666,
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
		.type = SOCK_SEQPACKET,
	};
	struct handover_server *server = calloc(1, sizeof(*server));
	_cleanup_free_ char *path = NULL;
	int r;

	if (!server)
		return log_err_errno(ENOMEM, "cannot listen");
	server->service = service;
	server->fd = -EBADF;
	for (size_t i = 0; i < PEERS_MAX; i++)
		server->peers[i] = (struct peer){ server, -EBADF, 0 };
	if (asprintf(&path, "%s/handover", service->config->runtime_dir) < 0)
		path = NULL;
	r = path ? socket_listen(path, &access, &server->name) :
		   log_err_errno(ENOMEM, "cannot listen");
	server->fd = r;
	if (r >= 0)
		r = sd_event_add_io(service->event, &server->source, server->fd,
				    EPOLLIN, on_connect, server);
	if (r >= 0)
		/* A crowd at the door must not keep the service from its work. */
		r = sd_event_source_set_ratelimit(server->source, 1000000, 200);
	if (r < 0) {
		handover_server_free(server);
		return r;
	}
	*ret = server;
	return 0;
}

void handover_server_free(struct handover_server *server)
{
	if (!server)
		return;
	for (size_t i = 0; i < PEERS_MAX; i++) {
		units_forget(server->service->units, &server->peers[i]);
		close_fd(server->peers[i].fd);
	}
	sd_event_source_disable_unref(server->source);
	close_fd(server->fd);
	socket_name_done(&server->name);
	free(server);
}
