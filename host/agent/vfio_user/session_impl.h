/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * session_impl.h - what session.c and the files of its messages share
 */
#ifndef PVDMA_AGENT_VFIO_USER_SESSION_IMPL_H
#define PVDMA_AGENT_VFIO_USER_SESSION_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vfio_user/dma.h"
#include "vfio_user/message.h"
#include "vfio_user/version.h"

struct device;
struct vfio_user_stats;
struct vm;

/* How far the message is. */
enum vfu_phase {
	VFU_IDLE,      /* not complete, or not looked at yet */
	VFU_EXECUTING, /* and answered, if an answer is there */
	VFU_EXECUTED,
};

/*
 * What of a session outlives the process. Zero: nobody is connected. Beside it:
 * the regions of this endpoint in the pool STATE_REGIONS (dma.c).
 */
struct vfu_state {
	uint64_t connection; /* in the keeper */
	struct vfu_wire wire;
	struct vfu_capabilities client;
	uint32_t phase;
	uint8_t negotiated;  /* VERSION succeeded: the endpoint is there */
	uint8_t over;	     /* the reply under way is the last */
	uint8_t told_denied; /* of DMA that reaches nothing, since a reset */
	uint8_t reserved;
	/* Writes of the message that were begun, and done; and what came of it. */
	uint32_t writes_begun;
	uint32_t writes_done;
	int64_t write_result;
};

struct vfu_session {
	struct vfu_channel channel;
	struct vfu_state *s;
	struct vfu_state own;  /* of one that is not kept */
	struct keeper *keeper; /* may be NULL */
	bool again; /* the message may have been executed before, or in part */
	struct device *dev;
	struct vm *vm;
	struct vfio_user_stats *stats;
	uint32_t endpoint;
	const void *source; /* of memory: no other session's, ever */
	struct vfu_dma dma;
};

struct vfu_reply {
	size_t size;	 /* of the payload */
	int fd;		 /* to go along, or -1; the device's */
	uint32_t region; /* of which it is */
};

/*
 * Handles one message whose size and number of fds are within the bounds of
 * session.c's table. Returns 0 with *@reply filled, a positive errno (the
 * client is at fault) or a negative one (we are); either is the reply then.
 * Fds that it keeps are taken out of @msg.
 */
typedef int vfu_handler_fn(struct vfu_session *session, struct vfu_message *msg,
			   struct vfu_reply *reply);

vfu_handler_fn vfu_get_info; /* info.c */
vfu_handler_fn vfu_get_region_info;
vfu_handler_fn vfu_get_region_io_fds;
vfu_handler_fn vfu_get_irq_info;
vfu_handler_fn vfu_set_irqs;	/* irq.c */
vfu_handler_fn vfu_region_read; /* region.c */
vfu_handler_fn vfu_region_write;
vfu_handler_fn vfu_region_write_multi;
vfu_handler_fn vfu_dma_map; /* dma.c */
vfu_handler_fn vfu_dma_unmap;

/* Prepares a zeroed payload of @size bytes for the reply; NULL: no memory. */
void *vfu_reply_payload(struct vfu_session *session, struct vfu_reply *reply,
			size_t size);

#endif
