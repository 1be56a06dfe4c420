/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * problem.h - what is wrong, and what to do about it, for people
 */
#ifndef PVDMA_PVDMAD_PROBLEM_H
#define PVDMA_PVDMAD_PROBLEM_H

#include <stddef.h>

/* Longest text of either kind, with its NUL; what is longer is cut. */
#define PROBLEM_TEXT_MAX 640

/* One sentence each, without a full stop; @fix may be "". */
struct problem {
	char what[PROBLEM_TEXT_MAX];
	char fix[PROBLEM_TEXT_MAX];
};

/* All zero: none. */
struct problems {
	struct problem *list;
	size_t count;
};

/* Sets what is wrong, and drops the fix of what was there before. */
void problem_what(struct problem *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Sets what to do about it. */
void problem_fix(struct problem *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Appends an empty problem, to be filled by the two above; *@ret is good until
 * the next call. 0 or -ENOMEM.
 */
int problems_add(struct problems *problems, struct problem **ret);

/* Frees what is in @problems, and makes it empty. Also for _cleanup_(). */
void problems_done(struct problems *problems);

#endif
