// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * random.c: every block of the file set, in random order, many at once
 *
 * Three passes of asynchronous direct I/O of 4 KiB, each in an order of its own:
 * all blocks are read and verified, written with the next generation, read and
 * verified again. A block has its own memory, so that a request uses any page of the
 * buffers, as one of a database does.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "set.h"
#include "work.h"

#define DEPTH_MAX 256

struct random {
	struct set set;
	aio_context_t ctx;
	int fds[FILES_MAX];
	uint64_t gens[FILES_MAX];
	uint32_t *order; /* a permutation of all blocks */
	uint32_t blocks; /* of all files */
	uint32_t per_file;
	uint8_t *buf;
	uint64_t seed;
};

/* xorshift64 (Marsaglia, JSS 2003) */
static uint64_t rnd(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void shuffle(struct random *r)
{
	for (uint32_t i = r->blocks - 1; i; i--) {
		uint32_t j = (uint32_t)(rnd(&r->seed) % (i + 1));
		uint32_t t = r->order[i];

		r->order[i] = r->order[j];
		r->order[j] = t;
	}
}

/* Hands out @n blocks of the order, from @at on. */
static int submit(struct random *r, int opcode, uint32_t at, uint32_t n)
{
	struct iocb cbs[DEPTH_MAX], *list[DEPTH_MAX];
	long done = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t block = r->order[at + i];
		uint32_t file = block / r->per_file;
		uint32_t first = block % r->per_file;
		uint8_t *buf = r->buf + (size_t)block * BLOCK;

		if (opcode == IOCB_CMD_PWRITE)
			blocks_fill(buf, BLOCK, file, first, r->gens[file] + 1);
		else
			memset(buf, 0xee, BLOCK);
		cbs[i] = (struct iocb){
			.aio_data = block,
			.aio_lio_opcode = (uint16_t)opcode,
			.aio_fildes = (uint32_t)r->fds[file],
			.aio_buf = (uintptr_t)buf,
			.aio_nbytes = BLOCK,
			.aio_offset = (int64_t)first * BLOCK,
		};
		list[i] = &cbs[i];
	}
	while (done < (long)n) {
		long k = syscall(SYS_io_submit, r->ctx, (long)n - done,
				 list + done);

		if (k <= 0) {
			printf("error=io_submit: %s\n", strerror(errno));
			return -1;
		}
		done += k;
	}
	return 0;
}

/* Waits for one I/O at least; how many came, or -1 if one was not right. */
static long reap(struct random *r, int opcode, uint64_t add)
{
	struct io_event events[DEPTH_MAX];
	long n = syscall(SYS_io_getevents, r->ctx, 1L, (long)DEPTH_MAX, events,
			 NULL);

	if (n < 1) {
		printf("error=io_getevents: %s\n", strerror(errno));
		return -1;
	}
	for (long i = 0; i < n; i++) {
		uint32_t block = (uint32_t)events[i].data;
		uint32_t file = block / r->per_file;

		if (events[i].res != BLOCK) {
			printf("error=%s of file %u block %u: %lld\n",
			       opcode == IOCB_CMD_PWRITE ? "write" : "read",
			       file, block % r->per_file,
			       (long long)events[i].res);
			return -1;
		}
		if (opcode == IOCB_CMD_PREAD &&
		    blocks_check(r->buf + (size_t)block * BLOCK, BLOCK, file,
				 block % r->per_file, r->gens[file] + add))
			return -1;
	}
	return n;
}

/* All blocks once; reads expect the files' generation plus @add. */
static int pass(struct random *r, int opcode, uint64_t add, uint32_t depth)
{
	uint32_t at = 0, busy = 0;

	shuffle(r);
	while (at < r->blocks || busy) {
		uint32_t n = depth - busy;
		long done;

		if (n > r->blocks - at)
			n = r->blocks - at;
		if (n && submit(r, opcode, at, n))
			return -1;
		at += n;
		busy += n;
		done = reap(r, opcode, add);
		if (done < 0)
			return -1;
		busy -= (uint32_t)done;
	}
	if (opcode == IOCB_CMD_PWRITE)
		r->set.writes += r->blocks;
	else
		r->set.reads += r->blocks;
	r->set.bytes += (uint64_t)r->blocks * BLOCK;
	return 0;
}

static int prepare(struct random *r, uint32_t depth)
{
	r->per_file = (uint32_t)(r->set.size / BLOCK);
	r->blocks = r->set.files * r->per_file;
	r->seed = 0x9e3779b97f4a7c15;
	r->buf = set_buffers(r->set.files * r->set.size);
	r->order = malloc(sizeof(*r->order) * r->blocks);
	if (!r->buf || !r->order)
		return -1;
	for (uint32_t i = 0; i < r->blocks; i++)
		r->order[i] = i;
	for (unsigned int i = 0; i < r->set.files; i++) {
		r->fds[i] = set_open(&r->set, i, O_RDWR | O_DIRECT);
		if (r->fds[i] < 0 ||
		    file_generation(r->fds[i], r->buf, i, &r->gens[i]))
			return -1;
	}
	if (syscall(SYS_io_setup, (long)depth, &r->ctx)) {
		perror("pvdma-work: io_setup");
		return -1;
	}
	return 0;
}

int random_run(int argc, char **argv)
{
	static struct random r;
	uint64_t depth = parse_bytes(argv[3]);
	int status = set_parse(&r.set, argv);
	double start;

	(void)argc;
	if (status || depth > DEPTH_MAX) {
		fprintf(stderr, "pvdma-work: a depth of at most %d\n",
			DEPTH_MAX);
		return 2;
	}
	if (prepare(&r, (uint32_t)depth))
		return 1;
	start = now();
	status = pass(&r, IOCB_CMD_PREAD, 0, (uint32_t)depth) ||
		 pass(&r, IOCB_CMD_PWRITE, 0, (uint32_t)depth) ||
		 pass(&r, IOCB_CMD_PREAD, 1, (uint32_t)depth);
	set_report(&r.set, "random", now() - start, status);
	free(r.order);
	return status;
}
