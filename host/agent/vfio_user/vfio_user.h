/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vfio_user.h - serves one device to one VMM over one vfio-user socket
 */
#ifndef PVDMA_AGENT_VFIO_USER_H
#define PVDMA_AGENT_VFIO_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct device;
struct keeper;
struct state;
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
/* What of it outlives the process. */
struct vfu_state;
size_t vfio_user_state_size(void);
/* Bytes of the state's sparse part for each. */
size_t vfio_user_room_size(void);

/* Where that is, and where descriptors are kept. */
struct vfio_user_kept {
	struct keeper *keeper;
	struct state *state;
	struct vfu_state *of; /* zeros, or of the process before */
	uint64_t room;	      /* in the sparse part */
};

int vfio_user_new_kept(sd_event *event, int listen_fd, struct device *dev,
		       struct vm *vm, uint32_t endpoint,
		       const struct vfio_user_kept *kept,
		       struct vfio_user **ret);

/*
 * Goes on with the client of the process before, in three steps: all servers have
 * their clients again, before the VM is resumed; memory is announced again; and,
 * after that, what waits is done. 0 or a negative errno, logged.
 */
int vfio_user_resume(struct vfio_user *server);
int vfio_user_resume_memory(struct vm *vm, struct vfio_user *const *servers,
			    size_t num);
void vfio_user_go_on(struct vfio_user *server);

void vfio_user_free(struct vfio_user *server);
/* True while a client is connected. */
bool vfio_user_is_connected(const struct vfio_user *server);
void vfio_user_get_stats(const struct vfio_user *server,
			 struct vfio_user_stats *ret);

#endif
