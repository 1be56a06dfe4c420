/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * headroom.h - room in the quota that is made before it is asked for
 */
#ifndef PVDMA_AGENT_HEADROOM_H
#define PVDMA_AGENT_HEADROOM_H

#include <stdbool.h>
#include <stdint.h>

struct vm;

/* State. */
struct headroom {
	uint64_t need; /* bytes that a request which missed took, on average */
	uint64_t waited; /* bytes of those that waited for evictions, fading */
};

/* A request has had @bytes mapped; @waited: others had to go first. */
void headroom_missed(struct vm *vm, uint64_t bytes, bool waited);

/* The quota was changed: whether it is too small is to be found out again. */
void headroom_forget(struct vm *vm);

/* One piece of work; true if there is more. */
bool headroom_work(struct vm *vm);

#endif
