/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * json_out.h - JSON on a stream
 */
#ifndef PVDMA_AGENT_JSON_OUT_H
#define PVDMA_AGENT_JSON_OUT_H

#include <stdio.h>

/* Writes @s as a JSON string; escapes all but printable ASCII. */
void json_out_string(FILE *out, const char *s);

#endif
