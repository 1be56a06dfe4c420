// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * guest.c - a guest that maps as guest/pvdma/dma_ops.c does
 *
 * Owns the guest's memory: a sparse memfd in which the traced addresses lie as
 * they did when they were recorded, and above them the pages that the driver
 * itself needs (leaves and the nonce). Owns the one request slot. The module's
 * code finds us through struct pvdma, which is ours to define here. One guest
 * at a time, and one thread: see guest_env.h.
 */
#include "host/sim/guest_env.h"

#include "host/sim/guest.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest/pvdma/batch.h"
#include "guest/pvdma/encode.h"
#include "guest/pvdma/request.h"
#include "guest/pvdma/track.h"
#include "guest/pvdma/unmap.h"
#include "host/agent/vm.h"
#include "host/lib/cleanup.h"
#include "host/lib/log.h"

#define ENDPOINT 1u
#define NONCE	 UINT64_C(0x7076646d612d7369)

/* The module's view of its device. */
struct pvdma {
	struct pvdma_slot slot;
	bool taken; /* the slot */
	struct vm *vm;
	struct sim_guest_stats stats;
};

struct sim_guest {
	struct pvdma pv;
	struct pvdma_track track;
	bool tracks;
	int fd;
	uint8_t *mem;
	uint64_t size;
	uint64_t next_page; /* the first one not given out */
	uint8_t strategy;
	struct pvdma_defer defer;
	uint64_t now_us;
	uint64_t due_us; /* what waits is sent; 0: nothing waits */
};

/* The guest whose memory get_zeroed_page() gives out. */
static struct sim_guest *current;

unsigned long get_zeroed_page(gfp_t gfp)
{
	uint64_t page = current->next_page;

	(void)gfp;
	if (page + PAGE_SIZE > current->size)
		return 0;
	current->next_page += PAGE_SIZE;
	return (unsigned long)(current->mem + page);
}

void free_page(unsigned long page)
{
	(void)page; /* with the whole memory */
}

u64 virt_to_phys(const volatile void *addr)
{
	return (u64)((const volatile uint8_t *)addr - current->mem);
}

/* --- the queue: in place of guest/pvdma/request.c --- */

struct pvdma_slot *pvdma_request_get(struct pvdma *pv)
{
	assert(!pv->taken);
	pv->taken = true;
	return &pv->slot;
}

void pvdma_request_put(struct pvdma_slot *slot)
{
	struct pvdma *pv = container_of(slot, struct pvdma, slot);

	pv->taken = false;
}

static int send(struct pvdma *pv, struct pvdma_msg *msg)
{
	vm_request(pv->vm, &msg->head, pvdma_encode_bytes(msg), &msg->tail);
	return pvdma_encode_result(msg, sizeof(msg->tail));
}

int pvdma_request_run(struct pvdma_slot *slot)
{
	struct pvdma *pv = container_of(slot, struct pvdma, slot);
	int err = 0;

	pv->stats.kicks++;
	if (pvdma_encode_count(slot->leaf))
		err = send(pv, slot->leaf);
	if (err)
		return err;
	if (slot->main->head.type == VIRTIO_PVDMA_T_MAP)
		pv->stats.requests++;
	return send(pv, slot->main);
}

/* --- life --- */

static int make_slot(struct pvdma_slot *slot)
{
	slot->main = calloc(1, PAGE_SIZE);
	slot->leaf = calloc(1, PAGE_SIZE);
	slot->max_leaves = PVDMA_SLOT_LEAVES;
	return slot->main && slot->leaf ? 0 : -ENOMEM;
}

static int make_memory(struct sim_guest *guest, uint64_t top,
		       unsigned int shift)
{
	uint64_t granule = UINT64_C(1) << shift;
	/* a leaf for each 1024 granules, also those of the leaves, the nonce */
	uint64_t leaves = (top >> shift >> VIRTIO_PVDMA_LEAF_SHIFT) + 4;

	leaves += (leaves >> VIRTIO_PVDMA_BLOCK_SHIFT) + 1;
	leaves += leaves * PAGE_SIZE >> shift >> VIRTIO_PVDMA_LEAF_SHIFT;
	guest->next_page = top;
	guest->size = top + align_up((leaves + 1) * PAGE_SIZE, granule);
	guest->fd = memfd_create("pvdma-sim-guest", MFD_CLOEXEC);
	if (guest->fd < 0 || ftruncate(guest->fd, (off_t)guest->size) < 0)
		return -errno;
	guest->mem = mmap(NULL, guest->size, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_NORESERVE, guest->fd, 0);
	if (guest->mem == MAP_FAILED) {
		guest->mem = NULL;
		return -errno;
	}
	return 0;
}

int sim_guest_new(uint64_t top, unsigned int shift, struct sim_guest **ret)
{
	struct sim_guest *guest = calloc(1, sizeof(*guest));
	int r;

	if (!guest)
		return -ENOMEM;
	guest->fd = -EBADF;
	r = make_slot(&guest->pv.slot);
	if (!r)
		r = make_memory(guest, top, shift);
	current = guest;
	if (!r)
		r = pvdma_track_init(&guest->track, shift, guest->size);
	guest->tracks = r == 0;
	if (r)
		sim_guest_free(guest);
	else
		*ret = guest;
	return r;
}

void sim_guest_free(struct sim_guest *guest)
{
	if (!guest)
		return;
	if (guest->tracks)
		pvdma_track_done(&guest->track);
	if (guest->mem)
		(void)munmap(guest->mem, guest->size);
	close_fd(guest->fd);
	free(guest->pv.slot.main);
	free(guest->pv.slot.leaf);
	free(guest->defer.msg);
	if (current == guest)
		current = NULL;
	free(guest);
}

int sim_guest_fd(const struct sim_guest *guest)
{
	return guest->fd;
}

uint64_t sim_guest_size(const struct sim_guest *guest)
{
	return guest->size;
}

static int start_request(struct sim_guest *guest, const char *what)
{
	int r = send(&guest->pv, guest->pv.slot.main);

	if (!r)
		return 0;
	log_err("the agent refuses %s with status %u", what,
		guest->pv.slot.main->tail.status);
	return -EIO;
}

int sim_guest_start(struct sim_guest *guest, struct vm *vm, uint16_t max_ranges,
		    uint8_t strategy)
{
	struct pvdma_msg *msg = guest->pv.slot.main;
	uint64_t nonce = htole64(NONCE);
	uint64_t page = guest->next_page;
	void *waiting = calloc(1, PAGE_SIZE);
	int r;

	if (!waiting)
		return -ENOMEM;
	guest->next_page += PAGE_SIZE;
	memcpy(guest->mem + page, &nonce, sizeof(nonce));
	guest->pv.vm = vm;
	guest->pv.slot.max_items =
		(u16)min((size_t)max_ranges, (size_t)PVDMA_MSG_ITEMS);
	guest->strategy = strategy;
	pvdma_defer_init(&guest->defer, waiting, guest->pv.slot.max_items,
			 ENDPOINT);
	pvdma_encode_begin(msg, VIRTIO_PVDMA_T_INIT, 0);
	pvdma_encode_init(msg, page, NONCE);
	r = start_request(guest, "INIT");
	if (r)
		return r;
	pvdma_encode_begin(msg, VIRTIO_PVDMA_T_ATTACH, ENDPOINT);
	pvdma_encode_attach(msg, UINT64_MAX, strategy);
	return start_request(guest, "ATTACH");
}

/* --- mapping --- */

static void drop(struct sim_guest *guest, const struct trace_segment *segments,
		 uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		pvdma_track_release(&guest->track, segments[i].addr,
				    segments[i].len);
}

static void flush(struct sim_guest *guest)
{
	(void)pvdma_defer_flush(&guest->defer, &guest->pv, ENDPOINT);
	guest->due_us = 0;
}

void sim_guest_tick(struct sim_guest *guest, uint64_t now_us)
{
	guest->now_us = now_us;
	if (guest->due_us && now_us >= guest->due_us)
		flush(guest);
}

static void unmap_begin(struct sim_guest *guest, struct pvdma_unmap *u)
{
	pvdma_unmap_begin(u, &guest->pv, &guest->track, ENDPOINT);
	u->every = guest->strategy == VIRTIO_PVDMA_S_SINGLE_USE;
	if (guest->strategy == VIRTIO_PVDMA_S_DEFERRED)
		u->defer = &guest->defer;
}

static void unmap_end(struct sim_guest *guest, struct pvdma_unmap *u)
{
	(void)pvdma_unmap_end(u);
	if (guest->defer.calls >= SIM_GUEST_DEFER_UNMAPS)
		flush(guest);
	else if (guest->defer.calls && !guest->due_us)
		guest->due_us = guest->now_us + SIM_GUEST_DEFER_US;
}

/* What a map call that failed has left mapped. */
static void undo(struct sim_guest *guest, const struct trace_segment *segments,
		 uint32_t n)
{
	struct pvdma_unmap u;

	if (!VIRTIO_PVDMA_S_IS_STRICT(guest->strategy))
		return;
	unmap_begin(guest, &u);
	for (uint32_t i = 0; i < n; i++)
		pvdma_unmap_name(&u, segments[i].addr, segments[i].len);
	unmap_end(guest, &u);
}

int sim_guest_map(struct sim_guest *guest, const struct trace_segment *segments,
		  uint32_t n, bool *ret_missed)
{
	struct pvdma_batch b;
	uint32_t held = 0;
	int err = 0;

	pvdma_batch_begin(&b, &guest->pv, &guest->track, ENDPOINT, GFP_ATOMIC);
	b.every = guest->strategy == VIRTIO_PVDMA_S_SINGLE_USE;
	while (held < n && !err) {
		err = pvdma_batch_hold(&b, segments[held].addr,
				       segments[held].len);
		held += !err;
	}
	if (!err)
		err = pvdma_batch_end(&b);
	if (err) {
		pvdma_batch_cancel(&b);
		drop(guest, segments, held);
		undo(guest, segments, n);
	}
	*ret_missed = b.misses || err;
	return err;
}

void sim_guest_unmap(struct sim_guest *guest,
		     const struct trace_segment *segments, uint32_t n)
{
	struct pvdma_unmap u;

	if (!VIRTIO_PVDMA_S_IS_STRICT(guest->strategy)) {
		drop(guest, segments, n);
		return;
	}
	unmap_begin(guest, &u);
	for (uint32_t i = 0; i < n; i++)
		pvdma_unmap_drop(&u, segments[i].addr, segments[i].len);
	unmap_end(guest, &u);
}

bool sim_guest_holds(const struct sim_guest *guest, uint64_t granule)
{
	return pvdma_track_held(&guest->track, granule);
}

void sim_guest_get_stats(const struct sim_guest *guest,
			 struct sim_guest_stats *ret)
{
	*ret = guest->pv.stats;
}
