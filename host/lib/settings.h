/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * settings.h - settings of the host's programs, one "key=value" a line
 */
#ifndef PVDMA_LIB_SETTINGS_H
#define PVDMA_LIB_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Where a setting comes from, for messages. */
struct settings_place {
	const char *file; /* NULL: the command line */
	unsigned int line;
};

/* Bytes that settings_place_text() needs at most for names of usual length. */
#define SETTINGS_PLACE_MAX 512

/* "file:line" or "command line"; in @buf, cut to @size. */
const char *settings_place_text(const struct settings_place *place, char *buf,
				size_t size);

/* What a program does with its settings. */
struct settings_reader {
	/*
	 * Takes one setting. 0, or a negative errno, logged with the place, the
	 * key, the value and what would be right.
	 */
	int (*set)(void *userdata, const struct settings_place *place,
		   const char *key, const char *value);
	/* True if @key may be given several times. NULL: none may. */
	bool (*repeats)(const char *key);
	void *userdata;
};

/*
 * Reads settings from the file at @path: lines "key=value"; blank lines and
 * lines that begin with '#' are skipped; a key given twice is an error. Reads on
 * after an error, to report all of them. 0 or the first negative errno; logged.
 */
int settings_load(const struct settings_reader *reader, const char *path);

/* The same from a stream, which messages call @name. */
int settings_load_stream(const struct settings_reader *reader, FILE *f,
			 const char *name);

#endif
