// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * doctor_print.c - what the checks found, for people and for programs
 *
 * Owns: the two forms. What is an error, and the names of the states, are the
 * same in both.
 *
 * Invariant: what files and programs said is printed without control characters.
 *
 * Locks: none. In a request's way: not.
 */
#include "pvdmactl/doctor_print.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/macros.h"
#include "pvdmactl/doctor_impl.h"

#define STATE_WIDTH 7

static const struct {
	const char *text, *colour;
} states[] = {
	[DOCTOR_OK] = { "ok", "\033[32m" },
	[DOCTOR_WARNING] = { "warning", "\033[33m" },
	[DOCTOR_ERROR] = { "error", "\033[31m" },
	[DOCTOR_SKIPPED] = { "skipped", "\033[2m" },
};

/* Prints @text, its lines but the first indented by @indent columns. */
static void put_lines(FILE *out, const char *text, int indent)
{
	for (; *text; text++) {
		if (*text == '\n')
			(void)fprintf(out, "\n%*s", indent, "");
		else
			(void)fputc(iscntrl((unsigned char)*text) ? '?' : *text,
				    out);
	}
	(void)fputc('\n', out);
}

int doctor_print_text(const struct doctor_result *results, size_t count,
		      FILE *out)
{
	int fd = fileno(out);
	bool colour = fd >= 0 && isatty(fd) == 1;
	int width = 0;

	for (size_t i = 0; i < count; i++)
		width = max(width, (int)strlen(results[i].name));
	for (size_t i = 0; i < count; i++) {
		const struct doctor_result *result = &results[i];
		const char *state = states[result->state].text;
		int indent = STATE_WIDTH + width + 4;

		(void)fprintf(out, "%s%-*s%s  %-*s  ",
			      colour ? states[result->state].colour : "",
			      STATE_WIDTH, state, colour ? "\033[0m" : "",
			      width, result->name);
		put_lines(out, result->detail, indent);
		if (!result->fix)
			continue;
		(void)fprintf(out, "%*s-> ", indent, "");
		put_lines(out, result->fix, indent + 3);
	}
	return ferror(out) || fflush(out) != 0 ? -EIO : 0;
}

/* Adds a string to @object. 0 or -ENOMEM. */
static int add_string(json_object *object, const char *key, const char *value)
{
	json_object *string = json_object_new_string(value);

	if (!string || json_object_object_add(object, key, string) < 0) {
		(void)json_object_put(string);
		return -ENOMEM;
	}
	return 0;
}

/* Appends one check to @array. 0 or -ENOMEM. */
static int add_result(json_object *array, const struct doctor_result *result)
{
	json_object *object = json_object_new_object();
	int r;

	if (!object || json_object_array_add(array, object) < 0) {
		(void)json_object_put(object);
		return -ENOMEM;
	}
	r = add_string(object, "name", result->name);
	if (r == 0)
		r = add_string(object, "state", states[result->state].text);
	if (r == 0)
		r = add_string(object, "detail", result->detail);
	if (r == 0)
		r = add_string(object, "fix", result->fix ? result->fix : "");
	return r;
}

int doctor_print_json(const struct doctor_result *results, size_t count,
		      FILE *out)
{
	json_object *object = json_object_new_object();
	json_object *array = json_object_new_array();
	int r = 0;

	if (!object || !array ||
	    json_object_object_add(object, "checks", array) < 0) {
		(void)json_object_put(array);
		(void)json_object_put(object);
		return -ENOMEM;
	}
	for (size_t i = 0; r == 0 && i < count; i++)
		r = add_result(array, &results[i]);
	if (r == 0) {
		(void)fprintf(out, "%s\n",
			      json_object_to_json_string_ext(
				      object,
				      JSON_C_TO_STRING_PLAIN |
					      JSON_C_TO_STRING_NOSLASHESCAPE));
		r = ferror(out) || fflush(out) != 0 ? -EIO : 0;
	}
	(void)json_object_put(object);
	return r;
}
