/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * discover.h - which PCI devices are endpoints of this VM's pvdma device
 */
#ifndef PVDMA_DISCOVER_H
#define PVDMA_DISCOVER_H

#include <linux/pci.h>

/* Parses parameter endpoints=; -EINVAL after a message that says what is bad */
int pvdma_discover_init(void);

/*
 * Is @pdev an endpoint of the device with @vm_tag? By its capability, or else
 * by the parameter. Sets *@number on true only.
 */
bool pvdma_discover_match(struct pci_dev *pdev, u32 vm_tag, u32 *number);

/* "0000:00:04.0", and what follows it into *@rest; false if it is no address */
bool pvdma_discover_address(const char *s, int *domain, u8 *bus, u8 *devfn,
			    const char **rest);

/* "0000:00:04.0" to a referenced device, or NULL. */
struct pci_dev *pvdma_discover_find(const char *name);

#endif
