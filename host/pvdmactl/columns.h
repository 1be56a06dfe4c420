/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * columns.h - tables for people
 */
#ifndef PVDMA_PVDMACTL_COLUMNS_H
#define PVDMA_PVDMACTL_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Longest text of columns_size(), with its NUL. */
#define COLUMNS_SIZE_MAX 24

struct columns {
	size_t num; /* of columns */
	char **cells;
	size_t used, room;
	bool failed; /* out of memory: prints nothing */
};

/*
 * @heads are NULL-terminated; one that begins with '>' makes its column, and
 * itself without that, stand on the right.
 */
void columns_init(struct columns *c, const char *const *heads);
void columns_done(struct columns *c);

/* The next cell, row by row. */
void columns_add(struct columns *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void columns_add_size(struct columns *c, uint64_t bytes);

/* @eol goes before the end of each line. 0 or -ENOMEM. */
int columns_print(const struct columns *c, const char *eol, FILE *out);

/* @bytes with a unit, such as "256M", "1.5G", "17"; exact where that is short. */
const char *columns_size(uint64_t bytes, char buf[static COLUMNS_SIZE_MAX]);

/* How much @part is of @whole, in hundredths; 0 of nothing. */
unsigned int columns_percent(uint64_t part, uint64_t whole);

/* Is there somebody who sees colours on @out? Not with NO_COLOR. */
bool columns_colours(FILE *out);
/* Is it a terminal on which text can be shown in place? */
bool columns_in_place(FILE *out);

#endif
