// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * main.c - a guest that means harm, in place of the product's module
 *
 * The pvdma device is given to this driver (driver_override); it looks for the
 * "edu" device, too, which does DMA wherever it is told to. Then
 *
 *	echo NAME [WORD...] > /sys/kernel/debug/hostile/attack
 *
 * runs an attack, in the context of whoever writes, with kthreads of its own
 * beside it; the write fails if the attack could not be made. Each ends with a
 * life of the device as a good driver has it (hostile_sane()). What came of it
 * is in .../report, a "key value" a line:
 *
 *	sent, silent	requests, and those that nobody answered
 *	status_N	requests that were answered with that status
 *	checks, wrong	what the attack expected of the answers; what was not so
 *	first_wrong	the first of them
 *
 * Attacks are bounded by counts. Those that nobody answers because their queue
 * has stopped are waited for by hostile_sync() instead.
 *
 * Locks: hostile.lock, around an attack.
 */
#include <linux/debugfs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "hostile.h"

static ulong mem;
module_param(mem, ulong, 0444);
MODULE_PARM_DESC(mem, "bytes of guest memory, all below the hole");

static ulong seed = 1;
module_param(seed, ulong, 0444);
MODULE_PARM_DESC(seed, "of what is random");

static struct dentry *hostile_dir;

/* debugfs and the driver core serialise what touches it */
static struct hostile *hostile_current;

u32 hostile_random(struct hostile *h)
{
	return prandom_u32_state(&h->rnd);
}

void hostile_fill_random(struct hostile *h, void *to, size_t size)
{
	prandom_bytes_state(&h->rnd, to, size);
}

void hostile_check(struct hostile *h, bool so, const char *fmt, ...)
{
	va_list ap;

	h->checks++;
	if (so)
		return;
	if (!h->wrong++) {
		va_start(ap, fmt);
		vscnprintf(h->first_wrong, sizeof(h->first_wrong), fmt, ap);
		va_end(ap);
	}
}

int hostile_start(struct hostile_worker *w, struct hostile *h, unsigned int n,
		  int (*fn)(void *worker))
{
	w->h = h;
	w->n = n;
	prandom_seed_state(&w->rnd, hostile_random(h));
	w->task = kthread_run(fn, w, "hostile/%u", n);
	return PTR_ERR_OR_ZERO(w->task);
}

void hostile_stop(struct hostile_worker *w)
{
	if (!IS_ERR_OR_NULL(w->task))
		kthread_stop(w->task);
	w->task = NULL;
}

u32 hostile_worker_random(struct hostile_worker *w)
{
	return prandom_u32_state(&w->rnd);
}

/* --- the operator's side --- */

static const struct hostile_attack *const hostile_all[] = {
	hostile_requests, hostile_tables,  hostile_rings,
	hostile_lives,	  hostile_layouts, hostile_edus,
};

static const struct hostile_attack *hostile_find(const char *name)
{
	const struct hostile_attack *a;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(hostile_all); i++) {
		for (a = hostile_all[i]; a->name; a++) {
			if (!strcmp(a->name, name))
				return a;
		}
	}
	return NULL;
}

static void hostile_clear_report(struct hostile *h)
{
	unsigned int i;

	atomic_set(&h->sent, 0);
	atomic_set(&h->silent, 0);
	for (i = 0; i < ARRAY_SIZE(h->status); i++)
		atomic_set(&h->status[i], 0);
	h->wrong = 0;
	h->checks = 0;
	h->first_wrong[0] = '\0';
	h->text[0] = '\0';
}

static ssize_t hostile_write(struct file *file, const char __user *from,
			     size_t size, loff_t *pos)
{
	struct hostile *h = file->private_data;
	const struct hostile_attack *a;
	char *text, *args, *name;
	int err;

	if (size >= PAGE_SIZE)
		return -E2BIG;
	text = memdup_user_nul(from, size);
	if (IS_ERR(text))
		return PTR_ERR(text);
	args = strim(text);
	name = strsep(&args, " ");
	a = hostile_find(name);
	err = a ? 0 : -ENOENT;
	if (a) {
		mutex_lock(&h->lock);
		hostile_clear_report(h);
		err = a->run(h, args);
		hostile_sane(h);
		mutex_unlock(&h->lock);
	}
	kfree(text);
	return err ? err : (ssize_t)size;
}

static const struct file_operations hostile_attack_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = hostile_write,
};

static int hostile_report_show(struct seq_file *s, void *unused)
{
	struct hostile *h = s->private;
	unsigned int i;

	seq_printf(s, "sent %d\nsilent %d\n", atomic_read(&h->sent),
		   atomic_read(&h->silent));
	for (i = 0; i < ARRAY_SIZE(h->status); i++) {
		if (atomic_read(&h->status[i]))
			seq_printf(s, "status_%u %d\n", i,
				   atomic_read(&h->status[i]));
	}
	seq_printf(s, "checks %u\nwrong %u\n%s", h->checks, h->wrong, h->text);
	if (h->wrong)
		seq_printf(s, "first_wrong %s\n", h->first_wrong);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(hostile_report);

/* --- the driver --- */

static unsigned int hostile_table_pages(struct hostile *h)
{
	return h->nr_leaves + h->nr_blocks;
}

static void hostile_free(struct hostile *h)
{
	unsigned int i;

	for (i = 0; i < HOSTILE_QUEUES; i++)
		free_pages((unsigned long)h->q[i].desc, 4);
	for (i = 0; i < HOSTILE_AREAS; i++)
		free_pages((unsigned long)h->area[i], HOSTILE_AREA_ORDER);
	free_pages((unsigned long)h->table, h->table_order);
	free_pages((unsigned long)h->spare, h->table_order);
	pci_dev_put(h->edu);
	kfree(h);
}

static u8 *hostile_pages(unsigned int order)
{
	return (u8 *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, order);
}

static int hostile_alloc(struct hostile *h)
{
	struct hostile_queue *q;
	unsigned int i;
	u8 *pages;

	h->nr_leaves =
		DIV_ROUND_UP(h->mem >> h->shift, VIRTIO_PVDMA_LEAF_WORDS);
	h->nr_blocks = DIV_ROUND_UP(h->nr_leaves, VIRTIO_PVDMA_BLOCK_GRANULES);
	h->table_order = get_order(hostile_table_pages(h) * PAGE_SIZE);
	h->table = hostile_pages(h->table_order);
	h->spare = hostile_pages(h->table_order);
	if (!h->table || !h->spare)
		return -ENOMEM;
	for (i = 0; i < HOSTILE_AREAS; i++) {
		h->area[i] = hostile_pages(HOSTILE_AREA_ORDER);
		if (!h->area[i])
			return -ENOMEM;
	}
	for (i = 0; i < HOSTILE_QUEUES; i++) {
		q = &h->q[i];
		pages = hostile_pages(4);
		if (!pages)
			return -ENOMEM;
		q->desc = (void *)pages;
		q->avail = (void *)(pages + PAGE_SIZE);
		q->used = (void *)(pages + 2 * PAGE_SIZE);
		q->tail = (void *)(pages + 3 * PAGE_SIZE);
		q->request = pages + 4 * PAGE_SIZE;
		q->slots = pages + 8 * PAGE_SIZE;
	}
	return 0;
}

static int hostile_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct hostile *h;
	int err = -EINVAL;

	if (!mem || hostile_current)
		return -EINVAL;
	h = kzalloc(sizeof(*h), GFP_KERNEL);
	if (!h)
		return -ENOMEM;
	h->pdev = pdev;
	h->mem = mem;
	mutex_init(&h->lock);
	prandom_seed_state(&h->rnd, seed);
	err = pcim_enable_device(pdev);
	if (!err)
		err = hostile_device_init(h);
	if (!err)
		err = hostile_alloc(h);
	if (err)
		goto fail;
	pci_set_master(pdev);
	hostile_sane(h);
	if (h->wrong) {
		pci_err(pdev, "hostile: %s\n", h->first_wrong);
		err = -EIO;
		goto fail;
	}
	pci_set_drvdata(pdev, h);
	hostile_current = h;
	debugfs_create_file("attack", 0200, hostile_dir, h,
			    &hostile_attack_fops);
	debugfs_create_file("report", 0400, hostile_dir, h,
			    &hostile_report_fops);
	pci_info(pdev, "hostile: quota %llu, %u leaves, edu %s\n", h->quota,
		 h->nr_leaves, h->edu ? pci_name(h->edu) : "none");
	return 0;

fail:
	hostile_device_done(h);
	hostile_free(h);
	return err;
}

static void hostile_remove(struct pci_dev *pdev)
{
	struct hostile *h = pci_get_drvdata(pdev);

	debugfs_lookup_and_remove("attack", hostile_dir);
	debugfs_lookup_and_remove("report", hostile_dir);
	hostile_reset(h);
	hostile_device_done(h);
	hostile_current = NULL;
	hostile_free(h);
}

/* It takes what it is told to, and nothing by itself. */
static const struct pci_device_id hostile_ids[] = {
	{ PCI_DEVICE_DRIVER_OVERRIDE(PCI_ANY_ID, PCI_ANY_ID, 1) },
	{ 0 },
};

static struct pci_driver hostile_driver = {
	.name = "hostile",
	.id_table = hostile_ids,
	.probe = hostile_probe,
	.remove = hostile_remove,
};

static int __init hostile_module_init(void)
{
	int err;

	hostile_dir = debugfs_create_dir("hostile", NULL);
	err = pci_register_driver(&hostile_driver);
	if (err)
		debugfs_remove(hostile_dir);
	return err;
}
module_init(hostile_module_init);

static void __exit hostile_module_exit(void)
{
	pci_unregister_driver(&hostile_driver);
	debugfs_remove(hostile_dir);
}
module_exit(hostile_module_exit);

MODULE_DESCRIPTION("Misuses a pvdma device in all ways that we can think of");
MODULE_LICENSE("GPL");
