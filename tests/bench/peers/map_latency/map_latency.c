// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * map_latency.c - how long each of many mappings takes
 *
 * map_benchmark says what a mapping takes on average; of a map-cache that
 * says little, whose hits take nothing and whose misses take an answer. A PCI
 * driver for a device that is given to it by driver_override maps pages of a
 * set, each time a random one, unmaps them again, and counts how many took
 * how long:
 *
 *	echo PAGES MAPS > /sys/kernel/debug/map_latency/run
 *	cat /sys/kernel/debug/map_latency/histogram
 *
 * A line of the histogram is the least time (ns) of a class, and how many
 * mappings fell into it; classes are an eighth of a power of two wide. Each
 * page was mapped once before, so that a set that fits into what may be
 * mapped is.
 *
 * Owns the pages, for a run. Locks: lock, around a run and what it found.
 */
#include <linux/debugfs.h>
#include <linux/dma-mapping.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/prandom.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#define PAGES_MAX 65536
#define SUB_SHIFT 3
#define CLASSES	  (64 << SUB_SHIFT)
#define BREATHE	  64

static DEFINE_MUTEX(lock);
static struct device *device;
static struct dentry *folder;
static u64 counts[CLASSES];

/* The highest bits of a time: where its first one is, and SUB_SHIFT more. */
static unsigned int class_of(u64 ns)
{
	unsigned int top;

	if (ns < 1 << SUB_SHIFT)
		return ns;
	top = ilog2(ns) - SUB_SHIFT;
	return (top << SUB_SHIFT) + (ns >> top);
}

static u64 class_begin(unsigned int class)
{
	unsigned int top;

	if (class < 2 << SUB_SHIFT)
		return class;
	top = (class >> SUB_SHIFT) - 1;
	return (u64)(class - (top << SUB_SHIFT)) << top;
}

/* Maps one page and gives it back. What mapping took, in ns, or -EIO. */
static s64 once(struct page *page)
{
	u64 began = ktime_get_ns(), took;
	dma_addr_t addr =
		dma_map_page(device, page, 0, PAGE_SIZE, DMA_BIDIRECTIONAL);

	took = ktime_get_ns() - began;
	if (dma_mapping_error(device, addr))
		return -EIO;
	dma_unmap_page(device, addr, PAGE_SIZE, DMA_BIDIRECTIONAL);
	return took;
}

static int measure(struct page **pages, u32 n, u32 maps)
{
	struct rnd_state rnd;
	s64 took;

	prandom_seed_state(&rnd, 1);
	for (u32 i = 0; i < n; i++) {
		took = once(pages[i]);
		if (took < 0)
			return took;
		cond_resched();
	}
	for (u32 i = 0; i < maps; i++) {
		took = once(pages[prandom_u32_state(&rnd) % n]);
		if (took < 0)
			return took;
		counts[class_of(took)]++;
		if (i % BREATHE == 0)
			cond_resched();
	}
	return 0;
}

static int measure_set(u32 n, u32 maps)
{
	struct page **pages = kvcalloc(n, sizeof(*pages), GFP_KERNEL);
	int ret = pages ? 0 : -ENOMEM;

	for (u32 i = 0; !ret && i < n; i++) {
		pages[i] = alloc_page(GFP_KERNEL);
		if (!pages[i])
			ret = -ENOMEM;
	}
	if (!ret)
		ret = measure(pages, n, maps);
	for (u32 i = 0; pages && i < n && pages[i]; i++)
		__free_page(pages[i]);
	kvfree(pages);
	return ret;
}

static ssize_t run_write(struct file *file, const char __user *from,
			 size_t size, loff_t *pos)
{
	u32 pages, maps;
	char text[32];
	int ret;

	if (size >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, from, size))
		return -EFAULT;
	text[size] = '\0';
	if (sscanf(text, "%u %u", &pages, &maps) != 2 || !pages ||
	    pages > PAGES_MAX)
		return -EINVAL;
	mutex_lock(&lock);
	memset(counts, 0, sizeof(counts));
	ret = measure_set(pages, maps);
	mutex_unlock(&lock);
	return ret ? ret : size;
}

static const struct file_operations run_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = run_write,
};

static int histogram_show(struct seq_file *m, void *unused)
{
	mutex_lock(&lock);
	for (unsigned int i = 0; i < CLASSES; i++)
		if (counts[i])
			seq_printf(m, "%llu %llu\n", class_begin(i), counts[i]);
	mutex_unlock(&lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(histogram);

static int latency_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	if (device)
		return -EBUSY;
	if (dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64)))
		return -ENODEV;
	device = &pdev->dev;
	folder = debugfs_create_dir("map_latency", NULL);
	debugfs_create_file("run", 0200, folder, NULL, &run_fops);
	debugfs_create_file("histogram", 0400, folder, NULL, &histogram_fops);
	return 0;
}

static void latency_remove(struct pci_dev *pdev)
{
	debugfs_remove_recursive(folder);
	device = NULL;
}

/* None of its own: driver_override chooses. */
static const struct pci_device_id latency_ids[] = { { 0 } };

static struct pci_driver latency_driver = {
	.name = "map_latency",
	.id_table = latency_ids,
	.probe = latency_probe,
	.remove = latency_remove,
};
module_pci_driver(latency_driver);

MODULE_DESCRIPTION("How long each of many mappings takes");
MODULE_LICENSE("GPL");
