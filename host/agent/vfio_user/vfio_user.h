/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vfio_user.h - serves one device to one VMM over one vfio-user socket
 */
#ifndef PVDMA_AGENT_VFIO_USER_H
#define PVDMA_AGENT_VFIO_USER_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct device;
struct vfio_user;
struct vm;

struct vfio_user_stats {
	uint64_t connections;
	uint64_t messages; /* all messages of the client */
	uint64_t region_reads;
	uint64_t region_writes;
	uint64_t set_irqs;
	uint64_t dma_maps;
	uint64_t dma_unmaps;
	uint64_t resets;
	uint64_t errors; /* messages answered with an error */
};

/*
 * Listens on @listen_fd (owned on success), one client at a time; after a
 * disconnect the next one starts afresh. Borrows @dev and @vm. @endpoint is
 * added to the VM while a client is connected. 0 or negative errno.
 */
int vfio_user_new(sd_event *event, int listen_fd, struct device *dev,
		  struct vm *vm, uint32_t endpoint, struct vfio_user **ret);
void vfio_user_free(struct vfio_user *server);
/* True while a client is connected. */
bool vfio_user_is_connected(const struct vfio_user *server);
void vfio_user_get_stats(const struct vfio_user *server,
			 struct vfio_user_stats *ret);

#endif
