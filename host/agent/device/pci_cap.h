/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci_cap.h - shows a capability that a device does not have
 *
 * Pure functions over the first 256 bytes of a configuration space.
 */
#ifndef PVDMA_AGENT_PCI_CAP_H
#define PVDMA_AGENT_PCI_CAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/virtio_pvdma.h"

/* Where capabilities are, bytes; what is above needs PCI Express. */
#define PCI_CAP_SPACE 256

/* What is shown in place of what the device has; all zero: nothing. */
struct pci_cap_overlay {
	uint8_t position; /* of the capability; 0: none */
	struct virtio_pvdma_cap cap;
};

/*
 * Finds room for the pvdma capability and plans to show it at the head of the
 * device's list. 0 with *@ret filled; or, with *@ret all zero, -ENOSPC (no
 * room), -EOPNOTSUPP (not the configuration space of an ordinary function).
 */
int pci_cap_plan(const uint8_t config[static PCI_CAP_SPACE], uint32_t vm_tag,
		 uint32_t endpoint, struct pci_cap_overlay *ret);

/* Changes the @count bytes read at @offset to what is to be seen there. */
void pci_cap_overlay_read(const struct pci_cap_overlay *overlay,
			  uint64_t offset, void *buf, size_t count);

/*
 * Splits a write of @count bytes at @offset: returns how many of them, from
 * the start, are the device's; *@ret_hidden are how many after those are to
 * be dropped. What comes behind them needs another call.
 */
size_t pci_cap_overlay_split(const struct pci_cap_overlay *overlay,
			     uint64_t offset, size_t count, size_t *ret_hidden);

#endif
