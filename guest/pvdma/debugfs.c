// SPDX-License-Identifier: GPL-2.0-only
/*
 * debugfs.c - counters: /sys/kernel/debug/pvdma
 *
 * Owns: the files stats (the device, and all its endpoints together) and
 * endpoints/ADDRESS. A line is a name and a number. The files are 0444 and
 * nothing but read, so that they work under lockdown as well.
 *
 * The counters are per CPU and counted without atomics: a sum taken while
 * mappings are made is a moment's view, and exact when there are none.
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "pvdma.h"

static struct dentry *pvdma_debugfs_root;

static const char *const pvdma_counter_names[PVDMA_NR_COUNTERS] = {
	"maps",		  "mapped_bytes", "unmaps",	   "sg_maps",
	"sg_unmaps",	  "allocs",	  "frees",	   "hits",
	"misses",	  "bounces",	  "bounced_bytes", "failures",
	"unmap_failures",
};

static const char *const pvdma_traffic_names[PVDMA_NR_TRAFFIC] = {
	"requests",
	"map_requests",
	"unmap_requests",
	"prefetch_requests",
	"lost_hints",
	"failed_requests",
	"waits",
	"wait_ns",
	"left_requests",
	"timeouts",
	"refused_requests",
	"late_answers",
};

static void pvdma_debugfs_counters(struct seq_file *m,
				   const struct pvdma_counters *sum)
{
	const u64 *value = (const u64 *)sum;
	unsigned int i;

	for (i = 0; i < PVDMA_NR_COUNTERS; i++)
		seq_printf(m, "%s %llu\n", pvdma_counter_names[i], value[i]);
}

static int pvdma_debugfs_stats_show(struct seq_file *m, void *unused)
{
	struct pvdma *pv = m->private;
	struct pvdma_counters all, one;
	struct pvdma_endpoint *ep;
	struct pvdma_traffic traffic;
	u64 pool, used, *value;
	unsigned int i;

	mutex_lock(&pvdma_lock);
	all = pv->retired;
	list_for_each_entry(ep, &pv->endpoints, node) {
		pvdma_endpoint_sum(ep, &one);
		for (i = 0; i < PVDMA_NR_COUNTERS; i++)
			((u64 *)&all)[i] += ((u64 *)&one)[i];
	}
	mutex_unlock(&pvdma_lock);
	pvdma_debugfs_counters(m, &all);

	pvdma_traffic_sum(pv, &traffic);
	value = (u64 *)&traffic;
	for (i = 0; i < PVDMA_NR_TRAFFIC; i++)
		seq_printf(m, "%s %llu\n", pvdma_traffic_names[i], value[i]);

	pvdma_pool_stats(pv, &pool, &used);
	seq_printf(m, "leaves %llu\n", READ_ONCE(pv->track.nr_leaves));
	seq_printf(m, "directory_bytes %llu\n",
		   pvdma_track_dir_bytes(&pv->track));
	seq_printf(m, "bounce_pool_bytes %llu\n", pool);
	seq_printf(m, "bounce_used_bytes %llu\n", used);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pvdma_debugfs_stats);

/* The file is removed, and its readers waited for, before the endpoint. */
static int pvdma_debugfs_endpoint_show(struct seq_file *m, void *unused)
{
	struct pvdma_counters sum;

	pvdma_endpoint_sum(m->private, &sum);
	pvdma_debugfs_counters(m, &sum);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pvdma_debugfs_endpoint);

void pvdma_debugfs_add(struct pvdma *pv)
{
	pv->debugfs = debugfs_create_dir("endpoints", pvdma_debugfs_root);
	debugfs_create_file("stats", 0444, pvdma_debugfs_root, pv,
			    &pvdma_debugfs_stats_fops);
}

void pvdma_debugfs_remove(struct pvdma *pv)
{
	debugfs_lookup_and_remove("stats", pvdma_debugfs_root);
	debugfs_remove(pv->debugfs);
	pv->debugfs = NULL;
}

void pvdma_debugfs_add_endpoint(struct pvdma_endpoint *ep)
{
	ep->debugfs = debugfs_create_file(pci_name(ep->pdev), 0444,
					  ep->pv->debugfs, ep,
					  &pvdma_debugfs_endpoint_fops);
}

void pvdma_debugfs_remove_endpoint(struct pvdma_endpoint *ep)
{
	debugfs_remove(ep->debugfs);
	ep->debugfs = NULL;
}

void pvdma_debugfs_init(void)
{
	pvdma_debugfs_root = debugfs_create_dir("pvdma", NULL);
}

void pvdma_debugfs_exit(void)
{
	debugfs_remove(pvdma_debugfs_root);
}
