/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest.h - a VM with the null IOMMU, and a guest that asks it for things
 *
 * For unit, fuzz and stress tests: plain asserts, no test framework. The
 * guest's memory begins at 0 and lies in a memfd; the leaf of number N lies N
 * pages above guest_leaves(), the leaf of blocks of number N N pages above
 * guest_block_leaves().
 */
#ifndef PVDMA_TESTS_GUEST_H
#define PVDMA_TESTS_GUEST_H

#include <assert.h>
#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/agent/iommu/iommu.h"
#include "host/agent/iommu/null.h"
#include "host/agent/memory.h"
#include "host/agent/vm.h"
#include "host/agent/vm_private.h"
#include "host/lib/macros.h"
#include "protocol/virtio_pvdma.h"

#define GUEST_NONCE 0x1122334455667788ULL
/* As struct guest_options.strategy: VIRTIO_PVDMA_S_SINGLE_USE, which is 0. */
#define GUEST_SINGLE_USE 0xff
#define GUEST_RW	 (IOMMU_READ | IOMMU_WRITE)
#define KB(n)		 ((uint64_t)(n)*1024)
#define MB(n)		 ((uint64_t)(n)*1024 * 1024)

struct guest {
	struct vm *vm;
	struct iommu *iommu;
	int fd;
	uint8_t *mem;
	uint64_t size; /* bytes */
	uint8_t shift;
	bool blocks; /* leaves of blocks are registered */
	unsigned int config_news;
	unsigned int work_news;
	uint64_t timer;	 /* when vm_tick() is to run, or VM_NEVER */
	uint16_t index;	 /* of the last answer */
	uint32_t mapped; /* of the last answer */
};

struct guest_options {
	uint64_t size;	/* bytes of memory */
	uint64_t quota; /* bytes */
	uint8_t shift;
	uint8_t strategy; /* 0: on-demand; see GUEST_SINGLE_USE */
	enum vm_fallback fallback;
	enum vm_enforce enforce;
	uint64_t enforce_usec;
	uint64_t entries_max; /* of the null IOMMU; 0: no limit */
	uint64_t bytes_max;   /* likewise */
	bool no_memory;	      /* announce none yet */
	bool ahead;
};

static inline void guest_config_changed(void *userdata)
{
	((struct guest *)userdata)->config_news++;
}

static inline void guest_work_pending(void *userdata)
{
	((struct guest *)userdata)->work_news++;
}

static inline void guest_timer(void *userdata, uint64_t when)
{
	((struct guest *)userdata)->timer = when;
}

/* Announces [gpa, gpa + size) of the memfd, at the same offset there. */
static inline int guest_plug(struct guest *g, const void *source, uint64_t gpa,
			     uint64_t size, uint32_t prot)
{
	return vm_memory_add(g->vm, source, gpa, size, g->fd, gpa, prot);
}

static inline uint8_t guest_strategy(const struct guest_options *o)
{
	if (o->strategy == GUEST_SINGLE_USE)
		return VIRTIO_PVDMA_S_SINGLE_USE;
	return o->strategy ? o->strategy : VIRTIO_PVDMA_S_ON_DEMAND;
}

static inline void guest_start(struct guest *g, const struct guest_options *o)
{
	struct vm_config config = {
		.quota = o->quota,
		.granule_shift = o->shift,
		.strategy = guest_strategy(o),
		.fallback = o->fallback,
		.enforce = o->enforce,
		.enforce_usec = o->enforce_usec,
		.ahead = o->ahead,
		.policy = "clock",
		.num_queues = 2,
		.max_ranges = 64,
	};
	struct vm_notify notify = {
		.config_changed = guest_config_changed,
		.work_pending = guest_work_pending,
		.timer = guest_timer,
		.userdata = g,
	};
	int r;

	*g = (struct guest){
		.size = o->size,
		.shift = o->shift,
		.timer = VM_NEVER,
	};
	g->fd = memfd_create("guest", MFD_CLOEXEC);
	assert(g->fd >= 0);
	r = ftruncate(g->fd, (off_t)g->size);
	assert(r == 0);
	g->mem = mmap(NULL, g->size, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd,
		      0);
	assert(g->mem != MAP_FAILED);
	r = null_iommu_new(o->entries_max, o->bytes_max, &g->iommu);
	assert(r == 0);
	r = vm_new(&config, g->iommu, &notify, &g->vm);
	assert(r == 0);
	if (!o->no_memory) {
		r = guest_plug(g, g, 0, g->size, GUEST_RW);
		assert(r == 0);
	}
	(void)r;
}

static inline void guest_stop(struct guest *g)
{
	vm_free(g->vm);
	(void)munmap(g->mem, g->size);
	(void)close(g->fd);
}

static inline uint64_t guest_granules(const struct guest *g)
{
	return g->size >> g->shift;
}

static inline uint64_t guest_leaf_count(const struct guest *g)
{
	return (guest_granules(g) + VIRTIO_PVDMA_LEAF_WORDS - 1) >>
	       VIRTIO_PVDMA_LEAF_SHIFT;
}

/* Where the leaves are: at the end of memory. */
static inline uint64_t guest_leaves(const struct guest *g)
{
	return g->size - guest_leaf_count(g) * VIRTIO_PVDMA_LEAF_SIZE;
}

static inline uint32_t *guest_word(const struct guest *g, uint64_t granule)
{
	return (uint32_t *)(void *)(g->mem + guest_leaves(g)) + granule;
}

static inline uint64_t guest_blocks(const struct guest *g)
{
	return (guest_granules(g) + VIRTIO_PVDMA_BLOCK_GRANULES - 1) >>
	       VIRTIO_PVDMA_BLOCK_SHIFT;
}

static inline uint64_t guest_block_leaf_count(const struct guest *g)
{
	return (guest_blocks(g) + VIRTIO_PVDMA_LEAF_WORDS - 1) >>
	       VIRTIO_PVDMA_LEAF_SHIFT;
}

/* Below the leaves of granules. */
static inline uint64_t guest_block_leaves(const struct guest *g)
{
	return guest_leaves(g) -
	       guest_block_leaf_count(g) * VIRTIO_PVDMA_LEAF_SIZE;
}

static inline uint32_t *guest_block_word(const struct guest *g, uint64_t block)
{
	return (uint32_t *)(void *)(g->mem + guest_block_leaves(g)) + block;
}

static inline uint32_t guest_look_block(const struct guest *g, uint64_t block)
{
	return le32toh(
		__atomic_load_n(guest_block_word(g, block), __ATOMIC_SEQ_CST));
}

static inline uint32_t guest_hold_block(const struct guest *g, uint64_t block)
{
	return __atomic_fetch_add(guest_block_word(g, block), 1,
				  __ATOMIC_SEQ_CST);
}

static inline void guest_drop_block(const struct guest *g, uint64_t block)
{
	(void)__atomic_fetch_sub(guest_block_word(g, block), 1,
				 __ATOMIC_SEQ_CST);
}

static inline uint32_t guest_look(const struct guest *g, uint64_t granule)
{
	return le32toh(
		__atomic_load_n(guest_word(g, granule), __ATOMIC_SEQ_CST));
}

/* Takes a hold; returns the word as it was. */
static inline uint32_t guest_hold(const struct guest *g, uint64_t granule)
{
	return __atomic_fetch_add(guest_word(g, granule), 1, __ATOMIC_SEQ_CST);
}

static inline void guest_drop(const struct guest *g, uint64_t granule)
{
	(void)__atomic_fetch_sub(guest_word(g, granule), 1, __ATOMIC_SEQ_CST);
}

static inline void guest_touch(const struct guest *g, uint64_t granule)
{
	(void)__atomic_fetch_or(guest_word(g, granule),
				VIRTIO_PVDMA_W_REFERENCED, __ATOMIC_SEQ_CST);
}

/* --- requests; the value is the answer's status --- */

static inline uint8_t guest_send(struct guest *g, const void *buf, size_t len)
{
	struct virtio_pvdma_req_tail tail;

	memset(&tail, 0xff, sizeof(tail));
	vm_request(g->vm, buf, len, &tail);
	assert(tail.reserved == 0);
	g->index = le16toh(tail.index);
	g->mapped = le32toh(tail.mapped);
	return tail.status;
}

static inline uint8_t guest_ask_flags(struct guest *g, uint8_t type,
				      uint8_t flags, uint32_t endpoint,
				      const void *items, uint16_t count,
				      size_t item_size)
{
	struct virtio_pvdma_req_head head = {
		.type = type,
		.flags = flags,
		.count = htole16(count),
		.endpoint = htole32(endpoint),
	};
	size_t len = sizeof(head) + count * item_size;
	uint8_t *buf = malloc(len);
	uint8_t status;

	assert(buf);
	memcpy(buf, &head, sizeof(head));
	if (count > 0)
		memcpy(buf + sizeof(head), items, count * item_size);
	status = guest_send(g, buf, len);
	free(buf);
	return status;
}

static inline uint8_t guest_ask(struct guest *g, uint8_t type,
				uint32_t endpoint, const void *items,
				uint16_t count, size_t item_size)
{
	return guest_ask_flags(g, type, 0, endpoint, items, count, item_size);
}

static inline uint8_t guest_init_at(struct guest *g, uint16_t version,
				    uint64_t addr, uint64_t nonce)
{
	struct virtio_pvdma_init init = {
		.version = htole16(version),
		.nonce_addr = htole64(addr),
		.nonce = htole64(nonce),
	};

	return guest_ask(g, VIRTIO_PVDMA_T_INIT, 0, &init, 1, sizeof(init));
}

/* INIT with the nonce in the first bytes of memory. */
static inline uint8_t guest_init(struct guest *g)
{
	uint64_t nonce = htole64(GUEST_NONCE);

	memcpy(g->mem, &nonce, sizeof(nonce));
	return guest_init_at(g, VIRTIO_PVDMA_VERSION, 0, GUEST_NONCE);
}

static inline uint8_t guest_leaf_at(struct guest *g, uint64_t index,
				    uint64_t addr)
{
	struct virtio_pvdma_leaf leaf = {
		.index = htole64(index),
		.addr = htole64(addr),
	};

	return guest_ask(g, VIRTIO_PVDMA_T_LEAF, 0, &leaf, 1, sizeof(leaf));
}

static inline uint8_t guest_leaf(struct guest *g, uint64_t index)
{
	return guest_leaf_at(g, index,
			     guest_leaves(g) + index * VIRTIO_PVDMA_LEAF_SIZE);
}

static inline uint8_t guest_attach_as(struct guest *g, uint32_t endpoint,
				      uint8_t strategy)
{
	struct virtio_pvdma_attach attach = {
		.dma_mask = htole64(UINT64_MAX),
		.strategy = strategy,
	};

	return guest_ask(g, VIRTIO_PVDMA_T_ATTACH, endpoint, &attach, 1,
			 sizeof(attach));
}

static inline uint8_t guest_attach(struct guest *g, uint32_t endpoint)
{
	return guest_attach_as(g, endpoint, VIRTIO_PVDMA_S_ON_DEMAND);
}

static inline uint8_t guest_detach(struct guest *g, uint32_t endpoint)
{
	return guest_ask(g, VIRTIO_PVDMA_T_DETACH, endpoint, NULL, 0, 0);
}

static inline struct virtio_pvdma_range guest_range(uint64_t first,
						    uint32_t count)
{
	return (struct virtio_pvdma_range){
		.first = htole64(first),
		.count = htole32(count),
	};
}

static inline uint8_t guest_ranges(struct guest *g, uint8_t type,
				   const struct virtio_pvdma_range *ranges,
				   uint16_t n)
{
	return guest_ask(g, type, 0, ranges, n, sizeof(*ranges));
}

static inline uint8_t guest_map(struct guest *g, uint64_t first, uint32_t count)
{
	struct virtio_pvdma_range range = guest_range(first, count);

	return guest_ranges(g, VIRTIO_PVDMA_T_MAP, &range, 1);
}

static inline uint8_t guest_unmap(struct guest *g, uint64_t first,
				  uint32_t count)
{
	struct virtio_pvdma_range range = guest_range(first, count);

	return guest_ranges(g, VIRTIO_PVDMA_T_UNMAP, &range, 1);
}

static inline uint8_t guest_release(struct guest *g, uint64_t first,
				    uint32_t count)
{
	struct virtio_pvdma_range range = guest_range(first, count);

	return guest_ranges(g, VIRTIO_PVDMA_T_RELEASE, &range, 1);
}

static inline uint8_t guest_prefetch_for(struct guest *g, uint64_t first,
					 uint32_t count, uint8_t sample)
{
	struct virtio_pvdma_range range = guest_range(first, count);

	return guest_ask_flags(g, VIRTIO_PVDMA_T_PREFETCH, sample, 0, &range, 1,
			       sizeof(range));
}

static inline uint8_t guest_prefetch(struct guest *g, uint64_t first,
				     uint32_t count)
{
	return guest_prefetch_for(g, first, count, 0);
}

/* Endpoint 0 is there, the driver is up and has registered all leaves. */
static inline void guest_boot(struct guest *g)
{
	uint8_t status;

	if (!g->vm->root->endpoints[0].present) {
		int r = vm_endpoint_add(g->vm, 0);

		assert(r == 0);
		(void)r;
	}
	vm_set_features(g->vm, vm_features(g->vm));
	vm_queues_start(g->vm);
	status = guest_init(g);
	assert(status == VIRTIO_PVDMA_R_OK);
	for (uint64_t i = 0; i < guest_leaf_count(g); i++) {
		status = guest_leaf(g, i);
		assert(status == VIRTIO_PVDMA_R_OK);
	}
	status = guest_attach_as(g, 0,
				 min(g->vm->config.strategy,
				     (uint8_t)VIRTIO_PVDMA_S_ON_DEMAND));
	assert(status == VIRTIO_PVDMA_R_OK);
	(void)status;
}

/* ... and its blocks. */
static inline void guest_boot_blocks(struct guest *g)
{
	for (uint64_t i = 0; i < guest_block_leaf_count(g); i++) {
		uint8_t status = guest_leaf_at(
			g, VIRTIO_PVDMA_LEAF_BLOCKS | i,
			guest_block_leaves(g) + i * VIRTIO_PVDMA_LEAF_SIZE);

		assert(status == VIRTIO_PVDMA_R_OK);
		(void)status;
	}
	g->blocks = true;
}

static inline void guest_work(struct guest *g)
{
	while (vm_work(g->vm))
		;
}

/* Past every deadline. */
#define GUEST_LATE ((uint64_t)1 << 62)

/* All that is due at @now; time passes for nobody but vm_tick(). */
static inline void guest_tick(struct guest *g, uint64_t now)
{
	do {
		g->timer = VM_NEVER;
		vm_tick(g->vm, now);
	} while (g->timer <= now);
}

static inline struct vm_stats guest_stats(const struct guest *g)
{
	struct vm_stats stats;

	vm_get_stats(g->vm, &stats);
	return stats;
}

/* --- what must always be true --- */

static inline bool guest_in_iommu(const struct guest *g, uint64_t granule)
{
	return null_iommu_mapped(g->iommu, granule << g->shift);
}

/*
 * Books against the IOMMU: same bytes, same mappings, extents apart from each
 * other, the policy knows them all. @honest: the guest changed words by the
 * rules, so MAPPED is set only where something is mapped.
 */
static inline void guest_check(const struct guest *g, bool honest)
{
	const struct vm *vm = g->vm;
	uint64_t entries, in_iommu, bytes = 0, pieces = 0, end = 0;
	uint32_t extent, n = 0, kept = 0;

	null_iommu_usage(g->iommu, &entries, &in_iommu);
	while ((extent = ledger_seek(vm->ledger, end)) != LEDGER_NONE) {
		const struct ledger_extent *e = ledger_get(vm->ledger, extent);

		assert(n == 0 || ledger_first(e) >= end);
		assert(e->charge.bytes > 0 && e->pieces > 0);
		assert(!(e->flags & LEDGER_VICTIM));
		end = ledger_end(e);
		bytes += e->charge.bytes;
		pieces += e->pieces;
		kept += (e->flags & LEDGER_KEPT) != 0;
		n++;
	}
	assert(n == ledger_extents(vm->ledger));
	assert(n == vm->root->policy.count);
	assert(kept == vm->root->kept);
	assert(bytes == vm->root->quota.charged && bytes == in_iommu);
	assert(pieces == entries && pieces == ledger_pieces(vm->ledger));
	for (uint64_t i = 0; honest && i < guest_granules(g); i++) {
		if (guest_look(g, i) & VIRTIO_PVDMA_W_MAPPED)
			assert(ledger_find(vm->ledger, i) != LEDGER_NONE);
		/* DEV-TABLE-2 */
		if (g->blocks &&
		    guest_look_block(g, i >> VIRTIO_PVDMA_BLOCK_SHIFT) &
			    VIRTIO_PVDMA_W_MAPPED)
			assert(ledger_find(vm->ledger, i) != LEDGER_NONE);
	}
}

#endif
