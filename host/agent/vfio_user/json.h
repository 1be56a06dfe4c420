/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * json.h - a strict reader of small JSON texts (RFC 8259)
 *
 * Checks a whole text and tells of each member of each object as it passes:
 * enough to pick settings out of a peer's text, without building a tree.
 */
#ifndef PVDMA_AGENT_VFIO_USER_JSON_H
#define PVDMA_AGENT_VFIO_USER_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Arrays and objects within each other; deeper texts are refused. */
#define JSON_DEPTH_MAX 8

enum json_type {
	JSON_NULL,
	JSON_BOOL,
	JSON_INTEGER, /* a number >= 0 that fits, without fraction */
	JSON_NUMBER,  /* any other number */
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

struct json_value {
	enum json_type type;
	bool boolean;	  /* of JSON_BOOL */
	uint64_t integer; /* of JSON_INTEGER */
};

/*
 * A member of an object. @path are the names that lead to it, outermost first,
 * @depth of them; members of objects in arrays are not told of. Names are as
 * written: an escaped character in a name stays escaped. Told of an object
 * before its members. Returns 0 to go on, or a positive verdict of its own.
 */
struct json_name {
	const char *text; /* not terminated */
	size_t len;
};
typedef int json_member_fn(const struct json_name *path, unsigned int depth,
			   const struct json_value *value, void *userdata);

/*
 * Reads the @len bytes at @text, which must be an object. Returns 0, EINVAL (not JSON), E2BIG (too
 * deep), or what @fn returned; by then @fn may have been told of some members.
 */
int json_read(const char *text, size_t len, json_member_fn *fn, void *userdata);

bool json_name_is(const struct json_name *name, const char *s);

#endif
