/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kernel.h - a kernel in which the guest's module runs in a test
 *
 * pvdma_env.h plays what the module's logic needs; this is what its files need
 * that talk to drivers and to the virtqueues (the headers below linux/ are links
 * to it). One CPU, one thread. Time stands still but while somebody waits:
 * cpu_relax() lets a microsecond pass and then the host do what it likes
 * (kernel_host). Physical memory is one mapping that begins at 0.
 */
#ifndef PVDMA_TEST_KERNEL_H
#define PVDMA_TEST_KERNEL_H

#include <assert.h>

#include "tests/unit/guest/pvdma_env.h"

typedef u64 dma_addr_t;
typedef u64 phys_addr_t;

#define CONFIG_DMA_OPS	      1
#define CONFIG_MEMORY_HOTPLUG 1
#define CONFIG_ZONE_DMA	      1
#define IS_ENABLED(c)	      (c)

#define PVDMA_HAVE_MAP_PHYS
#define PVDMA_HAVE_ALLOC_PAGES_OP
#define PVDMA_HAVE_USE_DMA_IOMMU
#define PVDMA_HAVE_RESET_NEED_SYNC

/* --- the test's side of it --- */

/* Memory up to @bytes; its first @low are for alloc_pages_exact(). */
void kernel_start(u64 bytes, u64 low);
/* Nothing that was allocated is left, and nothing is disabled. */
void kernel_stop(void);

extern u64 kernel_now;		  /* ns */
extern void (*kernel_host)(void); /* called while somebody waits, or kicks */
extern unsigned int kernel_messages;
extern unsigned int kernel_preempt; /* how often it is off */
extern u64 kernel_pages;	    /* bytes of alloc_pages_exact() in use */

/* Sets a parameter of the module. */
#define KERNEL_SET(type, name, value)               \
	do {                                        \
		extern type *const kernel_p_##name; \
		*kernel_p_##name = (value);         \
	} while (0)

/* --- odds and ends --- */

#define __percpu
#define __aligned(n) __attribute__((aligned(n)))
#define ____cacheline_aligned_in_smp

#define PAGE_MASK (~(PAGE_SIZE - 1))
#define SZ_16K	  (16u << 10)
#define SZ_256K	  (256u << 10)
#define SZ_1M	  (1u << 20)
#define SZ_64M	  (64u << 20)

#define GFP_DMA	      8u
#define GFP_DMA32     16u
#define __GFP_NORETRY 32u
#define __GFP_ZERO    64u

#define NSEC_PER_USEC 1000ull
#define NSEC_PER_MSEC 1000000ull

#define min_t(t, a, b)		  ((t)(a) < (t)(b) ? (t)(a) : (t)(b))
#define max_t(t, a, b)		  ((t)(a) > (t)(b) ? (t)(a) : (t)(b))
#define clamp(v, lo, hi)	  ((v) < (lo) ? (lo) : (v) > (hi) ? (hi) : (v))
#define min_not_zero(a, b)	  ((a) && ((a) < (b) || !(b)) ? (a) : (b))
#define round_up(x, n)		  roundup(x, n)
#define DIV_ROUND_UP(x, n)	  (((x) + (n)-1) / (n))
#define fls64(x)		  (64 - __builtin_clzll(x))
#define ilog2(x)		  (fls64(x) - 1)
#define hash_64(x, bits)	  ((u32)((x)*0x61C8864680B583EBull >> (64 - (bits))))
#define BITS_PER_LONG		  64
#define BIT_WORD(n)		  ((n) / BITS_PER_LONG)
#define BIT_MASK(n)		  (1ul << (n) % BITS_PER_LONG)
#define struct_size(p, member, n) (sizeof(*(p)) + (n) * sizeof((p)->member[0]))
#define container_of(p, type, member) \
	((type *)(void *)((char *)(p)-offsetof(type, member)))

#define module_param(name, type, mode)                  \
	extern __typeof__(name) *const kernel_p_##name; \
	__typeof__(name) *const kernel_p_##name = &name
#define MODULE_PARM_DESC(name, text) _Static_assert(1, "")

#define kvcalloc(n, bytes, gfp) kvzalloc((n) * (bytes), gfp)

static inline void *phys_to_virt(u64 phys)
{
	return (void *)(env_ram + phys);
}

void *alloc_pages_exact(size_t bytes, gfp_t gfp);
void free_pages_exact(void *p, size_t bytes);

#define smp_load_acquire(p)  __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define xchg(p, new)	     __atomic_exchange_n(p, new, __ATOMIC_SEQ_CST)
#define cmpxchg(p, old, new) __sync_val_compare_and_swap(p, old, new)

/* --- one CPU --- */

#define nr_cpu_ids		 1u
#define smp_processor_id()	 0u
#define raw_smp_processor_id()	 0u
#define this_cpu_inc(x)		 ((void)(x)++)
#define this_cpu_add(x, n)	 ((void)((x) += (n)))
#define this_cpu_read(x)	 (x)
#define this_cpu_ptr(p)		 (p)
#define preempt_disable()	 ((void)kernel_preempt++)
#define preempt_enable()	 ((void)kernel_preempt--)
#define local_irq_save(flags)	 ((flags) = 0)
#define local_irq_restore(flags) ((void)(flags))
#define raw_spin_lock(l)	 env_lock(l)
#define raw_spin_unlock(l)	 __atomic_clear(&(l)->taken, __ATOMIC_RELEASE)
#define raw_spin_trylock_irqsave(l, flags) \
	((flags) = 0, !__atomic_test_and_set(&(l)->taken, __ATOMIC_ACQUIRE))

#define synchronize_rcu() assert(kernel_preempt == 0)

void cpu_relax(void);
#define usleep_range(from, to) cpu_relax()

static inline u64 ktime_get_mono_fast_ns(void)
{
	return kernel_now;
}

/* --- objects of which a test needs little --- */

struct mutex {
	int unused;
};

#define mutex_lock(m)	((void)(m))
#define mutex_unlock(m) ((void)(m))

struct kref {
	int count;
};

struct notifier_block {
	int unused;
};

struct list_head {
	struct list_head *next, *prev;
};

static inline void INIT_LIST_HEAD(struct list_head *list)
{
	list->next = list;
	list->prev = list;
}

static inline void list_add(struct list_head *node, struct list_head *list)
{
	node->next = list->next;
	node->prev = list;
	list->next->prev = node;
	list->next = node;
}

static inline void list_del(struct list_head *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
}

static inline bool list_empty(const struct list_head *list)
{
	return list->next == list;
}

#define list_first_entry_or_null(list, type, member) \
	(list_empty(list) ? NULL : container_of((list)->next, type, member))
#define list_for_each_entry(at, list, member)                              \
	for ((at) = container_of((list)->next, __typeof__(*(at)), member); \
	     &(at)->member != (list);                                      \
	     (at) = container_of((at)->member.next, __typeof__(*(at)),     \
				 member))

/* Work is never done by itself: kernel_work() does it if it is due. */
struct work_struct {
	void (*func)(struct work_struct *work);
};

struct delayed_work {
	struct work_struct work;
	bool pending;
	u64 due; /* ns */
};

#define to_delayed_work(w)  container_of(w, struct delayed_work, work)
#define msecs_to_jiffies(n) (n)

static inline void schedule_delayed_work(struct delayed_work *w, u64 ms)
{
	if (!w->pending)
		w->due = kernel_now + ms * NSEC_PER_MSEC;
	w->pending = true;
}

static inline void cancel_delayed_work(struct delayed_work *w)
{
	w->pending = false;
}

static inline void cancel_delayed_work_sync(struct delayed_work *w)
{
	w->pending = false;
}

static inline bool kernel_work(struct delayed_work *w)
{
	if (!w->pending || w->due > kernel_now)
		return false;
	w->pending = false;
	w->work.func(&w->work);
	return true;
}

/* Few entries: looked through. */
#define XA_FLAGS_LOCK_IRQ 0

struct xarray {
	raw_spinlock_t lock;
	size_t n;
	struct {
		u64 index;
		void *entry;
	} at[8192];
};

#define xa_init_flags(xa, flags)   memset(xa, 0, sizeof(*(xa)))
#define xa_destroy(xa)		   ((void)(xa))
#define xa_lock_irqsave(xa, flags) raw_spin_lock_irqsave(&(xa)->lock, flags)
#define xa_unlock_irqrestore(xa, flags) \
	raw_spin_unlock_irqrestore(&(xa)->lock, flags)
#define xa_err(p) ((void)(p), 0)

static inline void *xa_load(const struct xarray *xa, u64 index)
{
	for (size_t i = 0; i < xa->n; i++)
		if (xa->at[i].index == index)
			return xa->at[i].entry;
	return NULL;
}

static inline void *__xa_store(struct xarray *xa, u64 index, void *entry,
			       gfp_t gfp)
{
	(void)gfp;
	assert(xa->n < ARRAY_SIZE(xa->at));
	xa->at[xa->n].index = index;
	xa->at[xa->n++].entry = entry;
	return NULL;
}

static inline void __xa_erase(struct xarray *xa, u64 index)
{
	for (size_t i = 0; i < xa->n; i++)
		if (xa->at[i].index == index)
			xa->at[i--] = xa->at[--xa->n];
}

/* --- devices --- */

struct dma_map_ops;
struct attribute_group;
struct vm_area_struct;
struct page;
struct sg_table;

struct device {
	const struct dma_map_ops *dma_ops;
	u64 dma_mask;
	u64 bus_dma_limit;
	unsigned int min_align_mask;
	unsigned long seg_boundary;
};

struct pci_dev {
	struct device dev;
};

struct virtio_device {
	struct device dev;
	int index;
	u64 features;
};

#define virtio_has_feature(v, bit)  ((v)->features >> (bit)&1)
#define dma_get_mask(dev)	    ((dev)->dma_mask)
#define dma_get_min_align_mask(dev) ((dev)->min_align_mask)
#define dma_get_seg_boundary(dev)   ((dev)->seg_boundary)
#define dma_reset_need_sync(dev)    ((void)(dev))
#define use_dma_iommu(dev)	    ((void)(dev), false)

/* Counts; does not print. */
void kernel_say(const struct device *dev, const char *format, ...);
#define dev_info	     kernel_say
#define dev_err		     kernel_say
#define dev_warn_ratelimited kernel_say

static inline void kernel_trace(int unused, ...)
{
	(void)unused;
}

#define TP_PROTO(...) __VA_ARGS__
#define TP_ARGS(...)  __VA_ARGS__
#define TRACE_EVENT(name, proto, args, ...)                            \
	static inline __attribute__((unused)) void trace_##name(proto) \
	{                                                              \
		kernel_trace(0, args);                                 \
	}
#define DECLARE_EVENT_CLASS(...) _Static_assert(1, "")
#define DEFINE_EVENT(...)	 _Static_assert(1, "")

/* --- the DMA API's inner side --- */

enum dma_data_direction {
	DMA_BIDIRECTIONAL,
	DMA_TO_DEVICE,
	DMA_FROM_DEVICE,
};

#define DMA_MAPPING_ERROR	  (~(dma_addr_t)0)
#define DMA_BIT_MASK(n)		  (~0ull >> (64 - (n)))
#define DMA_ATTR_SKIP_CPU_SYNC	  (1ul << 5)
#define DMA_ATTR_MMIO		  (1ul << 10)
#define DMA_ATTR_REQUIRE_COHERENT (1ul << 12)

struct scatterlist {
	void *virt;
	unsigned int length;
	dma_addr_t dma_address;
	unsigned int dma_length;
};

#define sg_phys(sg)	   virt_to_phys((sg)->virt)
#define sg_dma_address(sg) ((sg)->dma_address)
#define sg_dma_len(sg)	   ((sg)->dma_length)
#define for_each_sg(sgl, sg, nents, i) \
	for ((i) = 0, (sg) = (sgl); (i) < (nents); (i)++, (sg)++)
/* unlike the kernel's: nobody may look at the one behind the last */
#define sg_next(sg) ((sg) + 1)

static inline void sg_init_one(struct scatterlist *sg, const void *p, size_t n)
{
	*sg = (struct scatterlist){ .virt = (void *)p, .length = n };
}

struct dma_map_ops {
	void *(*alloc)(struct device *dev, size_t size, dma_addr_t *handle,
		       gfp_t gfp, unsigned long attrs);
	void (*free)(struct device *dev, size_t size, void *vaddr,
		     dma_addr_t handle, unsigned long attrs);
	struct page *(*alloc_pages_op)(struct device *dev, size_t size,
				       dma_addr_t *handle,
				       enum dma_data_direction dir, gfp_t gfp);
	void (*free_pages)(struct device *dev, size_t size, struct page *page,
			   dma_addr_t handle, enum dma_data_direction dir);
	int (*mmap)(struct device *dev, struct vm_area_struct *vma, void *vaddr,
		    dma_addr_t handle, size_t size, unsigned long attrs);
	int (*get_sgtable)(struct device *dev, struct sg_table *sgt,
			   void *vaddr, dma_addr_t handle, size_t size,
			   unsigned long attrs);
	dma_addr_t (*map_phys)(struct device *dev, phys_addr_t phys,
			       size_t size, enum dma_data_direction dir,
			       unsigned long attrs);
	void (*unmap_phys)(struct device *dev, dma_addr_t addr, size_t size,
			   enum dma_data_direction dir, unsigned long attrs);
	int (*map_sg)(struct device *dev, struct scatterlist *sgl, int nents,
		      enum dma_data_direction dir, unsigned long attrs);
	void (*unmap_sg)(struct device *dev, struct scatterlist *sgl, int nents,
			 enum dma_data_direction dir, unsigned long attrs);
	void (*sync_single_for_cpu)(struct device *dev, dma_addr_t addr,
				    size_t size, enum dma_data_direction dir);
	void (*sync_single_for_device)(struct device *dev, dma_addr_t addr,
				       size_t size,
				       enum dma_data_direction dir);
	void (*sync_sg_for_cpu)(struct device *dev, struct scatterlist *sgl,
				int nents, enum dma_data_direction dir);
	void (*sync_sg_for_device)(struct device *dev, struct scatterlist *sgl,
				   int nents, enum dma_data_direction dir);
	int (*dma_supported)(struct device *dev, u64 mask);
	u64 (*get_required_mask)(struct device *dev);
	size_t (*max_mapping_size)(struct device *dev);
};

/* --- virtqueues, of which the test is the other end --- */

#define KERNEL_RING 64u

/* A chain: one buffer for the device to read, and one to write. */
struct kernel_chain {
	void *token;
	const void *out;
	void *in;
};

struct virtqueue {
	unsigned int index;
	unsigned int size; /* descriptors; two a chain */
	bool broken;
	bool kick; /* the host wants to be kicked */
	unsigned int kicks;
	unsigned int n_avail, n_used, out; /* chains; in all the host's */
	struct kernel_chain avail[KERNEL_RING];
	void *used[KERNEL_RING];
	u32 used_bytes[KERNEL_RING];
};

int virtqueue_add_sgs(struct virtqueue *vq, struct scatterlist *sgs[],
		      unsigned int out, unsigned int in, void *token,
		      gfp_t gfp);
void *virtqueue_get_buf(struct virtqueue *vq, u32 *bytes);
void virtqueue_notify(struct virtqueue *vq);

#define virtqueue_kick_prepare(vq)   ((vq)->kick)
#define virtqueue_is_broken(vq)	     ((vq)->broken)
#define virtqueue_get_vring_size(vq) ((vq)->size)

/* The host: takes the oldest chain, and gives one back. */
bool kernel_pop(struct virtqueue *vq, struct kernel_chain *ret);
void kernel_push(struct virtqueue *vq, const struct kernel_chain *chain,
		 u32 bytes);

#endif
