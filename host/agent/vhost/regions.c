// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * regions.c - guest memory as the vhost-user front-end hands it over
 *
 * Owns: the mmaps through which virtqueues and requests are read. They stand
 * apart from memory.c's, which come over vfio-user and are what a device
 * reaches: both sockets describe the same VM, but each may come and go alone,
 * and INIT proves that they agree.
 *
 * Invariant: regions overlap neither in guest-physical nor in user addresses,
 * and each lies within its file as that was when it was mapped.
 *
 * Locks: none; the event loop owns it. In a request's way: each byte of a
 * descriptor chain is copied through regions_read(), the tail through
 * regions_write().
 */
#include "vhost/regions.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib/macros.h"

struct region {
	uint64_t gpa;
	uint64_t size;
	uint64_t user;
	uint8_t *here; /* of gpa */
	void *map;     /* what mmap() gave */
	size_t map_size;
};

/* What of [start, start + size) is behind @addr, or 0 if @addr is outside. */
static uint64_t room_behind(uint64_t start, uint64_t size, uint64_t addr)
{
	uint64_t offset = addr - start;

	return addr >= start && offset < size ? size - offset : 0;
}

static bool ranges_overlap(uint64_t a, uint64_t a_size, uint64_t b,
			   uint64_t b_size)
{
	return room_behind(a, a_size, b) || room_behind(b, b_size, a);
}

/* The index of the last region that starts at or below @gpa, or count. */
static size_t find_below(const struct regions *mem, uint64_t gpa)
{
	size_t low = 0, high = mem->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (mem->list[mid].gpa <= gpa)
			low = mid + 1;
		else
			high = mid;
	}
	return low > 0 ? low - 1 : mem->count;
}

/*
 * Maps what @region says of @fd. The offset in the file need not be a multiple
 * of the page size of that file (think of huge pages): the map then starts
 * earlier.
 */
static int region_map(const struct vhost_user_region *region, int fd,
		      struct region *ret)
{
	uint64_t last, page, start, map_size;
	struct stat st;
	void *map;

	if (!range_last(region->gpa, region->size, &last) ||
	    !range_last(region->user, region->size, &last) ||
	    !range_last(region->offset, region->size, &last))
		return EINVAL;
	if (!is_aligned(region->gpa | region->size | region->user |
				region->offset,
			4096))
		return EINVAL;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < 0 ||
	    last >= (uint64_t)st.st_size)
		return EINVAL;
	page = is_power_of_2((uint64_t)st.st_blksize) ?
		       max((uint64_t)st.st_blksize, (uint64_t)4096) :
		       4096;
	start = align_down(region->offset, page);
	if (!align_up_checked(last - start + 1, page, &map_size))
		return EINVAL;
	map = mmap(NULL, map_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		   (off_t)start);
	if (map == MAP_FAILED)
		return errno == EACCES || errno == EPERM ? EINVAL : -errno;
	/* The guest's secrets are no business of our core dumps. */
	(void)madvise(map, map_size, MADV_DONTDUMP);
	*ret = (struct region){
		.gpa = region->gpa,
		.size = region->size,
		.user = region->user,
		.here = (uint8_t *)map + (region->offset - start),
		.map = map,
		.map_size = map_size,
	};
	return 0;
}

void regions_clear(struct regions *mem)
{
	for (size_t i = 0; i < mem->count; i++)
		(void)munmap(mem->list[i].map, mem->list[i].map_size);
	free(mem->list);
	*mem = (struct regions){ 0 };
}

int regions_add(struct regions *mem, const struct vhost_user_region *region,
		int fd)
{
	struct region *list, added;
	size_t at;
	int r;

	if (mem->count >= REGIONS_MAX)
		return ENOSPC;
	for (size_t i = 0; i < mem->count; i++) {
		const struct region *old = &mem->list[i];

		if (ranges_overlap(old->gpa, old->size, region->gpa,
				   region->size) ||
		    ranges_overlap(old->user, old->size, region->user,
				   region->size))
			return EEXIST;
	}
	list = realloc(mem->list, (mem->count + 1) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	mem->list = list;
	r = region_map(region, fd, &added);
	if (r)
		return r;
	at = find_below(mem, added.gpa);
	at = at == mem->count ? 0 : at + 1;
	memmove(list + at + 1, list + at, (mem->count - at) * sizeof(*list));
	list[at] = added;
	mem->count++;
	return 0;
}

int regions_remove(struct regions *mem, const struct vhost_user_region *region)
{
	size_t at = find_below(mem, region->gpa);
	struct region *old;

	if (at == mem->count)
		return ENOENT;
	old = &mem->list[at];
	if (old->gpa != region->gpa || old->size != region->size ||
	    old->user != region->user)
		return ENOENT;
	(void)munmap(old->map, old->map_size);
	mem->count--;
	memmove(old, old + 1, (mem->count - at) * sizeof(*old));
	return 0;
}

void *regions_user(const struct regions *mem, uint64_t user, uint64_t size)
{
	for (size_t i = 0; i < mem->count; i++) {
		const struct region *r = &mem->list[i];
		uint64_t room = room_behind(r->user, r->size, user);

		if (room > 0)
			return room >= size ? r->here + (user - r->user) : NULL;
	}
	return NULL;
}

/*
 * Where @gpa is here; *@ret_room gets the bytes that follow in its region.
 * NULL where there is no guest memory.
 */
static uint8_t *find_here(const struct regions *mem, uint64_t gpa,
			  uint64_t *ret_room)
{
	size_t at = find_below(mem, gpa);
	const struct region *r;
	uint64_t room;

	if (at == mem->count)
		return NULL;
	r = &mem->list[at];
	room = room_behind(r->gpa, r->size, gpa);
	if (room == 0)
		return NULL;
	*ret_room = room;
	return r->here + (gpa - r->gpa);
}

bool regions_contain(const struct regions *mem, uint64_t gpa, uint64_t size)
{
	uint64_t room;

	for (; size > 0; gpa += room, size -= room) {
		if (!find_here(mem, gpa, &room))
			return false;
		room = min(room, size);
		/* A region ends before the address space does. */
		if (gpa + room < gpa && size > room)
			return false;
	}
	return true;
}

void regions_read(const struct regions *mem, uint64_t gpa, void *to,
		  size_t size)
{
	uint8_t *out = to;

	while (size > 0) {
		uint64_t room = 0;
		const uint8_t *here = find_here(mem, gpa, &room);
		size_t n = (size_t)min(room, (uint64_t)size);

		assert(here);
		memcpy(out, here, n);
		out += n;
		gpa += n;
		size -= n;
	}
}

void regions_write(const struct regions *mem, uint64_t gpa, const void *from,
		   size_t size)
{
	const uint8_t *in = from;

	while (size > 0) {
		uint64_t room = 0;
		uint8_t *here = find_here(mem, gpa, &room);
		size_t n = (size_t)min(room, (uint64_t)size);

		assert(here);
		memcpy(here, in, n);
		in += n;
		gpa += n;
		size -= n;
	}
}
