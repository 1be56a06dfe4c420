/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * diff.h - the difference of two texts, shown to a person
 */
#ifndef PVDMA_PVDMACTL_DIFF_H
#define PVDMA_PVDMACTL_DIFF_H

/*
 * Writes the unified difference from @before to @after to stdout, by diff(1).
 * 0, also if they are the same, or a negative errno, logged.
 */
int diff_show(const char *before, const char *before_name, const char *after,
	      const char *after_name);

#endif
