/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * file.h - files that are there whole, or not at all
 */
#ifndef PVDMA_FILE_H
#define PVDMA_FILE_H

#include <stddef.h>
#include <sys/types.h>

/* Writes all of it, as often as it takes. 0 or a negative errno. */
int file_write(int fd, const void *data, size_t size);

/*
 * Writes @size bytes of @data beside @path, and puts that in its place. Readers see
 * the old file or the new one. 0 or a negative errno; the old file is then as it was.
 */
int file_replace(const char *path, const void *data, size_t size, mode_t mode);

#endif
