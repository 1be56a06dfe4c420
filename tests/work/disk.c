// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * disk.c: a fixed set of files, read and written with O_DIRECT and verified
 *
 * A file is a row of 4 KiB blocks; each block starts with its generation (a
 * count of how often it was written), the rest is the pattern of (file, block,
 * generation). So a block that was lost, old, misplaced or torn is seen.
 *
 * Each file has a buffer of its own that is allocated once: the memory that
 * the device touches is the file set's size, whatever the number of rounds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "work.h"

#define BLOCK 4096

struct set {
	const char *dir;
	unsigned int files;
	size_t size;	/* of each file */
	size_t chunk;	/* bytes in one I/O */
	uint64_t reads; /* I/Os done */
	uint64_t writes;
	uint64_t bytes;
};

static uint64_t block_seed(unsigned int file, size_t block, uint64_t gen)
{
	return (uint64_t)file << 48 ^ (uint64_t)block << 16 ^ gen << 40 ^ gen;
}

static void blocks_fill(uint8_t *buf, size_t len, unsigned int file,
			size_t first, uint64_t gen)
{
	for (size_t at = 0; at < len; at += BLOCK) {
		memcpy(buf + at, &gen, 8);
		pattern_fill(buf + at + 8, BLOCK - 8,
			     block_seed(file, first + at / BLOCK, gen));
	}
}

static int blocks_check(const uint8_t *buf, size_t len, unsigned int file,
			size_t first, uint64_t gen)
{
	for (size_t at = 0; at < len; at += BLOCK) {
		size_t block = first + at / BLOCK;
		uint64_t seen;

		memcpy(&seen, buf + at, 8);
		if (seen == gen &&
		    pattern_check(buf + at + 8, BLOCK - 8,
				  block_seed(file, block, gen)) < 0)
			continue;
		printf("error=file %u block %zu is wrong: generation %" PRIu64
		       ", expected %" PRIu64 "\n",
		       file, block, seen, gen);
		return -1;
	}
	return 0;
}

static int set_open(const struct set *set, unsigned int file, int flags)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/data%03u", set->dir, file);
	fd = open(path, flags | O_CLOEXEC, 0644);
	if (fd < 0)
		printf("error=%s: %s\n", path, strerror(errno));
	return fd;
}

static int set_parse(struct set *set, char **argv)
{
	set->dir = argv[0];
	set->files = (unsigned int)parse_bytes(argv[1]);
	set->size = parse_bytes(argv[2]);
	if (set->files <= 999 && set->size % BLOCK == 0)
		return 0;
	fputs("pvdma-work: at most 999 files, of whole 4 KiB blocks\n", stderr);
	return 2;
}

int disk_fill(int argc, char **argv)
{
	struct set set = { 0 };
	uint8_t *buf;
	int r = set_parse(&set, argv);

	(void)argc;
	if (r)
		return r;
	buf = malloc(set.size);
	if (!buf)
		return 1;
	for (unsigned int i = 0; i < set.files; i++) {
		int fd = set_open(&set, i, O_WRONLY | O_CREAT | O_TRUNC);

		blocks_fill(buf, set.size, i, 0, 0);
		if (fd < 0 || write(fd, buf, set.size) != (ssize_t)set.size ||
		    close(fd)) {
			perror("pvdma-work: fill");
			free(buf);
			return 1;
		}
	}
	free(buf);
	return 0;
}

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

/*
 * The generation that a file has now: what its first block says. All the
 * blocks must then agree.
 */
static int file_generation(int fd, uint8_t *buf, uint64_t *ret)
{
	if (pread(fd, buf, BLOCK, 0) != BLOCK)
		return -1;
	memcpy(ret, buf, 8);
	return 0;
}

static int file_round(struct set *set, int fd, uint8_t *buf, unsigned int file)
{
	uint64_t gen;

	if (file_generation(fd, buf, &gen)) {
		printf("error=read of file %u: %s\n", file, strerror(errno));
		return -1;
	}
	if (file_read(set, fd, buf, file, gen) ||
	    file_write(set, fd, buf, file, gen + 1) ||
	    file_read(set, fd, buf, file, gen + 1))
		return -1;
	return 0;
}

static void report(const struct set *set, double seconds, int failed)
{
	printf("disk_reads=%" PRIu64 "\ndisk_writes=%" PRIu64 "\n", set->reads,
	       set->writes);
	printf("disk_bytes=%" PRIu64 "\ndisk_seconds=%.3f\n", set->bytes,
	       seconds);
	printf("disk_mib_s=%.2f\n",
	       seconds > 0 ? (double)set->bytes / (1 << 20) / seconds : 0.0);
	printf("disk_verified=%s\n", failed ? "false" : "true");
}

/*
 * Memory for I/O: the process's own, or that of the file that
 * PVDMA_WORK_MEMORY names. On tmpfs its pages outlast the process, so that the
 * next one does its I/O with the same memory, as users of a database's shared
 * buffers do.
 */
static uint8_t *buffers(size_t size)
{
	const char *path = getenv("PVDMA_WORK_MEMORY");
	int flags = MAP_PRIVATE | MAP_ANONYMOUS, fd = -1;
	void *buf;

	if (path) {
		flags = MAP_SHARED;
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0 || ftruncate(fd, (off_t)size)) {
			perror(path);
			return NULL;
		}
	}
	buf = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_POPULATE, fd,
		   0);
	if (fd >= 0)
		close(fd);
	if (buf == MAP_FAILED) {
		perror("pvdma-work: mmap");
		return NULL;
	}
	return buf;
}

int disk_run(int argc, char **argv)
{
	struct set set = { 0 };
	int fds[999], r = set_parse(&set, argv);
	uint64_t rounds = parse_bytes(argv[4]);
	uint8_t *buf;
	double start;

	(void)argc;
	set.chunk = parse_bytes(argv[3]);
	if (r || set.size % set.chunk || set.chunk % BLOCK) {
		fputs("pvdma-work: a file is whole chunks of whole 4 KiB\n",
		      stderr);
		return 2;
	}
	buf = buffers(set.files * set.size);
	if (!buf)
		return 1;
	for (unsigned int i = 0; i < set.files; i++) {
		fds[i] = set_open(&set, i, O_RDWR | O_DIRECT);
		if (fds[i] < 0)
			return 1;
	}
	start = now();
	r = 0;
	for (uint64_t n = 0; n < rounds && !r; n++)
		for (unsigned int i = 0; i < set.files && !r; i++)
			r = file_round(&set, fds[i], buf + i * set.size, i);
	report(&set, now() - start, r);
	return r ? 1 : 0;
}
