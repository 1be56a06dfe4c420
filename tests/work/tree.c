// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tree.c: a file system's own work: small files that come, are read and go
 *
 * Of each round's files all are written, each made durable by itself; then the
 * kernel forgets what it has of them, all are read and verified, renamed, and
 * unlinked. It is metadata, small writes and flushes that a disk sees of it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "work.h"

struct tree {
	int dir;
	unsigned int files;
	size_t size; /* of each */
	uint8_t *buf;
	uint64_t round;
};

static int say(const char *what, unsigned int file)
{
	printf("error=%s of file %u: %s\n", what, file, strerror(errno));
	return -1;
}

static void name_of(char name[static 32], const char *kind, unsigned int file)
{
	(void)snprintf(name, 32, "%s%u", kind, file);
}

static uint64_t seed_of(const struct tree *t, unsigned int file)
{
	return t->round << 32 | file;
}

/* Written, durable, and out of the page cache. */
static int make(struct tree *t, unsigned int file)
{
	char name[32];
	int fd, r = 0;

	name_of(name, "new", file);
	fd = openat(t->dir, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return say("open", file);
	pattern_fill(t->buf, t->size, seed_of(t, file));
	if (write(fd, t->buf, t->size) != (ssize_t)t->size)
		r = say("write", file);
	else if (fsync(fd))
		r = say("fsync", file);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	return r;
}

static int verify(struct tree *t, unsigned int file)
{
	char name[32];
	int64_t wrong;
	ssize_t n;
	int fd;

	name_of(name, "new", file);
	fd = openat(t->dir, name, O_RDONLY);
	if (fd < 0)
		return say("open", file);
	memset(t->buf, 0xee, t->size);
	n = read(fd, t->buf, t->size);
	close(fd);
	if (n != (ssize_t)t->size)
		return say("read", file);
	wrong = pattern_check(t->buf, t->size, seed_of(t, file));
	if (wrong >= 0) {
		printf("error=file %u is wrong at %" PRId64 " in round %" PRIu64
		       "\n",
		       file, wrong, t->round);
		return -1;
	}
	return 0;
}

static int rename_one(struct tree *t, unsigned int file)
{
	char from[32], to[32];

	name_of(from, "new", file);
	name_of(to, "old", file);
	return renameat(t->dir, from, t->dir, to) ? say("rename", file) : 0;
}

static int unlink_one(struct tree *t, unsigned int file)
{
	char name[32];

	name_of(name, "old", file);
	return unlinkat(t->dir, name, 0) ? say("unlink", file) : 0;
}

/* The directory is made durable where its files have changed. */
static int run_round(struct tree *t)
{
	static int (*const steps[])(struct tree * t, unsigned int file) = {
		make, verify, rename_one, unlink_one
	};

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		for (unsigned int file = 0; file < t->files; file++)
			if (steps[i](t, file))
				return -1;
		if (steps[i] != verify && fsync(t->dir)) {
			printf("error=fsync of the directory: %s\n",
			       strerror(errno));
			return -1;
		}
	}
	return 0;
}

/* tree DIR FILES FILE-SIZE ROUNDS, in a directory of DIR that must not be there */
int tree_run(int argc, char **argv)
{
	struct tree t = { .dir = -1,
			  .files = (unsigned int)parse_bytes(argv[1]),
			  .size = parse_bytes(argv[2]) & ~(size_t)7 };
	uint64_t rounds = parse_bytes(argv[3]);
	char path[4096];
	double began;
	int r = -1;

	(void)argc;
	(void)snprintf(path, sizeof(path), "%s/tree", argv[0]);
	t.buf = malloc(t.size);
	if (mkdir(path, 0700) == 0)
		t.dir = open(path, O_RDONLY | O_DIRECTORY);
	if (!t.buf || t.dir < 0) {
		perror(path);
		free(t.buf);
		return 1;
	}
	began = now();
	for (; t.round < rounds; t.round++) {
		r = run_round(&t);
		if (r)
			break;
	}
	printf("tree_files=%" PRIu64 "\ntree_bytes=%" PRIu64
	       "\ntree_seconds=%.3f\ntree_verified=%s\n",
	       t.round * t.files, 2 * t.round * t.files * t.size, now() - began,
	       r ? "false" : "true");
	close(t.dir);
	free(t.buf);
	if (!r)
		r = rmdir(path) ? say("rmdir", 0) : 0;
	return r ? 1 : 0;
}
