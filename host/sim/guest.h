/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest.h - a guest that maps as guest/pvdma/dma_ops.c does
 *
 * The tracking table, the batches, the requests, and the books of what is copied
 * are the module's own code; what stands here is the thin layer around it, and a
 * queue that is a call of the agent's vm_request().
 */
#ifndef PVDMA_SIM_GUEST_H
#define PVDMA_SIM_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/sim/trace.h"

/* As parameters defer_unmaps and defer_ms of the module, in their defaults. */
#define SIM_GUEST_DEFER_UNMAPS 250u
#define SIM_GUEST_DEFER_US     10000u

/* Bytes of the pool of copies, at most. It grows as the module's, and stays. */
#define SIM_GUEST_POOL_MAX UINT64_C(0x800000)
/* Hints that wait so long for a request to go with are sent by themselves. */
#define SIM_GUEST_HINTS_US 10000u

struct sim_guest;
struct vm;

struct sim_guest_stats {
	uint64_t kicks;		/* round trips: a LEAF goes with its MAP */
	uint64_t requests;	/* MAP requests */
	uint64_t posts;		/* kicks for PREFETCHes, without a wait */
	uint64_t bounced_bytes; /* of segments that were copied */
	uint64_t copied_bytes;	/* for that, in and out */
};

/* A map call of the trace, and the unmap that ends it. */
struct sim_guest_call {
	const struct trace_segment *segments;
	uint32_t n;
	uint64_t index;	  /* of the first segment in the trace */
	uint8_t kind;	  /* enum trace_kind */
	uint8_t dir;	  /* enum trace_dir */
	bool keeps_pages; /* copies must have the same offset in a page */
};

/*
 * A guest whose memory ends at @top, a multiple of the granule; its own pages
 * lie above. 0, -ENOMEM, or the errno of memfd_create() or mmap().
 */
int sim_guest_new(uint64_t top, unsigned int shift, struct sim_guest **ret);
/* Takes NULL. The VM is done with its memory. */
void sim_guest_free(struct sim_guest *guest);

/* The memory: a memfd, which stays the guest's, and its size in bytes. */
int sim_guest_fd(const struct sim_guest *guest);
uint64_t sim_guest_size(const struct sim_guest *guest);

/*
 * Starts the driver: INIT and ATTACH of endpoint 1 with @strategy
 * (VIRTIO_PVDMA_S_*), with requests of at most @max_ranges items. 0, or -EIO
 * where the agent refuses (logged).
 */
int sim_guest_start(struct sim_guest *guest, struct vm *vm, uint16_t max_ranges,
		    uint8_t strategy);

/*
 * After the start: room for the copies of a trace with so many @segments, in a
 * pool of the size that the module makes under @quota, but at most @most bytes,
 * which is mapped and held from now on. No pool: 0, or a strict endpoint. 0,
 * -ENOMEM, or the error of the request that maps it.
 */
int sim_guest_prepare(struct sim_guest *guest, uint64_t quota, uint64_t most,
		      size_t segments);

/* It is @now_us: unmaps, and hints, that have waited long enough are sent. */
void sim_guest_tick(struct sim_guest *guest, uint64_t now_us);

/*
 * One map call. 0, with *@ret_missed set where something had to be asked for;
 * -ENOMEM where the agent had no room, nor the pool; or another errno.
 */
int sim_guest_map(struct sim_guest *guest, const struct sim_guest_call *call,
		  bool *ret_missed);
void sim_guest_unmap(struct sim_guest *guest,
		     const struct sim_guest_call *call);

/* Is this granule in use? */
bool sim_guest_holds(const struct sim_guest *guest, uint64_t granule);

void sim_guest_get_stats(const struct sim_guest *guest,
			 struct sim_guest_stats *ret);

#endif
