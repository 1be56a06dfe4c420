/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virt.h - what pvdmactl does with libvirt
 */
#ifndef PVDMA_PVDMACTL_VIRT_H
#define PVDMA_PVDMACTL_VIRT_H

#include <stdbool.h>

#include <libvirt/libvirt.h>

#include "monitor.h"

/* A domain, and the connection that it is on. All zero: none. */
struct virt {
	virConnectPtr connection;
	virDomainPtr domain;
	bool running, persistent;
};

/*
 * Connects to @uri (NULL: $LIBVIRT_DEFAULT_URI, or qemu:///system) and looks for
 * the domain, a name or a UUID. This and all below: 0 or a negative errno,
 * logged with libvirt's words.
 */
int virt_open(const char *uri, const char *domain, struct virt *ret);
void virt_close(struct virt *virt);

/*
 * The XML of the domain as it will be started, or (@live) as it runs, secrets
 * included, so that it can be defined again; allocated.
 */
int virt_xml(const struct virt *virt, bool live, char **ret);
int virt_define(const struct virt *virt, const char *xml);
/* Sets pvdma's metadata of the running domain. */
int virt_set_live_metadata(const struct virt *virt, const char *xml);

/* The way to the monitor of the running domain; needs no release. */
struct monitor virt_monitor(const struct virt *virt);

#endif
