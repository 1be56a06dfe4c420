// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * state.c - a memfd with a root and pools of slots
 *
 * Owns the memfd, its mapping, and which slots are taken. Invariant: in each
 * pool taken <= top <= backed <= max; slots below top are taken or in the free
 * list; slots below backed have memory, so that touching them cannot fail
 * (memory is allocated by fallocate(), which reports a shortage, not by a page
 * fault, which would be a SIGBUS). Which slots are taken is said twice: by the
 * pool, which need not be right when another process takes over in the middle of
 * a change, and by the slots themselves (state_recover()). Locks: none. In a request's way: the last
 * allocation before anything is unmapped or mapped.
 */
#include "host/agent/state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/lib/cleanup.h"
#include "host/lib/durable.h"
#include "host/lib/log.h"
#include "host/lib/macros.h"

#define STATE_MAGIC 0x7374617465767000ULL
#define STATE_CHUNK (64u * 1024u)   /* bytes by which a pool grows */
#define STATE_ALIGN (1024u * 1024u) /* pools begin at multiples */
#define STATE_NONE  UINT32_MAX

/*
 * How many slots there can be. Extents: 256 GiB in pieces of 4 KiB. Leaves:
 * 16 TiB of guest memory in granules of 4 KiB. Ghosts: as many as extents.
 * Regions: as many as 64 clients may announce.
 */
static const uint32_t pool_max[STATE_POOLS] = {
	[STATE_EXTENTS] = 1u << 26,
	[STATE_LEAVES] = 1u << 22,
	[STATE_GHOSTS] = 1u << 26,
	[STATE_REGIONS] = 1u << 22,
};

struct state_pool {
	uint64_t offset; /* of slot 0 in the arena, bytes */
	uint64_t backed_bytes;
	uint32_t slot_size; /* bytes */
	uint32_t max;	    /* slots */
	uint32_t backed;    /* slots that have memory */
	uint32_t top;	    /* slots that were taken at any time */
	uint32_t free;	    /* first slot of the free list */
	uint32_t taken;
};

/* All but the pools' counts is constant, and follows from the layout. */
struct state_head {
	uint64_t magic; /* written last */
	uint64_t version;
	uint64_t size; /* of the arena, bytes */
	uint64_t root_offset;
	uint64_t extra_offset;
	uint64_t sparse_offset;
	struct state_layout layout;
	struct state_pool pools[STATE_POOLS];
};

struct state {
	int fd;
	uint64_t size;
	struct state_head *head; /* start of the mapping */
};

static_assert(sizeof(size_t) == 8, "the arena needs 64-bit address space");

static int allocate(int fd, int mode, uint64_t offset, uint64_t len)
{
	int r;

	do
		r = fallocate(fd, mode, (off_t)offset, (off_t)len);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static void lay_out(struct state_head *head, const struct state_layout *layout)
{
	uint64_t offset;

	*head = (struct state_head){
		.magic = STATE_MAGIC,
		.version = STATE_VERSION,
		.layout = *layout,
	};
	head->root_offset = align_up(sizeof(*head), 64);
	head->extra_offset =
		align_up(head->root_offset + layout->root_size, 4096);
	head->sparse_offset =
		align_up(head->extra_offset + layout->extra_size, 4096);
	offset = head->sparse_offset + layout->sparse_size;
	for (int i = 0; i < STATE_POOLS; i++) {
		struct state_pool *pool = &head->pools[i];

		assert(is_aligned(layout->slot_sizes[i], 8));
		offset = align_up(offset, STATE_ALIGN);
		pool->offset = offset;
		pool->slot_size = layout->slot_sizes[i];
		pool->max = pool->slot_size ? pool_max[i] : 0;
		pool->free = STATE_NONE;
		offset += (uint64_t)pool->max * pool->slot_size;
	}
	head->size = align_up(offset, STATE_ALIGN);
}

/* Maps @fd, which becomes the arena's on success. */
static int map_arena(int fd, uint64_t size, struct state **ret)
{
	struct state *state;
	void *map;

	map = mmap(NULL, size, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	state = calloc(1, sizeof(*state));
	if (!state) {
		(void)munmap(map, size);
		return -ENOMEM;
	}
	state->head = map;
	state->size = size;
	state->fd = fd;
	*ret = state;
	return 0;
}

int state_make(const struct state_layout *layout, struct state **ret)
{
	_cleanup_close_ int fd = -EBADF;
	struct state_head head;
	int r;

	lay_out(&head, layout);
	fd = memfd_create("pvdma-state", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)head.size) < 0)
		return -errno;
	r = allocate(fd, 0, 0, head.sparse_offset);
	if (r == 0)
		r = map_arena(fd, head.size, ret);
	if (r < 0)
		return r;
	steal_fd(&fd);
	head.magic = 0;
	memcpy((*ret)->head, &head, sizeof(head));
	durable_store(&(*ret)->head->magic, STATE_MAGIC);
	return 0;
}

int state_new(size_t root_size, const uint32_t slot_sizes[static STATE_POOLS],
	      struct state **ret)
{
	struct state_layout layout = { .root_size = root_size };

	memcpy(layout.slot_sizes, slot_sizes, sizeof(layout.slot_sizes));
	return state_make(&layout, ret);
}

static int refuse(const char *why)
{
	log_err("the state of the agent before this one is refused: %s", why);
	return -EUCLEAN;
}

/* What a pool says of itself must be possible. */
static int check_pool(const struct state *state, int i,
		      const struct state_pool *wanted)
{
	struct state_pool *pool = &state->head->pools[i];

	if (pool->offset != wanted->offset ||
	    pool->slot_size != wanted->slot_size || pool->max != wanted->max)
		return refuse("its pools have other sizes");
	if (pool->slot_size == 0)
		return 0;
	if (!is_aligned(pool->backed_bytes, STATE_CHUNK) ||
	    pool->backed_bytes / pool->slot_size >
		    (uint64_t)pool->max + STATE_CHUNK / pool->slot_size)
		return refuse("a pool has more memory than there can be");
	pool->backed = (uint32_t)min(pool->backed_bytes / pool->slot_size,
				     (uint64_t)pool->max);
	if (pool->top > pool->backed)
		return refuse("a pool has slots without memory");
	if (pool->backed_bytes == 0)
		return 0;
	/* It may have been about to be given back. */
	return allocate(state->fd, 0, pool->offset, pool->backed_bytes);
}

static int check_head(const struct state *state,
		      const struct state_head *wanted)
{
	const struct state_head *head = state->head;

	if (head->magic != STATE_MAGIC)
		return refuse("it is not whole");
	if (head->version != STATE_VERSION)
		return refuse("it is another version's");
	if (head->size != wanted->size ||
	    head->root_offset != wanted->root_offset ||
	    head->extra_offset != wanted->extra_offset ||
	    head->sparse_offset != wanted->sparse_offset ||
	    memcmp(&head->layout, &wanted->layout, sizeof(head->layout)) != 0)
		return refuse("its parts have other sizes");
	for (int i = 0; i < STATE_POOLS; i++) {
		int r = check_pool(state, i, &wanted->pools[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

int state_open(int fd, const struct state_layout *layout, struct state **ret)
{
	struct state_head wanted;
	struct state *state;
	struct stat st;
	int r;

	lay_out(&wanted, layout);
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size != (off_t)wanted.size)
		return refuse("it has another size");
	r = map_arena(fd, wanted.size, &state);
	if (r < 0)
		return r;
	r = check_head(state, &wanted);
	if (r < 0) {
		state->fd = -EBADF; /* stays the caller's */
		state_free(state);
		return r;
	}
	*ret = state;
	return 0;
}

void state_free(struct state *state)
{
	if (!state)
		return;
	(void)munmap(state->head, state->size);
	state->fd = close_fd(state->fd);
	free(state);
}

/* Nothing is taken: start over, and keep no more than one chunk. */
static void empty(struct state *state, struct state_pool *pool)
{
	pool->top = 0;
	pool->free = STATE_NONE;
	if (pool->backed_bytes <= STATE_CHUNK)
		return;
	if (allocate(state->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		     pool->offset + STATE_CHUNK,
		     pool->backed_bytes - STATE_CHUNK) < 0)
		return;
	pool->backed_bytes = STATE_CHUNK;
	pool->backed = STATE_CHUNK / pool->slot_size;
}

void state_disown(struct state *state)
{
	state->fd = -EBADF;
}

int state_fd(const struct state *state)
{
	return state->fd;
}

void *state_root(struct state *state)
{
	return (char *)state->head + state->head->root_offset;
}

void *state_extra(struct state *state)
{
	return (char *)state->head + state->head->extra_offset;
}

void *state_sparse(struct state *state)
{
	return (char *)state->head + state->head->sparse_offset;
}

int state_back(struct state *state, uint64_t offset, uint64_t size)
{
	const struct state_head *head = state->head;

	assert(offset + size <= head->layout.sparse_size);
	return allocate(state->fd, 0, head->sparse_offset + offset, size) < 0 ?
		       -ENOMEM :
		       0;
}

void state_unback(struct state *state, uint64_t offset, uint64_t size)
{
	const struct state_head *head = state->head;

	assert(offset + size <= head->layout.sparse_size);
	(void)allocate(state->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		       head->sparse_offset + offset, size);
}

void state_recover(struct state *state, enum state_pool_id id,
		   bool (*taken)(const void *slot))
{
	struct state_pool *pool = &state->head->pools[id];

	pool->free = STATE_NONE;
	pool->taken = 0;
	/* From above: low slots are taken first. */
	for (uint32_t slot = pool->top; slot-- > 0;) {
		void *at = state_slot(state, id, slot);

		if (taken(at)) {
			pool->taken++;
			continue;
		}
		memset(at, 0, pool->slot_size);
		memcpy(at, &pool->free, sizeof(pool->free));
		pool->free = slot;
	}
	if (pool->taken == 0)
		empty(state, pool);
}

uint32_t state_top(const struct state *state, enum state_pool_id id)
{
	return state->head->pools[id].top;
}

uint64_t state_random(struct state *state)
{
	uint64_t n;

	/* Eight bytes do not block once the system is up; if not, no harm. */
	if (getrandom(&n, sizeof(n), GRND_NONBLOCK) != sizeof(n))
		n = (uintptr_t)state * 0x9e3779b97f4a7c15ULL;
	return n;
}

int state_prepare(struct state *state, enum state_pool_id id, uint32_t n)
{
	struct state_pool *pool = &state->head->pools[id];
	uint64_t wanted = (uint64_t)pool->taken + n;
	uint64_t bytes;
	int r;

	if (wanted <= pool->backed)
		return 0;
	if (wanted > pool->max)
		return -ENOMEM;
	bytes = align_up(wanted * pool->slot_size, STATE_CHUNK);
	r = allocate(state->fd, 0, pool->offset + pool->backed_bytes,
		     bytes - pool->backed_bytes);
	if (r < 0)
		return r == -ENOSPC ? -ENOMEM : r;
	pool->backed_bytes = bytes;
	pool->backed =
		(uint32_t)min(bytes / pool->slot_size, (uint64_t)pool->max);
	return 0;
}

uint32_t state_take(struct state *state, enum state_pool_id id)
{
	struct state_pool *pool = &state->head->pools[id];
	uint32_t slot = pool->free;

	if (slot != STATE_NONE) {
		memcpy(&pool->free, state_slot(state, id, slot),
		       sizeof(pool->free));
	} else {
		assert(pool->top < pool->backed);
		slot = pool->top++;
	}
	pool->taken++;
	memset(state_slot(state, id, slot), 0, pool->slot_size);
	return slot;
}

void state_give(struct state *state, enum state_pool_id id, uint32_t slot)
{
	struct state_pool *pool = &state->head->pools[id];

	assert(slot < pool->top && pool->taken > 0);
	memcpy(state_slot(state, id, slot), &pool->free, sizeof(pool->free));
	pool->free = slot;
	if (--pool->taken == 0)
		empty(state, pool);
}

void *state_slot(struct state *state, enum state_pool_id id, uint32_t slot)
{
	const struct state_pool *pool = &state->head->pools[id];

	return (char *)state->head + pool->offset +
	       (uint64_t)slot * pool->slot_size;
}

uint32_t state_taken(const struct state *state, enum state_pool_id id)
{
	return state->head->pools[id].taken;
}

uint64_t state_backed_bytes(const struct state *state, enum state_pool_id id)
{
	return state->head->pools[id].backed_bytes;
}
