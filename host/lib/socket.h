/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * socket.h - listening Unix sockets with a name in the file system
 */
#ifndef PVDMA_LIB_SOCKET_H
#define PVDMA_LIB_SOCKET_H

#include <sys/types.h>

struct socket_access {
	mode_t mode;
	uid_t uid; /* (uid_t)-1: as it comes */
	gid_t gid; /* (gid_t)-1: as it comes */
	int type;  /* 0: SOCK_STREAM */
};

/* A name that this process made, to be removed by it. All zero: none. */
struct socket_name {
	char *path;
	dev_t dev;
	ino_t ino;
};

/*
 * Listens at @path. A socket file that nobody listens at any longer is
 * replaced; anything else at @path is left alone. At no time can anybody
 * connect whom @access does not allow. Returns the descriptor (non-blocking,
 * close-on-exec) with *@ret_name filled, or a negative errno, logged.
 */
int socket_listen(const char *path, const struct socket_access *access,
		  struct socket_name *ret_name);

/*
 * Makes a descriptor that was handed in ours: checks that it is a stream
 * socket, and sets it non-blocking and close-on-exec. Returns @fd or a
 * negative errno, logged with @what.
 */
int socket_adopt(int fd, const char *what);

/* Connects to @path. A descriptor or a negative errno, not logged. */
int socket_connect(const char *path);

/*
 * The same without waiting, and the connection does not block: -EAGAIN where the
 * server does not come to take connections.
 */
int socket_connect_now(const char *path);

/* The same for a socket that keeps messages apart (SOCK_SEQPACKET). */
int socket_connect_seqpacket(const char *path);

/* Removes the file if it is still the one that was made. Takes an empty one. */
void socket_name_done(struct socket_name *name);

#endif
