// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * socket.c - listening Unix sockets with a name in the file system
 *
 * Owns: how sockets come into the file system and go from it.
 *
 * Invariant: a socket is reachable only from listen() on, and then has its
 * final owner and mode already; a file that is not a dead socket is never
 * removed, and one that somebody put in the place of ours is not, either.
 *
 * Locks: none (the umask is the process's: one thread). In a request's way:
 * not.
 */
#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"

#define BACKLOG	4

static int make_address(const char *path, struct sockaddr_un *ret)
{
	size_t len = strlen(path);

	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (len == 0 || len >= sizeof(ret->sun_path))
		return -ENAMETOOLONG;
	memcpy(ret->sun_path, path, len + 1);
	return 0;
}

int socket_connect(const char *path)
{
	_cleanup_close_ int fd = -EBADF;
	struct sockaddr_un addr;
	int r = make_address(path, &addr);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	return steal_fd(&fd);
}

/*
 * True if @path is a socket at which nobody listens. Asked without waiting: a
 * server with a full backlog is alive.
 */
static bool is_dead_socket(const char *path, const struct sockaddr_un *addr)
{
	_cleanup_close_ int fd = -EBADF;
	struct stat st;

	if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	return connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 &&
	       errno == ECONNREFUSED;
}

/* Binds with the tightest permissions; the right ones come afterwards. */
static int bind_private(int fd, const struct sockaddr_un *addr)
{
	mode_t old = umask(0177);
	int r = bind(fd, (const struct sockaddr *)addr, sizeof(*addr));

	r = r < 0 ? -errno : 0;
	umask(old);
	return r;
}

static int bind_path(int fd, const char *path, const struct sockaddr_un *addr)
{
	int r = bind_private(fd, addr);

	if (r != -EADDRINUSE)
		return r;
	if (!is_dead_socket(path, addr))
		return r;
	log_info("replacing the socket %s, which nobody serves any longer",
		 path);
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	return bind_private(fd, addr);
}

static int set_access(const char *path, const struct socket_access *access)
{
	if ((access->uid != (uid_t)-1 || access->gid != (gid_t)-1) &&
	    lchown(path, access->uid, access->gid) < 0)
		return log_err_errno(errno, "cannot give the socket %s to its "
				     "owner (socket-owner)", path);
	if (chmod(path, access->mode) < 0)
		return log_err_errno(errno, "cannot set the mode of %s", path);
	return 0;
}

/* Remembers which file @path is now. */
static int name_take(struct socket_name *name, const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return -errno;
	name->path = strdup(path);
	if (!name->path)
		return -ENOMEM;
	name->dev = st.st_dev;
	name->ino = st.st_ino;
	return 0;
}

int socket_listen(const char *path, const struct socket_access *access,
		  struct socket_name *ret_name)
{
	_cleanup_close_ int fd = -EBADF;
	struct socket_name name = { 0 };
	struct sockaddr_un addr;
	int r = make_address(path, &addr);

	if (r < 0)
		return log_err_errno(r, "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return log_err_errno(errno, "cannot make a socket");
	r = bind_path(fd, path, &addr);
	if (r == -EADDRINUSE) {
		log_err("%s exists, and is not a socket that nobody serves: "
			"remove it, or stop its server",
			path);
		return r;
	}
	if (r < 0)
		return log_err_errno(r, "cannot listen at %s", path);
	r = name_take(&name, path);
	if (r < 0) {
		(void)unlink(path);
		return log_err_errno(r, "cannot listen at %s", path);
	}
	r = set_access(path, access);
	if (r == 0 && listen(fd, BACKLOG) < 0)
		r = log_err_errno(errno, "cannot listen at %s", path);
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
