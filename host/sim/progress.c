// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * progress.c - a bar on the terminal for what takes long
 *
 * Owns nothing; draws on stderr, and only where that is a terminal.
 */
#include "host/sim/progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define BAR	30
#define DELAY	0.5 /* seconds before the first drawing */
#define REFRESH 0.1

static double now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void progress_start(struct progress *progress, unsigned int all)
{
	*progress = (struct progress){
		.on = isatty(STDERR_FILENO),
		.all = all,
		.what = "",
		.drawn = now() + DELAY - REFRESH,
	};
}

void progress_step(void *userdata)
{
	struct progress *p = userdata;
	unsigned int done = p->at++;
	double t;

	if (!p->on)
		return;
	t = now();
	if (t - p->drawn < REFRESH)
		return;
	p->drawn = t;
	fputs("\r\033[K", stderr);
	if (p->all) {
		unsigned int bar =
			BAR * (done < p->all ? done : p->all) / p->all;

		fputc('[', stderr);
		for (unsigned int i = 0; i < BAR; i++)
			fputc(i < bar ? '#' : '.', stderr);
		fprintf(stderr, "] %u/%u ", done, p->all);
	} else {
		fprintf(stderr, "%u runs ", done);
	}
	fputs(p->what, stderr);
	fflush(stderr);
}

void progress_end(struct progress *progress)
{
	if (progress->on)
		fputs("\r\033[K", stderr);
	progress->on = false;
}
