// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * problem.c - what is wrong, and what to do about it
 *
 * Owns: the list of a struct problems.
 *
 * Invariant: both texts of every problem end within their arrays.
 *
 * Locks: none. In a request's way: not.
 */
#include "pvdmad/problem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void problem_what(struct problem *p, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(p->what, sizeof(p->what), fmt, args);
	va_end(args);
	p->fix[0] = '\0';
}

void problem_fix(struct problem *p, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(p->fix, sizeof(p->fix), fmt, args);
	va_end(args);
}

int problems_add(struct problems *problems, struct problem **ret)
{
	struct problem *list;

	list = reallocarray(problems->list, problems->count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	problems->list = list;
	list[problems->count] = (struct problem){ 0 };
	*ret = &list[problems->count++];
	return 0;
}

void problems_done(struct problems *problems)
{
	free(problems->list);
	*problems = (struct problems){ 0 };
}
