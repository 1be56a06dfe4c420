/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm.h - one VM as the data path sees it
 *
 * Owns: memory map, tracking table, ledger, quota, policy, the endpoints'
 * attachment, and the IOMMU backend; that is, all that decides what the
 * devices of the VM can reach. Knows no protocol and no event loop: vfio_user/
 * and vhost/ call in, and hear of consequences through struct vm_notify.
 * Single-threaded.
 *
 * Invariants: the bytes mapped never exceed the quota (strategy direct-map and
 * fallback=direct are charged like everything else), or where it was lowered
 * below what is held never grow; a granule's MAPPED bit is set only while the
 * ledger holds it; the table is written only while queues run.
 */
#ifndef PVDMA_AGENT_VM_H
#define PVDMA_AGENT_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/agent/state.h"
#include "protocol/virtio_pvdma.h"

struct iommu;
struct vm;

#define VM_ENDPOINTS_MAX 64

#define VM_NEVER UINT64_MAX

/* Bytes of a slot in the pool STATE_REGIONS, which vfio_user/ uses. */
#define VM_REGION_SLOT_SIZE 64

enum vm_fallback {
	VM_FALLBACK_DENY,   /* without a driver a device reaches nothing */
	VM_FALLBACK_DIRECT, /* ... everything, if the quota covers it */
};

/* What becomes of what is held above a lowered quota after the deadline. */
enum vm_enforce {
	VM_ENFORCE_WAIT,   /* it stays until it is given up */
	VM_ENFORCE_REVOKE, /* it is unmapped, and devices may fault */
};

struct vm_config {
	uint64_t quota;	       /* bytes; 0: nothing is ever mapped */
	uint64_t enforce_usec; /* the deadline for what is held */
	enum vm_enforce enforce;
	uint8_t granule_shift; /* VIRTIO_PVDMA_GRANULE_SHIFT_MIN..MAX */
	uint8_t strategy;      /* VIRTIO_PVDMA_S_* */
	enum vm_fallback fallback;
	bool ahead;	    /* map ahead of requests where that pays */
	const char *policy; /* name, see policy.h */
	uint16_t num_queues;
	uint16_t max_ranges;
	uint64_t seed; /* of what guests are not to foresee (curve.h) */
	/*
	 * Room in the VM's arena for others (state.h); and the arena of a
	 * process that was killed (owned on success), to go on with: all of the
	 * above is as it was then. -1 or 0: a new one.
	 */
	uint64_t extra_size;
	uint64_t sparse_size;
	int state_fd;
};

/* Called from within vm_*(); must not call back into the VM. */
struct vm_notify {
	/* The configuration space changed: tell the guest. May be NULL. */
	void (*config_changed)(void *userdata);
	/* vm_work() wants to run from the event loop soon. May be NULL. */
	void (*work_pending)(void *userdata);
	/*
	 * vm_tick() wants to run at @when (CLOCK_MONOTONIC, in usec), and not
	 * at the time that was said before; VM_NEVER: not at all. May be NULL.
	 */
	void (*timer)(void *userdata, uint64_t when);
	void *userdata;
};

struct vm_stats {
	uint64_t requests;	       /* all requests */
	uint64_t map_requests;	       /* MAP requests */
	uint64_t map_granules;	       /* granules that MAPs newly mapped */
	uint64_t map_present;	       /* granules asked for, mapped already */
	uint64_t failed_requests;      /* answered other than OK */
	uint64_t failed_quota;	       /* of those, QUOTA */
	uint64_t failed_limit;	       /* of those, LIMIT */
	uint64_t map_waited_evictions; /* MAPs that waited for others to go */
	uint64_t evictions;	       /* extents evicted for room */
	uint64_t evicted_bytes;
	uint64_t evict_busy;  /* candidates that were held */
	uint64_t revocations; /* extents taken while held (enforce=revoke) */
	uint64_t revoked_bytes;
	uint64_t unmaps;     /* extents ended by other causes */
	uint64_t iommu_maps; /* backend calls */
	uint64_t iommu_unmaps;
	uint64_t mapped_bytes;	   /* now */
	uint64_t mapped_peak;	   /* highest so far */
	uint64_t extents;	   /* now */
	uint64_t entries;	   /* of the IOMMU, in use now */
	uint64_t entries_max;	   /* that may be; 0: no limit is known */
	uint64_t ahead_granules;   /* mapped before anybody asked */
	uint64_t ahead_used;	   /* of those judged, used */
	uint64_t hints;		   /* ranges of PREFETCHes */
	uint64_t copies;	   /* that these stand for */
	uint64_t hinted_granules;  /* mapped because of them */
	uint64_t hints_dropped;	   /* mappings that failed or had no place */
	uint64_t leaves;	   /* registered now */
	uint64_t quota;		   /* now */
	uint64_t over_quota_bytes; /* now: mapped above a lowered quota */
	uint64_t resets;	   /* INITs and VM resets */
};

/*
 * Takes ownership of @iommu on success. Returns 0 or a negative errno; what
 * is wrong with @config is logged (-EINVAL).
 */
int vm_new(const struct vm_config *config, struct iommu *iommu,
	   const struct vm_notify *notify, struct vm **ret);
void vm_free(struct vm *vm);

/* How the arena of a VM of this configuration is laid out. */
struct state_layout vm_layout(uint64_t extra_size, uint64_t sparse_size);

/* The arena, and the configuration as it is now. */
struct state *vm_state(struct vm *vm);
const struct vm_config *vm_get_config(const struct vm *vm);
uint64_t vm_quota(const struct vm *vm); /* bytes, as it is now */

/*
 * With config.state_fd: announces memory as it was announced to the process
 * before, in that order; then makes the books anew, and the IOMMU and the table
 * agree with them. Nothing else of the VM may be used before. 0; -EUCLEAN: the
 * state cannot be, which is logged; or another negative errno.
 */
int vm_memory_restore(struct vm *vm, const void *source, uint64_t gpa,
		      uint64_t size, int fd, uint64_t offset, uint32_t prot);
int vm_resume(struct vm *vm);

/* Ends whatever is mapped, known or not: for a state that cannot be resumed. */
int vm_unmap_all(struct iommu *iommu);

/* --- from vfio_user/: what the VMM says of the memory --- */

/* As memory_add() and memory_remove(); mappings in the way end first. */
int vm_memory_add(struct vm *vm, const void *source, uint64_t gpa,
		  uint64_t size, int fd, uint64_t offset, uint32_t prot);
int vm_memory_remove(struct vm *vm, const void *source, uint64_t gpa,
		     uint64_t size);
/*
 * Takes back all that @source announced. 0; or a negative errno, logged: what could
 * not be unmapped stays announced, of a source that must not come again.
 */
int vm_memory_drop(struct vm *vm, const void *source);

/*
 * The VMM reset the VM's own device, or that of an endpoint: with the queues
 * stopped, that is a VM reset, unless it is of one that has just come, or that no
 * driver looks after while there are others.
 */
void vm_device_reset(struct vm *vm);
void vm_endpoint_reset(struct vm *vm, uint32_t endpoint);

/*
 * An endpoint came (its device is ready to be used) or went. 0, or -EEXIST,
 * -ENOSPC; removal of an unknown one is harmless.
 */
int vm_endpoint_add(struct vm *vm, uint32_t endpoint);
void vm_endpoint_remove(struct vm *vm, uint32_t endpoint);

/* Nothing is to be mapped for it, as no driver has attached it. */
bool vm_endpoint_denied(const struct vm *vm, uint32_t endpoint);

/* --- from vhost/: the guest's driver --- */

void vm_config_read(const struct vm *vm, struct virtio_pvdma_config *ret);
uint32_t vm_tag(const struct vm *vm);

/* Feature bits (only VIRTIO_PVDMA_F_*) offered, and those negotiated. */
uint64_t vm_features(const struct vm *vm);
void vm_set_features(struct vm *vm, uint64_t features);

/* The first queue started, the last queue stopped (pause or reset). */
void vm_queues_start(struct vm *vm);
void vm_queues_stop(struct vm *vm);

/*
 * One request: @buf holds the @len bytes that the guest wrote, copied once
 * into memory of ours. @ret_tail is always filled. Lives in request.c.
 */
void vm_request(struct vm *vm, const void *buf, size_t len,
		struct virtio_pvdma_req_tail *ret_tail);

/* The next request may have been served by the process before, whole or not. */
void vm_request_again(struct vm *vm);

/* The bytes that the longest acceptable request has, without the tail. */
size_t vm_request_max(const struct vm *vm);

/* --- from the event loop and control --- */

/* Deferred work (mapping ahead, direct, shrinking); true if more is left. */
bool vm_work(struct vm *vm);

/*
 * With vm_config.ahead: to be called a millisecond after vm_work() worked, and
 * every millisecond as long as it returns true.
 */
bool vm_look(struct vm *vm);

/* What the VM's drivers would lose with another quota, as far as was seen. */
#define VM_CURVE_POINTS 18u

struct vm_curve_point {
	uint64_t quota;	      /* bytes */
	double waits_per_s;   /* requests that wait */
	double cost_us_per_s; /* of those: round trips, maps and unmaps */
};

struct vm_curve {
	uint64_t interval_us; /* seen so long, what is longer ago fading */
	uint64_t quota;	      /* now, in bytes */
	uint64_t mapped_bytes;
	uint64_t held_bytes; /* most in use at once, slowly fading: a floor */
	unsigned int n;
	struct vm_curve_point points[VM_CURVE_POINTS]; /* rising quotas */
};

void vm_get_curve(const struct vm *vm, struct vm_curve *ret);

/*
 * Looks at what is used, for the curve; it is @now (usec of any clock that goes
 * on). Returns when it wants to be called again; before that it does nothing.
 */
uint64_t vm_observe(struct vm *vm, uint64_t now);

struct price;

/* What mapping costs here, instead of what is assumed. */
void vm_set_price(struct vm *vm, const struct price *price);

/*
 * Sets what becomes of mappings after their last use (VIRTIO_PVDMA_S_*). The
 * guest is told; a device keeps what it was attached with until its driver is
 * bound anew, but for the direct mapping, which begins or ends at once.
 */
void vm_set_strategy(struct vm *vm, uint8_t strategy);

/*
 * Sets the quota. Lowering evicts what is idle at once; what is held is asked
 * of the guest, and after the configured deadline, or one of @usec, is taken or
 * waited for, as the configuration says. 0 or negative errno.
 */
int vm_set_quota(struct vm *vm, uint64_t bytes);
int vm_set_quota_within(struct vm *vm, uint64_t bytes, uint64_t usec);

/* The time that struct vm_notify's timer() was told has come: it is @now. */
void vm_tick(struct vm *vm, uint64_t now);

void vm_get_stats(const struct vm *vm, struct vm_stats *ret);

struct trace;

/* Where requests are recorded, see trace.h; as long as the VM lives. */
struct trace *vm_trace(struct vm *vm);

#endif
