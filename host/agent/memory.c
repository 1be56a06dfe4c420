// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * memory.c - regions of guest memory, shared by their sources
 *
 * Owns the regions and their mmaps. Invariants: visible regions are sorted and
 * never overlap; each region, visible or replaced, has at least one source.
 * Locks: none. In a request's way: turns guest-physical addresses into ours.
 *
 * The pages belong to the VMM, which can take them away by truncating its
 * file; touching them is then a SIGBUS, as it is in the VMM itself. That ends
 * the agent of a VM whose own VMM sabotages it, and of no other.
 */
#include "host/agent/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "host/agent/iommu/iommu.h"
#include "host/lib/macros.h"

struct entry {
	struct memory_region region;
	dev_t dev;
	ino_t ino;
	uint64_t offset; /* of region.gpa in the file */
	void *map;	 /* what was mmapped: the region, rounded */
	size_t map_size;
	unsigned int n_sources;
	const void *sources[MEMORY_SOURCES_MAX];
};

struct list {
	struct entry **entries;
	size_t n, max;
};

struct memory {
	int (*leaving)(const struct memory_region *region, void *userdata);
	void *userdata;
	struct list visible;  /* sorted by gpa */
	struct list replaced; /* in no order */
	uint64_t size;	      /* of the visible ones, bytes */
};

int memory_new(int (*leaving)(const struct memory_region *region,
			      void *userdata),
	       void *userdata, struct memory **ret)
{
	struct memory *mem = calloc(1, sizeof(*mem));

	if (!mem)
		return -ENOMEM;
	mem->leaving = leaving;
	mem->userdata = userdata;
	*ret = mem;
	return 0;
}

static void entry_free(struct entry *entry)
{
	if (!entry)
		return;
	if (entry->map)
		(void)munmap(entry->map, entry->map_size);
	free(entry);
}

static void list_done(struct list *list)
{
	for (size_t i = 0; i < list->n; i++)
		entry_free(list->entries[i]);
	free(list->entries);
}

void memory_free(struct memory *mem)
{
	if (!mem)
		return;
	list_done(&mem->visible);
	list_done(&mem->replaced);
	free(mem);
}

static int list_reserve(struct list *list, size_t n)
{
	struct entry **entries;
	size_t max;

	if (list->n + n <= list->max)
		return 0;
	max = max(2 * list->max, list->n + n);
	entries = reallocarray(list->entries, max, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	list->entries = entries;
	list->max = max;
	return 0;
}

static void list_insert(struct list *list, size_t at, struct entry *entry)
{
	memmove(&list->entries[at + 1], &list->entries[at],
		(list->n - at) * sizeof(*list->entries));
	list->entries[at] = entry;
	list->n++;
}

static struct entry *list_take(struct list *list, size_t at)
{
	struct entry *entry = list->entries[at];

	list->n--;
	memmove(&list->entries[at], &list->entries[at + 1],
		(list->n - at) * sizeof(*list->entries));
	return entry;
}

/* The place of the first visible region that ends at or above @gpa. */
static size_t visible_at(const struct memory *mem, uint64_t gpa)
{
	size_t low = 0, high = mem->visible.n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct entry *entry = mem->visible.entries[mid];

		if (memory_region_last(&entry->region) < gpa)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static unsigned int source_index(const struct entry *entry, const void *source)
{
	unsigned int i = 0;

	while (i < entry->n_sources && entry->sources[i] != source)
		i++;
	return i;
}

static bool has_source(const struct entry *entry, const void *source)
{
	return source_index(entry, source) < entry->n_sources;
}

static void drop_source(struct entry *entry, const void *source)
{
	unsigned int i = source_index(entry, source);

	entry->sources[i] = entry->sources[--entry->n_sources];
}

static bool overlaps(const struct entry *entry, uint64_t first, uint64_t last)
{
	return entry->region.gpa <= last &&
	       memory_region_last(&entry->region) >= first;
}

static bool same(const struct entry *a, const struct entry *b)
{
	return a->region.gpa == b->region.gpa &&
	       a->region.size == b->region.size &&
	       a->region.prot == b->region.prot && a->dev == b->dev &&
	       a->ino == b->ino && a->offset == b->offset;
}

/* Judges an announcement and fills all of @entry but the mmap. */
static int check(struct entry *entry, uint64_t gpa, uint64_t size, int fd,
		 uint64_t offset, uint32_t prot)
{
	uint64_t last, file_last;
	struct stat st;

	if (prot == 0 || (prot & ~(IOMMU_READ | IOMMU_WRITE)) != 0)
		return EINVAL;
	if (!is_aligned(gpa | size | offset, MEMORY_PAGE) ||
	    !range_last(gpa, size, &last) ||
	    !range_last(offset, size, &file_last))
		return EINVAL;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size <= 0 || file_last >= (uint64_t)st.st_size)
		return EINVAL;
	entry->region = (struct memory_region){
		.gpa = gpa,
		.size = size,
		.prot = prot,
	};
	entry->dev = st.st_dev;
	entry->ino = st.st_ino;
	entry->offset = offset;
	return 0;
}

/* Files of huge pages are mapped in whole ones: round outwards. */
static int map_file(struct entry *entry, int fd)
{
	uint64_t block = MEMORY_PAGE, start, end;
	int prot = 0;
	struct stat st;
	void *map;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_blksize > MEMORY_PAGE && is_power_of_2(st.st_blksize))
		block = (uint64_t)st.st_blksize;
	start = align_down(entry->offset, block);
	if (!align_up_checked(entry->offset + entry->region.size, block, &end))
		return EINVAL;
	if (entry->region.prot & IOMMU_READ)
		prot |= PROT_READ;
	if (entry->region.prot & IOMMU_WRITE)
		prot |= PROT_WRITE;
	map = mmap(NULL, end - start, prot, MAP_SHARED | MAP_NORESERVE, fd,
		   (off_t)start);
	if (map == MAP_FAILED)
		return -errno;
	entry->map = map;
	entry->map_size = end - start;
	entry->region.vaddr = (char *)map + (entry->offset - start);
	return 0;
}

/*
 * 0: nothing of @source is in the way. *@ret_same gets an equal region of
 * others, if there is one.
 */
static int check_overlap(struct memory *mem, const void *source,
			 const struct entry *wanted, struct entry **ret_same)
{
	uint64_t first = wanted->region.gpa;
	uint64_t last = memory_region_last(&wanted->region);

	*ret_same = NULL;
	for (size_t i = visible_at(mem, first); i < mem->visible.n; i++) {
		struct entry *entry = mem->visible.entries[i];

		if (!overlaps(entry, first, last))
			break;
		if (has_source(entry, source))
			return EEXIST;
		if (same(entry, wanted))
			*ret_same = entry;
	}
	for (size_t i = 0; i < mem->replaced.n; i++) {
		struct entry *entry = mem->replaced.entries[i];

		if (overlaps(entry, first, last) && has_source(entry, source))
			return EEXIST;
	}
	return 0;
}

/* Moves what is visible in [first, last] out of sight. */
static int replace(struct memory *mem, uint64_t first, uint64_t last)
{
	size_t at = visible_at(mem, first);

	while (at < mem->visible.n &&
	       overlaps(mem->visible.entries[at], first, last)) {
		struct entry *entry = mem->visible.entries[at];
		int r = list_reserve(&mem->replaced, 1);

		if (r == 0)
			r = mem->leaving(&entry->region, mem->userdata);
		if (r < 0)
			return r;
		mem->size -= entry->region.size;
		list_insert(&mem->replaced, mem->replaced.n,
			    list_take(&mem->visible, at));
	}
	return 0;
}

/* Others announced the very region before, and lost sight of it: join. */
static void adopt_replaced(struct memory *mem, struct entry *entry)
{
	for (size_t i = 0; i < mem->replaced.n;) {
		struct entry *old = mem->replaced.entries[i];

		if (!same(old, entry) ||
		    entry->n_sources + old->n_sources > MEMORY_SOURCES_MAX) {
			i++;
			continue;
		}
		memcpy(&entry->sources[entry->n_sources], old->sources,
		       old->n_sources * sizeof(*old->sources));
		entry->n_sources += old->n_sources;
		entry_free(list_take(&mem->replaced, i));
	}
}

static int add_new(struct memory *mem, struct entry *entry, int fd)
{
	int r;

	if (mem->visible.n + mem->replaced.n >= MEMORY_REGIONS_MAX)
		return -ENOSPC;
	r = list_reserve(&mem->visible, 1);
	if (r == 0)
		r = map_file(entry, fd);
	if (r == 0)
		r = replace(mem, entry->region.gpa,
			    memory_region_last(&entry->region));
	if (r != 0)
		return r;
	list_insert(&mem->visible, visible_at(mem, entry->region.gpa), entry);
	mem->size += entry->region.size;
	adopt_replaced(mem, entry);
	return 0;
}

int memory_add(struct memory *mem, const void *source, uint64_t gpa,
	       uint64_t size, int fd, uint64_t offset, uint32_t prot,
	       const struct memory_region **ret_new)
{
	struct entry *entry, *other = NULL;
	int r;

	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	entry->sources[entry->n_sources++] = source;
	r = check(entry, gpa, size, fd, offset, prot);
	if (r == 0)
		r = check_overlap(mem, source, entry, &other);
	if (r == 0 && !other)
		r = add_new(mem, entry, fd);
	else if (r == 0 && other->n_sources == MEMORY_SOURCES_MAX)
		r = -ENOSPC;
	else if (r == 0)
		other->sources[other->n_sources++] = source;
	if (r == 0 && ret_new)
		*ret_new = other ? NULL : &entry->region;
	if (r != 0 || other)
		entry_free(entry);
	return r;
}

/* Takes @source off the visible entry at @at, which may end it. */
static int leave_visible(struct memory *mem, size_t at, const void *source,
			 bool *ret_gone)
{
	struct entry *entry = mem->visible.entries[at];
	int r;

	*ret_gone = entry->n_sources == 1;
	if (*ret_gone) {
		r = mem->leaving(&entry->region, mem->userdata);
		if (r < 0)
			return r;
		mem->size -= entry->region.size;
		entry_free(list_take(&mem->visible, at));
		return 0;
	}
	drop_source(entry, source);
	return 0;
}

/*
 * Takes @source off all that it announced within [first, last], but where that is
 * refused: the first refusal is returned.
 */
static int leave(struct memory *mem, const void *source, uint64_t first,
		 uint64_t last)
{
	int ret = 0;

	for (size_t i = 0; i < mem->replaced.n;) {
		struct entry *entry = mem->replaced.entries[i];

		if (!overlaps(entry, first, last) ||
		    !has_source(entry, source)) {
			i++;
			continue;
		}
		drop_source(entry, source);
		if (entry->n_sources > 0)
			i++;
		else
			entry_free(list_take(&mem->replaced, i));
	}
	for (size_t i = visible_at(mem, first); i < mem->visible.n;) {
		struct entry *entry = mem->visible.entries[i];
		bool gone = false;
		int r = 0;

		if (!overlaps(entry, first, last))
			break;
		if (has_source(entry, source))
			r = leave_visible(mem, i, source, &gone);
		if (ret == 0)
			ret = r;
		if (!gone || r < 0)
			i++;
	}
	return ret;
}

/* What [first, last] means to @source in @list: 0, ENOENT or EINVAL. */
static int check_leave(const struct list *list, size_t from, const void *source,
		       uint64_t first, uint64_t last)
{
	int r = ENOENT;

	for (size_t i = from; i < list->n; i++) {
		const struct entry *entry = list->entries[i];

		if (!overlaps(entry, first, last) || !has_source(entry, source))
			continue;
		if (entry->region.gpa < first ||
		    memory_region_last(&entry->region) > last)
			return EINVAL;
		r = 0;
	}
	return r;
}

int memory_remove(struct memory *mem, const void *source, uint64_t gpa,
		  uint64_t size)
{
	int in_visible, in_replaced;
	uint64_t last;

	if (!range_last(gpa, size, &last))
		return EINVAL;
	in_visible = check_leave(&mem->visible, visible_at(mem, gpa), source,
				 gpa, last);
	in_replaced = check_leave(&mem->replaced, 0, source, gpa, last);
	if (in_visible == EINVAL || in_replaced == EINVAL)
		return EINVAL;
	if (in_visible == ENOENT && in_replaced == ENOENT)
		return ENOENT;
	return leave(mem, source, gpa, last);
}

int memory_drop(struct memory *mem, const void *source)
{
	return leave(mem, source, 0, UINT64_MAX);
}

const struct memory_region *memory_find(const struct memory *mem, uint64_t gpa,
					bool next)
{
	size_t at = visible_at(mem, gpa);
	const struct memory_region *region;

	if (at == mem->visible.n)
		return NULL;
	region = &mem->visible.entries[at]->region;
	return region->gpa <= gpa || next ? region : NULL;
}

void *memory_translate(const struct memory *mem, uint64_t gpa, uint64_t size,
		       uint32_t prot)
{
	const struct memory_region *region;
	uint64_t last;

	if (!range_last(gpa, size, &last))
		return NULL;
	region = memory_find(mem, gpa, false);
	if (!region || last > memory_region_last(region) ||
	    (region->prot & prot) != prot)
		return NULL;
	return (char *)region->vaddr + (gpa - region->gpa);
}

uint64_t memory_size(const struct memory *mem)
{
	return mem->size;
}
