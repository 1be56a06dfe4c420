// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sysfs.c - attributes, links and folders of /sys, /proc and /dev
 *
 * Owns: the descriptor of the root that all paths are relative to.
 *
 * Invariant: nothing outside of the root is touched, as long as its links are
 * relative, as those of /sys are. Attributes are read and written in one call.
 *
 * Locks: none. In a request's way: not; when devices are looked at or bound.
 */
#include "pvdmad/sysfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/parse.h"

static void cleanup_closedir(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

/* Puts the path together. 0 or -ENAMETOOLONG. */
static int format_path(char path[static PATH_MAX], const char *fmt,
		       va_list args) __attribute__((format(printf, 2, 0)));
static int format_path(char path[static PATH_MAX], const char *fmt,
		       va_list args)
{
	int n = vsnprintf(path, PATH_MAX, fmt, args);

	return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* For the functions that end in "fmt, ...": sets @r and @path. */
#define FORMAT_PATH(r, path, fmt)                    \
	do {                                         \
		va_list args_;                       \
		va_start(args_, fmt);                \
		(r) = format_path(path, fmt, args_); \
		va_end(args_);                       \
	} while (0)

int sysfs_init(struct sysfs *sysfs, const char *root)
{
	int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*sysfs = (struct sysfs){ .root = fd };
	return 0;
}

void sysfs_done(struct sysfs *sysfs)
{
	sysfs->root = close_fd(sysfs->root);
}

static int open_path(const struct sysfs *sysfs, const char *path, int flags)
{
	int fd = openat(sysfs->root, path[0] ? path : ".", flags | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int read_path(const struct sysfs *sysfs, char *buf, size_t size,
		     const char *path)
{
	_cleanup_close_ int fd = open_path(sysfs, path, O_RDONLY | O_NOCTTY);
	ssize_t n;

	if (fd < 0)
		return fd;
	do {
		n = read(fd, buf, size - 1);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	while (n > 0 && (buf[n - 1] == '\n' || buf[n - 1] == ' '))
		n--;
	buf[n] = '\0';
	return (int)n;
}

int sysfs_read(const struct sysfs *sysfs, char *buf, size_t size,
	       const char *fmt, ...)
{
	char path[PATH_MAX];
	int r;

	FORMAT_PATH(r, path, fmt);
	return r < 0 ? r : read_path(sysfs, buf, size, path);
}

int sysfs_read_u64(const struct sysfs *sysfs, uint64_t *ret, const char *fmt,
		   ...)
{
	char path[PATH_MAX], text[64];
	int r;

	FORMAT_PATH(r, path, fmt);
	if (r == 0)
		r = read_path(sysfs, text, sizeof(text), path);
	if (r < 0)
		return r;
	return parse_uint(text, 0, UINT64_MAX, ret) < 0 ? -EINVAL : 0;
}

int sysfs_write(const struct sysfs *sysfs, const char *text, const char *fmt,
		...)
{
	_cleanup_close_ int fd = -EBADF;
	char path[PATH_MAX];
	ssize_t n;
	int r;

	FORMAT_PATH(r, path, fmt);
	if (r < 0)
		return r;
	fd = open_path(sysfs, path, O_WRONLY | O_TRUNC | O_NOCTTY);
	if (fd < 0)
		return fd;
	do {
		n = write(fd, text, strlen(text));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (sysfs->wrote)
		sysfs->wrote(sysfs->userdata, path, text);
	return (size_t)n == strlen(text) ? 0 : -EIO;
}

static int link_path(const struct sysfs *sysfs, char target[static PATH_MAX],
		     const char *path)
{
	ssize_t n = readlinkat(sysfs->root, path, target, PATH_MAX);

	if (n < 0)
		return -errno;
	if (n == PATH_MAX)
		return -ENAMETOOLONG;
	target[n] = '\0';
	return 0;
}

int sysfs_link(const struct sysfs *sysfs, char target[static PATH_MAX],
	       const char *fmt, ...)
{
	char path[PATH_MAX];
	int r;

	FORMAT_PATH(r, path, fmt);
	return r < 0 ? r : link_path(sysfs, target, path);
}

int sysfs_link_name(const struct sysfs *sysfs, char name[static SYSFS_NAME_MAX],
		    const char *fmt, ...)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *last;
	int r;

	FORMAT_PATH(r, path, fmt);
	if (r == 0)
		r = link_path(sysfs, target, path);
	if (r < 0)
		return r;
	last = strrchr(target, '/');
	last = last ? last + 1 : target;
	if (strlen(last) >= SYSFS_NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, last, strlen(last) + 1);
	return 0;
}

bool sysfs_exists(const struct sysfs *sysfs, const char *fmt, ...)
{
	char path[PATH_MAX];
	int r;

	FORMAT_PATH(r, path, fmt);
	return r == 0 && faccessat(sysfs->root, path, F_OK, 0) == 0;
}

int sysfs_open(const struct sysfs *sysfs, int flags, const char *fmt, ...)
{
	char path[PATH_MAX];
	int r;

	FORMAT_PATH(r, path, fmt);
	return r < 0 ? r : open_path(sysfs, path, flags);
}

int sysfs_fopen(const struct sysfs *sysfs, FILE **ret, const char *fmt, ...)
{
	char path[PATH_MAX];
	int fd, r;
	FILE *f;

	FORMAT_PATH(r, path, fmt);
	if (r < 0)
		return r;
	fd = open_path(sysfs, path, O_RDONLY | O_NOCTTY);
	if (fd < 0)
		return fd;
	f = fdopen(fd, "re");
	if (!f) {
		r = -errno;
		(void)close_fd(fd);
		return r;
	}
	*ret = f;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Appends a copy of @name. 0 or -ENOMEM. */
static int names_add(struct sysfs_names *names, const char *name)
{
	char **list, *copy;

	list = reallocarray(names->list, names->count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	names->list = list;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	list[names->count++] = copy;
	return 0;
}

int sysfs_list(const struct sysfs *sysfs, struct sysfs_names *ret,
	       const char *fmt, ...)
{
	_cleanup_(sysfs_names_done) struct sysfs_names names = { 0 };
	_cleanup_(cleanup_closedir) DIR *dir = NULL;
	const struct dirent *entry;
	char path[PATH_MAX];
	int fd, r;

	FORMAT_PATH(r, path, fmt);
	if (r < 0)
		return r;
	fd = open_path(sysfs, path, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (!dir) {
		r = -errno;
		(void)close_fd(fd);
		return r;
	}
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		r = names_add(&names, entry->d_name);
		if (r < 0)
			return r;
	}
	if (names.count)
		qsort(names.list, names.count, sizeof(*names.list),
		      compare_names);
	*ret = names;
	names = (struct sysfs_names){ 0 };
	return 0;
}

void sysfs_names_done(struct sysfs_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->list[i]);
	free(names->list);
	*names = (struct sysfs_names){ 0 };
}
