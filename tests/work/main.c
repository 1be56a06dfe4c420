// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pvdma-work: moves data that can be verified, on a disk, over TCP, or in memory
 *
 * One static program for the guest, the host and the machine that emulates
 * them, so that all agree on what the data must be. It prints its results as
 * key=value lines; its exit status is 0 only if every byte was right.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "work.h"

/* splitmix64 (Steele, Lea, Flood, OOPSLA 2014): a step of the stream */
static uint64_t pattern_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

void pattern_fill(void *buf, size_t len, uint64_t seed)
{
	uint8_t *p = buf;

	for (size_t i = 0; i + 8 <= len; i += 8) {
		uint64_t v = pattern_next(&seed);

		memcpy(p + i, &v, 8);
	}
}

int64_t pattern_check(const void *buf, size_t len, uint64_t seed)
{
	const uint8_t *p = buf;

	for (size_t i = 0; i + 8 <= len; i += 8) {
		uint64_t v = pattern_next(&seed);

		if (memcmp(p + i, &v, 8))
			return (int64_t)i;
	}
	return -1;
}

double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

uint64_t parse_bytes(const char *text)
{
	char *end;
	uint64_t v = strtoull(text, &end, 0);
	int shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;

	if (end == text || end[shift ? 1 : 0] || !v ||
	    v > UINT64_MAX >> shift) {
		fprintf(stderr, "pvdma-work: '%s' is not a size (as 64K)\n",
			text);
		exit(2);
	}
	return v << shift;
}

static const struct verb {
	const char *name;
	int args;
	int (*run)(int argc, char **argv);
	const char *usage;
} verbs[] = {
	{ "fill", 3, disk_fill, "fill DIR FILES FILE-SIZE" },
	{ "disk", 5, disk_run, "disk DIR FILES FILE-SIZE CHUNK ROUNDS" },
	{ "files", 5, disk_files, "files DIR FILES FILE-SIZE CHUNK ROUNDS" },
	{ "random", 4, random_run, "random DIR FILES FILE-SIZE DEPTH" },
	{ "tree", 4, tree_run, "tree DIR FILES FILE-SIZE ROUNDS" },
	{ "serve", 1, net_serve, "serve PORT|-" },
	{ "get", 3, net_get, "get HOST PORT BYTES" },
	{ "put", 3, net_put, "put HOST PORT BYTES" },
	{ "rr", 4, net_rr, "rr HOST PORT COUNT BYTES" },
	{ "linear", 1, net_linear, "linear INTERFACE" },
	{ "memory", 2, memory_run, "memory SIZE FILE" },
	{ "pins", 2, pins_watch, "pins INTERVAL-MS FILE" },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		if (argc == verbs[i].args + 2 &&
		    !strcmp(argv[1], verbs[i].name))
			return verbs[i].run(argc - 2, argv + 2);
	fputs("usage:\n", stderr);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		fprintf(stderr, "  pvdma-work %s\n", verbs[i].usage);
	return 2;
}
