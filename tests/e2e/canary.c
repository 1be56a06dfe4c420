// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * canary: pages that nobody but this process may change
 *
 * usage: canary FILE PAGES
 *
 * Fills pages with a pattern, and writes their physical addresses to FILE, one
 * a line, after which it says nothing until SIGUSR1: then it looks at every
 * byte, and appends "intact N" or "changed N", N counting the looks.
 *
 * Runs in L1, where the addresses are the host's, and in a guest. The word of
 * the pattern is one that tests/modules/hostile/edu.c knows by sight.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE   4096u
#define CANARY 0x5241434d4d445650ull

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Where a page of ours is in the machine's memory. */
static uint64_t physical(int pagemap, const void *page)
{
	uint64_t entry = 0;

	if (pread(pagemap, &entry, 8, (off_t)((uintptr_t)page / PAGE * 8)) != 8)
		die("/proc/self/pagemap");
	if (!(entry >> 63) || !(entry << 9)) {
		fputs("canary: a page has no known address\n", stderr);
		exit(1);
	}
	return (entry & ((1ull << 55) - 1)) * PAGE;
}

static int changed(const volatile uint64_t *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (words[i] != CANARY)
			return 1;
	}
	return 0;
}

static void hold(FILE *file, size_t pages)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	size_t n = pages * PAGE / 8;
	uint64_t *words;

	if (pagemap < 0)
		die("/proc/self/pagemap");
	words = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE,
		     -1, 0);
	if (words == MAP_FAILED)
		die("mmap");
	for (size_t i = 0; i < n; i++)
		words[i] = CANARY;
	for (size_t i = 0; i < pages; i++)
		fprintf(file, "%#llx\n",
			(unsigned long long)physical(pagemap,
						     words + i * PAGE / 8));
	close(pagemap);
	for (unsigned int look = 1;; look++) {
		sigset_t set;
		int sig;

		fflush(file);
		sigemptyset(&set);
		sigaddset(&set, SIGUSR1);
		if (sigwait(&set, &sig) != 0)
			die("sigwait");
		fprintf(file, "%s %u\n",
			changed(words, n) ? "changed" : "intact", look);
	}
}

int main(int argc, char **argv)
{
	sigset_t set;
	FILE *file;

	if (argc != 3 || atoi(argv[2]) <= 0) {
		fputs("usage: canary FILE PAGES\n", stderr);
		return 2;
	}
	/* before the addresses are there to be read */
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	file = fopen(argv[1], "w");
	if (!file)
		die(argv[1]);
	hold(file, (size_t)atoi(argv[2]));
	return 0;
}
