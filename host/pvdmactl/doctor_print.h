/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * doctor_print.h - what the checks found, for people and for programs
 */
#ifndef PVDMA_PVDMACTL_DOCTOR_PRINT_H
#define PVDMA_PVDMACTL_DOCTOR_PRINT_H

#include <stddef.h>
#include <stdio.h>

struct doctor_result;

/*
 * Lines "STATE NAME DETAIL" in columns, each with its remedy below; in colour if
 * @out is a terminal. 0 or a negative errno.
 */
int doctor_print_text(const struct doctor_result *results, size_t count,
		      FILE *out);

/*
 * {"checks":[{"name","state","detail","fix"}...]}, a line; fix is "" if there is
 * none. 0 or a negative errno.
 */
int doctor_print_json(const struct doctor_result *results, size_t count,
		      FILE *out);

#endif
