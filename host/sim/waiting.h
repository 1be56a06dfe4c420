/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * waiting.h - map calls that were refused, and come again
 *
 * A queue of maps, in turn, from which any can be taken out.
 */
#ifndef PVDMA_SIM_WAITING_H
#define PVDMA_SIM_WAITING_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#define WAITING_NONE UINT32_MAX

struct waiting {
	uint32_t *next, *prev; /* by map */
	uint32_t head, tail;
};

static inline int waiting_init(struct waiting *w, uint32_t maps)
{
	w->next = reallocarray(NULL, (size_t)maps + 1, sizeof(*w->next));
	w->prev = reallocarray(NULL, (size_t)maps + 1, sizeof(*w->prev));
	w->head = w->tail = WAITING_NONE;
	return w->next && w->prev ? 0 : -ENOMEM;
}

static inline void waiting_done(struct waiting *w)
{
	free(w->next);
	free(w->prev);
}

static inline void waiting_push(struct waiting *w, uint32_t map)
{
	w->next[map] = WAITING_NONE;
	w->prev[map] = w->tail;
	if (w->tail == WAITING_NONE)
		w->head = map;
	else
		w->next[w->tail] = map;
	w->tail = map;
}

static inline void waiting_remove(struct waiting *w, uint32_t map)
{
	uint32_t next = w->next[map], prev = w->prev[map];

	if (prev == WAITING_NONE)
		w->head = next;
	else
		w->next[prev] = next;
	if (next == WAITING_NONE)
		w->tail = prev;
	else
		w->prev[next] = prev;
}

#endif
