// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kept.c - guest memory as the state keeps it, to be mapped again after a kill
 *
 * Owns: the two lists of regions in the state, one of which is right; and one reference
 * to a file in the keeper for each region of it. Invariant: a change is made in the
 * other list, and one store makes that the right one.
 *
 * Locks: none; one event loop. In a request's way: not.
 */
#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/durable.h"
#include "lib/log.h"
#include "vhost/backend.h"

static struct vhost_memory_state *right(const struct vhost *vhost)
{
	return &vhost->s->memories[vhost->s->memory & 1];
}

static struct vhost_memory_state *other(const struct vhost *vhost)
{
	return &vhost->s->memories[~vhost->s->memory & 1];
}

static void flip(struct vhost *vhost)
{
	crash_point("vhost-memory");
	durable_store(&vhost->s->memory, ~vhost->s->memory & 1);
	crash_point("vhost-memory-noted");
}

static void append(struct vhost *vhost, struct vhost_memory_state *to,
		   const struct vhost_user_region *region, int fd)
{
	to->regions[to->count++] = (struct vhost_region_state){
		.region = *region,
		.file = keeper_put(vhost->keeper, KEEPER_MEMORY, fd),
	};
}

static void drop_files(struct vhost *vhost, const struct vhost_memory_state *of)
{
	for (uint64_t i = 0; i < of->count; i++)
		keeper_drop(vhost->keeper, of->regions[i].file);
}

void kept_set_table(struct vhost *vhost,
		    const struct vhost_user_mem_table *table,
		    const struct message *msg)
{
	struct vhost_memory_state *old = right(vhost), *to = other(vhost);

	to->count = 0;
	for (uint32_t i = 0; i < table->count; i++)
		append(vhost, to, &table->regions[i], message_fd(msg, i));
	flip(vhost);
	drop_files(vhost, old);
}

void kept_add(struct vhost *vhost, const struct vhost_user_region *region,
	      int fd)
{
	struct vhost_memory_state *to = other(vhost);

	*to = *right(vhost);
	append(vhost, to, region, fd);
	flip(vhost);
}

static bool is_same(const struct vhost_user_region *a,
		    const struct vhost_user_region *b)
{
	return a->gpa == b->gpa && a->size == b->size && a->user == b->user;
}

void kept_remove(struct vhost *vhost, const struct vhost_user_region *region)
{
	const struct vhost_memory_state *from = right(vhost);
	struct vhost_memory_state *to = other(vhost);
	uint64_t file = 0;

	to->count = 0;
	for (uint64_t i = 0; i < from->count; i++) {
		if (is_same(&from->regions[i].region, region))
			file = from->regions[i].file;
		else
			to->regions[to->count++] = from->regions[i];
	}
	flip(vhost);
	keeper_drop(vhost->keeper, file);
}

bool kept_has(const struct vhost *vhost, const struct vhost_user_region *region)
{
	const struct vhost_memory_state *of = right(vhost);

	for (uint64_t i = 0; i < of->count; i++)
		if (is_same(&of->regions[i].region, region))
			return true;
	return false;
}

void kept_clear(struct vhost *vhost)
{
	struct vhost_memory_state *old = right(vhost);

	other(vhost)->count = 0;
	flip(vhost);
	drop_files(vhost, old);
}

bool kept_is_sound(const struct vhost_state *s)
{
	return s->memories[s->memory & 1].count <= REGIONS_MAX &&
	       s->in.in.num <= STREAM_FDS_MAX &&
	       s->in.in.max <= STREAM_FDS_MAX &&
	       s->out.size <= sizeof(s->out.bytes) &&
	       s->channel_out.size <= sizeof(s->channel_out.bytes) &&
	       s->phase <= VHOST_EXECUTED;
}

int kept_resume(struct vhost *vhost)
{
	const struct vhost_memory_state *of = right(vhost);

	for (uint64_t i = 0; i < of->count; i++) {
		_cleanup_close_ int fd =
			keeper_claim(vhost->keeper, of->regions[i].file);
		int r;

		if (fd < 0)
			return -EBADF;
		r = regions_add(&vhost->mem, &of->regions[i].region, fd);
		if (r != 0)
			return log_err_errno(
				r,
				"vhost-user: guest memory cannot be mapped again");
	}
	return 0;
}
