// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * json.c: reads the JSON of a peer's VERSION message.
 *
 * Owns nothing. The reader is a descent over the text with a cursor and a
 * bounded depth; it allocates nothing.
 *
 * Invariants: the cursor never passes the end; a text is accepted only as a
 * whole. Bytes of 0x80 and above are accepted within strings as they are: no
 * name that we look for has any.
 *
 * Locks: none. In a request's way: not at all; once a connection.
 */
#include "vfio_user/json.h"

#include <errno.h>
#include <string.h>

struct reader {
	const char *at;
	const char *end;
	json_member_fn *fn;
	void *userdata;
	struct json_name path[JSON_DEPTH_MAX];
	unsigned int depth;  /* of arrays and objects */
	unsigned int arrays; /* of those, arrays */
};

static int read_value(struct reader *r, bool told);

/* The next byte, or '\0' at the end, which is no part of any JSON text. */
static char peek(const struct reader *r)
{
	return r->at < r->end ? *r->at : '\0';
}

static void skip_blanks(struct reader *r)
{
	while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' ||
				  *r->at == '\n' || *r->at == '\r'))
		r->at++;
}

static bool take(struct reader *r, char c)
{
	skip_blanks(r);
	if (r->at == r->end || *r->at != c)
		return false;
	r->at++;
	return true;
}

static bool take_word(struct reader *r, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0)
		return false;
	r->at += len;
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static int read_escape(struct reader *r)
{
	char c = peek(r);

	if (c == '\0' || !strchr("\"\\/bfnrtu", c))
		return EINVAL;
	r->at++;
	if (c != 'u')
		return 0;
	for (int i = 0; i < 4; i++) {
		if (!is_hex(peek(r)))
			return EINVAL;
		r->at++;
	}
	return 0;
}

static int read_string(struct reader *r, struct json_name *ret)
{
	const char *start;

	if (!take(r, '"'))
		return EINVAL;
	start = r->at;
	while (r->at < r->end) {
		unsigned char c = (unsigned char)*r->at++;

		if (c == '"') {
			*ret = (struct json_name){
				.text = start,
				.len = (size_t)(r->at - 1 - start),
			};
			return 0;
		}
		if (c < 0x20 || (c == '\\' && read_escape(r) != 0))
			return EINVAL;
	}
	return EINVAL;
}

static int read_digits(struct reader *r)
{
	if (!is_digit(peek(r)))
		return EINVAL;
	while (is_digit(peek(r)))
		r->at++;
	return 0;
}

static int read_number(struct reader *r, struct json_value *ret)
{
	bool integer = true;
	uint64_t v = 0;

	if (peek(r) == '-') {
		integer = false;
		r->at++;
	}
	if (peek(r) == '0') {
		r->at++;
		if (is_digit(peek(r)))
			return EINVAL;
	} else if (!is_digit(peek(r))) {
		return EINVAL;
	}
	for (; is_digit(peek(r)); r->at++)
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*r->at - '0'), &v))
			integer = false;
	if (peek(r) == '.') {
		integer = false;
		r->at++;
		if (read_digits(r) != 0)
			return EINVAL;
	}
	if (peek(r) == 'e' || peek(r) == 'E') {
		integer = false;
		r->at++;
		if (peek(r) == '+' || peek(r) == '-')
			r->at++;
		if (read_digits(r) != 0)
			return EINVAL;
	}
	ret->type = integer ? JSON_INTEGER : JSON_NUMBER;
	ret->integer = integer ? v : 0;
	return 0;
}

static int read_scalar(struct reader *r, struct json_value *ret)
{
	struct json_name string;

	if (peek(r) == '"') {
		ret->type = JSON_STRING;
		return read_string(r, &string);
	}
	if (take_word(r, "true")) {
		ret->type = JSON_BOOL;
		ret->boolean = true;
		return 0;
	}
	if (take_word(r, "false")) {
		ret->type = JSON_BOOL;
		return 0;
	}
	if (take_word(r, "null"))
		return 0;
	return read_number(r, ret);
}

static int read_members(struct reader *r)
{
	int ret;

	if (take(r, '}'))
		return 0;
	do {
		skip_blanks(r);
		ret = read_string(r, &r->path[r->depth - 1]);
		if (ret)
			return ret;
		if (!take(r, ':'))
			return EINVAL;
		ret = read_value(r, true);
		if (ret)
			return ret;
	} while (take(r, ','));
	return take(r, '}') ? 0 : EINVAL;
}

static int read_elements(struct reader *r)
{
	int ret;

	if (take(r, ']'))
		return 0;
	do {
		ret = read_value(r, false);
		if (ret)
			return ret;
	} while (take(r, ','));
	return take(r, ']') ? 0 : EINVAL;
}

/* @told: the value is a member's, whose name stands in the path. */
static int read_value(struct reader *r, bool told)
{
	struct json_value value = { .type = JSON_NULL };
	int ret = 0;

	skip_blanks(r);
	if (peek(r) == '{')
		value.type = JSON_OBJECT;
	else if (peek(r) == '[')
		value.type = JSON_ARRAY;
	else
		ret = read_scalar(r, &value);
	if (ret)
		return ret;
	if (told && r->arrays == 0)
		ret = r->fn(r->path, r->depth, &value, r->userdata);
	if (ret || (value.type != JSON_OBJECT && value.type != JSON_ARRAY))
		return ret;

	if (r->depth == JSON_DEPTH_MAX)
		return E2BIG;
	r->at++;
	r->depth++;
	if (value.type == JSON_OBJECT) {
		ret = read_members(r);
	} else {
		r->arrays++;
		ret = read_elements(r);
		r->arrays--;
	}
	r->depth--;
	return ret;
}

int json_read(const char *text, size_t len, json_member_fn *fn, void *userdata)
{
	struct reader r = {
		.at = text,
		.end = text + len,
		.fn = fn,
		.userdata = userdata,
	};
	int ret;

	skip_blanks(&r);
	if (peek(&r) != '{')
		return EINVAL;
	ret = read_value(&r, false);
	if (ret)
		return ret;
	skip_blanks(&r);
	return r.at == r.end ? 0 : EINVAL;
}

bool json_name_is(const struct json_name *name, const char *s)
{
	return name->len == strlen(s) && memcmp(name->text, s, name->len) == 0;
}
