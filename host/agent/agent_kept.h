/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * agent_kept.h - what of an agent outlives its process, beside the VM
 *
 * It lies in the extra part of the VM's arena (state.h): struct kept_root, the
 * state of the vhost-user backend, and that of a vfio-user server for each place
 * of a device. Ids are the keeper's.
 */
#ifndef PVDMA_AGENT_AGENT_KEPT_H
#define PVDMA_AGENT_AGENT_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "device/device.h"
#include "device/vfio_irq.h"
#include "lib/keeper.h"
#include "lib/socket.h"
#include "state.h"
#include "vfio_user/vfio_user.h"
#include "vhost/vhost.h"

struct kept_socket {
	uint64_t id;
	uint64_t dev, ino; /* of the name that the agent made */
	char path[108];	   /* empty: there is none */
	uint32_t reserved;
};

struct kept_device {
	uint64_t group;
	uint64_t device;
	struct null_device_kept null;
	struct vfio_irqs_kept irqs;
	struct kept_socket socket;
	uint32_t endpoint;
	uint32_t used; /* by one store */
	char bdf[16];  /* empty: the null device */
};

/* What the configuration says that a process needs to go on. */
struct kept_config {
	struct vm_config vm; /* as it was at the start; no pointers */
	uint64_t null_entries;
	uint64_t null_bytes;
	uint32_t iommu; /* enum config_iommu */
	uint32_t poll_us;
	int32_t log_level;
	uint32_t sandbox; /* enum config_sandbox */
	uint32_t reserved;
	char name[68];
	char policy[16];
	char handover[108]; /* empty: started by hand */
};

struct kept_root {
	uint64_t counter; /* of ids */
	uint64_t lost;	  /* descriptors that could not be kept */
	uint32_t complete; /* the agent serves: there is something to go on with */
	uint32_t resumed; /* how often it was gone on with */
	uint64_t container;
	uint64_t null_iommu;
	struct kept_config config;
	struct kept_socket vhost;
	struct kept_socket control;
	struct kept_device devices[VM_ENDPOINTS_MAX];
};

/* Bytes that they take. */
uint64_t kept_extra_size(void);
uint64_t kept_sparse_size(void);

struct kept_root *kept_root(struct state *state);
struct vhost_state *kept_vhost(struct state *state);
/* That of the device at place @i. */
struct vfio_user_kept kept_vfio_user(struct state *state, struct keeper *keeper,
				     size_t i);

/*
 * Reads what the process before has left, without going on with it: opens the
 * state at @fd (borrowed) and fills @config from it. 0; -EUCLEAN: it is not to be
 * used, which is logged; or another negative errno.
 */
int kept_read_config(int fd, struct agent_config *config, bool *ret_complete);
/* Notes the configuration of a new agent. */
void kept_write_config(struct kept_root *root,
		       const struct agent_config *config);

/* Puts the listening socket @fd in. */
void kept_put_socket(struct keeper *keeper, struct kept_socket *kept, int fd,
		     const struct socket_name *name);
/* The same again, owned by the caller. -EBADF: none, logged. */
int kept_claim_socket(struct keeper *keeper, const struct kept_socket *kept,
		      struct socket_name *ret_name);
void kept_drop_socket(struct keeper *keeper, struct kept_socket *kept);

/*
 * There is no going on: brings devices to rest, unmaps all that is mapped, as far
 * as the descriptors that were kept allow, and has the rest forgotten.
 */
void kept_clean_up(struct keeper *keeper);

#endif
