/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * live.h - which map an unmap in a text means
 *
 * The kernel's text names mappings by address only, and one address may be
 * mapped many times at once. Of several that fit, the oldest is taken.
 */
#ifndef PVDMA_SIM_LIVE_H
#define PVDMA_SIM_LIVE_H

#include <stdint.h>

struct live;

#define LIVE_NONE UINT32_MAX

struct live_key {
	uint64_t addr;
	uint64_t size;	/* bytes, or items of a list */
	uint32_t class; /* what must agree besides, such as the device */
};

/* 0 or -ENOMEM. */
int live_new(struct live **ret);
/* Takes NULL. */
void live_free(struct live *live);

/* Remembers @map under @key. 0 or -ENOMEM. */
int live_add(struct live *live, const struct live_key *key, uint32_t map);

/*
 * Takes out the oldest map of @key; where there is none, the oldest whose size
 * alone differs. LIVE_NONE: there is none either.
 */
uint32_t live_take(struct live *live, const struct live_key *key);

#endif
