// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * file.c - files that are there whole, or not at all
 *
 * Owns: the file beside the other one, until that is replaced.
 *
 * Invariant: nothing but rename() touches the file of the name that was asked for.
 *
 * Locks: none. In a request's way: not.
 */
#include "host/lib/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/lib/cleanup.h"

int file_write(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t n = write(fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

int file_replace(const char *path, const void *data, size_t size, mode_t mode)
{
	_cleanup_close_ int fd = -EBADF;
	_cleanup_free_ char *temp = NULL;
	int r;

	/* Its end is another one: who looks for *.conf or *.prom does not find it. */
	if (asprintf(&temp, "%s.XXXXXX", path) < 0) {
		temp = NULL;
		return -ENOMEM;
	}
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = file_write(fd, data, size);
	if (r == 0 && fchmod(fd, mode) < 0)
		r = -errno;
	if (r == 0 && rename(temp, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(temp);
	return r;
}
