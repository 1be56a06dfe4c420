/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hotplug.h - devices of pvdma's into and out of a running QEMU
 */
#ifndef PVDMA_PVDMACTL_HOTPLUG_H
#define PVDMA_PVDMACTL_HOTPLUG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-bus.h>

#include "domain_xml.h"
#include "monitor.h"

/* A running domain, and the two that a device is plugged by. */
struct hotplug {
	struct domain_xml *live; /* its XML as it runs */
	sd_bus *bus;
	struct monitor monitor;
};

/*
 * Plugs the device in: to the VM that pvdma has for the domain, or to a new one.
 * hotplug->live then has it. 0, or a negative errno, logged, with everything as
 * it was.
 */
int hotplug_attach(struct hotplug *hotplug, const struct pci_address *address,
		   const struct metadata *changes);

/*
 * Takes the device out, as soon as the guest lets go. 0, or a negative errno,
 * logged; -ETIMEDOUT: it stays.
 */
int hotplug_detach(struct hotplug *hotplug, const struct pci_address *address);

/*
 * Whether QEMU survives it when the device is unplugged: 0, or -ENOTSUP, logged:
 * the device has MSI-X, or nobody can tell.
 */
int hotplug_check_unplug(const struct pci_address *address);

/* Whether a PCI device with these bytes of config space has MSI-X; -ENODATA. */
int hotplug_has_msix(const uint8_t *config, size_t size);

#endif
