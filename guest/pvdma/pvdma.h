/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pvdma.h - the objects of the module and who may call whom
 *
 * A mapping's way goes down the files: dma_ops.c, track.c, batch.c, copying.c,
 * bounce.c, request.c, queue.c; its way back, where the host has a part in it:
 * strict.c, unmap.c, request.c. Around them: virtio.c and session.c (the
 * device's life), config.c, endpoint.c, discover.c and strategy.c (which PCI
 * devices are ours, since when, and how strict), pool.c and reserve.c (memory
 * for copies), memory.c, coherent.c, sysfs.c and debugfs.c.
 *
 * Lock order: device lock of a virtio device (driver core)
 *   > device lock of a PCI device (driver core; BIND and UNBOUND notifiers)
 *   > pvdma_lock
 *   > pvdma_queue.lock, pvdma_track.lock, pvdma_pool.lock,
 *     pvdma_defer.lock (raw, leaves)
 */
#ifndef PVDMA_H
#define PVDMA_H

#include <linux/bits.h>
#include <linux/dma-map-ops.h>
#include <linux/hash.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/memory.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/pci.h>
#include <linux/percpu.h>
#include <linux/virtio.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "batch.h"
#include "encode.h"
#include "pressure.h"
#include "request.h"
#include "strategy.h"
#include "throttle.h"
#include "track.h"
#include "unmap.h"

#if !IS_ENABLED(CONFIG_DMA_OPS) && !IS_ENABLED(CONFIG_ARCH_HAS_DMA_OPS)
#error "pvdma: this kernel does not honour dma_map_ops of a device"
#endif

struct dentry;
struct pvdma_queue;
struct pvdma_pool;

/* What the device said of itself, in our byte order */
struct pvdma_conf {
	u16 version;
	u8 granule_shift;
	u8 strategy;
	u16 num_queues;
	u16 max_ranges;
	u32 vm_tag;
	u64 quota;
	u64 excess;
	u32 deadline_ms;
	u32 quota_news;
	u32 strategy_news;
	u32 endpoint_news;
	u32 num_endpoints;
};

/* Counters of one endpoint, per CPU; counted without atomics, so summed late */
struct pvdma_counters {
	u64 maps;	  /* map_page or map_phys that succeeded */
	u64 mapped_bytes; /* in them, and in lists */
	u64 unmaps;
	u64 sg_maps; /* map_sg that succeeded: one a list */
	u64 sg_unmaps;
	u64 allocs; /* coherent memory and pages */
	u64 frees;
	u64 hits;	    /* granules found mapped */
	u64 misses;	    /* granules asked for */
	u64 bounces;	    /* segments copied */
	u64 bounced_bytes;  /* in them */
	u64 failures;	    /* mappings and allocations refused */
	u64 unmap_failures; /* unmaps that the host may not have done */
};

#define PVDMA_NR_COUNTERS (sizeof(struct pvdma_counters) / sizeof(u64))

/* What an endpoint may copy on a CPU only to save a wait */
struct pvdma_copying {
	struct pvdma_throttle throttle;
	u64 seen; /* counters.mapped_bytes that it has had its share of */
};

/* Counters of the device, per CPU */
struct pvdma_traffic {
	u64 requests; /* all types */
	u64 map_requests;
	u64 unmap_requests;
	u64 prefetch_requests;
	u64 hints_lost; /* too many at once to be sent */
	u64 failed;	/* answered other than OK */
	u64 waits;	/* answers not there at the first look */
	u64 wait_ns;
	u64 left;     /* requests not waited for: a copy did it */
	u64 timeouts; /* requests given up */
	u64 refused;  /* not sent: the device did not answer before */
	u64 late;     /* answers that came after the time-out */
};

#define PVDMA_NR_TRAFFIC (sizeof(struct pvdma_traffic) / sizeof(u64))

/* Pools of memory for copies */
enum pvdma_pool_kind {
	PVDMA_POOL_DMA32,  /* for devices that reach no further */
	PVDMA_POOL_DMA,	   /* likewise */
	PVDMA_POOL_MAPPED, /* mapped for good: reserve.c */
	PVDMA_NR_POOLS,
};

/* The unit of chunks' sizes and places */
#define PVDMA_POOL_UNIT SZ_16K

/* The filter that tells most addresses from those of copies */
#define PVDMA_POOL_FILTER	4096 /* bits, for each pool */
#define PVDMA_POOL_FILTER_WORDS (PVDMA_POOL_FILTER / BITS_PER_LONG)

/* The one device of this VM */
struct pvdma {
	struct virtio_device *vdev;
	struct pvdma_track track;
	bool live;     /* queues run and INIT was accepted */
	u16 max_items; /* of one request */
	unsigned int nr_queues;
	struct pvdma_queue *queue;
	struct pvdma_queue *stalled; /* this one left us waiting */
	struct pvdma_traffic __percpu *traffic;

	u64 ram_last; /* highest address of memory */
	struct pvdma_pool *pool[PVDMA_NR_POOLS];
	/* by hash of a unit: a pool has some of that hash; under their locks */
	unsigned long copies[PVDMA_POOL_FILTER_WORDS][PVDMA_NR_POOLS];
	struct pvdma_pressure pressure;
	bool reserve_short; /* of PVDMA_POOL_MAPPED there was not enough */
	bool reserve_full;  /* and there is no more; written under pvdma_lock */
	unsigned int reserve_retry_ms; /* pvdma_lock */

	struct pvdma_conf conf;	       /* news under pvdma_lock */
	bool open;		       /* takes devices over; pvdma_lock */
	struct list_head endpoints;    /* pvdma_lock */
	struct list_head gone;	       /* gone.c; likewise */
	struct pvdma_counters retired; /* of endpoints gone; pvdma_lock */
	struct work_struct news_work;
	struct delayed_work post_work; /* sends what nobody waits for */
	struct delayed_work reserve_work;
	struct delayed_work gone_work;
	struct notifier_block memory_nb;
	struct device *class_dev;
	struct dentry *debugfs;

	u64 nonce __aligned(8);
};

/* An assigned device that maps through us */
struct pvdma_endpoint {
	struct dma_map_ops ops; /* dev->dma_ops points here */
	struct pvdma *pv;
	struct pci_dev *pdev; /* referenced */
	u32 number;
	u64 reach;	   /* the hit path takes addresses up to this */
	bool bounced;	   /* a mapping was copied once, or more */
	bool strict;	   /* its mappings end with their use: strict.c */
	u8 strategy;	   /* VIRTIO_PVDMA_S_* it is, or was, attached with */
	bool unmap_failed; /* and the log says so */
	struct pvdma_defer defer; /* unmaps that wait */
	struct delayed_work defer_work;
	bool attached;	 /* pvdma_lock, from here on */
	bool unanswered; /* ATTACH was, and may be done by now, or yet */
	bool silenced;	 /* cut off from the bus while we are down */
	bool bound;	 /* a driver is, and we hold the module */
	struct list_head node;
	struct kref ref;
	struct work_struct unbound_work;
	struct dentry *debugfs;
	struct pvdma_counters __percpu *counters;
	struct pvdma_copying __percpu *copying;
};

extern struct mutex pvdma_lock;
extern struct pvdma *pvdma_current; /* pvdma_lock */

static inline struct pvdma_endpoint *pvdma_endpoint_of(struct device *dev)
{
	return container_of(dev->dma_ops, struct pvdma_endpoint, ops);
}

/* A batch for mappings of this endpoint. */
static inline void pvdma_endpoint_batch(struct pvdma_endpoint *ep,
					struct pvdma_batch *b, gfp_t gfp)
{
	pvdma_batch_begin(b, ep->pv, &ep->pv->track, ep->number, gfp);
	b->every = ep->strategy == VIRTIO_PVDMA_S_SINGLE_USE;
}

static inline u32 pvdma_pool_bit(u64 addr)
{
	return hash_64(addr / PVDMA_POOL_UNIT, ilog2(PVDMA_POOL_FILTER));
}

/* May @addr be that of a copy? Not if none was ever made for @ep. */
static inline bool pvdma_may_be_copy(const struct pvdma_endpoint *ep, u64 addr)
{
	const unsigned long *words;
	unsigned long all = 0;
	u32 bit, kind;

	if (likely(!READ_ONCE(ep->bounced)))
		return false;
	bit = pvdma_pool_bit(addr);
	words = ep->pv->copies[BIT_WORD(bit)];
	for (kind = 0; kind < PVDMA_NR_POOLS; kind++)
		all |= READ_ONCE(words[kind]);
	return unlikely(all & BIT_MASK(bit));
}

#define pvdma_count(ep, what, n) this_cpu_add((ep)->counters->what, n)

/* dma_ops.c */
extern const struct dma_map_ops pvdma_dma_ops; /* copied per endpoint */

/* copying.c */
bool pvdma_copying_may(struct pvdma_endpoint *ep, enum dma_data_direction dir,
		       unsigned long attrs);
void pvdma_copying_begin(struct pvdma_endpoint *ep, struct pvdma_batch *b);
bool pvdma_copying_wishes(struct pvdma_endpoint *ep,
			  const struct pvdma_batch *b, size_t bytes,
			  enum dma_data_direction dir, unsigned long attrs);
void pvdma_copying_refused(struct pvdma_endpoint *ep);
void pvdma_copying_done(struct pvdma_endpoint *ep, u64 first, u64 last);
void pvdma_copying_short(struct pvdma_endpoint *ep, size_t size);

/* strict.c */
int pvdma_strict_module_init(void);
void pvdma_strict_module_exit(void);
int pvdma_strict_init(struct pvdma_endpoint *ep);
void pvdma_strict_done(struct pvdma_endpoint *ep);
int pvdma_strict_choose(struct pvdma_endpoint *ep, u8 strategy);
void pvdma_strict_settle(struct pvdma_endpoint *ep);
void pvdma_strict_drop(struct pvdma_endpoint *ep, u64 addr, size_t size);
void pvdma_strict_undo(struct pvdma_endpoint *ep, u64 addr, size_t size);
void pvdma_strict_undo_sg(struct pvdma_endpoint *ep, struct scatterlist *sgl,
			  int n);

/* queue.c */
int pvdma_queue_setup(struct pvdma *pv, struct virtqueue **vqs);
void pvdma_queue_start(struct pvdma *pv);
void pvdma_queue_stop(struct pvdma *pv);
void pvdma_queue_reclaim(struct pvdma *pv);
void pvdma_queue_free(struct pvdma *pv);

/* request.c */
void pvdma_request_hint(struct pvdma *pv, u32 endpoint, u8 sample, u64 first,
			u64 last);
void pvdma_request_post_all(struct work_struct *work);

/* session.c */
int pvdma_session_init(struct pvdma *pv);
int pvdma_session_attach(struct pvdma *pv, u32 endpoint, u64 mask, u8 strategy);
int pvdma_session_detach(struct pvdma *pv, u32 endpoint);

/* endpoint.c */
int pvdma_endpoint_module_init(void);
void pvdma_endpoint_module_exit(void);
void pvdma_endpoint_scan(struct pvdma *pv);
int pvdma_endpoint_rebind(struct pvdma *pv, const char *name);
bool pvdma_endpoint_reattach(struct pvdma *pv, u32 *number);
void pvdma_endpoint_quiesce(struct pvdma *pv);
void pvdma_endpoint_release_dma(struct pvdma *pv);
void pvdma_endpoint_drop_all(struct pvdma *pv);
void pvdma_endpoint_sum(struct pvdma_endpoint *ep, struct pvdma_counters *sum);
u64 pvdma_endpoint_live(struct pvdma_endpoint *ep);
void pvdma_endpoint_release(struct pvdma_endpoint *ep);

/* gone.c */
bool pvdma_gone_keep(struct pvdma_endpoint *ep);
void pvdma_gone_review(struct work_struct *work);
void pvdma_gone_end(struct pvdma *pv);

/* coherent.c */
void *pvdma_coherent_alloc(struct device *dev, size_t size, dma_addr_t *handle,
			   gfp_t gfp, unsigned long attrs);
void pvdma_coherent_free(struct device *dev, size_t size, void *vaddr,
			 dma_addr_t handle, unsigned long attrs);
struct page *pvdma_coherent_alloc_pages(struct device *dev, size_t size,
					dma_addr_t *handle,
					enum dma_data_direction dir, gfp_t gfp);
void pvdma_coherent_free_pages(struct device *dev, size_t size,
			       struct page *page, dma_addr_t handle,
			       enum dma_data_direction dir);
int pvdma_coherent_mmap(struct device *dev, struct vm_area_struct *vma,
			void *vaddr, dma_addr_t handle, size_t size,
			unsigned long attrs);
int pvdma_coherent_get_sgtable(struct device *dev, struct sg_table *sgt,
			       void *vaddr, dma_addr_t handle, size_t size,
			       unsigned long attrs);

/* bounce.c */
bool pvdma_bounce_prepare(struct pvdma_endpoint *ep, u64 mask);
dma_addr_t pvdma_bounce_map(struct pvdma_endpoint *ep, phys_addr_t phys,
			    size_t size);
dma_addr_t pvdma_bounce_map_spare(struct pvdma_endpoint *ep, phys_addr_t phys,
				  size_t size, enum dma_data_direction dir);
void pvdma_bounce_unmap(struct pvdma_endpoint *ep, dma_addr_t addr, size_t size,
			enum dma_data_direction dir, unsigned long attrs,
			bool done);
void pvdma_bounce_sync(struct pvdma_endpoint *ep, dma_addr_t addr, size_t size,
		       enum dma_data_direction dir, bool to_device);
size_t pvdma_bounce_max_size(struct device *dev);

/* pool.c */
u64 pvdma_pool_shrink(struct pvdma *pv, enum pvdma_pool_kind kind, u64 keep);
u64 pvdma_pool_reached(struct pvdma *pv, enum pvdma_pool_kind kind);
u64 pvdma_pool_bytes(struct pvdma *pv, enum pvdma_pool_kind kind);
int pvdma_pool_add_mapped(struct pvdma_endpoint *ep, size_t bytes);
bool pvdma_pool_has_spare(struct pvdma *pv);
void pvdma_pool_free(struct pvdma *pv);
void pvdma_pool_stats(struct pvdma *pv, u64 *bytes, u64 *used);

/* reserve.c */
u32 pvdma_reserve_patience(struct pvdma *pv);
void pvdma_reserve_open(struct pvdma *pv);
void pvdma_reserve_short(struct pvdma *pv);
void pvdma_reserve_later(struct pvdma *pv);
void pvdma_reserve_renew(struct pvdma *pv);
void pvdma_reserve_review(struct work_struct *work);
void pvdma_reserve_close(struct pvdma *pv);

/* memory.c */
u64 pvdma_memory_last(void);
int pvdma_memory_start(struct pvdma *pv);
void pvdma_memory_stop(struct pvdma *pv);

/* config.c */
int pvdma_config_get(struct virtio_device *vdev, struct pvdma_conf *conf);
void pvdma_config_news(struct work_struct *work);

/* virtio.c */
void pvdma_traffic_sum(struct pvdma *pv, struct pvdma_traffic *sum);

/* sysfs.c */
const struct attribute_group **pvdma_sysfs_attributes(void);

/* debugfs.c */
void pvdma_debugfs_init(void);
void pvdma_debugfs_exit(void);
void pvdma_debugfs_add(struct pvdma *pv);
void pvdma_debugfs_remove(struct pvdma *pv);
void pvdma_debugfs_add_endpoint(struct pvdma_endpoint *ep);
void pvdma_debugfs_remove_endpoint(struct pvdma_endpoint *ep);

#endif
