/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sysfs.h - attributes, links and folders of /sys, /proc and /dev
 *
 * Paths are given as printf() does, and are relative to a root, "sys/bus/pci"
 * for /sys/bus/pci, so that tests and pvdmactl's doctor can look at a copy of
 * those trees somewhere else.
 */
#ifndef PVDMA_PVDMAD_SYSFS_H
#define PVDMA_PVDMAD_SYSFS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Room for one name of a folder, with its NUL. */
#define SYSFS_NAME_MAX (NAME_MAX + 1)

struct sysfs {
	int root; /* O_PATH; owned */
	/*
	 * Called after each write with its path and text, for a test that plays
	 * the kernel. NULL elsewhere.
	 */
	void (*wrote)(void *userdata, const char *path, const char *text);
	void *userdata;
};

/* Names in a folder, sorted; all zero: none. */
struct sysfs_names {
	char **list;
	size_t count;
};

/* Looks at the trees below the folder @root, "/" as a rule. 0 or -errno. */
int sysfs_init(struct sysfs *sysfs, const char *root);
/* Takes a struct that is all zero but for root = -EBADF, too. */
void sysfs_done(struct sysfs *sysfs);

/*
 * Reads an attribute into @buf, without the newline at its end; what does not
 * fit into @size is cut. Returns the length or a negative errno.
 */
int sysfs_read(const struct sysfs *sysfs, char *buf, size_t size,
	       const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/*
 * Reads a number, decimal or with 0x. 0 or a negative errno; -EINVAL when it
 * is none.
 */
int sysfs_read_u64(const struct sysfs *sysfs, uint64_t *ret, const char *fmt,
		   ...) __attribute__((format(printf, 3, 4)));

/* Writes @text in one call. 0 or the kernel's negative errno. */
int sysfs_write(const struct sysfs *sysfs, const char *text, const char *fmt,
		...) __attribute__((format(printf, 3, 4)));

/* What a link says, uncut: -ENAMETOOLONG otherwise. 0 or a negative errno. */
int sysfs_link(const struct sysfs *sysfs, char target[static PATH_MAX],
	       const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The last part of what a link says. 0 or a negative errno. */
int sysfs_link_name(const struct sysfs *sysfs, char name[static SYSFS_NAME_MAX],
		    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

bool sysfs_exists(const struct sysfs *sysfs, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Opens a file; @flags as open(2), O_CLOEXEC is added. The fd or -errno. */
int sysfs_open(const struct sysfs *sysfs, int flags, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Opens a file for reading by lines. 0 with *@ret owned, or -errno. */
int sysfs_fopen(const struct sysfs *sysfs, FILE **ret, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * All names in a folder but those that begin with a dot. 0 with *@ret to be
 * freed by sysfs_names_done(), or a negative errno.
 */
int sysfs_list(const struct sysfs *sysfs, struct sysfs_names *ret,
	       const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Frees the names, and makes it empty. Also for _cleanup_(). */
void sysfs_names_done(struct sysfs_names *names);

#endif
