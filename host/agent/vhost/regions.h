/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * regions.h - guest memory as the vhost-user front-end hands it over
 */
#ifndef PVDMA_AGENT_VHOST_REGIONS_H
#define PVDMA_AGENT_VHOST_REGIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vhost/protocol.h"

/* Slots that GET_MAX_MEM_SLOTS announces */
#define REGIONS_MAX 512

struct region;

/* All zero is an empty table. */
struct regions {
	struct region *list; /* sorted by guest-physical address */
	size_t count;
};

/* Unmaps and forgets all. Pointers from regions_user() die with it. */
void regions_clear(struct regions *mem);

/*
 * Maps one region from @fd, which is borrowed. Returns 0, a verdict for the
 * peer's fault: EINVAL (size 0, unaligned, wraps, beyond the end of the file,
 * not a file that can be mapped), EEXIST (overlaps another one), ENOSPC (too
 * many), or a negative errno of ours; then nothing changed.
 */
int regions_add(struct regions *mem, const struct vhost_user_region *region,
		int fd);

/*
 * Unmaps the region with the place, size and user address of @region. 0, or
 * the verdict ENOENT.
 */
int regions_remove(struct regions *mem, const struct vhost_user_region *region);

/* [user, user + size) of the front-end here, if within one region, or NULL. */
void *regions_user(const struct regions *mem, uint64_t user, uint64_t size);

/*
 * True if all of [gpa, gpa + size) is guest memory; it may cross from a region
 * to the next one. An empty range is.
 */
bool regions_contain(const struct regions *mem, uint64_t gpa, uint64_t size);

/* Copies between guest memory that regions_contain() and memory of ours. */
void regions_read(const struct regions *mem, uint64_t gpa, void *to,
		  size_t size);
void regions_write(const struct regions *mem, uint64_t gpa, const void *from,
		   size_t size);

#endif
