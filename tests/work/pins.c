// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pins.c: watches how many pages the kernel has pinned
 *
 * The kernel counts every page that pin_user_pages() takes and gives back
 * (nr_foll_pin_acquired, nr_foll_pin_released in /proc/vmstat); the difference
 * is what is pinned now, whoever asked for it. VFIO pins that way.
 *
 * The counts wait in per-CPU batches, up to 125 pages each, before they show;
 * a read of /proc/sys/vm/stat_refresh (root's) folds them in.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "work.h"

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static int64_t counter(const char *text, const char *name)
{
	const char *p = strstr(text, name);

	return p ? strtoll(p + strlen(name), NULL, 10) : -1;
}

struct counts {
	int64_t got, gave; /* pages */
};

static int read_counts(int fd, int refresh, struct counts *ret)
{
	static char text[65536];
	ssize_t n;

	/* Where that is not allowed, the samples are a little blurred. */
	n = refresh < 0 ? 0 : pread(refresh, text, sizeof(text), 0);
	n = pread(fd, text, sizeof(text) - 1, 0);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	ret->got = counter(text, "nr_foll_pin_acquired ");
	ret->gave = counter(text, "nr_foll_pin_released ");
	return ret->got < 0 || ret->gave < 0 ? -1 : 0;
}

/*
 * Bytes that were pinned at one instant, at the least; exactly so many where
 * nothing changes. The CPUs' batches are folded in one after the other, so that
 * one reading may hold a pin and lack the release that came before it. But all
 * that the first reading knows was got before the instant between the two, and
 * all that was given back before that instant is in the second one.
 */
static int64_t pinned_bytes(int fd, int refresh)
{
	struct counts before, after;

	if (read_counts(fd, refresh, &before) < 0 ||
	    read_counts(fd, refresh, &after) < 0)
		return -1;
	if (after.gave > before.got)
		return 0;
	return (before.got - after.gave) * sysconf(_SC_PAGESIZE);
}

static int write_report(const char *path, uint64_t samples, int64_t base,
			int64_t peak, int64_t last)
{
	FILE *f = fopen(path, "w");

	if (!f) {
		perror(path);
		return 1;
	}
	fprintf(f, "pin_samples=%" PRIu64 "\npinned_base_bytes=%" PRId64 "\n",
		samples, base);
	fprintf(f, "pinned_peak_bytes=%" PRId64 "\n", peak - base);
	fprintf(f, "pinned_last_bytes=%" PRId64 "\n", last - base);
	return fclose(f) ? 1 : 0;
}

/*
 * pins INTERVAL-MS FILE: samples until SIGTERM, then writes FILE. What was
 * pinned at the start is not counted.
 */
int pins_watch(int argc, char **argv)
{
	uint64_t ms = parse_bytes(argv[0]), samples = 0;
	struct timespec ts = { .tv_sec = (time_t)(ms / 1000),
			       .tv_nsec = (long)(ms % 1000) * 1000000 };
	struct sigaction sa = { .sa_handler = on_signal };
	int fd = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
	int refresh = open("/proc/sys/vm/stat_refresh", O_RDONLY | O_CLOEXEC);
	int64_t base, peak, now_bytes;

	(void)argc;
	/* Whoever starts this may be done before a first look at the counters. */
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	base = peak = now_bytes = fd < 0 ? -1 : pinned_bytes(fd, refresh);
	if (base < 0) {
		fputs("pvdma-work: this kernel does not count pins\n", stderr);
		return 1;
	}
	do {
		nanosleep(&ts, NULL);
		now_bytes = pinned_bytes(fd, refresh);
		if (now_bytes > peak)
			peak = now_bytes;
		samples++;
	} while (!stop);
	close(fd);
	if (refresh >= 0)
		close(refresh);
	return write_report(argv[1], samples, base, peak, now_bytes);
}
