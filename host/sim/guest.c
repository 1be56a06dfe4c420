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
#include "guest/pvdma/hints.h"
#include "guest/pvdma/pressure.h"
#include "guest/pvdma/request.h"
#include "guest/pvdma/reserve.h"
#include "guest/pvdma/throttle.h"
#include "guest/pvdma/track.h"
#include "guest/pvdma/unmap.h"
#include "host/agent/vm.h"
#include "host/lib/cleanup.h"
#include "host/lib/log.h"
#include "host/sim/pool.h"

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
	bool copies;	 /* there is a pool */
	struct sim_pool pool;
	uint64_t pool_most;
	bool pool_short; /* it is to grow */
	uint64_t quota;
	struct pvdma_throttle throttle;
	struct pvdma_pressure pressure;
	uint64_t *copy; /* by segment of the trace: where its copy is, or 0 */
	struct pvdma_hints hints;
	struct pvdma_msg *post; /* room for a PREFETCH */
	uint64_t hints_due_us;
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

/* Sends the hints that there are, alone or with a request that takes a kick. */
static void post_hints(struct sim_guest *guest, bool alone)
{
	if (!guest->hints.n)
		return;
	pvdma_hints_encode(&guest->hints, guest->post);
	(void)send(&guest->pv, guest->post);
	guest->pv.stats.posts += alone;
}

int pvdma_request_run(struct pvdma_slot *slot)
{
	struct pvdma *pv = container_of(slot, struct pvdma, slot);
	int err = 0;

	pv->stats.kicks++;
	post_hints(container_of(pv, struct sim_guest, pv), false);
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

	leaves += SIM_GUEST_POOL_MAX >> shift >> VIRTIO_PVDMA_LEAF_SHIFT;
	leaves += (leaves >> VIRTIO_PVDMA_BLOCK_SHIFT) + 1;
	leaves += leaves * PAGE_SIZE >> shift >> VIRTIO_PVDMA_LEAF_SHIFT;
	guest->next_page = top;
	guest->size = top + align_up((leaves + 1) * PAGE_SIZE, granule) +
		      align_up(SIM_GUEST_POOL_MAX, granule) + granule;
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
	guest->post = calloc(1, PAGE_SIZE);
	if (!guest->post)
		r = -ENOMEM;
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
	sim_pool_done(&guest->pool);
	free(guest->copy);
	free(guest->post);
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
	guest->hints.max = min((u32)max_ranges, (u32)PVDMA_HINTS_MAX);
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

/* Ends the mapping of segments, copied or not. */
static void drop(struct sim_guest *guest, const struct sim_guest_call *call,
		 uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct trace_segment *s = &call->segments[i];
		uint64_t *copy = &guest->copy[call->index + i];

		if (*copy)
			sim_pool_give(&guest->pool, *copy);
		else
			pvdma_track_release(&guest->track, s->addr, s->len);
		*copy = 0;
	}
}

static bool scarce(const struct sim_guest *guest)
{
	return pvdma_pressed(&guest->pressure);
}

static void hint(struct sim_guest *guest, uint64_t first, uint64_t last)
{
	uint8_t sample = scarce(guest) ? PVDMA_THROTTLE_TELL_SHIFT : 0;

	if (!guest->hints.n)
		guest->hints_due_us = guest->now_us + SIM_GUEST_HINTS_US;
	if (!pvdma_hints_add(&guest->hints, ENDPOINT, sample, first, last)) {
		post_hints(guest, true);
		(void)pvdma_hints_add(&guest->hints, ENDPOINT, sample, first,
				      last);
	}
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
	if (guest->hints.n && now_us >= guest->hints_due_us)
		post_hints(guest, true);
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
static void undo(struct sim_guest *guest, const struct sim_guest_call *call)
{
	struct pvdma_unmap u;

	if (!VIRTIO_PVDMA_S_IS_STRICT(guest->strategy))
		return;
	unmap_begin(guest, &u);
	for (uint32_t i = 0; i < call->n; i++)
		pvdma_unmap_name(&u, call->segments[i].addr,
				 call->segments[i].len);
	unmap_end(guest, &u);
}

/* Room for a copy of a segment, as pvdma_bounce_map_spare() looks for it. */
static bool take_slots(struct sim_guest *guest,
		       const struct sim_guest_call *call, uint32_t i)
{
	const struct trace_segment *s = &call->segments[i];
	bool page = call->keeps_pages || s->len >= PAGE_SIZE;

	return sim_pool_take(&guest->pool, s->addr, s->len,
			     page ? PAGE_SIZE - 1 : PVDMA_SLOT_BYTES - 1,
			     call->dir == TRACE_TO_DEVICE ? PVDMA_SLOT_SEND :
							    PVDMA_SLOT_RECEIVE,
			     &guest->copy[call->index + i]);
}

/* Holds a segment if it is mapped, or copies it; false: there is no room. */
static bool hold_or_copy(struct sim_guest *guest,
			 const struct sim_guest_call *call, uint32_t i)
{
	const struct trace_segment *s = &call->segments[i];
	uint64_t first = pvdma_track_granule(&guest->track, s->addr);
	uint64_t last = pvdma_track_last(&guest->track, s->addr, s->len);

	if (pvdma_track_try(&guest->track, first, last))
		return true;
	if (!take_slots(guest, call, i)) {
		guest->pool_short |= s->len <= PVDMA_THROTTLE_SCARCE_SIZE &&
				     scarce(guest);
		return false;
	}
	guest->pv.stats.bounced_bytes += s->len;
	/* in, and back out where the device may have written */
	guest->pv.stats.copied_bytes +=
		s->len * (call->dir == TRACE_TO_DEVICE ? 1 : 2);
	if (pvdma_throttle_tells(&guest->throttle, scarce(guest)))
		hint(guest, first, last);
	return true;
}

/* A call without a request: what is mapped is held, the rest copied. */
static bool map_copying(struct sim_guest *guest,
			const struct sim_guest_call *call)
{
	for (uint32_t i = 0; i < call->n; i++)
		if (!hold_or_copy(guest, call, i)) {
			drop(guest, call, i);
			return false;
		}
	return true;
}

static bool are_mapped(struct sim_guest *guest, uint64_t first, uint64_t last)
{
	if (!pvdma_track_try(&guest->track, first, last))
		return false;
	pvdma_track_drop(&guest->track, first, last);
	return true;
}

static bool is_mapped(struct sim_guest *guest, const struct trace_segment *s)
{
	return are_mapped(guest, pvdma_track_granule(&guest->track, s->addr),
			  pvdma_track_last(&guest->track, s->addr, s->len));
}

/* Bytes of a segment that the host was asked for before. */
static uint64_t missed_again(struct sim_guest *guest,
			     const struct trace_segment *s)
{
	uint64_t g = pvdma_track_granule(&guest->track, s->addr);
	uint64_t last = pvdma_track_last(&guest->track, s->addr, s->len);
	uint64_t again = 0;

	for (; g <= last; g++)
		if (!are_mapped(guest, g, g))
			again += pvdma_pressure_missed(&guest->pressure, g, 1,
						       guest->track.shift);
	return again;
}

/* May what is missing be copied to save a wait? */
static bool may_copy(struct sim_guest *guest, const struct sim_guest_call *call)
{
	uint64_t missing = 0, bytes = 0, again = 0;

	/* what stays mapped for long is copied at each sync */
	if (!guest->copies || call->kind == TRACE_COHERENT ||
	    call->kind == TRACE_POOL)
		return false;
	for (uint32_t i = 0; i < call->n; i++) {
		const struct trace_segment *s = &call->segments[i];

		bytes += s->len;
		if (is_mapped(guest, s))
			continue;
		missing += s->len;
		again += missed_again(guest, s);
	}
	pvdma_throttle_earn(&guest->throttle, bytes);
	pvdma_pressure_note(&guest->pressure, bytes, again);
	return !missing ||
	       (call->dir != TRACE_BIDIRECTIONAL &&
		pvdma_throttle_spend(&guest->throttle, missing, scarce(guest)));
}

static int map_asking(struct sim_guest *guest,
		      const struct sim_guest_call *call, bool *ret_missed)
{
	struct pvdma_batch b;
	uint32_t held = 0;
	int err = 0;

	pvdma_batch_begin(&b, &guest->pv, &guest->track, ENDPOINT, GFP_ATOMIC);
	b.every = guest->strategy == VIRTIO_PVDMA_S_SINGLE_USE;
	b.asked = guest->copies ? &guest->pressure : NULL;
	while (held < call->n && !err) {
		err = pvdma_batch_hold(&b, call->segments[held].addr,
				       call->segments[held].len);
		held += !err;
	}
	if (!err)
		err = pvdma_batch_end(&b);
	if (err) {
		pvdma_batch_cancel(&b);
		drop(guest, call, held);
		undo(guest, call);
	}
	*ret_missed = b.misses || err;
	return err;
}

/* Maps @bytes for good, and adds them to the pool. */
static int add_pool(struct sim_guest *guest, uint64_t bytes)
{
	uint64_t at = guest->pool.base + guest->pool.bytes;
	struct pvdma_batch b;
	int r;

	pvdma_batch_begin(&b, &guest->pv, &guest->track, ENDPOINT, GFP_KERNEL);
	r = pvdma_batch_hold(&b, at, bytes);
	if (r)
		return r;
	r = pvdma_batch_end(&b);
	if (!r)
		r = sim_pool_add(&guest->pool, bytes);
	if (r)
		pvdma_track_release(&guest->track, at, bytes);
	return r;
}

/* As the module's work does it, only at once. */
static void grow_pool(struct sim_guest *guest)
{
	uint64_t more = pvdma_reserve_more(guest->quota, guest->pool.bytes);

	guest->pool_short = false;
	if (more && guest->pool.bytes + more <= guest->pool_most)
		(void)add_pool(guest, more);
}

int sim_guest_map(struct sim_guest *guest, const struct sim_guest_call *call,
		  bool *ret_missed)
{
	int err;

	*ret_missed = false;
	if (guest->pool_short)
		grow_pool(guest);
	if (may_copy(guest, call) && map_copying(guest, call))
		return 0;
	err = map_asking(guest, call, ret_missed);
	if (err == -ENOMEM)
		pvdma_throttle_refused(&guest->throttle);
	/* instead of failing; what both look at has no second place */
	if (err == -ENOMEM && guest->copies && call->kind != TRACE_COHERENT &&
	    call->dir != TRACE_BIDIRECTIONAL && map_copying(guest, call))
		return 0;
	return err;
}

void sim_guest_unmap(struct sim_guest *guest, const struct sim_guest_call *call)
{
	struct pvdma_unmap u;

	if (!VIRTIO_PVDMA_S_IS_STRICT(guest->strategy)) {
		drop(guest, call, call->n);
		return;
	}
	unmap_begin(guest, &u);
	for (uint32_t i = 0; i < call->n; i++)
		pvdma_unmap_drop(&u, call->segments[i].addr,
				 call->segments[i].len);
	unmap_end(guest, &u);
}

int sim_guest_prepare(struct sim_guest *guest, uint64_t quota, uint64_t most,
		      size_t segments)
{
	uint64_t pool;
	int r;

	guest->copy = calloc(segments + 1, sizeof(*guest->copy));
	if (!guest->copy)
		return -ENOMEM;
	guest->quota = quota;
	pvdma_pressure_scale(&guest->pressure, quota, guest->track.shift);
	guest->pool_most = min(most, SIM_GUEST_POOL_MAX);
	pool = min(guest->pool_most,
		   pvdma_reserve_auto(quota, guest->track.shift));
	if (!pool || VIRTIO_PVDMA_S_IS_STRICT(guest->strategy))
		return 0;
	guest->pool.base =
		align_up(guest->next_page, UINT64_C(1) << guest->track.shift);
	guest->next_page = guest->pool.base + guest->pool_most;
	pvdma_throttle_init(&guest->throttle);
	r = add_pool(guest, pool);
	guest->copies = !r;
	return r;
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
