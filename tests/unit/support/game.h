/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * game.h - a guest, a VMM and an operator play against the device
 *
 * A guest that keeps the rules of the specification does random things, and some
 * that it must not do; a VMM pauses and resets it, takes memory and devices away
 * and brings them back, and an operator its quota. The model (model.h) predicts
 * every status, and after each step the books are compared: ledger, quota and
 * policy with the IOMMU; again and again the words of the table, too.
 *
 * Failures are cmocka's. There is one game at a time.
 */
#ifndef PVDMA_TESTS_GAME_H
#define PVDMA_TESTS_GAME_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/unit/support/model.h"

struct game {
	uint8_t shift;
	enum vm_fallback fallback;
	bool revokes;
	bool ahead;
	/* Who plays: a number below @n. */
	uint32_t (*pick)(uint32_t n);
};

void game_start(const struct game *game);
/* One move, and a look at what must be so. */
void game_step(void);
void game_end(void);

/* What has happened so far. */
const struct model *game_model(void);

#endif
