/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * virtio.h - what changed between kernels in the virtio driver API
 */
#ifndef PVDMA_COMPAT_VIRTIO_H
#define PVDMA_COMPAT_VIRTIO_H

#include <linux/slab.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>

/*
 * Finds @n queues, all named @name and without call-backs. The caller deletes
 * them with config->del_vqs(). 0 or a negative errno. May sleep.
 */
static inline int pvdma_compat_find_vqs(struct virtio_device *vdev,
					unsigned int n, struct virtqueue **vqs,
					const char *name)
{
	unsigned int i;
	int err;
#ifdef PVDMA_HAVE_VIRTQUEUE_INFO
	struct virtqueue_info *info = kcalloc(n, sizeof(*info), GFP_KERNEL);

	if (!info)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		info[i].name = name;
	err = virtio_find_vqs(vdev, n, vqs, info, NULL);
	kfree(info);
#else
	vq_callback_t **callbacks = kcalloc(n, sizeof(*callbacks), GFP_KERNEL);
	const char **names = kcalloc(n, sizeof(*names), GFP_KERNEL);

	err = -ENOMEM;
	if (callbacks && names) {
		for (i = 0; i < n; i++)
			names[i] = name;
		err = virtio_find_vqs(vdev, n, vqs, callbacks, names, NULL);
	}
	kfree(names);
	kfree(callbacks);
#endif
	return err;
}

#endif
