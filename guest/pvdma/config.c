// SPDX-License-Identifier: GPL-2.0-only
/*
 * config.c - what the device says of itself, at start and as news
 *
 * Owns: the contents of pvdma.conf.
 *
 * Reads of the configuration space can be slow, so they are made at probe and
 * after a change notification, in a work. Locks: pvdma_lock for changes of
 * pvdma.conf; the fields that change are also read without it, one at a time.
 */
#include <linux/virtio_config.h>

#include "pvdma.h"

static void pvdma_config_read_quota(struct virtio_device *vdev,
				    struct pvdma_conf *conf)
{
	unsigned int tries = 8;
	u32 news;

	/* DRV-CONF-2; a host that changes it all the time tells us again */
	do {
		virtio_cread_le(vdev, struct virtio_pvdma_config, quota_news,
				&conf->quota_news);
		virtio_cread_le(vdev, struct virtio_pvdma_config, quota,
				&conf->quota);
		virtio_cread_le(vdev, struct virtio_pvdma_config, excess,
				&conf->excess);
		virtio_cread_le(vdev, struct virtio_pvdma_config, deadline_ms,
				&conf->deadline_ms);
		virtio_cread_le(vdev, struct virtio_pvdma_config, quota_news,
				&news);
	} while (news != conf->quota_news && --tries);
}

static void pvdma_config_read_news(struct virtio_device *vdev,
				   struct pvdma_conf *conf)
{
	pvdma_config_read_quota(vdev, conf);
	virtio_cread_le(vdev, struct virtio_pvdma_config, strategy_news,
			&conf->strategy_news);
	virtio_cread_le(vdev, struct virtio_pvdma_config, strategy,
			&conf->strategy);
	virtio_cread_le(vdev, struct virtio_pvdma_config, endpoint_news,
			&conf->endpoint_news);
	virtio_cread_le(vdev, struct virtio_pvdma_config, num_endpoints,
			&conf->num_endpoints);
}

static void pvdma_config_read(struct virtio_device *vdev,
			      struct pvdma_conf *conf)
{
	virtio_cread_le(vdev, struct virtio_pvdma_config, version,
			&conf->version);
	virtio_cread_le(vdev, struct virtio_pvdma_config, granule_shift,
			&conf->granule_shift);
	virtio_cread_le(vdev, struct virtio_pvdma_config, num_queues,
			&conf->num_queues);
	virtio_cread_le(vdev, struct virtio_pvdma_config, max_ranges,
			&conf->max_ranges);
	virtio_cread_le(vdev, struct virtio_pvdma_config, vm_tag,
			&conf->vm_tag);
	pvdma_config_read_news(vdev, conf);
}

/* DRV-ID-1: before anything else of the device is believed. */
static int pvdma_config_check_magic(struct virtio_device *vdev)
{
	u32 magic;

	virtio_cread_le(vdev, struct virtio_pvdma_config, magic, &magic);
	if (magic == VIRTIO_PVDMA_MAGIC)
		return 0;
	dev_err(&vdev->dev, "not a pvdma device: its magic is %#x, not %#x\n",
		magic, VIRTIO_PVDMA_MAGIC);
	return -ENODEV;
}

/* DRV-CONF-1 */
static int pvdma_config_check(struct virtio_device *vdev,
			      const struct pvdma_conf *conf)
{
	struct device *dev = &vdev->dev;

	if (!conf->version)
		dev_err(dev, "the host offers version 0 of the protocol\n");
	else if (conf->granule_shift < VIRTIO_PVDMA_GRANULE_SHIFT_MIN ||
		 conf->granule_shift > VIRTIO_PVDMA_GRANULE_SHIFT_MAX)
		dev_err(dev,
			"the host offers a granule_shift of %u, not %u to %u\n",
			conf->granule_shift, VIRTIO_PVDMA_GRANULE_SHIFT_MIN,
			VIRTIO_PVDMA_GRANULE_SHIFT_MAX);
	else if (!conf->num_queues)
		dev_err(dev, "the host offers num_queues of 0\n");
	else if (!conf->max_ranges)
		dev_err(dev, "the host offers max_ranges of 0\n");
	else
		return 0;
	return -EINVAL;
}

/*
 * What the device says of itself. -ENODEV if it is no pvdma device, -EINVAL if
 * it is none that can be driven; both after a message.
 */
int pvdma_config_get(struct virtio_device *vdev, struct pvdma_conf *conf)
{
	int err = pvdma_config_check_magic(vdev);

	if (err)
		return err;
	pvdma_config_read(vdev, conf);
	return pvdma_config_check(vdev, conf);
}

/*
 * DRV-QUOTA-2: registers a leaf that the host knows again, if there is any: the
 * host sees that the table's owner lives, and brings the table up to date.
 */
static void pvdma_config_greet(struct pvdma *pv)
{
	struct pvdma_slot *s;
	u64 leaf;

	if (!pvdma_track_first_registered(&pv->track, &leaf))
		return;
	s = pvdma_request_get(pv);
	if (!s)
		return;
	pvdma_encode_begin(s->leaf, VIRTIO_PVDMA_T_LEAF, 0);
	pvdma_encode_begin(s->main, VIRTIO_PVDMA_T_LEAF, 0);
	pvdma_encode_leaf(s->main, s->max_items, leaf,
			  pvdma_track_leaf_addr(&pv->track, leaf));
	/* what is wrong, if anything, is told there */
	(void)pvdma_request_run(s);
	pvdma_request_put(s);
}

/*
 * The quota was changed, or is kept again. Live transfers' holds are all that
 * there is beyond the pools of copies, whose idle chunks are given up
 * (DRV-QUOTA-1); while the host wants memory back none are added early.
 */
static void pvdma_config_quota(struct pvdma *pv, const struct pvdma_conf *old,
			       const struct pvdma_conf *now)
{
	struct device *dev = &pv->vdev->dev;
	u64 freed = 0;
	int kind;

	if (now->quota != old->quota) {
		dev_info(dev, "the quota is %llu KiB now\n", now->quota >> 10);
		sysfs_notify(&pv->class_dev->kobj, NULL, "quota");
	}
	if (now->excess) {
		for (kind = 0; kind < PVDMA_NR_POOLS; kind++)
			freed += pvdma_pool_shrink(pv, kind, 0);
		dev_info(
			dev,
			"the host wants %llu KiB that are in use, within %u ms; the memory for copies shrinks by %llu KiB\n",
			now->excess >> 10, now->deadline_ms, freed >> 10);
	}
	mutex_lock(&pvdma_lock);
	pvdma_reserve_open(pv);
	mutex_unlock(&pvdma_lock);
	pvdma_reserve_later(pv);
	if (now->excess != old->excess)
		sysfs_notify(&pv->class_dev->kobj, NULL, "excess");
	pvdma_config_greet(pv);
}

/* A configuration change: what has changed, and what follows from it. */
void pvdma_config_news(struct work_struct *work)
{
	struct pvdma *pv = container_of(work, struct pvdma, news_work);
	struct pvdma_conf now, old;

	mutex_lock(&pvdma_lock);
	old = pv->conf;
	now = old;
	pvdma_config_read_news(pv->vdev, &now);
	WRITE_ONCE(pv->conf.quota, now.quota);
	WRITE_ONCE(pv->conf.excess, now.excess);
	WRITE_ONCE(pv->conf.deadline_ms, now.deadline_ms);
	WRITE_ONCE(pv->conf.strategy, now.strategy);
	pv->conf.quota_news = now.quota_news;
	pv->conf.strategy_news = now.strategy_news;
	pv->conf.endpoint_news = now.endpoint_news;
	pv->conf.num_endpoints = now.num_endpoints;
	mutex_unlock(&pvdma_lock);

	if (now.quota_news != old.quota_news)
		pvdma_config_quota(pv, &old, &now);
	if (now.strategy != old.strategy)
		sysfs_notify(&pv->class_dev->kobj, NULL, "strategy");
	if (now.endpoint_news != old.endpoint_news)
		pvdma_endpoint_scan(pv);
}
