// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * settings.c - settings from a file
 *
 * Owns: the file's form: "key=value", a line each; blanks around key and value
 * do not count; empty lines and lines that begin with '#' are comments. There
 * are no sections, no quotes and no continued lines.
 *
 * Invariant: every line was either taken, or reported with its number.
 *
 * Locks: none. In a request's way: not.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "settings.h"
#include "lib/cleanup.h"
#include "lib/log.h"

#define LINE_MAX_BYTES 4096
#define LINES_MAX      10000

/* Keys seen so far, with their lines, to find what was given twice. */
struct seen {
	char **keys;
	unsigned int *lines;
	size_t count;
};

static void seen_done(struct seen *seen)
{
	for (size_t i = 0; i < seen->count; i++)
		free(seen->keys[i]);
	free(seen->keys);
	free(seen->lines);
}

/* Remembers @key. Returns the line where it was before, 0, or -ENOMEM. */
static int seen_add(struct seen *seen, const char *key, unsigned int line)
{
	unsigned int *lines;
	char **keys;

	for (size_t i = 0; i < seen->count; i++)
		if (strcmp(seen->keys[i], key) == 0)
			return (int)seen->lines[i];
	keys = realloc(seen->keys, (seen->count + 1) * sizeof(*keys));
	if (!keys)
		return -ENOMEM;
	seen->keys = keys;
	lines = realloc(seen->lines, (seen->count + 1) * sizeof(*lines));
	if (!lines)
		return -ENOMEM;
	seen->lines = lines;
	keys[seen->count] = strdup(key);
	if (!keys[seen->count])
		return -ENOMEM;
	lines[seen->count++] = line;
	return 0;
}

const char *settings_place_text(const struct settings_place *place, char *buf,
				size_t size)
{
	if (!place->file)
		return "command line";
	(void)snprintf(buf, size, "%s:%u", place->file, place->line);
	return buf;
}

/* Cuts blanks off both ends, in place. */
static char *strip(char *s)
{
	char *end = s + strlen(s);

	while (end > s && isspace((unsigned char)end[-1]))
		*--end = '\0';
	while (isspace((unsigned char)*s))
		s++;
	return s;
}

static int take_line(const struct settings_reader *reader, struct seen *seen,
		     const struct settings_place *place, char *line)
{
	char *key = strip(line), *value;
	int r = 0;

	if (*key == '\0' || *key == '#')
		return 0;
	value = strchr(key, '=');
	if (!value) {
		log_err("%s:%u: \"%s\": expected key=value", place->file,
			place->line, key);
		return -EINVAL;
	}
	*value++ = '\0';
	key = strip(key);
	value = strip(value);
	if (!reader->repeats || !reader->repeats(key))
		r = seen_add(seen, key, place->line);
	if (r < 0)
		return log_err_errno(r, "%s", place->file);
	if (r > 0) {
		log_err("%s:%u: %s=%s: expected once, but it is in line %d, too",
			place->file, place->line, key, value, r);
		return -EINVAL;
	}
	return reader->set(reader->userdata, place, key, value);
}

/* Reads one line of any length; what is too long or not text is refused. */
static int read_line(FILE *f, const struct settings_place *place, char *buf)
{
	size_t n = 0;
	bool bad = false;
	int c;

	while ((c = getc(f)) != EOF && c != '\n') {
		if (n >= LINE_MAX_BYTES - 1 || c == '\0')
			bad = true;
		else
			buf[n++] = (char)c;
	}
	buf[n] = '\0';
	if (bad) {
		log_err("%s:%u: expected a line of text below %d bytes",
			place->file, place->line, LINE_MAX_BYTES);
		return -EINVAL;
	}
	if (c == EOF && n == 0)
		return ferror(f) ? -EIO : 0;
	return 1;
}

int settings_load_stream(const struct settings_reader *reader, FILE *f,
			 const char *name)
{
	struct settings_place place = { .file = name };
	char line[LINE_MAX_BYTES];
	struct seen seen = { 0 };
	int ret = 0, r;

	while (!feof(f)) {
		if (++place.line > LINES_MAX) {
			log_err("%s: expected at most %d lines", name,
				LINES_MAX);
			ret = -EINVAL;
			break;
		}
		r = read_line(f, &place, line);
		if (r == 1)
			r = take_line(reader, &seen, &place, line);
		if (r == -EIO)
			log_err_errno(r, "cannot read %s", name);
		if (r < 0 && ret == 0)
			ret = r;
		if (r == -EIO || r == -ENOMEM)
			break;
	}
	seen_done(&seen);
	return ret;
}

int settings_load(const struct settings_reader *reader, const char *path)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	struct stat st;

	if (!f)
		return log_err_errno(errno, "cannot open %s", path);
	if (fstat(fileno(f), &st) == 0 && S_ISDIR(st.st_mode))
		return log_err_errno(EISDIR, "cannot read %s", path);
	return settings_load_stream(reader, f, path);
}
