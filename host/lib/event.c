// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * event.c - the event loop of a program that runs until it is told to end
 *
 * Owns: how signals reach it. Locks: none; one thread. In a request's way: not.
 */
#include "event.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>

int event_new(sd_event **ret)
{
	sd_event *event;
	sigset_t signals;
	int r;

	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
		return -errno;
	(void)signal(SIGPIPE, SIG_IGN);
	r = sd_event_new(&event);
	if (r < 0)
		return r;
	/* Without a callback, a signal ends the loop. */
	r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(event, NULL, SIGINT, NULL, NULL);
	/* Its time comes only if the service manager asks for it. */
	if (r >= 0)
		r = sd_event_set_watchdog(event, true);
	if (r < 0) {
		sd_event_unref(event);
		return r;
	}
	*ret = event;
	return 0;
}
