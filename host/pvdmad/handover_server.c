// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * handover_server.c - where agents come for what they need
 *
 * Theory of operation. Agents are users that exist only as long as they run, so
 * the socket is open to everybody; who gets something is decided by the unit
 * that the service manager started the process for. The kernel says which
 * process connected, the service manager whose it is. Between the two a process
 * could end, and an agent get its number, while somebody else holds the
 * connection: so the process itself is held (pidfd), and must still live when
 * the answer is there.
 *
 * Owns: the listening socket, and connections whose peer is not known yet.
 *
 * Invariant: at most PEERS_MAX of those; nothing is read from a peer.
 *
 * Locks: none; one event loop. In a request's way: not.
 */
#include "handover_server.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/socket.h"
#include "machine.h"
#include "service.h"

#define PEERS_MAX 64

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

struct peer {
	struct handover_server *server;
	int fd; /* -EBADF: not in use */
	int pidfd;
	pid_t pid;
};

struct handover_server {
	struct service *service;
	int fd;
	struct socket_name name;
	sd_event_source *source;
	struct peer peers[PEERS_MAX];
};

static void peer_close(struct peer *peer)
{
	peer->fd = close_fd(peer->fd);
	peer->pidfd = close_fd(peer->pidfd);
	/* there is room for another one, if there was not */
	if (peer->server->source)
		(void)sd_event_source_set_enabled(peer->server->source,
						  SD_EVENT_ON);
}

/* The process that connected, and no other that has its number now. */
static int open_peer(int fd, struct peer *ret)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int pidfd;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	len = sizeof(pidfd);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) < 0) {
		/* Before Linux 6.5 it cannot be told from one that came later. */
		if (errno != ENOPROTOOPT)
			return -errno;
		pidfd = (int)syscall(SYS_pidfd_open, cred.pid, 0);
		if (pidfd < 0)
			return -errno;
	}
	ret->pid = cred.pid;
	ret->pidfd = pidfd;
	return 0;
}

static bool is_alive(const struct peer *peer)
{
	struct pollfd pollfd = { .fd = peer->pidfd, .events = POLLIN };

	return poll(&pollfd, 1, 0) == 0;
}

static void on_unit(void *userdata, const char *unit_path)
{
	struct peer *peer = userdata;
	struct machine *machine = peer->server->service->machines;

	while (machine && unit_path &&
	       strcmp(machine->unit_path, unit_path) != 0)
		machine = machine->next;
	if (!machine || !unit_path || !is_alive(peer))
		log_ratelimited(
			LOG_WARNING,
			"process %ld is no agent of a VM, and gets nothing",
			(long)peer->pid);
	else
		(void)machine_hand_over(machine, peer->pid, peer->fd);
	/* Where nothing was sent, the agent sees the end of the connection. */
	peer_close(peer);
}

static int on_connect(sd_event_source *s, int listen_fd, uint32_t revents,
		      void *userdata)
{
	struct handover_server *server = userdata;
	_cleanup_close_ int fd = -EBADF;
	struct peer *peer = NULL;

	(void)revents;
	for (size_t i = 0; i < PEERS_MAX && !peer; i++)
		if (server->peers[i].fd < 0)
			peer = &server->peers[i];
	if (!peer) {
		/* Whoever comes waits: it may be an agent in a crowd. */
		log_ratelimited(LOG_WARNING, "too many processes at %s",
				server->name.path);
		return sd_event_source_set_enabled(s, SD_EVENT_OFF);
	}
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return 0;
	if (open_peer(fd, peer) < 0)
		return 0;
	peer->fd = steal_fd(&fd);
	if (units_of_pid(server->service->units, peer->pid, on_unit, peer) < 0)
		peer_close(peer);
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
		server->peers[i] = (struct peer){ server, -EBADF, -EBADF, 0 };
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
		peer_close(&server->peers[i]);
	}
	sd_event_source_disable_unref(server->source);
	close_fd(server->fd);
	socket_name_done(&server->name);
	free(server);
}
