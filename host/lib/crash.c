// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * crash.c - kills the program at a place that a test names
 *
 * Owns: the list of places, which the linker gathers. Locks: none. In a request's
 * way: everywhere, in the build for tests alone.
 */
#include "crash.h"

#ifdef PVDMA_CRASH_POINTS

#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern struct crash_label *const __start_crash_labels[] __attribute__((weak));
extern struct crash_label *const __stop_crash_labels[] __attribute__((weak));

static const char *wanted;
static size_t wanted_len;
static unsigned long wanted_pass = 1;

void crash_init(void)
{
	struct crash_label *const *at;
	const char *colon;

	wanted = getenv("PVDMA_CRASH");
	if (!wanted)
		return;
	if (strcmp(wanted, "list") == 0) {
		for (at = __start_crash_labels; at < __stop_crash_labels; at++)
			if (*at) /* padding of sanitizers */
				(void)puts((*at)->name);
		exit(EXIT_SUCCESS);
	}
	colon = strchr(wanted, ':');
	wanted_len = colon ? (size_t)(colon - wanted) : strlen(wanted);
	if (colon)
		wanted_pass = strtoul(colon + 1, NULL, 10);
}

void crash_pass(struct crash_label *label)
{
	if (!wanted || strlen(label->name) != wanted_len ||
	    memcmp(label->name, wanted, wanted_len) != 0)
		return;
	if (++label->passed == wanted_pass)
		(void)raise(SIGKILL);
}

#endif
