// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * json_out.c - JSON on a stream
 *
 * Owns nothing, keeps no state. Bytes beyond ASCII are escaped one by one (as
 * Latin-1), so that the output is valid whatever a path consists of.
 */
#include "json_out.h"

void json_out_string(FILE *out, const char *s)
{
	fputc('"', out);
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}
