// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * layout.c - attacks on where things are
 *
 * A guest can move memory by itself: the chipset turns a window below 1 MiB
 * into memory, read-only memory, or nothing, by a register (PAM). Each time the
 * VMM takes regions from the agent and gives others. And the BARs and all else
 * in the configuration space of an assigned device are the guest's to write.
 */
#include <linux/virtio_config.h>

#include "hostile.h"

#define Q35_HOST      0x29c0
#define Q35_PAM	      0x93 /* 0xd0000 to 0xd7fff, and the next 32 KiB */
#define WINDOW	      0xd0000ull
#define WINDOW_SIZE   SZ_64K
#define PAM_ROUNDS    10
#define CONFIG_ROUNDS 250
#define CONFIG_SIZE   256

static void set_window(struct pci_dev *bridge, u8 value)
{
	pci_write_config_byte(bridge, Q35_PAM, value);
	pci_write_config_byte(bridge, Q35_PAM + 1, value);
}

static int map_worker(void *data)
{
	struct hostile_worker *w = data;
	struct hostile *h = w->h;

	while (!kthread_should_stop()) {
		hostile_range(h, w->n, VIRTIO_PVDMA_T_MAP, WINDOW >> h->shift,
			      1 + hostile_worker_random(w) % 16);
		hostile_range(h, w->n, VIRTIO_PVDMA_T_MAP,
			      hostile_area(h, hostile_worker_random(w)), 64);
	}
	return 0;
}

/* The leaf of the first granules lies in the window; all else where it does. */
static int leaves_in_window(struct hostile *h)
{
	unsigned int i;
	int r = hostile_leaf(h, 0, WINDOW);

	for (i = 1; i < h->nr_leaves && !r; i++)
		r = hostile_leaf(h, i, virt_to_phys(h->table) + i * PAGE_SIZE);
	return r;
}

static int flip_window(struct hostile *h, struct pci_dev *bridge)
{
	static const u8 modes[] = { 0x11, 0x33, 0x00, 0x33, 0x31, 0x13, 0x22 };
	struct hostile_worker w = {};
	int err = hostile_open(h, hostile_offered(h)), r;
	unsigned int i;

	set_window(bridge, 0x33);
	if (err || hostile_init_on(h, 0) ||
	    hostile_attach(h, HOSTILE_ENDPOINT, 3))
		return -EIO;
	r = leaves_in_window(h);
	hostile_check(h, !r, "the window is no memory: %d", r);
	err = hostile_start(&w, h, 1, map_worker);
	for (i = 0; i < PAM_ROUNDS && !err; i++) {
		set_window(bridge, modes[i % ARRAY_SIZE(modes)]);
		r = hostile_range(h, 0, VIRTIO_PVDMA_T_MAP, WINDOW >> h->shift,
				  WINDOW_SIZE >> h->shift);
		hostile_check(h, r >= 0, "MAP in the window: %d", r);
		/* read-only, or nothing, is no place for a leaf */
		r = hostile_leaf(h, 0, WINDOW);
		hostile_check(h, r >= 0, "a leaf in the window: %d", r);
		hostile_range(h, 0, VIRTIO_PVDMA_T_UNMAP, WINDOW >> h->shift,
			      3);
	}
	hostile_stop(&w);
	set_window(bridge, 0x11);
	hostile_sync(h);
	r = hostile_leaf(h, 0, WINDOW + PAGE_SIZE);
	hostile_check(h, r == VIRTIO_PVDMA_R_RANGE,
		      "a leaf in read-only memory: status %d", r);
	return err;
}

static int attack_layout(struct hostile *h, char *args)
{
	struct pci_dev *bridge =
		pci_get_device(PCI_VENDOR_ID_INTEL, Q35_HOST, NULL);
	u8 low, high;
	int err;

	if (!bridge)
		return -ENODEV;
	pci_read_config_byte(bridge, Q35_PAM, &low);
	pci_read_config_byte(bridge, Q35_PAM + 1, &high);
	err = flip_window(h, bridge);
	pci_write_config_byte(bridge, Q35_PAM, low);
	pci_write_config_byte(bridge, Q35_PAM + 1, high);
	pci_dev_put(bridge);
	return err;
}

/* --- configuration space --- */

static bool is_endpoint(struct pci_dev *pdev)
{
	u32 magic;
	u8 at;

	for (at = pci_find_capability(pdev, VIRTIO_PVDMA_CAP_ID); at;
	     at = pci_find_next_capability(pdev, at, VIRTIO_PVDMA_CAP_ID)) {
		pci_read_config_dword(pdev, at + 4, &magic);
		if (magic == VIRTIO_PVDMA_MAGIC)
			return true;
	}
	return false;
}

static void map_some(struct hostile *h)
{
	hostile_range(h, 0, VIRTIO_PVDMA_T_MAP,
		      hostile_area(h, hostile_random(h)), 32);
	hostile_range(h, 0, VIRTIO_PVDMA_T_UNMAP,
		      hostile_area(h, hostile_random(h)), 32);
}

/* BARs on memory, on the rings, on interrupts, on another device. */
static void move_bar(struct hostile *h, struct pci_dev *pdev)
{
	const u64 places[] = {
		hostile_area(h, 0) << h->shift,
		virt_to_phys(h->table),
		virt_to_phys(h->q[0].desc),
		0xfee00000,
		h->mmio,
		0,
		U32_MAX,
		h->mem,
	};
	unsigned int i;
	u32 was;

	pci_read_config_dword(pdev, PCI_BASE_ADDRESS_0, &was);
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		pci_write_config_dword(pdev, PCI_BASE_ADDRESS_0,
				       (u32)places[i]);
		pci_write_config_dword(pdev, PCI_BASE_ADDRESS_0, was);
		map_some(h);
	}
}

/* Each is put back at once, or the guest loses what it needs itself. */
static void scribble_config(struct hostile *h, struct pci_dev *pdev)
{
	unsigned int i, at;
	u32 was, id;

	for (i = 0; i < CONFIG_ROUNDS; i++) {
		at = hostile_random(h) % CONFIG_SIZE & ~3u;
		pci_read_config_dword(pdev, at, &was);
		if (i % 3 == 0)
			pci_write_config_byte(pdev, at + i % 4,
					      hostile_random(h));
		else
			pci_write_config_dword(pdev, at, hostile_random(h));
		if (i % 16 == 0)
			map_some(h);
		pci_write_config_dword(pdev, at, was);
	}
	pci_read_config_dword(pdev, PCI_VENDOR_ID, &id);
	hostile_check(h, id == (pdev->vendor | (u32)pdev->device << 16),
		      "a device says that it is %#x now", id);
	hostile_check(h, is_endpoint(pdev), "an endpoint lost its capability");
}

static int attack_config(struct hostile *h, char *args)
{
	struct pci_dev *pdev = NULL;
	unsigned int n = 0;
	int err = hostile_session(h);

	if (err)
		return err;
	for_each_pci_dev(pdev) {
		if (!is_endpoint(pdev) || pdev->driver)
			continue;
		pci_save_state(pdev);
		move_bar(h, pdev);
		scribble_config(h, pdev);
		pci_set_power_state(pdev, PCI_D3hot);
		pci_set_power_state(pdev, PCI_D0);
		pci_restore_state(pdev);
		n++;
	}
	hostile_check(h, n > 0, "there is no endpoint");
	scnprintf(h->text, sizeof(h->text), "endpoints %u\n", n);
	return 0;
}

const struct hostile_attack hostile_layouts[] = { { "layout", attack_layout },
						  { "config", attack_config },
						  {} };
