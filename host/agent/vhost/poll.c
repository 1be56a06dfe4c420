// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * poll.c - for how long a queue is looked at before it waits for a kick
 *
 * Theory of operation: as KVM does it for a virtual CPU that halts. A kick that
 * comes within the longest window after the last request makes the window
 * longer: with a longer one it would not have been needed. One that comes later
 * ends it. So a guest that falls silent costs one window, and one whose requests
 * are further apart than the longest window costs nothing.
 *
 * Owns nothing; the queue is the owner. Locks: none.
 */
#include "vhost/poll.h"

#include "lib/macros.h"

void poll_init(struct poll_window *w, uint64_t most)
{
	*w = (struct poll_window){ .most = most };
}

void poll_kicked(struct poll_window *w, uint64_t now)
{
	if (w->served == 0 || now - w->served > w->most)
		w->ns = 0;
	else
		w->ns = min(max(w->ns * 2, POLL_MIN_NS), w->most);
}

void poll_served(struct poll_window *w, uint64_t now)
{
	w->served = now;
}

bool poll_goes_on(const struct poll_window *w, uint64_t now)
{
	return w->ns > 0 && now - w->served < w->ns;
}
