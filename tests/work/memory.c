// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * memory.c: anonymous memory that is written, and verified again and again
 *
 * For a host that has less memory than its guests: what it swaps must come back
 * as it was. Each page holds a stream of its own, as often as it fits in. So no
 * two pages are alike, and none is zero; but a page compresses well, as much of
 * real memory does.
 */
#define _GNU_SOURCE
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "work.h"

#define PAGE   4096
#define STREAM 512
/* how often it says how far it is */
#define STEP (16 << 20)

static_assert(PAGE % STREAM == 0, "a page is whole streams");

/* Of page @page in its generation @gen, each of which is another one. */
static void stream_of(uint8_t *buf, uint64_t page, uint64_t gen)
{
	pattern_fill(buf, STREAM, gen << 40 ^ page);
}

static void page_fill(uint8_t *at, uint64_t page, uint64_t gen)
{
	stream_of(at, page, gen);
	for (size_t i = STREAM; i < PAGE; i += STREAM)
		memcpy(at + i, at, STREAM);
}

static int page_check(const uint8_t *at, uint64_t page, uint64_t gen)
{
	uint8_t want[STREAM];

	stream_of(want, page, gen);
	for (size_t i = 0; i < PAGE; i += STREAM)
		if (memcmp(at + i, want, STREAM))
			return -1;
	return 0;
}

/*
 * A round: each page is as it was left, and is written anew. Says how many bytes
 * were right, in all rounds, at each STEP.
 */
static int walk(uint8_t *memory, uint64_t pages, uint64_t gen)
{
	uint64_t right = gen * pages * PAGE;

	for (uint64_t page = 0; page < pages; page++) {
		uint8_t *at = memory + page * PAGE;

		if (page_check(at, page, gen)) {
			printf("error=page %" PRIu64 " of %" PRIu64
			       " is wrong in round %" PRIu64 "\n",
			       page, pages, gen + 1);
			return -1;
		}
		page_fill(at, page, gen + 1);
		right += PAGE;
		if (right % STEP == 0)
			printf("memory_right_bytes=%" PRIu64 "\n", right);
	}
	return 0;
}

/*
 * memory SIZE FILE: rounds until FILE exists, whole ones, at least one: all of it
 * was verified when it ends. Says memory_rounds=0 once all is written, counts on from
 * there, and says how far it is meanwhile.
 */
int memory_run(int argc, char **argv)
{
	uint64_t pages = parse_bytes(argv[0]) / PAGE, rounds = 0;
	uint8_t *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			       0);
	int r = 0;

	(void)argc;
	if (memory == MAP_FAILED) {
		perror("pvdma-work: mmap");
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (uint64_t page = 0; page < pages; page++)
		page_fill(memory + page * PAGE, page, 0);
	printf("memory_bytes=%" PRIu64 "\nmemory_rounds=0\n", pages * PAGE);
	do {
		r = walk(memory, pages, rounds);
		if (!r)
			printf("memory_rounds=%" PRIu64 "\n", ++rounds);
	} while (!r && access(argv[1], F_OK));
	printf("memory_verified=%s\n", r ? "false" : "true");
	return r ? 1 : 0;
}
