// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * socket.c - listening Unix sockets with a name in the file system
 *
 * Owns: how sockets come into the file system and go from it.
 *
 * Invariant: a name appears when the socket behind it listens and has its owner
 * and mode, so that who waits for the name can connect, and nobody else; it is
 * made under another name and moved. A file that is not a dead socket is never
 * removed, and one that somebody put in the place of ours is not, either.
 *
 * Locks: none (the umask is the process's: one thread). In a request's way:
 * not.
 */
#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"

#define BACKLOG 128

static int make_address(const char *path, struct sockaddr_un *ret)
{
	size_t len = strlen(path);

	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (len == 0 || len >= sizeof(ret->sun_path))
		return -ENAMETOOLONG;
	memcpy(ret->sun_path, path, len + 1);
	return 0;
}

static int connect_type(const char *path, int type)
{
	_cleanup_close_ int fd = -EBADF;
	struct sockaddr_un addr;
	int r = make_address(path, &addr);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	return steal_fd(&fd);
}

int socket_connect(const char *path)
{
	return connect_type(path, SOCK_STREAM);
}

int socket_connect_now(const char *path)
{
	return connect_type(path, SOCK_STREAM | SOCK_NONBLOCK);
}

int socket_connect_seqpacket(const char *path)
{
	return connect_type(path, SOCK_SEQPACKET);
}

/*
 * True if @path is a socket at which nobody listens. Asked without waiting: a
 * server with a full backlog is alive.
 */
static bool is_dead_socket(const char *path)
{
	_cleanup_close_ int fd = -EBADF;
	struct sockaddr_un addr;
	struct stat st;

	if (make_address(path, &addr) < 0 || lstat(path, &st) < 0 ||
	    !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	return connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 &&
	       errno == ECONNREFUSED;
}

/* A place for a socket: its directory, its name, and one to begin with. */
struct place {
	int dir;
	const char *name; /* in the caller's path */
	char temporary[80];
};

static int place_open(const char *path, struct place *ret)
{
	_cleanup_free_ char *dir = strdup(path);
	char *slash;

	if (!dir)
		return -ENOMEM;
	slash = strrchr(dir, '/');
	ret->name = slash ? path + (slash - dir) + 1 : path;
	if (*ret->name == '\0')
		return -EISDIR;
	if (slash == dir)
		slash++;
	if (slash)
		*slash = '\0';
	/* This is the name that ss(8) will show: keep it telling. */
	(void)snprintf(ret->temporary, sizeof(ret->temporary), ".%.50s.%ld",
		       ret->name, (long)getpid());
	ret->dir = open(slash ? dir : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return ret->dir < 0 ? -errno : 0;
}

/* Binds to the temporary name, with the tightest permissions. */
static int bind_temporary(int fd, const struct place *place)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	mode_t old;
	int r;

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path),
		       "/proc/self/fd/%d/%s", place->dir, place->temporary);
	/* What another process of this number left behind. */
	(void)unlinkat(place->dir, place->temporary, 0);
	old = umask(0177);
	r = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
	umask(old);
	return r;
}

static int set_access(const struct place *place,
		      const struct socket_access *access)
{
	if ((access->uid != (uid_t)-1 || access->gid != (gid_t)-1) &&
	    fchownat(place->dir, place->temporary, access->uid, access->gid,
		     AT_SYMLINK_NOFOLLOW) < 0)
		return log_err_errno(errno,
				     "cannot give the socket %s to its "
				     "owner (socket-owner)",
				     place->name);
	if (fchmodat(place->dir, place->temporary, access->mode, 0) < 0)
		return log_err_errno(errno, "cannot set the mode of %s",
				     place->name);
	return 0;
}

/*
 * Gives the socket its final name, unless something is there that must stay:
 * -EEXIST.
 */
static int move_in_place(const struct place *place, const char *path)
{
	for (int i = 0; i < 2; i++) {
		if (renameat2(place->dir, place->temporary, place->dir,
			      place->name, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno != EEXIST)
			return -errno;
		if (i > 0 || !is_dead_socket(path))
			return -EEXIST;
		log_info("replacing the socket %s, which nobody serves any "
			 "longer",
			 path);
		if (unlinkat(place->dir, place->name, 0) < 0 && errno != ENOENT)
			return -errno;
	}
	return -EEXIST;
}

/* Makes @fd listen at @place; the temporary name is gone afterwards. */
static int listen_at(int fd, const struct place *place, const char *path,
		     const struct socket_access *access,
		     struct socket_name *ret_name)
{
	struct stat st;
	int r;

	r = set_access(place, access);
	if (r < 0)
		return r;
	ret_name->path = strdup(path);
	if (!ret_name->path)
		return -ENOMEM;
	if (fstatat(place->dir, place->temporary, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return log_err_errno(errno, "cannot listen at %s", path);
	ret_name->dev = st.st_dev;
	ret_name->ino = st.st_ino;
	if (listen(fd, BACKLOG) < 0)
		return log_err_errno(errno, "cannot listen at %s", path);
	r = move_in_place(place, path);
	if (r == -EEXIST)
		log_err("%s exists, and is not a socket that nobody serves: "
			"remove it, or stop its server",
			path);
	else if (r < 0)
		log_err_errno(r, "cannot listen at %s", path);
	return r;
}

int socket_listen(const char *path, const struct socket_access *access,
		  struct socket_name *ret_name)
{
	_cleanup_close_ int fd = -EBADF;
	struct socket_name name = { 0 };
	struct place place = { .dir = -EBADF };
	int r;

	fd = socket(AF_UNIX,
		    (access->type ? access->type : SOCK_STREAM) | SOCK_CLOEXEC |
			    SOCK_NONBLOCK,
		    0);
	if (fd < 0)
		return log_err_errno(errno, "cannot make a socket");
	r = place_open(path, &place);
	if (r == 0)
		r = bind_temporary(fd, &place);
	if (r < 0) {
		close_fd(place.dir);
		return log_err_errno(r, "cannot listen at %s", path);
	}
	r = listen_at(fd, &place, path, access, &name);
	if (r < 0)
		(void)unlinkat(place.dir, place.temporary, 0);
	close_fd(place.dir);
	if (r < 0) {
		socket_name_done(&name);
		return r;
	}
	*ret_name = name;
	return steal_fd(&fd);
}

int socket_adopt(int fd, const char *what)
{
	socklen_t len = sizeof(int);
	int type, flags;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return log_err_errno(errno, "descriptor %d of %s", fd, what);
	if (type != SOCK_STREAM) {
		log_err("descriptor %d of %s is not a stream socket", fd, what);
		return -EINVAL;
	}
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return log_err_errno(errno, "descriptor %d of %s", fd, what);
	return fd;
}

void socket_name_done(struct socket_name *name)
{
	struct stat st;

	if (name->path && lstat(name->path, &st) == 0 &&
	    st.st_dev == name->dev && st.st_ino == name->ino)
		(void)unlink(name->path);
	free(name->path);
	*name = (struct socket_name){ 0 };
}
