// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * columns.c - tables for people
 *
 * Owns: the cells of a table until it is printed, as its columns are as wide as
 * their widest cell. Locks: none. In a request's way: not.
 */
#include "columns.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/macros.h"

void columns_init(struct columns *c, const char *const *heads)
{
	*c = (struct columns){ 0 };
	while (heads[c->num])
		c->num++;
	for (size_t i = 0; i < c->num; i++)
		columns_add(c, "%s", heads[i]);
}

void columns_done(struct columns *c)
{
	for (size_t i = 0; i < c->used; i++)
		free(c->cells[i]);
	free(c->cells);
	*c = (struct columns){ 0 };
}

void columns_add(struct columns *c, const char *fmt, ...)
{
	char *text, **cells;
	va_list args;
	int r;

	if (c->used == c->room) {
		size_t room = max(2 * c->room, (size_t)64);

		cells = reallocarray(c->cells, room, sizeof(*cells));
		if (!cells) {
			c->failed = true;
			return;
		}
		c->cells = cells;
		c->room = room;
	}
	va_start(args, fmt);
	r = vasprintf(&text, fmt, args);
	va_end(args);
	if (r < 0)
		c->failed = true;
	else
		c->cells[c->used++] = text;
}

void columns_add_size(struct columns *c, uint64_t bytes)
{
	char text[COLUMNS_SIZE_MAX];

	columns_add(c, "%s", columns_size(bytes, text));
}

static bool is_right(const struct columns *c, size_t column)
{
	return c->cells[column][0] == '>';
}

static const char *cell_text(const struct columns *c, size_t i)
{
	return c->cells[i] + (i < c->num && is_right(c, i));
}

static size_t width_of(const struct columns *c, size_t column)
{
	size_t width = 0;

	for (size_t i = column; i < c->used; i += c->num)
		width = max(width, strlen(cell_text(c, i)));
	return width;
}

int columns_print(const struct columns *c, const char *eol, FILE *out)
{
	_cleanup_free_ size_t *widths = calloc(c->num, sizeof(*widths));

	if (c->failed || !widths)
		return -ENOMEM;
	for (size_t i = 0; i < c->num; i++)
		widths[i] = width_of(c, i);
	for (size_t i = 0; i < c->used; i++) {
		size_t column = i % c->num;
		bool last = column == c->num - 1;
		int width = (int)widths[column];

		if (is_right(c, column))
			fprintf(out, "%*s", width, cell_text(c, i));
		else if (last)
			fprintf(out, "%s", cell_text(c, i));
		else
			fprintf(out, "%-*s", width, cell_text(c, i));
		fprintf(out, "%s%s", last ? eol : "  ", last ? "\n" : "");
	}
	return 0;
}

const char *columns_size(uint64_t bytes, char buf[static COLUMNS_SIZE_MAX])
{
	static const char units[] = "KMGTPE";
	uint64_t unit = 1;
	size_t i = 0;

	while (bytes / unit >= 1024) {
		unit *= 1024;
		i++;
	}
	if (bytes % unit == 0)
		(void)snprintf(buf, COLUMNS_SIZE_MAX, "%" PRIu64, bytes / unit);
	else
		(void)snprintf(buf, COLUMNS_SIZE_MAX, "%.1f",
			       (double)bytes / (double)unit);
	if (i > 0) {
		size_t len = strlen(buf);

		buf[len] = units[i - 1];
		buf[len + 1] = '\0';
	}
	return buf;
}

unsigned int columns_percent(uint64_t part, uint64_t whole)
{
	if (whole == 0)
		return 0;
	return (unsigned int)(100.0 * (double)part / (double)whole + 0.5);
}

bool columns_in_place(FILE *out)
{
	const char *term = getenv("TERM");

	return isatty(fileno(out)) && !(term && strcmp(term, "dumb") == 0);
}

bool columns_colours(FILE *out)
{
	const char *no = getenv("NO_COLOR");

	return !(no && *no) && columns_in_place(out);
}
