/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * crash.h - places where a test wants the program to be killed
 *
 * Only in a build of its own (PVDMA_CRASH_POINTS), which is never installed;
 * elsewhere a crash point is nothing. The environment says which one kills:
 *
 *	PVDMA_CRASH=LABEL	the first time that LABEL is passed
 *	PVDMA_CRASH=LABEL:N	the N-th time
 *	PVDMA_CRASH=list	prints all labels, a line each, and ends
 */
#ifndef PVDMA_LIB_CRASH_H
#define PVDMA_LIB_CRASH_H

#ifdef PVDMA_CRASH_POINTS

struct crash_label {
	const char *name;
	unsigned long passed;
};

/* Looks at the environment; to be called once, at the start. */
void crash_init(void);
void crash_pass(struct crash_label *label);

#define crash_point(label)                                               \
	do {                                                             \
		static struct crash_label crash_here_ = { label, 0 };    \
		static struct crash_label *const crash_entry_            \
			__attribute__((used, section("crash_labels"))) = \
				&crash_here_;                            \
		crash_pass(&crash_here_);                                \
	} while (0)

#else

#define crash_init()	   ((void)0)
#define crash_point(label) ((void)0)

#endif

#endif
