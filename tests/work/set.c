// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * set.c: a fixed set of files whose every block can be verified
 *
 * A file is a row of 4 KiB blocks; each block starts with its generation (a
 * count of how often it was written), the rest is the pattern of (file, block,
 * generation). So a block that was lost, old, misplaced or torn is seen. Between
 * the verbs all blocks of a file have the same generation.
 *
 * Each file has a buffer of its own that is allocated once: the memory that
 * the device touches is the file set's size, whatever the number of rounds.
 */
#define _GNU_SOURCE
#include "set.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "work.h"

static uint64_t block_seed(unsigned int file, size_t block, uint64_t gen)
{
	return (uint64_t)file << 48 ^ (uint64_t)block << 16 ^ gen << 40 ^ gen;
}

void blocks_fill(uint8_t *buf, size_t len, unsigned int file, size_t first,
		 uint64_t gen)
{
	for (size_t at = 0; at < len; at += BLOCK) {
		memcpy(buf + at, &gen, 8);
		pattern_fill(buf + at + 8, BLOCK - 8,
			     block_seed(file, first + at / BLOCK, gen));
	}
}

int blocks_check(const uint8_t *buf, size_t len, unsigned int file,
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

int set_open(const struct set *set, unsigned int file, int flags)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/data%03u", set->dir, file);
	fd = open(path, flags | O_CLOEXEC, 0644);
	if (fd < 0)
		printf("error=%s: %s\n", path, strerror(errno));
	return fd;
}

int set_parse(struct set *set, char **argv)
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

int file_generation(int fd, uint8_t *buf, unsigned int file, uint64_t *ret)
{
	ssize_t n = pread(fd, buf, BLOCK, 0);

	if (n != BLOCK) {
		printf("error=read of file %u: %s\n", file,
		       n < 0 ? strerror(errno) : "short");
		return -1;
	}
	memcpy(ret, buf, 8);
	return 0;
}

void set_report(const struct set *set, const char *verb, double seconds,
		int failed)
{
	printf("%s_reads=%" PRIu64 "\n%s_writes=%" PRIu64 "\n", verb,
	       set->reads, verb, set->writes);
	printf("%s_bytes=%" PRIu64 "\n%s_seconds=%.3f\n", verb, set->bytes,
	       verb, seconds);
	printf("%s_mib_s=%.2f\n", verb,
	       seconds > 0 ? (double)set->bytes / (1 << 20) / seconds : 0.0);
	printf("%s_verified=%s\n", verb, failed ? "false" : "true");
}

uint8_t *set_buffers(size_t size)
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
