/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * set.h - the file set that the disk verbs read, write and verify
 */
#ifndef PVDMA_TESTS_WORK_SET_H
#define PVDMA_TESTS_WORK_SET_H

#include <stddef.h>
#include <stdint.h>

#define BLOCK	  4096
#define FILES_MAX 999

struct set {
	const char *dir;
	unsigned int files;
	size_t size;	/* of each file */
	size_t chunk;	/* bytes in one I/O */
	int cached;	/* by the page cache, not direct */
	uint64_t reads; /* I/Os done */
	uint64_t writes;
	uint64_t bytes;
};

/* DIR FILES FILE-SIZE of a command line. 0, or the exit status of a wrong one. */
int set_parse(struct set *set, char **argv);

/* A descriptor, or -1 after a word about it. */
int set_open(const struct set *set, unsigned int file, int flags);

/*
 * Memory for I/O: the process's own, or that of the file that
 * PVDMA_WORK_MEMORY names. On tmpfs its pages outlast the process, so that the
 * next one does its I/O with the same memory, as users of a database's shared
 * buffers do. NULL after a word about it.
 */
uint8_t *set_buffers(size_t size);

/* The figures of a verb, as VERB_reads= and so on. */
void set_report(const struct set *set, const char *verb, double seconds,
		int failed);

/*
 * What @len bytes of a file must hold from block @first on, and whether they
 * do: 0, or -1 after a word about the first block that does not.
 */
void blocks_fill(uint8_t *buf, size_t len, unsigned int file, size_t first,
		 uint64_t gen);
int blocks_check(const uint8_t *buf, size_t len, unsigned int file,
		 size_t first, uint64_t gen);

/*
 * The generation that a file has now: what its first block says; all the
 * blocks must then agree. @buf is scratch memory for a block, fit for @fd. 0, or
 * -1 after a word about it.
 */
int file_generation(int fd, uint8_t *buf, unsigned int file, uint64_t *ret);

#endif
