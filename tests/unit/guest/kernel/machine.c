// SPDX-License-Identifier: GPL-2.0-or-later
/* machine.c - see machine.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/guest/kernel/machine.h"

#include "queue.h"

#define SHIFT 12
#define LOW   (96ull << 20) /* of memory, the kernel's own */

struct mutex pvdma_lock;
struct machine machine;
struct pvdma pv;
struct pvdma_traffic traffic;
struct pvdma_endpoint ep;
struct pvdma_counters counters;

static struct virtio_device vdev;
static struct virtqueue vq;
static struct pci_dev pdev;
static struct pvdma_copying copying;
struct device *const dev = &pdev.dev;

int pvdma_env_check(u64 addr)
{
	return addr < MACHINE_MEMORY ? 0 : -EINVAL;
}

/* --- what is not under test --- */

void *pvdma_coherent_alloc(struct device *d, size_t size, dma_addr_t *handle,
			   gfp_t gfp, unsigned long attrs)
{
	(void)d;
	(void)size;
	(void)handle;
	(void)gfp;
	(void)attrs;
	return NULL;
}

void pvdma_coherent_free(struct device *d, size_t size, void *vaddr,
			 dma_addr_t handle, unsigned long attrs)
{
	(void)d;
	(void)size;
	(void)vaddr;
	(void)handle;
	(void)attrs;
}

struct page *pvdma_coherent_alloc_pages(struct device *d, size_t size,
					dma_addr_t *handle,
					enum dma_data_direction dir, gfp_t gfp)
{
	(void)d;
	(void)size;
	(void)handle;
	(void)dir;
	(void)gfp;
	return NULL;
}

void pvdma_coherent_free_pages(struct device *d, size_t size, struct page *page,
			       dma_addr_t handle, enum dma_data_direction dir)
{
	(void)d;
	(void)size;
	(void)page;
	(void)handle;
	(void)dir;
}

int pvdma_coherent_mmap(struct device *d, struct vm_area_struct *vma,
			void *vaddr, dma_addr_t handle, size_t size,
			unsigned long attrs)
{
	(void)d;
	(void)vma;
	(void)vaddr;
	(void)handle;
	(void)size;
	(void)attrs;
	return -ENXIO;
}

int pvdma_coherent_get_sgtable(struct device *d, struct sg_table *sgt,
			       void *vaddr, dma_addr_t handle, size_t size,
			       unsigned long attrs)
{
	(void)d;
	(void)sgt;
	(void)vaddr;
	(void)handle;
	(void)size;
	(void)attrs;
	return -ENXIO;
}

void pvdma_strict_undo(struct pvdma_endpoint *e, u64 addr, size_t size)
{
	(void)e;
	(void)addr;
	(void)size;
	fail();
}

void pvdma_strict_undo_sg(struct pvdma_endpoint *e, struct scatterlist *sgl,
			  int n)
{
	assert_ptr_equal(e, &ep);
	assert_true(ep.strict && sgl);
	machine.undone = n;
}

/* --- the host --- */

static void show(u64 g, bool yes)
{
	atomic_t *word = pvdma_track_word(&pv.track, PVDMA_GRANULES, g);
	atomic_t *block = pvdma_track_word(&pv.track, PVDMA_BLOCKS, g / 16);
	u64 i, whole = 0;

	machine.n_mapped += yes ? !machine.mapped[g] : -machine.mapped[g];
	machine.mapped[g] = yes;
	for (i = 0; i < 16; i++)
		whole += machine.mapped[g / 16 * 16 + i];
	if (word && yes)
		atomic_or(VIRTIO_PVDMA_W_MAPPED, word);
	else if (word)
		atomic_and(~VIRTIO_PVDMA_W_MAPPED, word);
	if (block && whole == 16)
		atomic_or(VIRTIO_PVDMA_W_MAPPED, block);
	else if (block)
		atomic_and(~VIRTIO_PVDMA_W_MAPPED, block);
}

void machine_evict(void)
{
	for (u64 g = 0; g < ARRAY_SIZE(machine.mapped); g++)
		if (machine.mapped[g] && !pvdma_track_held(&pv.track, g))
			show(g, false);
}

static u8 host_map(const struct pvdma_msg *msg, bool only_count, u64 *n)
{
	for (u16 i = 0; i < le16_to_cpu(msg->head.count); i++) {
		u64 g = le64_to_cpu(msg->item[i].range.first);
		u64 end = g + le32_to_cpu(msg->item[i].range.count);

		for (; g < end; g++) {
			/* DRV-MAP-1 */
			assert_true(pvdma_track_held(&pv.track, g));
			*n += !machine.mapped[g];
			if (!only_count)
				show(g, true);
		}
	}
	return VIRTIO_PVDMA_R_OK;
}

static void host_prefetch(const struct pvdma_msg *msg)
{
	assert_in_range(msg->head.flags, 0, VIRTIO_PVDMA_SAMPLE_MAX);
	machine.hinted += pvdma_encode_sum(msg);
	machine.told += pvdma_encode_sum(msg) << msg->head.flags;
	if (!machine.prefetches)
		return;
	for (u16 i = 0; i < le16_to_cpu(msg->head.count); i++) {
		u64 g = le64_to_cpu(msg->item[i].range.first);
		u64 end = g + le32_to_cpu(msg->item[i].range.count);

		for (; g < end; g++) {
			if (machine.n_mapped == machine.quota)
				machine_evict();
			if (machine.n_mapped < machine.quota)
				show(g, true);
		}
	}
}

static u8 host_request(const struct pvdma_msg *msg)
{
	u64 n = 0;

	if (msg->head.type == VIRTIO_PVDMA_T_PREFETCH)
		host_prefetch(msg);
	if (msg->head.type != VIRTIO_PVDMA_T_MAP)
		return VIRTIO_PVDMA_R_OK;
	(void)host_map(msg, true, &n);
	if (machine.n_mapped + n > machine.quota)
		machine_evict();
	n = 0;
	(void)host_map(msg, true, &n);
	if (machine.n_mapped + n > machine.quota)
		return VIRTIO_PVDMA_R_QUOTA;
	return host_map(msg, false, &n);
}

void machine_host(void)
{
	struct kernel_chain chain;

	while (!machine.silent && kernel_pop(&vq, &chain)) {
		struct virtio_pvdma_req_tail *tail = chain.in;

		*tail = (struct virtio_pvdma_req_tail){
			.status = host_request(container_of(
				(void *)chain.out, struct pvdma_msg, head)),
		};
		kernel_push(&vq, &chain, sizeof(*tail));
	}
}

/* --- a driver and its device --- */

static void start_endpoint(void)
{
	memset(&ep, 0, sizeof(ep));
	memset(&counters, 0, sizeof(counters));
	memset(&copying, 0, sizeof(copying));
	pvdma_throttle_init(&copying.throttle);
	*dev = (struct device){
		.dma_ops = &ep.ops,
		.dma_mask = DMA_BIT_MASK(64),
		.seg_boundary = DMA_BIT_MASK(32),
	};
	ep.ops = pvdma_dma_ops;
	ep.pv = &pv;
	ep.pdev = &pdev;
	ep.number = 5;
	ep.strategy = VIRTIO_PVDMA_S_ON_DEMAND;
	ep.attached = true;
	ep.counters = &counters;
	ep.copying = &copying;
	list_add(&ep.node, &pv.endpoints);
}

dma_addr_t machine_map(u64 phys, size_t size, enum dma_data_direction dir,
		       unsigned long attrs)
{
	dma_addr_t addr = ep.ops.map_phys(dev, phys, size, dir, attrs);

	assert_int_equal(kernel_preempt, 0);
	return addr;
}

void machine_unmap(dma_addr_t addr, size_t size, enum dma_data_direction dir,
		   unsigned long attrs)
{
	ep.ops.unmap_phys(dev, addr, size, dir, attrs);
	assert_int_equal(kernel_preempt, 0);
}

u8 *machine_at(dma_addr_t addr, size_t size)
{
	assert_true(addr + size - 1 <=
		    min_not_zero(dev->dma_mask, dev->bus_dma_limit));
	for (u64 g = addr >> SHIFT; g <= (addr + size - 1) >> SHIFT; g++)
		assert_true(machine.mapped[g] &&
			    pvdma_track_held(&pv.track, g));
	return phys_to_virt(addr);
}

u8 *machine_mem(u64 phys)
{
	return phys_to_virt(phys);
}

void machine_assert_bytes(const u8 *p, u8 value, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(p[i], value);
}

/* --- a life --- */

void machine_start(void)
{
	struct virtqueue *vqs[] = { &vq };

	kernel_start(MACHINE_MEMORY, LOW);
	kernel_host = machine_host;
	memset(&pv, 0, sizeof(pv));
	memset(&traffic, 0, sizeof(traffic));
	memset(&machine, 0, sizeof(machine));
	machine.quota = MACHINE_QUOTA;
	vq = (struct virtqueue){ .size = 64, .kick = true };
	vdev = (struct virtio_device){
		.features = 1ull << VIRTIO_PVDMA_F_PREFETCH |
			    1ull << VIRTIO_PVDMA_F_SAMPLE,
	};
	pv.vdev = &vdev;
	pv.traffic = &traffic;
	pv.nr_queues = 1;
	pv.max_items = 64;
	pv.ram_last = MACHINE_MEMORY - 1;
	pv.conf.max_ranges = 64;
	pv.conf.granule_shift = SHIFT;
	pv.conf.quota = MACHINE_QUOTA << SHIFT;
	pv.post_work.work.func = pvdma_request_post_all;
	pv.reserve_work.work.func = pvdma_reserve_review;
	INIT_LIST_HEAD(&pv.endpoints);
	KERNEL_SET(int, bounce_kb, 256);
	KERNEL_SET(unsigned int, timeout_ms, 5000);
	assert_int_equal(pvdma_track_init(&pv.track, SHIFT, MACHINE_MEMORY), 0);
	assert_int_equal(pvdma_queue_setup(&pv, vqs), 0);
	pvdma_queue_start(&pv);
	start_endpoint();
	pvdma_reserve_open(&pv);
	assert_true(pvdma_pool_has_spare(&pv));
}

void machine_stop(void)
{
	u64 bytes, used;

	pvdma_pool_stats(&pv, &bytes, &used);
	assert_int_equal(used, 0);
	ep.attached = false;
	pvdma_reserve_close(&pv);
	cancel_delayed_work_sync(&pv.reserve_work);
	pvdma_queue_stop(&pv);
	pvdma_queue_reclaim(&pv);
	for (u64 g = 0; g < ARRAY_SIZE(machine.mapped); g++)
		assert_false(pvdma_track_held(&pv.track, g));
	pvdma_pool_free(&pv);
	pvdma_queue_free(&pv);
	pvdma_track_done(&pv.track);
	assert_int_equal(env_warnings, 0);
	kernel_stop();
}
