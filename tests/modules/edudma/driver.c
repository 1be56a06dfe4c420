// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * driver.c - what a device reaches before, while and after it is mapped
 *
 * A driver for QEMU's "edu" device, whose DMA engine writes where it is told
 * to. In its probe it maps memory through the DMA API, gives it up, and lets
 * the device write at each stage. It says "edudma: STAGE: reached" where that
 * changed the memory, and "edudma: STAGE: blocked" where it did not; the reader
 * knows which it should be. The memory stays allocated all the time, so that a
 * write that should not get through harms nobody. The probe then fails on
 * purpose, which ends the driver's life on the device.
 *
 *	insmod edudma.ko [what=WHAT] [wait_ms=N] [settle_ms=N]
 *
 * WHAT is
 *	basic	all ways to map and unmap; stages "-later" are wait_ms after
 *	twice	maps one page two times, and lets the device do nothing
 *	batch	gives up four pages; writes after the first and the last
 *	stream	maps and gives up 3072 pages, and counts those that are mapped
 *	copies	maps 256 pages to use them all at once: some may be copies, and
 *		are to carry what the device writes and reads all the same
 *	none	no driver: devices are left alone, but for what bare.c is told
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/irq_work.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "edudma.h"

#define BYTES EDUDMA_BYTES

/* 1 MiB, to take pages from that lie side by side */
#define AREA_ORDER 8
#define STREAMS	   12

static char *what = "basic";
module_param(what, charp, 0444);
MODULE_PARM_DESC(what, "basic, twice, batch, stream, copies or none");

static unsigned int wait_ms = 100;
module_param(wait_ms, uint, 0444);
MODULE_PARM_DESC(wait_ms, "what \"later\" means");

static unsigned int settle_ms;
module_param(settle_ms, uint, 0444);
MODULE_PARM_DESC(settle_ms, "wait that long before anything else");

struct edu {
	struct device *dev;
	void __iomem *bar;
	u8 *area; /* mapped and unmapped; stays allocated */
};

/* See edudma_move(): one that does not end is in the log, and in the data. */
static void move(struct edu *edu, u64 from, u64 to, u32 command)
{
	(void)edudma_move(edu->bar, from, to, command);
}

/* The device writes zeroes to @addr, where the memory is @p: is it there? */
static bool reaches(struct edu *edu, u8 *p, dma_addr_t addr)
{
	memset(p, 0x5a, BYTES);
	move(edu, EDU_BUFFER, addr, EDU_CMD_TO_MEMORY);
	return memchr_inv(p, 0x5a, BYTES);
}

static void say(struct edu *edu, const char *stage, void *p)
{
	pr_info("edudma: %s: %s\n", stage,
		reaches(edu, p, virt_to_phys(p)) ? "reached" : "blocked");
}

static dma_addr_t map(struct edu *edu, void *p, size_t size)
{
	dma_addr_t addr = dma_map_single(edu->dev, p, size, DMA_FROM_DEVICE);

	if (dma_mapping_error(edu->dev, addr) || addr != virt_to_phys(p))
		pr_err("edudma: a mapping failed\n");
	return addr;
}

static void unmap(struct edu *edu, dma_addr_t addr, size_t size)
{
	dma_unmap_single(edu->dev, addr, size, DMA_FROM_DEVICE);
}

static void check_one(struct edu *edu)
{
	void *p = edu->area;
	dma_addr_t addr;

	say(edu, "never", p);
	addr = map(edu, p, SZ_4K);
	say(edu, "one", p);
	unmap(edu, addr, SZ_4K);
	say(edu, "one-unmapped", p);
	msleep(wait_ms);
	say(edu, "one-later", p);
}

/* Two halves of a page, each a mapping of its own. */
static void check_two(struct edu *edu)
{
	void *p = edu->area + SZ_64K;
	dma_addr_t a = map(edu, p, SZ_2K), b = map(edu, p + SZ_2K, SZ_2K);

	unmap(edu, a, SZ_2K);
	say(edu, "two-first", p);
	unmap(edu, b, SZ_2K);
	say(edu, "two-last", p);
	msleep(wait_ms);
	say(edu, "two-later", p);
}

/* 64 pages, more than a block of granules, and one of them by itself. */
static void check_large(struct edu *edu)
{
	void *p = edu->area + SZ_256K, *one = p + 21 * SZ_4K;
	dma_addr_t a = map(edu, p, SZ_256K), b = map(edu, one, SZ_4K);

	say(edu, "large", p + 20 * SZ_4K);
	unmap(edu, a, SZ_256K);
	say(edu, "large-one", one);
	msleep(wait_ms);
	say(edu, "large-before", p + 20 * SZ_4K);
	say(edu, "large-behind", p + 22 * SZ_4K);
	say(edu, "large-end", p + 63 * SZ_4K);
	unmap(edu, b, SZ_4K);
	msleep(wait_ms);
	say(edu, "large-last", one);
}

#define HUGE_ORDER 10

/* 3 MiB that begin and end within a page, as one piece. */
static void check_huge(struct edu *edu)
{
	struct page *page = alloc_pages(GFP_KERNEL, HUGE_ORDER);
	size_t size = 3 * SZ_1M - SZ_2K;
	dma_addr_t addr;
	u8 *area, *p;

	if (!page) {
		pr_err("edudma: no memory\n");
		return;
	}
	area = page_address(page);
	p = area + SZ_64K + SZ_1K;
	addr = map(edu, p, size);
	say(edu, "huge-first", p);
	say(edu, "huge-middle", p + SZ_1M + SZ_64K);
	say(edu, "huge-end", p + size - BYTES);
	unmap(edu, addr, size);
	msleep(wait_ms);
	say(edu, "huge-later", p);
	say(edu, "huge-end-later", p + size - BYTES);
	__free_pages(page, HUGE_ORDER);
}

/* Coherent memory as a device with huge rings has it. */
static void check_ring(struct edu *edu)
{
	dma_addr_t addr;
	u8 *p = dma_alloc_coherent(edu->dev, SZ_4M, &addr, GFP_KERNEL);
	u8 *last;

	if (!p) {
		pr_err("edudma: no coherent memory\n");
		return;
	}
	last = p + SZ_4M - BYTES;
	say(edu, "ring-first", p);
	say(edu, "ring-last", last);
	dma_free_coherent(edu->dev, SZ_4M, p, addr);
}

#define PIECES 5

static void check_list(struct edu *edu)
{
	struct scatterlist sgl[PIECES], *sg;
	u8 *p = edu->area + SZ_512K;
	unsigned int i;

	sg_init_table(sgl, PIECES);
	for_each_sg(sgl, sg, PIECES, i)
		sg_set_buf(sg, p + i * 3 * SZ_4K, i == 1 ? SZ_8K : SZ_1K);
	if (dma_map_sg(edu->dev, sgl, PIECES, DMA_FROM_DEVICE) != PIECES)
		pr_err("edudma: the list cannot be mapped\n");
	say(edu, "list", p + 4 * SZ_4K);
	dma_unmap_sg(edu->dev, sgl, PIECES, DMA_FROM_DEVICE);
	msleep(wait_ms);
	say(edu, "list-first", p);
	say(edu, "list-second", p + 4 * SZ_4K);
	say(edu, "list-last", p + 12 * SZ_4K);
}

static void check_coherent(struct edu *edu)
{
	dma_addr_t addr;
	void *p = dma_alloc_coherent(edu->dev, SZ_4K, &addr, GFP_KERNEL);
	struct page *page;

	if (!p) {
		pr_err("edudma: no coherent memory\n");
		return;
	}
	page = virt_to_page(p);
	get_page(page);
	say(edu, "coherent", p);
	dma_free_coherent(edu->dev, SZ_4K, p, addr);
	msleep(wait_ms);
	say(edu, "coherent-freed", p);
	put_page(page);
}

struct in_hardirq {
	struct irq_work work;
	struct completion done;
	struct edu *edu;
	void *p;
};

static void use_in_hardirq(struct irq_work *work)
{
	struct in_hardirq *h = container_of(work, struct in_hardirq, work);

	unmap(h->edu, map(h->edu, h->p, SZ_8K), SZ_8K);
	complete(&h->done);
}

static void check_hardirq(struct edu *edu)
{
	struct in_hardirq h = { .edu = edu,
				.p = edu->area + SZ_512K + SZ_256K };

	init_completion(&h.done);
	h.work = IRQ_WORK_INIT_HARD(use_in_hardirq);
	irq_work_queue(&h.work);
	wait_for_completion(&h.done);
	irq_work_sync(&h.work);
	msleep(wait_ms);
	say(edu, "hardirq", h.p);
}

static void check_batch(struct edu *edu)
{
	dma_addr_t addr[4];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(addr); i++)
		addr[i] = map(edu, edu->area + i * SZ_8K, SZ_4K);
	for (i = 0; i < ARRAY_SIZE(addr); i++) {
		unmap(edu, addr[i], SZ_4K);
		if (i == 0)
			say(edu, "batch-first", edu->area);
	}
	say(edu, "batch-full", edu->area);
	say(edu, "batch-last", edu->area + 3 * SZ_8K);
}

/* @areas are STREAMS of them. */
static void check_stream(struct edu *edu, struct page **areas)
{
	unsigned int i, j, mapped = 0;
	dma_addr_t addr;
	u8 *p;

	for (i = 0; i < STREAMS; i++) {
		for (j = 0; j < 1 << AREA_ORDER; j++) {
			p = page_address(areas[i]) + j * SZ_4K;
			addr = dma_map_single(edu->dev, p, SZ_4K,
					      DMA_FROM_DEVICE);
			if (dma_mapping_error(edu->dev, addr))
				continue;
			unmap(edu, addr, SZ_4K);
			mapped++;
		}
	}
	pr_info("edudma: stream-mapped: %u\n", mapped);
	say(edu, "stream-first", page_address(areas[0]));
}

static void run_stream(struct edu *edu)
{
	struct page *areas[STREAMS] = {};
	unsigned int i;

	for (i = 0; i < STREAMS; i++) {
		areas[i] = alloc_pages(GFP_KERNEL, AREA_ORDER);
		if (!areas[i])
			break;
	}
	if (i == STREAMS)
		check_stream(edu, areas);
	else
		pr_err("edudma: no memory\n");
	while (i--)
		__free_pages(areas[i], AREA_ORDER);
}

#define COPIES BIT(AREA_ORDER)

/*
 * What is at @p, before it is mapped for the device to write to: a copy begins
 * with that. (The device reads it, too, which nothing keeps it from.)
 */
static void prepare(u8 *p)
{
	memset(p, 0x11, SZ_4K);
	memset(p + SZ_1K, 0x77, BYTES);
	memset(p + 3 * SZ_1K, 0, BYTES);
}

/*
 * The device takes what is at @p and keeps it; then it writes it back. A part
 * of the page is synced, and no byte beside it may change.
 */
static bool carries(struct edu *edu, u8 *p, dma_addr_t addr)
{
	bool right;

	p[SZ_2K + BYTES] = 0x22;
	move(edu, addr + SZ_1K, EDU_BUFFER, 0);
	move(edu, EDU_BUFFER, addr + SZ_2K, EDU_CMD_TO_MEMORY);
	dma_sync_single_for_cpu(edu->dev, addr + SZ_2K, BYTES, DMA_FROM_DEVICE);
	right = !memchr_inv(p + SZ_2K, 0x77, BYTES) &&
		p[SZ_2K + BYTES] == 0x22 && p[SZ_2K - 1] == 0x11;
	p[SZ_2K + BYTES] = 0x11;
	/* for the next ones: zeroes */
	move(edu, addr + 3 * SZ_1K, EDU_BUFFER, 0);
	return right;
}

/* What the device writes to a copy is in the memory after its unmap. */
static bool comes_back(struct edu *edu, u8 *p, dma_addr_t addr)
{
	move(edu, EDU_BUFFER, addr + SZ_4K - BYTES, EDU_CMD_TO_MEMORY);
	dma_unmap_single(edu->dev, addr, SZ_4K, DMA_FROM_DEVICE);
	return !memchr_inv(p + SZ_4K - BYTES, 0, BYTES) &&
	       !memchr_inv(p, 0x11, SZ_1K) &&
	       !memchr_inv(p + SZ_1K, 0x77, BYTES) &&
	       !memchr_inv(p + SZ_2K, 0x77, BYTES) &&
	       !memchr_inv(p + SZ_2K + BYTES, 0x11, SZ_1K - BYTES);
}

static void check_copies(struct edu *edu)
{
	unsigned int i, direct = 0, copied = 0, failed = 0, wrong = 0;
	dma_addr_t *addr = kcalloc(COPIES, sizeof(*addr), GFP_KERNEL);
	u8 *p;

	if (!addr) {
		pr_err("edudma: no memory\n");
		return;
	}
	for (i = 0; i < COPIES; i++) {
		p = edu->area + i * SZ_4K;
		prepare(p);
		addr[i] = dma_map_single(edu->dev, p, SZ_4K, DMA_FROM_DEVICE);
		if (dma_mapping_error(edu->dev, addr[i]))
			failed++;
		else if (addr[i] == virt_to_phys(p))
			direct++;
		else
			copied++;
	}
	for (i = 0; i < COPIES; i++) {
		p = edu->area + i * SZ_4K;
		if (dma_mapping_error(edu->dev, addr[i]))
			continue;
		wrong += !carries(edu, p, addr[i]);
		wrong += !comes_back(edu, p, addr[i]);
	}
	kfree(addr);
	pr_info("edudma: copies-direct: %u\n", direct);
	pr_info("edudma: copies-copied: %u\n", copied);
	pr_info("edudma: copies-failed: %u\n", failed);
	pr_info("edudma: copies-wrong: %u\n", wrong);
}

static void run(struct edu *edu)
{
	msleep(settle_ms);
	if (!strcmp(what, "stream")) {
		run_stream(edu);
	} else if (!strcmp(what, "batch")) {
		check_batch(edu);
	} else if (!strcmp(what, "copies")) {
		check_copies(edu);
	} else if (!strcmp(what, "twice")) {
		dma_addr_t a = map(edu, edu->area, SZ_4K);
		dma_addr_t b = map(edu, edu->area, SZ_4K);

		unmap(edu, a, SZ_4K);
		unmap(edu, b, SZ_4K);
	} else {
		check_one(edu);
		check_two(edu);
		check_large(edu);
		check_list(edu);
		check_coherent(edu);
		check_huge(edu);
		check_ring(edu);
		check_hardirq(edu);
	}
	pr_info("edudma: end\n");
}

static int edudma_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct edu edu = { .dev = &pdev->dev };
	struct page *area;
	int err;

	err = pcim_enable_device(pdev);
	if (!err)
		err = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (err)
		return err;
	edu.bar = pcim_iomap(pdev, 0, 0);
	area = alloc_pages(GFP_KERNEL, AREA_ORDER);
	if (!edu.bar || !area) {
		if (area)
			__free_pages(area, AREA_ORDER);
		return -ENOMEM;
	}
	edu.area = page_address(area);
	pci_set_master(pdev);
	if (edudma_is_edu(edu.bar))
		run(&edu);
	else
		pr_err("edudma: this is not the device\n");
	pci_clear_master(pdev);
	__free_pages(area, AREA_ORDER);
	return -ENODEV;
}

static const struct pci_device_id edudma_ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e8) },
	{ 0 },
};

static struct pci_driver edudma_driver = {
	.name = "edudma",
	.id_table = edudma_ids,
	.probe = edudma_probe,
};

static bool is_driver(void)
{
	return strcmp(what, "none") != 0;
}

static int __init edudma_init(void)
{
	return is_driver() ? pci_register_driver(&edudma_driver) : 0;
}
module_init(edudma_init);

static void __exit edudma_exit(void)
{
	if (is_driver())
		pci_unregister_driver(&edudma_driver);
}
module_exit(edudma_exit);

MODULE_DESCRIPTION("What a device reaches, as seen by the memory");
MODULE_LICENSE("GPL");
