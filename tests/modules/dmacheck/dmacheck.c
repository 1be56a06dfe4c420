// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dmacheck.c - a driver that uses the DMA API in every way it knows
 *
 * Real drivers meet only some of it. Bound to any endpoint, this one goes
 * through all of it in its probe, without the device doing any DMA, and says
 * "dmacheck: ok NAME" or "dmacheck: FAIL NAME: WHY" for each check, and at the
 * end "dmacheck: N checks, N failed". Its probe then fails on purpose, or
 * stays bound with stay=1.
 *
 *	insmod dmacheck.ko [stay=1] [leak=1] [bench=ROUNDS] [share=1] [late=1]
 *	echo dmacheck > /sys/bus/pci/devices/ADDRESS/driver_override
 *	echo ADDRESS > /sys/bus/pci/drivers/dmacheck/bind
 *
 * leak=1 leaves one mapping behind; bench times maps and unmaps that hit, and
 * does nothing else. share=1 does nothing else either: it maps one page, the
 * same for all devices, as long as they are bound, and says where that is; in
 * the end, whether the device has copied its first half's content to the other.
 * late=1 does nothing but map a page, which is unmapped three seconds after the
 * driver was unbound, as what page_pool has left to others is.
 */
#include <linux/completion.h>
#include <linux/dma-mapping.h>
#include <linux/dmapool.h>
#include <linux/irq_work.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/workqueue.h>

static bool stay;
module_param(stay, bool, 0644);
MODULE_PARM_DESC(stay, "stay bound after the checks");

static bool leak;
module_param(leak, bool, 0644);
MODULE_PARM_DESC(leak, "leave a mapping behind");

static unsigned int bench;
module_param(bench, uint, 0644);
MODULE_PARM_DESC(bench, "rounds of map and unmap to time");

static bool share;
module_param(share, bool, 0644);
MODULE_PARM_DESC(share, "map one page, for each device the same");

static bool late;
module_param(late, bool, 0644);
MODULE_PARM_DESC(late, "unmap a page long after the driver was unbound");

#define LATE_MS 3000

static struct device *late_dev;
static dma_addr_t late_addr;

static u8 *shared;
static unsigned int checks, failed;

static void verdict(const char *name, bool ok, const char *why)
{
	checks++;
	if (ok) {
		pr_info("dmacheck: ok %s\n", name);
		return;
	}
	failed++;
	pr_err("dmacheck: FAIL %s: %s\n", name, why);
}

#define CHECK(name, cond) verdict(name, cond, #cond)

static void check_masks(struct device *dev)
{
	CHECK("mask-64", !dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64)));
	CHECK("mask-32", !dma_set_mask_and_coherent(dev, DMA_BIT_MASK(32)));
	CHECK("mask-24", !dma_set_mask_and_coherent(dev, DMA_BIT_MASK(24)));
	CHECK("mask-20", dma_set_mask_and_coherent(dev, DMA_BIT_MASK(20)));
	dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64));
	CHECK("required-mask",
	      dma_get_required_mask(dev) >= virt_to_phys(high_memory) - 1);
	CHECK("max-size", dma_max_mapping_size(dev) >= SZ_256K);
}

static void check_coherent_one(struct device *dev, const char *name,
			       size_t size, gfp_t gfp, unsigned int bits)
{
	bool zero, reached;
	dma_addr_t addr;
	void *p;

	dma_set_coherent_mask(dev, DMA_BIT_MASK(bits));
	p = dma_alloc_coherent(dev, size, &addr, gfp);
	if (!p) {
		verdict(name, false, "no memory");
		return;
	}
	zero = !memchr_inv(p, 0, size);
	reached = addr + size - 1 <= DMA_BIT_MASK(bits);
	memset(p, 0x55, size);
	dma_free_coherent(dev, size, p, addr);
	CHECK(name, zero && reached);
}

static void check_coherent(struct device *dev)
{
	check_coherent_one(dev, "coherent-64", SZ_64K, GFP_KERNEL, 64);
	check_coherent_one(dev, "coherent-odd", 3 * SZ_4K + 100, GFP_KERNEL,
			   64);
	check_coherent_one(dev, "coherent-atomic", SZ_4K, GFP_ATOMIC, 64);
	check_coherent_one(dev, "coherent-32", SZ_1M, GFP_KERNEL, 32);
	check_coherent_one(dev, "coherent-24", SZ_4K, GFP_KERNEL, 24);
	check_coherent_one(dev, "coherent-huge", SZ_4M, GFP_KERNEL, 64);
	dma_set_coherent_mask(dev, DMA_BIT_MASK(64));
}

#define RINGS 32

/* Rings of 4 MiB until there is no more: what fails then is the allocation. */
static void check_rings(struct device *dev)
{
	dma_addr_t addr[RINGS];
	bool apart = true;
	unsigned int i, n;
	void *p[RINGS];

	for (n = 0; n < RINGS; n++) {
		p[n] = dma_alloc_coherent(dev, SZ_4M, &addr[n],
					  GFP_KERNEL | __GFP_NOWARN);
		if (!p[n])
			break;
		apart &= !memchr_inv(p[n], 0, SZ_4M);
		memset(p[n], n + 1, SZ_4M);
	}
	for (i = 0; i < n; i++) {
		apart &= !memchr_inv(p[i], i + 1, SZ_4M);
		dma_free_coherent(dev, SZ_4M, p[i], addr[i]);
	}
	CHECK("rings", n > 0 && apart);
	pr_info("dmacheck: %u rings of 4 MiB\n", n);
}

static void check_pages(struct device *dev)
{
	struct sg_table *noncontig, table;
	dma_addr_t addr;
	struct page *page;
	void *p, *v;

	page = dma_alloc_pages(dev, SZ_16K, &addr, DMA_BIDIRECTIONAL,
			       GFP_KERNEL);
	CHECK("alloc-pages", page && addr == page_to_phys(page));
	if (page)
		dma_free_pages(dev, SZ_16K, page, addr, DMA_BIDIRECTIONAL);

	noncontig = dma_alloc_noncontiguous(dev, SZ_64K, DMA_BIDIRECTIONAL,
					    GFP_KERNEL, 0);
	CHECK("alloc-noncontiguous", noncontig);
	if (noncontig) {
		v = dma_vmap_noncontiguous(dev, SZ_64K, noncontig);
		CHECK("vmap-noncontiguous", v && !memchr_inv(v, 0, SZ_64K));
		dma_vunmap_noncontiguous(dev, v);
		dma_free_noncontiguous(dev, SZ_64K, noncontig,
				       DMA_BIDIRECTIONAL);
	}

	p = dma_alloc_coherent(dev, SZ_16K, &addr, GFP_KERNEL);
	CHECK("get-sgtable",
	      p && !dma_get_sgtable(dev, &table, p, addr, SZ_16K));
	if (p) {
		CHECK("sgtable-page", sg_phys(table.sgl) == addr);
		CHECK("sgtable-length", table.sgl->length == SZ_16K);
		sg_free_table(&table);
		dma_free_coherent(dev, SZ_16K, p, addr);
	}
	CHECK("can-mmap", dma_can_mmap(dev));
}

static void check_pool(struct device *dev)
{
	struct dma_pool *pool = dma_pool_create("dmacheck", dev, 64, 64, 0);
	dma_addr_t a, b;
	void *p, *q;

	CHECK("pool", pool);
	if (!pool)
		return;
	p = dma_pool_alloc(pool, GFP_ATOMIC, &a);
	q = dma_pool_zalloc(pool, GFP_KERNEL, &b);
	CHECK("pool-alloc", p && q && a != b);
	if (p)
		dma_pool_free(pool, p, a);
	if (q)
		dma_pool_free(pool, q, b);
	dma_pool_destroy(pool);
}

/* A mapping of the DMA API's, by page and offset, and the address it has. */
static bool map_as_page(struct device *dev, void *p, size_t size)
{
	struct page *page = virt_to_page(p);
	dma_addr_t addr = dma_map_page(dev, page, offset_in_page(p), size,
				       DMA_BIDIRECTIONAL);

	if (dma_mapping_error(dev, addr))
		return false;
	dma_sync_single_for_cpu(dev, addr, size, DMA_BIDIRECTIONAL);
	dma_unmap_page(dev, addr, size, DMA_BIDIRECTIONAL);
	return addr == virt_to_phys(p);
}

static bool map_twice(struct device *dev, void *p, size_t size)
{
	dma_addr_t a = dma_map_single(dev, p, size, DMA_TO_DEVICE), b;
	bool ok;

	if (dma_mapping_error(dev, a))
		return false;
	b = dma_map_single(dev, p, size, DMA_FROM_DEVICE);
	ok = !dma_mapping_error(dev, b) && a == b && a == virt_to_phys(p);
	if (!dma_mapping_error(dev, b))
		dma_unmap_single(dev, b, size, DMA_FROM_DEVICE);
	dma_unmap_single(dev, a, size, DMA_TO_DEVICE);
	return ok;
}

struct in_hardirq {
	struct irq_work work;
	struct completion done;
	struct device *dev;
	void *p;
	bool ok;
};

static void map_in_hardirq(struct irq_work *work)
{
	struct in_hardirq *h = container_of(work, struct in_hardirq, work);

	h->ok = map_twice(h->dev, h->p, SZ_16K);
	complete(&h->done);
}

static void check_contexts(struct device *dev, void *p)
{
	struct in_hardirq h = { .dev = dev, .p = p + SZ_64K };
	unsigned long flags;
	bool ok;

	CHECK("map-task", map_twice(dev, p, SZ_16K));
	CHECK("map-one-byte", map_twice(dev, p + 4095, 1));
	CHECK("map-two-bytes", map_twice(dev, p + 4095, 2));

	local_irq_save(flags);
	ok = map_twice(dev, p + SZ_32K, SZ_16K);
	local_irq_restore(flags);
	CHECK("map-irqs-off", ok);

	init_completion(&h.done);
	h.work = IRQ_WORK_INIT_HARD(map_in_hardirq);
	irq_work_queue(&h.work);
	wait_for_completion(&h.done);
	irq_work_sync(&h.work);
	CHECK("map-hardirq", h.ok);
}

/*
 * Nothing is mapped for nothing, but what is mapped can be unmapped, and holds
 * nothing back.
 */
static void check_sizes(struct device *dev, void *p)
{
	CHECK("map-nothing", map_twice(dev, p + SZ_64K, 0));
	CHECK("map-nothing-odd", map_twice(dev, p + SZ_64K + 4095, 0));
	CHECK("map-odd", map_twice(dev, p + 1, SZ_4K - 2));
	CHECK("map-odd-across", map_twice(dev, p + 4095, SZ_64K + 3));
	CHECK("map-1M", map_twice(dev, p, SZ_1M));
	CHECK("map-1M-odd", map_twice(dev, p + 4093, SZ_1M + 7));
	CHECK("map-4M", map_twice(dev, p, SZ_4M));
	CHECK("map-4M-odd", map_twice(dev, p + 1, SZ_4M - 2));
	CHECK("page-1M", map_as_page(dev, p + SZ_1M, SZ_1M));
	CHECK("page-3M-odd", map_as_page(dev, p + SZ_64K + 17, 3 * SZ_1M));
	CHECK("page-nothing", map_as_page(dev, p, 0));
}

/* Segments that are large, odd, or nothing. */
static void check_segments(struct device *dev, void *p)
{
	static const struct {
		u32 at, len;
	} parts[] = {
		{ 0, SZ_1M },
		{ SZ_1M, 0 },
		{ SZ_1M + 3, SZ_1M + 5 },
		{ 3 * SZ_1M - 1, 2 },
		{ 3 * SZ_1M, SZ_1M - 1 },
	};
	struct scatterlist sgl[ARRAY_SIZE(parts)], *sg;
	bool same = true;
	unsigned int i;

	sg_init_table(sgl, ARRAY_SIZE(parts));
	for_each_sg(sgl, sg, ARRAY_SIZE(parts), i)
		sg_set_buf(sg, p + parts[i].at, parts[i].len);
	i = dma_map_sg(dev, sgl, ARRAY_SIZE(parts), DMA_BIDIRECTIONAL);
	CHECK("segments", i == ARRAY_SIZE(parts));
	if (!i)
		return;
	for_each_sg(sgl, sg, ARRAY_SIZE(parts), i)
		same &= sg_dma_address(sg) == sg_phys(sg) &&
			sg_dma_len(sg) == parts[i].len;
	CHECK("segments-addresses", same);
	dma_unmap_sg(dev, sgl, ARRAY_SIZE(parts), DMA_BIDIRECTIONAL);
}

#define PIECES 200

/* Pages in no order, some twice: more ranges than fit into one request. */
static void check_list(struct device *dev, void *p, bool direct)
{
	struct scatterlist *sg;
	struct sg_table table;
	unsigned int i;
	bool same = true;

	if (sg_alloc_table(&table, PIECES, GFP_KERNEL)) {
		verdict("list", false, "no memory");
		return;
	}
	for_each_sg(table.sgl, sg, PIECES, i)
		sg_set_buf(sg, p + (i * 37 % 180) * SZ_4K + 16, 4000);
	i = dma_map_sg(dev, table.sgl, PIECES, DMA_BIDIRECTIONAL);
	CHECK("list", i == PIECES);
	if (i) {
		for_each_sg(table.sgl, sg, PIECES, i)
			same &= sg_dma_address(sg) == sg_phys(sg) &&
				sg_dma_len(sg) == 4000;
		CHECK("list-addresses", same == direct);
		dma_unmap_sg(dev, table.sgl, PIECES, DMA_BIDIRECTIONAL);
	}
	sg_free_table(&table);
}

static void check_resource(struct pci_dev *pdev)
{
	phys_addr_t bar = pci_resource_start(pdev, 0);
	dma_addr_t addr;

	if (!bar || !(pci_resource_flags(pdev, 0) & IORESOURCE_MEM))
		return;
	addr = dma_map_resource(&pdev->dev, bar, SZ_4K, DMA_BIDIRECTIONAL, 0);
	CHECK("resource-refused", dma_mapping_error(&pdev->dev, addr));
	if (!dma_mapping_error(&pdev->dev, addr))
		dma_unmap_resource(&pdev->dev, addr, SZ_4K, DMA_BIDIRECTIONAL,
				   0);
}

/* The copy stands for what the device sees. */
static void check_bounce_data(struct device *dev, u8 *p)
{
	dma_addr_t addr;
	u8 *copy;

	memset(p, 0x11, SZ_8K);
	addr = dma_map_single(dev, p + 100, 5000, DMA_BIDIRECTIONAL);
	CHECK("bounce", !dma_mapping_error(dev, addr));
	if (dma_mapping_error(dev, addr))
		return;
	CHECK("bounce-low", addr + 5000 <= DMA_BIT_MASK(24) + 1);
	CHECK("bounce-copied", addr != virt_to_phys(p + 100));
	copy = phys_to_virt(addr);
	CHECK("bounce-align", (addr & 4095) == 100);
	CHECK("bounce-out", !memchr_inv(copy, 0x11, 5000));

	memset(copy + 4090, 0x22, 10);
	dma_sync_single_for_cpu(dev, addr + 4090, 10, DMA_BIDIRECTIONAL);
	CHECK("bounce-sync-in", !memchr_inv(p + 4190, 0x22, 10));
	CHECK("bounce-sync-edges", p[4189] == 0x11 && p[4200] == 0x11);
	memset(p + 4190, 0x33, 10);
	dma_sync_single_for_device(dev, addr + 4090, 10, DMA_BIDIRECTIONAL);
	CHECK("bounce-sync-out", !memchr_inv(copy + 4090, 0x33, 10));

	memset(copy, 0x44, 5000);
	dma_unmap_single(dev, addr, 5000, DMA_BIDIRECTIONAL);
	CHECK("bounce-in", !memchr_inv(p + 100, 0x44, 5000));
	CHECK("bounce-in-edges", p[99] == 0x11 && p[5100] == 0x11);
}

static void check_bounce(struct device *dev, void *p)
{
	size_t largest;
	dma_addr_t addr;

	dma_set_mask(dev, DMA_BIT_MASK(24));
	dma_set_min_align_mask(dev, 4095);
	check_bounce_data(dev, p);

	largest = dma_max_mapping_size(dev);
	CHECK("bounce-max", largest >= SZ_64K && largest < SZ_512K);
	addr = dma_map_single(dev, p + 4095, largest, DMA_TO_DEVICE);
	CHECK("bounce-largest", !dma_mapping_error(dev, addr));
	if (!dma_mapping_error(dev, addr))
		dma_unmap_single(dev, addr, largest, DMA_TO_DEVICE);
	addr = dma_map_single(dev, p, SZ_512K, DMA_TO_DEVICE);
	CHECK("bounce-too-large", dma_mapping_error(dev, addr));
	check_list(dev, p, false);
	dma_set_mask(dev, DMA_BIT_MASK(64));
	dma_set_min_align_mask(dev, 0);
}

static void run_bench(struct device *dev, void *p)
{
	dma_addr_t addr = dma_map_single(dev, p, SZ_4K, DMA_TO_DEVICE);
	unsigned int i;
	u64 start;

	dma_unmap_single(dev, addr, SZ_4K, DMA_TO_DEVICE);
	start = ktime_get_ns();
	for (i = 0; i < bench; i++) {
		addr = dma_map_single(dev, p, SZ_4K, DMA_TO_DEVICE);
		if (dma_mapping_error(dev, addr))
			break;
		dma_unmap_single(dev, addr, SZ_4K, DMA_TO_DEVICE);
	}
	CHECK("bench", i == bench);
	pr_info("dmacheck: map and unmap: %llu ns\n",
		div_u64(ktime_get_ns() - start, max(bench, 1u)));
}

/* Memory above the zones, so that small masks do not reach it: 4 MiB. */
#define AREA_ORDER 10

static void check_all(struct pci_dev *pdev, struct page *area)
{
	struct device *dev = &pdev->dev;
	void *p = page_address(area);

	check_masks(dev);
	check_coherent(dev);
	check_pages(dev);
	check_pool(dev);
	check_contexts(dev, p);
	check_sizes(dev, p);
	check_segments(dev, p);
	check_list(dev, p, true);
	check_resource(pdev);
	check_rings(dev);
	if (page_to_phys(area) > DMA_BIT_MASK(24))
		check_bounce(dev, p);
	else
		pr_info("dmacheck: SKIP bounce: the memory lies too low\n");
}

static int share_page(struct pci_dev *pdev)
{
	dma_addr_t addr;
	int err;

	err = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (err)
		return err;
	memset(shared, 0x66, SZ_2K);
	memset(shared + SZ_2K, 0, SZ_2K);
	addr = dma_map_single(&pdev->dev, shared, SZ_4K, DMA_BIDIRECTIONAL);
	if (dma_mapping_error(&pdev->dev, addr))
		return -ENOMEM;
	pci_set_drvdata(pdev, shared);
	pr_info("dmacheck: shared at %pad\n", &addr);
	return 0;
}

static void unmap_late(struct work_struct *work)
{
	dma_unmap_single(late_dev, late_addr, SZ_4K, DMA_TO_DEVICE);
	pr_info("dmacheck: unmapped for %s\n", dev_name(late_dev));
	put_device(late_dev);
	late_dev = NULL;
}

static DECLARE_DELAYED_WORK(late_work, unmap_late);

static int map_late(struct device *dev)
{
	if (late_dev)
		return -EBUSY;
	late_addr = dma_map_single(dev, shared, SZ_4K, DMA_TO_DEVICE);
	if (dma_mapping_error(dev, late_addr))
		return -ENOMEM;
	late_dev = get_device(dev);
	return 0;
}

static int dmacheck_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct page *area;

	if (late)
		return map_late(&pdev->dev);
	if (share)
		return share_page(pdev);
	area = alloc_pages(GFP_KERNEL, AREA_ORDER);
	if (!area)
		return -ENOMEM;
	checks = 0;
	failed = 0;
	if (bench)
		run_bench(&pdev->dev, page_address(area));
	else
		check_all(pdev, area);
	if (leak)
		(void)dma_map_single(&pdev->dev, page_address(area), SZ_4K,
				     DMA_TO_DEVICE);
	else
		__free_pages(area, AREA_ORDER);
	pr_info("dmacheck: %u checks, %u failed\n", checks, failed);
	return stay ? 0 : -ENODEV;
}

static void dmacheck_remove(struct pci_dev *pdev)
{
	if (late_dev == &pdev->dev)
		schedule_delayed_work(&late_work, msecs_to_jiffies(LATE_MS));
	if (!pci_get_drvdata(pdev))
		return;
	dma_unmap_single(&pdev->dev, virt_to_phys(shared), SZ_4K,
			 DMA_BIDIRECTIONAL);
	CHECK("shared-copied", !memchr_inv(shared + SZ_2K, 0x66, 64));
	memset(shared + SZ_2K, 0, SZ_2K);
}

/* Bound by driver_override alone. */
static const struct pci_device_id dmacheck_ids[] = {
	{ PCI_DEVICE_DRIVER_OVERRIDE(PCI_ANY_ID, PCI_ANY_ID, 1) },
	{ 0 },
};

static struct pci_driver dmacheck_driver = {
	.name = "dmacheck",
	.id_table = dmacheck_ids,
	.probe = dmacheck_probe,
	.remove = dmacheck_remove,
};

static int __init dmacheck_init(void)
{
	int err;

	shared = (u8 *)get_zeroed_page(GFP_KERNEL);
	if (!shared)
		return -ENOMEM;
	err = pci_register_driver(&dmacheck_driver);
	if (err)
		free_page((unsigned long)shared);
	return err;
}
module_init(dmacheck_init);

static void __exit dmacheck_exit(void)
{
	pci_unregister_driver(&dmacheck_driver);
	flush_delayed_work(&late_work);
	free_page((unsigned long)shared);
}
module_exit(dmacheck_exit);

MODULE_DESCRIPTION("Checks of the DMA API below a driver");
MODULE_LICENSE("GPL");
