// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * device.c - registers of a virtio device over PCI (virtio 1.3, 4.1.4)
 *
 * Owns the mappings of its structures. Nothing here judges what it writes: that
 * is the point.
 */
#include <linux/delay.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include "hostile.h"

#define CONFIG_READS 3
#define RESET_TRIES  600
#define RESET_MS     100

static void __iomem *map_structure(struct hostile *h, u8 type, u8 *ret_cap)
{
	struct pci_dev *pdev = h->pdev;
	u32 offset, length;
	u8 at, cfg, bar;

	for (at = pci_find_capability(pdev, PCI_CAP_ID_VNDR); at;
	     at = pci_find_next_capability(pdev, at, PCI_CAP_ID_VNDR)) {
		pci_read_config_byte(pdev, at + VIRTIO_PCI_CAP_CFG_TYPE, &cfg);
		if (cfg != type)
			continue;
		pci_read_config_byte(pdev, at + VIRTIO_PCI_CAP_BAR, &bar);
		pci_read_config_dword(pdev, at + VIRTIO_PCI_CAP_OFFSET,
				      &offset);
		pci_read_config_dword(pdev, at + VIRTIO_PCI_CAP_LENGTH,
				      &length);
		*ret_cap = at;
		h->mmio = pci_resource_start(pdev, bar);
		return pci_iomap_range(pdev, bar, offset, length);
	}
	return NULL;
}

void hostile_read_config(struct hostile *h, struct virtio_pvdma_config *to)
{
	u8 *bytes = (u8 *)to;
	unsigned int i;

	for (i = 0; i < sizeof(*to); i++)
		bytes[i] = ioread8(h->config + i);
}

static int find_edu(struct hostile *h)
{
	int err;

	h->edu = pci_get_device(0x1234, 0x11e8, NULL);
	if (!h->edu)
		return 0;
	err = pci_enable_device(h->edu);
	if (err)
		return err;
	pci_set_master(h->edu);
	h->edu_bar = pci_iomap(h->edu, 0, 0);
	return h->edu_bar ? 0 : -ENOMEM;
}

int hostile_device_init(struct hostile *h)
{
	struct virtio_pvdma_config config;
	u8 cap;

	h->common = map_structure(h, VIRTIO_PCI_CAP_COMMON_CFG, &cap);
	h->config = map_structure(h, VIRTIO_PCI_CAP_DEVICE_CFG, &cap);
	h->notify = map_structure(h, VIRTIO_PCI_CAP_NOTIFY_CFG, &cap);
	if (!h->common || !h->config || !h->notify) {
		pci_err(h->pdev, "hostile: structures are missing\n");
		return -ENODEV;
	}
	pci_read_config_dword(h->pdev, cap + VIRTIO_PCI_NOTIFY_CAP_MULT,
			      &h->notify_multiplier);
	hostile_read_config(h, &config);
	if (le32_to_cpu(config.magic) != VIRTIO_PVDMA_MAGIC) {
		pci_err(h->pdev, "hostile: a magic of %#x\n",
			le32_to_cpu(config.magic));
		return -ENODEV;
	}
	h->quota = le64_to_cpu(config.quota);
	h->shift = config.granule_shift;
	h->max_ranges =
		min_t(unsigned int, le16_to_cpu(config.max_ranges), 256);
	return find_edu(h);
}

void hostile_device_done(struct hostile *h)
{
	if (h->edu_bar) {
		pci_iounmap(h->edu, h->edu_bar);
		pci_clear_master(h->edu);
		pci_disable_device(h->edu);
	}
	pci_iounmap(h->pdev, h->common);
	pci_iounmap(h->pdev, h->config);
	pci_iounmap(h->pdev, h->notify);
}

void hostile_set_status(struct hostile *h, u8 status)
{
	iowrite8(status, h->common + VIRTIO_PCI_COMMON_STATUS);
}

u8 hostile_get_status(struct hostile *h)
{
	return ioread8(h->common + VIRTIO_PCI_COMMON_STATUS);
}

void hostile_reset(struct hostile *h)
{
	unsigned int i;

	hostile_set_status(h, 0);
	for (i = 0; i < RESET_TRIES && hostile_get_status(h); i++)
		msleep(RESET_MS);
}

u64 hostile_offered(struct hostile *h)
{
	u64 low, high;

	iowrite32(0, h->common + VIRTIO_PCI_COMMON_DFSELECT);
	low = ioread32(h->common + VIRTIO_PCI_COMMON_DF);
	iowrite32(1, h->common + VIRTIO_PCI_COMMON_DFSELECT);
	high = ioread32(h->common + VIRTIO_PCI_COMMON_DF);
	return high << 32 | low;
}

void hostile_set_features(struct hostile *h, u64 features)
{
	iowrite32(0, h->common + VIRTIO_PCI_COMMON_GFSELECT);
	iowrite32((u32)features, h->common + VIRTIO_PCI_COMMON_GF);
	iowrite32(1, h->common + VIRTIO_PCI_COMMON_GFSELECT);
	iowrite32(features >> 32, h->common + VIRTIO_PCI_COMMON_GF);
}

static void write_address(struct hostile *h, unsigned int at, u64 value)
{
	iowrite32((u32)value, h->common + at);
	iowrite32(value >> 32, h->common + at + 4);
}

void hostile_enable(struct hostile *h, unsigned int n, u16 value)
{
	iowrite16(n, h->common + VIRTIO_PCI_COMMON_Q_SELECT);
	iowrite16(value, h->common + VIRTIO_PCI_COMMON_Q_ENABLE);
}

void hostile_set_queue(struct hostile *h, unsigned int n, u64 desc, u64 avail,
		       u64 used, u16 size)
{
	unsigned int off;

	iowrite16(n, h->common + VIRTIO_PCI_COMMON_Q_SELECT);
	iowrite16(size, h->common + VIRTIO_PCI_COMMON_Q_SIZE);
	write_address(h, VIRTIO_PCI_COMMON_Q_DESCLO, desc);
	write_address(h, VIRTIO_PCI_COMMON_Q_AVAILLO, avail);
	write_address(h, VIRTIO_PCI_COMMON_Q_USEDLO, used);
	off = ioread16(h->common + VIRTIO_PCI_COMMON_Q_NOFF);
	if (n < HOSTILE_QUEUES)
		h->q[n].notify = h->notify + off * h->notify_multiplier;
	iowrite16(1, h->common + VIRTIO_PCI_COMMON_Q_ENABLE);
}

void hostile_clear_rings(struct hostile *h)
{
	struct hostile_queue *q;

	for (q = h->q; q < h->q + HOSTILE_QUEUES; q++) {
		memset(q->desc, 0, PAGE_SIZE);
		memset(q->avail, 0, PAGE_SIZE);
		memset(q->used, 0, PAGE_SIZE);
		/* VRING_AVAIL_F_NO_INTERRUPT: we poll */
		q->avail->flags = cpu_to_le16(1);
		q->published = 0;
	}
}

int hostile_open(struct hostile *h, u64 features)
{
	u8 status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
	unsigned int n;

	hostile_reset(h);
	hostile_clear_rings(h);
	hostile_set_status(h, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	hostile_set_status(h, status);
	hostile_set_features(h, features);
	status |= VIRTIO_CONFIG_S_FEATURES_OK;
	hostile_set_status(h, status);
	if (!(hostile_get_status(h) & VIRTIO_CONFIG_S_FEATURES_OK))
		return -EIO;
	for (n = 0; n < HOSTILE_QUEUES; n++)
		hostile_set_queue(h, n, virt_to_phys(h->q[n].desc),
				  virt_to_phys(h->q[n].avail),
				  virt_to_phys(h->q[n].used), HOSTILE_RING);
	hostile_set_status(h, status | VIRTIO_CONFIG_S_DRIVER_OK);
	return 0;
}

void hostile_sync(struct hostile *h)
{
	unsigned int i;

	/* each byte is a message to the agent, and QEMU waits for its answer */
	for (i = 0; i < CONFIG_READS; i++)
		ioread8(h->config);
}
