/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * model.h - what a naive model of the device knows, expects, and insists on
 *
 * It knows no extents, policy or arena: it looks at each page and each word.
 * game.c plays against it. (It does look into the agent's ledger
 * for what is missing, since that is not the guest's to know.)
 */
#ifndef PVDMA_TESTS_MODEL_H
#define PVDMA_TESTS_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/unit/support/guest.h"

#define MODEL_SLOTS	8  /* pieces of memory that come and go */
#define MODEL_TRANSFERS 16 /* DMA mappings of drivers that live */
#define MODEL_PIECES	4  /* of one of them */
#define MODEL_PAGE	4096u

/* A DMA mapping: it holds its granules. */
struct transfer {
	unsigned int n; /* 0: not in use */
	bool safe;	/* its mappings must not end */
	uint64_t first[MODEL_PIECES];
	uint32_t count[MODEL_PIECES];
};

struct model {
	struct guest g;
	uint64_t granules;
	uint64_t slot_bytes;
	uint64_t fixed;		/* memory from here on never goes, bytes */
	bool slot[MODEL_SLOTS]; /* is this piece of memory plugged? */
	bool *shown;  /* MAPPED as it was when writing was forbidden */
	bool *before; /* what was mapped before some work */
	uint64_t charged_before;
	bool *hinted; /* a PREFETCH named it, and may be at work */
	bool running, inited;
	bool alive; /* the device may write to the table */
	bool attached[2];
	bool absent[2];	 /* the device is unplugged */
	bool revokes;	 /* enforce=revoke */
	bool hints_only; /* nothing else is mapped in the background */
	struct transfer transfers[MODEL_TRANSFERS];
	uint64_t answers[16]; /* by status, to see that all occur */
};

/* Of a model whose guest is started. The second frees what the first took. */
void model_init(struct model *m);
void model_done(struct model *m);

/* Does the word say that it is mapped? */
bool model_shows(const struct model *m, uint64_t granule);
/* Do drivers hold it? */
bool model_held(const struct model *m, uint64_t granule);
/* The extent that maps @granule, or NULL. */
const struct ledger_extent *model_extent(const struct model *m,
					 uint64_t granule);

/* The device must not write to the table from now on. */
void model_forbid(struct model *m);

/* What must always be so: of the words, and of transfers that live. */
void model_check_words(const struct model *m);
void model_check_transfers(const struct model *m);
/*
 * Before work in the background, and after it: nothing that is held has gone,
 * the quota is kept, and where hints are all that there is to do, nothing has
 * come but what was hinted at.
 */
void model_before_work(struct model *m);
void model_check_work(const struct model *m);

/*
 * The answers that the specification gives: to a MAP of @t; to what asks for no
 * more than that the endpoint is attached, such as PREFETCH, whatever its
 * granules are (DEV-PREFETCH-3).
 */
uint8_t model_expect_map(const struct model *m, const struct transfer *t,
			 uint32_t endpoint);
uint8_t model_expect_attached(const struct model *m, uint32_t endpoint);

#endif
