/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * work.h - the verifying workload: what its files share
 */
#ifndef PVDMA_TESTS_WORK_H
#define PVDMA_TESTS_WORK_H

#include <stddef.h>
#include <stdint.h>

/* Fills @len bytes (a multiple of 8) with the stream of @seed. */
void pattern_fill(void *buf, size_t len, uint64_t seed);

/*
 * Compares with what pattern_fill() would write. Returns the offset of the
 * first difference, or -1.
 */
int64_t pattern_check(const void *buf, size_t len, uint64_t seed);

double now(void);			/* seconds, monotonic */
uint64_t parse_bytes(const char *text); /* "64K"; exits when it is not one */

int disk_fill(int argc, char **argv);
int disk_run(int argc, char **argv);
int disk_files(int argc, char **argv);
int random_run(int argc, char **argv);
int tree_run(int argc, char **argv);
int net_get(int argc, char **argv);
int net_put(int argc, char **argv);
int net_rr(int argc, char **argv);
int net_serve(int argc, char **argv);
int net_linear(int argc, char **argv);
int memory_run(int argc, char **argv);
int pins_watch(int argc, char **argv);

#endif
