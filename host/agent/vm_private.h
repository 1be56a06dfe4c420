/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm_private.h - the inside of struct vm, for the files that make it up
 *
 * vm.c owns it; resume.c, request.c, plan.c, extent.c, reclaim.c, endpoints.c,
 * enforce.c, ahead.c, prefetch.c, observe.c, layout.c, host_limits.c and mode.c
 * work on it. All that changes and matters lies in struct vm_root, in the
 * state's arena; the rest is configuration, or follows from the root and from
 * what the VMM announces.
 */
#ifndef PVDMA_AGENT_VM_PRIVATE_H
#define PVDMA_AGENT_VM_PRIVATE_H

#include "host/agent/ahead.h"
#include "host/agent/decode.h"
#include "host/agent/enforce.h"
#include "host/agent/headroom.h"
#include "host/agent/ledger.h"
#include "host/agent/mode.h"
#include "host/agent/policy/policy.h"
#include "host/agent/prefetch.h"
#include "host/agent/price.h"
#include "host/agent/quota.h"
#include "host/agent/table.h"
#include "host/agent/trace.h"
#include "host/agent/vm.h"

struct curve;
struct iommu;
struct memory;
struct state;

struct vm_endpoint {
	uint32_t id;
	uint8_t present;
	uint8_t attached;
	uint8_t strategy; /* VIRTIO_PVDMA_S_*, that its driver wants */
	uint8_t fresh;	  /* neither reset nor attached since it came */
	uint64_t dma_mask;
};

/* Granules [first, end) are being unmapped. */
struct vm_leaving {
	uint64_t first, end;
	uint32_t valid;
	uint32_t reserved;
};

/* What only a new process asks for. */
struct vm_start {
	struct vm_config config; /* as it is now; no pointers */
	char policy[16];
	uint64_t entries_max;
	struct price price;
	uint32_t has_price;
	uint32_t reserved;
};

struct vm_root {
	struct vm_start start;
	struct vm_leaving leaving;
	struct ledger_root ledger;
	struct table_root table;
	struct quota quota;
	struct mode_root mode;
	struct enforce_root enforce;
	struct ahead ahead;
	struct headroom headroom;
	struct prefetch prefetch;
	struct policy_root policy;
	struct vm_endpoint endpoints[VM_ENDPOINTS_MAX];
	struct vm_stats stats; /* only what counts up */
	uint64_t features;     /* negotiated */
	uint64_t reset_seen;   /* when, in usec; 0: not */
	uint32_t tag;
	uint32_t quota_news;
	uint32_t strategy_news;
	uint32_t endpoint_news;
	uint32_t kept;	 /* extents with LEDGER_KEPT */
	uint8_t running; /* a queue runs */
	uint8_t inited;	 /* INIT was accepted */
	uint8_t reserved[2];
};

/* When it is looked for what is used; see observe.c. */
struct observe {
	uint64_t last, next; /* usec */
	uint32_t wait;	     /* between them */
	uint32_t used;	     /* uses seen since the last look */
	uint64_t usual;	     /* granules of the last requests, fading */
};

struct vm {
	struct vm_config config; /* policy: not used after vm_new() */
	struct vm_notify notify;
	struct iommu *iommu;
	struct memory *memory;
	struct state *state;
	struct vm_root *root;
	unsigned int endpoint_slots; /* to the last one present */
	struct ledger *ledger;
	struct table *table;
	struct policy *policy;
	struct curve *curve; /* not state: a new one learns */
	struct observe observe;
	uint64_t entries_max; /* see host_limits.h */
	struct price price;
	bool again;	    /* see vm_request_again() */
	bool resuming;	    /* until vm_resume() has succeeded */
	struct trace trace; /* of requests, if somebody looks */
	struct decode_limits decode_limits;
	struct request request;	 /* room for the longest */
	struct granules *sorted; /* its ranges, sorted and merged */
};

/* resume.c: what is derived from the state, or a mere memory, begins anew. */
void resume_begin(struct vm *vm);
/* It is given up: closes the books, whatever is in them. */
void resume_abandon(struct vm *vm);

/* vm.c: the same for all that work on a VM */
void vm_notify_work(const struct vm *vm);
void vm_notify_config(const struct vm *vm);

/*
 * May something be mapped that no request asks for? Not where it would be
 * nobody's, where all is mapped or only what is in use, nor above the quota.
 */
bool vm_may_map_more(const struct vm *vm);

/* driver.c */

/*
 * Forgets the driver and what was mapped for it, and writes to no leaf. 0 or a
 * negative errno.
 */
int vm_forget_driver(struct vm *vm);
/* INIT: 0, a verdict, or a negative errno. */
int vm_init(struct vm *vm, const struct request_init *init);
/* The driver showed that it lives: its table may be written again. */
void vm_driver_lives(struct vm *vm);
/* Memory is about to come or go, as it does when a VM is reset. */
void vm_layout_changes(struct vm *vm);

static inline uint8_t vm_shift(const struct vm *vm)
{
	return vm->config.granule_shift;
}

/* CLOCK_MONOTONIC in microseconds. */
uint64_t vm_now(void);

#endif
