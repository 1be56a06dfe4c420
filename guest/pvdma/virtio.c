// SPDX-License-Identifier: GPL-2.0-only
/*
 * virtio.c - the life of the pvdma device, and of the module
 *
 * Owns: struct pvdma and its virtqueues.
 *
 * Order (SPEC.md, "Order of one life"): configuration, queues, DRIVER_OK,
 * INIT, and only then endpoints; backwards on the way down: no endpoints,
 * DETACH, reset, and only then the table's memory is freed, for the host may
 * write to it until the reset.
 *
 * Suspend, and a reset of the device under us, keep the holds: the table is
 * stripped of MAPPED, and what is held is mapped again before any endpoint's
 * driver resumes (the device links see to that order).
 *
 * Locks: the driver core serialises probe, remove, freeze and restore.
 */
#include <linux/module.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "compat/virtio.h"
#include "pvdma.h"

#define PVDMA_QUEUES_MAX 64
#define PVDMA_REMAP_RUNS 64

void pvdma_traffic_sum(struct pvdma *pv, struct pvdma_traffic *sum)
{
	u64 *to = (u64 *)sum, *from;
	unsigned int i;
	int cpu;

	memset(sum, 0, sizeof(*sum));
	for_each_possible_cpu(cpu) {
		from = (u64 *)per_cpu_ptr(pv->traffic, cpu);
		for (i = 0; i < PVDMA_NR_TRAFFIC; i++)
			to[i] += READ_ONCE(from[i]);
	}
}

static void pvdma_virtio_config_changed(struct virtio_device *vdev)
{
	struct pvdma *pv = vdev->priv;

	if (pv)
		schedule_work(&pv->news_work);
}

/* --- up and down --- */

static int pvdma_virtio_find_queues(struct pvdma *pv)
{
	struct virtqueue **vqs;
	unsigned int i;
	int err;

	vqs = kcalloc(pv->nr_queues, sizeof(*vqs), GFP_KERNEL);
	if (!vqs)
		return -ENOMEM;
	err = pvdma_compat_find_vqs(pv->vdev, pv->nr_queues, vqs, "request");
	if (err) {
		dev_err(&pv->vdev->dev,
			"%u request queues are not to be had: %d\n",
			pv->nr_queues, err);
		goto out;
	}
	err = pvdma_queue_setup(pv, vqs);
	if (err) {
		pv->vdev->config->del_vqs(pv->vdev);
		goto out;
	}
	for (i = 0; i < pv->nr_queues; i++)
		virtqueue_disable_cb(vqs[i]);
out:
	kfree(vqs);
	return err;
}

/* From the first queue to an accepted INIT. */
static int pvdma_virtio_start(struct pvdma *pv)
{
	int err = pvdma_virtio_find_queues(pv);

	if (err)
		return err;
	virtio_device_ready(pv->vdev);
	pvdma_queue_start(pv);
	err = pvdma_session_init(pv);
	if (!err)
		return 0;
	pvdma_queue_stop(pv);
	virtio_reset_device(pv->vdev);
	pvdma_queue_reclaim(pv);
	pv->vdev->config->del_vqs(pv->vdev);
	return err;
}

/* Endpoints are detached, or gone. The device touches nothing after this. */
static void pvdma_virtio_stop(struct pvdma *pv)
{
	cancel_delayed_work_sync(&pv->reserve_work);
	pvdma_queue_stop(pv);
	virtio_reset_device(pv->vdev);
	pvdma_queue_reclaim(pv);
	pv->vdev->config->del_vqs(pv->vdev);
}

/* Indirect descriptors would be allocated under a raw lock. */
static int pvdma_virtio_validate(struct virtio_device *vdev)
{
	__virtio_clear_bit(vdev, VIRTIO_RING_F_INDIRECT_DESC);
	if (!virtio_has_feature(vdev, VIRTIO_F_VERSION_1)) {
		dev_err(&vdev->dev,
			"a legacy device: VIRTIO_F_VERSION_1 is missing\n");
		return -ENODEV;
	}
	return 0;
}

static void pvdma_virtio_free(struct pvdma *pv)
{
	put_device(pv->class_dev);
	pvdma_queue_free(pv);
	pvdma_pool_free(pv);
	pvdma_track_done(&pv->track);
	free_percpu(pv->traffic);
	kfree(pv);
}

static struct pvdma *pvdma_virtio_new(struct virtio_device *vdev,
				      const struct pvdma_conf *conf)
{
	struct pvdma *pv = kzalloc(sizeof(*pv), GFP_KERNEL);

	if (!pv)
		return NULL;
	pv->vdev = vdev;
	pv->conf = *conf;
	INIT_LIST_HEAD(&pv->endpoints);
	INIT_LIST_HEAD(&pv->gone);
	INIT_DELAYED_WORK(&pv->gone_work, pvdma_gone_review);
	INIT_DELAYED_WORK(&pv->post_work, pvdma_request_post_all);
	INIT_WORK(&pv->news_work, pvdma_config_news);
	INIT_DELAYED_WORK(&pv->reserve_work, pvdma_reserve_review);
	pv->nr_queues = min3((unsigned int)conf->num_queues, nr_cpu_ids,
			     (unsigned int)PVDMA_QUEUES_MAX);
	pv->max_items = min_t(size_t, conf->max_ranges, PVDMA_MSG_ITEMS);
	pv->ram_last = pvdma_memory_last();
	pv->traffic = alloc_percpu(struct pvdma_traffic);
	if (!pv->traffic)
		goto fail;
	if (pvdma_track_init(&pv->track, conf->granule_shift, pv->ram_last + 1))
		goto fail;
	return pv;

fail:
	free_percpu(pv->traffic);
	kfree(pv);
	return NULL;
}

/* The operator's view (sysfs.c), and the hook for shutdown; see below. */
static struct class pvdma_class;

/* There is one pvdma device in a VM: 0, or -EBUSY. */
static int pvdma_virtio_claim(struct pvdma *pv)
{
	int err = 0;

	mutex_lock(&pvdma_lock);
	if (pvdma_current)
		err = -EBUSY;
	else
		pvdma_current = pv;
	mutex_unlock(&pvdma_lock);
	if (err)
		dev_err(&pv->vdev->dev, "there is a pvdma device already\n");
	return err;
}

static void pvdma_virtio_unclaim(void)
{
	mutex_lock(&pvdma_lock);
	pvdma_current = NULL;
	mutex_unlock(&pvdma_lock);
}

/* No device is taken over before this, and none after pvdma_virtio_close(). */
static void pvdma_virtio_open(struct pvdma *pv)
{
	mutex_lock(&pvdma_lock);
	pv->open = true;
	mutex_unlock(&pvdma_lock);
	pvdma_endpoint_scan(pv);
}

static void pvdma_virtio_close(struct pvdma *pv)
{
	mutex_lock(&pvdma_lock);
	pv->open = false;
	mutex_unlock(&pvdma_lock);
}

static int pvdma_virtio_add_class_device(struct pvdma *pv)
{
	struct device *dev;

	/* before the endpoints' links: that makes the order of shutdown */
	dev = device_create_with_groups(&pvdma_class, &pv->vdev->dev, 0, pv,
					pvdma_sysfs_attributes(), "pvdma0");
	if (IS_ERR(dev))
		return PTR_ERR(dev);
	/* the configuration work may still notify when it is unregistered */
	pv->class_dev = get_device(dev);
	return 0;
}

static int pvdma_virtio_probe(struct virtio_device *vdev)
{
	struct pvdma_conf conf = {};
	struct pvdma *pv;
	int err;

	err = pvdma_config_get(vdev, &conf);
	if (err)
		return err;
	pv = pvdma_virtio_new(vdev, &conf);
	if (!pv)
		return -ENOMEM;
	err = pvdma_virtio_claim(pv);
	if (err)
		goto fail_free;
	err = pvdma_virtio_add_class_device(pv);
	if (err)
		goto fail_claim;
	err = pvdma_memory_start(pv);
	if (err)
		goto fail_class;
	vdev->priv = pv;
	err = pvdma_virtio_start(pv);
	if (err)
		goto fail_memory;

	dev_info(
		&vdev->dev,
		"granule %u KiB, quota %llu KiB, %u of %u queues, %u ranges a request\n",
		1u << (conf.granule_shift - 10), conf.quota >> 10,
		pv->nr_queues, conf.num_queues, pv->max_items);
	pvdma_debugfs_add(pv);
	pvdma_virtio_open(pv);
	return 0;

fail_memory:
	vdev->priv = NULL;
	pvdma_memory_stop(pv);
fail_class:
	device_unregister(pv->class_dev);
fail_claim:
	pvdma_virtio_unclaim();
	cancel_work_sync(&pv->news_work);
	cancel_delayed_work_sync(&pv->reserve_work);
fail_free:
	pvdma_virtio_free(pv);
	return err;
}

/* The device links have unbound the endpoints' drivers by now. */
static void pvdma_virtio_remove(struct virtio_device *vdev)
{
	struct pvdma *pv = vdev->priv;

	pvdma_virtio_close(pv);
	/* waits for a rebind on its way */
	device_unregister(pv->class_dev);
	pvdma_endpoint_drop_all(pv);
	pvdma_gone_end(pv);
	pvdma_virtio_stop(pv);
	pvdma_virtio_unclaim();
	vdev->priv = NULL;
	cancel_work_sync(&pv->news_work);
	/* which may have wanted one */
	cancel_delayed_work_sync(&pv->reserve_work);
	pvdma_debugfs_remove(pv);
	pvdma_memory_stop(pv);
	pvdma_virtio_free(pv);
}

/*
 * Shutdown, kexec too. The order is that of the device links: the endpoints'
 * drivers have shut down, but not all of them stop their devices. After the
 * reset the host writes no more into memory that the next kernel may use.
 * (The virtio bus resets the device as well, without asking the driver: this
 * is the class device's hook, which comes before.)
 */
static int pvdma_virtio_shutdown(struct device *dev)
{
	struct pvdma *pv = dev_get_drvdata(dev);

	pvdma_endpoint_quiesce(pv);
	pvdma_queue_stop(pv);
	virtio_reset_device(pv->vdev);
	return 0;
}

static struct class pvdma_class = {
	.name = "pvdma",
	.shutdown_pre = pvdma_virtio_shutdown,
};

/* --- suspend, and resets by others --- */

/* The next runs of words of @level that hold, from *@next on; at most @max. */
static unsigned int pvdma_virtio_held(struct pvdma *pv, enum pvdma_level level,
				      u64 *next, struct pvdma_run *run,
				      unsigned int max)
{
	unsigned int n = 0;
	u64 at = *next;

	for (; pvdma_track_next_held(&pv->track, level, &at); at++) {
		if (n && run[n - 1].at + run[n - 1].n == at)
			run[n - 1].n++;
		else if (n < max)
			run[n++] = (struct pvdma_run){ level, at, 1 };
		else
			break;
	}
	*next = at;
	return n;
}

/*
 * Maps what these words hold already; their holds stay. It is they that are
 * held once more, granules or blocks: the host has to know their leaves, which
 * are those that it looks at before it takes anything away.
 */
static int pvdma_virtio_remap_runs(struct pvdma *pv, u32 endpoint,
				   const struct pvdma_run *run, unsigned int n)
{
	struct pvdma_batch b;
	unsigned int i, held;
	int err = 0;

	pvdma_batch_begin(&b, pv, &pv->track, endpoint, GFP_KERNEL);
	for (held = 0; held < n && !err; held++)
		err = pvdma_batch_hold_words(&b, &run[held]);
	if (err)
		held--;
	else
		err = pvdma_batch_end(&b);
	for (i = 0; i < held; i++)
		pvdma_track_drop_words(&pv->track, run[i].level, run[i].at,
				       run[i].n);
	return err;
}

/* Maps what was mapped for live transfers before the reset. */
static int pvdma_virtio_remap(struct pvdma *pv, u32 endpoint)
{
	struct pvdma_run *run;
	int level, err = 0;
	unsigned int n;
	u64 next;

	run = kcalloc(PVDMA_REMAP_RUNS, sizeof(*run), GFP_KERNEL);
	if (!run)
		return -ENOMEM;
	for (level = 0; level < PVDMA_LEVELS; level++) {
		next = 0;
		while (!err && (n = pvdma_virtio_held(pv, level, &next, run,
						      PVDMA_REMAP_RUNS)))
			err = pvdma_virtio_remap_runs(pv, endpoint, run, n);
	}
	kfree(run);
	return err;
}

static int pvdma_virtio_recover(struct pvdma *pv)
{
	u32 endpoint;
	int err;

	pvdma_track_forget(&pv->track);
	err = pvdma_virtio_start(pv);
	if (err)
		return err;
	schedule_work(&pv->news_work);
	pvdma_reserve_renew(pv);
	/* one endpoint speaks for all: they share the mappings */
	if (!pvdma_endpoint_reattach(pv, &endpoint))
		return 0;
	err = pvdma_virtio_remap(pv, endpoint);
	/* room that is kept for copies is of no use to the others now */
	if (err == -ENOMEM && pvdma_pool_shrink(pv, PVDMA_POOL_MAPPED, 0))
		err = pvdma_virtio_remap(pv, endpoint);
	if (err) {
		dev_err(&pv->vdev->dev,
			"not all of what was mapped could be mapped again: %d\n",
			err);
		return err;
	}
	pvdma_endpoint_release_dma(pv);
	return 0;
}

static int __maybe_unused pvdma_virtio_freeze(struct virtio_device *vdev)
{
	struct pvdma *pv = vdev->priv;

	cancel_work_sync(&pv->news_work);
	pvdma_endpoint_quiesce(pv);
	pvdma_virtio_stop(pv);
	return 0;
}

static int __maybe_unused pvdma_virtio_restore(struct virtio_device *vdev)
{
	return pvdma_virtio_recover(vdev->priv);
}

#ifdef PVDMA_HAVE_VIRTIO_RESET
/*
 * Somebody resets our PCI function while endpoints are at work. That is a
 * suspend that nobody has told their drivers of: DMA stops until we are back.
 */
static int pvdma_virtio_reset_prepare(struct virtio_device *vdev)
{
	dev_warn(&vdev->dev, "reset from outside: its endpoints pause\n");
	return pvdma_virtio_freeze(vdev);
}

static int pvdma_virtio_reset_done(struct virtio_device *vdev)
{
	return pvdma_virtio_restore(vdev);
}
#endif

/* --- the module --- */

static const struct virtio_device_id pvdma_virtio_ids[] = {
	{ VIRTIO_PVDMA_ID, VIRTIO_DEV_ANY_ID },
	{ VIRTIO_PVDMA_ID_BORROWED, VIRTIO_DEV_ANY_ID },
	{ 0 },
};
MODULE_DEVICE_TABLE(virtio, pvdma_virtio_ids);

static const unsigned int pvdma_virtio_features[] = {
	VIRTIO_PVDMA_F_UNMAP,
	VIRTIO_PVDMA_F_PREFETCH,
	VIRTIO_PVDMA_F_SAMPLE,
};

static struct virtio_driver pvdma_virtio_driver = {
	.feature_table = pvdma_virtio_features,
	.feature_table_size = ARRAY_SIZE(pvdma_virtio_features),
	.driver.name = KBUILD_MODNAME,
	.driver.owner = THIS_MODULE,
	.id_table = pvdma_virtio_ids,
	.validate = pvdma_virtio_validate,
	.probe = pvdma_virtio_probe,
	.remove = pvdma_virtio_remove,
	.config_changed = pvdma_virtio_config_changed,
#ifdef CONFIG_PM_SLEEP
	.freeze = pvdma_virtio_freeze,
	.restore = pvdma_virtio_restore,
#endif
#ifdef PVDMA_HAVE_VIRTIO_RESET
	.reset_prepare = pvdma_virtio_reset_prepare,
	.reset_done = pvdma_virtio_reset_done,
#endif
};

static int __init pvdma_module_init(void)
{
	int err = pvdma_endpoint_module_init();

	if (err)
		return err;
	err = class_register(&pvdma_class);
	if (err)
		goto fail_endpoint;
	pvdma_debugfs_init();
	err = register_virtio_driver(&pvdma_virtio_driver);
	if (!err)
		return 0;
	pvdma_debugfs_exit();
	class_unregister(&pvdma_class);
fail_endpoint:
	pvdma_endpoint_module_exit();
	return err;
}
module_init(pvdma_module_init);

static void __exit pvdma_module_exit(void)
{
	unregister_virtio_driver(&pvdma_virtio_driver);
	pvdma_debugfs_exit();
	class_unregister(&pvdma_class);
	pvdma_endpoint_module_exit();
}
module_exit(pvdma_module_exit);

MODULE_DESCRIPTION("On-demand DMA mapping for assigned PCI devices");
MODULE_AUTHOR("The pvdma authors");
MODULE_LICENSE("GPL");
MODULE_SOFTDEP("pre: virtio_pci");
