/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * poll.h - for how long a queue is looked at before it waits for a kick
 *
 * A kick costs the guest an exit, and its host a wake-up; looking costs a CPU.
 * So a queue is looked at after its last request for as long as the next one
 * has been found to take, if that is short, and not at all if it is not. Times
 * in nanoseconds, of a clock that never goes back.
 */
#ifndef PVDMA_AGENT_VHOST_POLL_H
#define PVDMA_AGENT_VHOST_POLL_H

#include <stdbool.h>
#include <stdint.h>

/* Never less than this, unless it is not at all. */
#define POLL_MIN_NS UINT64_C(10000)

struct poll_window {
	uint64_t most;	 /* never longer than this; 0: never */
	uint64_t ns;	 /* now; 0: not at all */
	uint64_t served; /* when the last request was; 0: there was none */
};

void poll_init(struct poll_window *w, uint64_t most);

/* A kick has come at @now: would it have been worth to look for so long? */
void poll_kicked(struct poll_window *w, uint64_t now);

/* Requests were served until @now. */
void poll_served(struct poll_window *w, uint64_t now);

/* There is nothing to do at @now: true to look again, false to wait for a kick. */
bool poll_goes_on(const struct poll_window *w, uint64_t now);

#endif
