// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * disk.c: the file set read and written from end to end, and verified
 *
 * "disk" does direct I/O. "files" goes through the page cache, which it makes
 * forget each file before it reads it: the memory that the device touches is then
 * whatever the cache happens to take.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "set.h"
#include "work.h"

/* Reads the whole file into its buffer and checks it. */
static int file_read(struct set *set, int fd, uint8_t *buf, unsigned int file,
		     uint64_t gen)
{
	memset(buf, 0xee, set->size);
	for (size_t at = 0; at < set->size; at += set->chunk) {
		ssize_t n = pread(fd, buf + at, set->chunk, (off_t)at);

		if (n != (ssize_t)set->chunk) {
			printf("error=read of file %u at %zu: %s\n", file, at,
			       n < 0 ? strerror(errno) : "short");
			return -1;
		}
		set->reads++;
		set->bytes += set->chunk;
	}
	return blocks_check(buf, set->size, file, 0, gen);
}

static int file_write(struct set *set, int fd, uint8_t *buf, unsigned int file,
		      uint64_t gen)
{
	blocks_fill(buf, set->size, file, 0, gen);
	for (size_t at = 0; at < set->size; at += set->chunk) {
		ssize_t n = pwrite(fd, buf + at, set->chunk, (off_t)at);

		if (n != (ssize_t)set->chunk) {
			printf("error=write of file %u at %zu: %s\n", file, at,
			       n < 0 ? strerror(errno) : "short");
			return -1;
		}
		set->writes++;
		set->bytes += set->chunk;
	}
	return 0;
}

/* What the page cache has of a file goes to the disk, and out of memory. */
static int file_settle(const struct set *set, int fd, unsigned int file)
{
	if (!set->cached)
		return 0;
	if (!fdatasync(fd) && !posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
		return 0;
	printf("error=sync of file %u: %s\n", file, strerror(errno));
	return -1;
}

static int file_round(struct set *set, int fd, uint8_t *buf, unsigned int file)
{
	uint64_t gen;

	if (file_settle(set, fd, file) ||
	    file_generation(fd, buf, file, &gen) ||
	    file_read(set, fd, buf, file, gen) ||
	    file_write(set, fd, buf, file, gen + 1) ||
	    file_settle(set, fd, file) ||
	    file_read(set, fd, buf, file, gen + 1))
		return -1;
	return 0;
}

static int run(char **argv, const char *verb, int cached)
{
	struct set set = { .cached = cached };
	int fds[FILES_MAX], r = set_parse(&set, argv);
	uint64_t rounds = parse_bytes(argv[4]);
	uint8_t *buf;
	double start;

	set.chunk = parse_bytes(argv[3]);
	if (r || set.size % set.chunk || set.chunk % BLOCK) {
		fputs("pvdma-work: a file is whole chunks of whole 4 KiB\n",
		      stderr);
		return 2;
	}
	buf = set_buffers(set.files * set.size);
	if (!buf)
		return 1;
	for (unsigned int i = 0; i < set.files; i++) {
		fds[i] = set_open(&set, i, O_RDWR | (cached ? 0 : O_DIRECT));
		if (fds[i] < 0)
			return 1;
	}
	start = now();
	r = 0;
	for (uint64_t n = 0; n < rounds && !r; n++)
		for (unsigned int i = 0; i < set.files && !r; i++)
			r = file_round(&set, fds[i], buf + i * set.size, i);
	set_report(&set, verb, now() - start, r);
	return r ? 1 : 0;
}

int disk_run(int argc, char **argv)
{
	(void)argc;
	return run(argv, "disk", 0);
}

int disk_files(int argc, char **argv)
{
	(void)argc;
	return run(argv, "files", 1);
}
