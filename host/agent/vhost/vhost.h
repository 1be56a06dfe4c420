/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost.h - the virtio device pvdma as a vhost-user backend
 */
#ifndef PVDMA_AGENT_VHOST_H
#define PVDMA_AGENT_VHOST_H

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct keeper;
struct vhost;
struct vm;

struct vhost_stats {
	uint64_t connections;
	uint64_t messages;
	uint64_t errors;	/* messages refused */
	uint64_t kicks;		/* eventfd wake-ups */
	uint64_t polled;	/* times that requests were found without */
	uint64_t requests;	/* chains popped */
	uint64_t broken_queues; /* queues stopped as malformed */
};

/*
 * Listens on @listen_fd (owned on success), one front-end at a time. Borrows
 * @vm; @num_queues as in the VM's configuration. 0 or negative errno.
 */
int vhost_new(sd_event *event, int listen_fd, struct vm *vm,
	      uint16_t num_queues, struct vhost **ret);
void vhost_free(struct vhost *vhost);

/* What of it outlives the process. */
struct vhost_state;
size_t vhost_state_size(void);

/*
 * The same, with its state in @state, of zeros or of the process before, and its
 * descriptors in @keeper. vhost_resume() takes over the front-end of then; the VM must
 * have been resumed before. vhost_go_on() does what has waited. 0 or a negative errno,
 * logged.
 */
int vhost_new_kept(sd_event *event, int listen_fd, struct vm *vm,
		   uint16_t num_queues, struct keeper *keeper,
		   struct vhost_state *state, struct vhost **ret);
int vhost_resume(struct vhost *vhost);
void vhost_go_on(struct vhost *vhost);

/*
 * How long a queue is looked at after a request, at most, before it waits for a
 * kick; 0, as it is at first: not at all. For queues that start afterwards.
 */
void vhost_set_poll(struct vhost *vhost, uint64_t ns);

/* Sends the configuration change message (BACKEND_CONFIG_CHANGE_MSG). */
void vhost_config_changed(struct vhost *vhost);

void vhost_get_stats(const struct vhost *vhost, struct vhost_stats *ret);

#endif
