// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * agent_kept.c - what of an agent outlives its process, beside the VM
 *
 * Owns: the layout of the arena's extra and sparse parts. Invariant: an id is noted
 * after the descriptor was put in, and forgotten before it is taken out.
 *
 * Locks: none. In a request's way: not.
 */
#include "agent_kept.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "iommu/iommu.h"
#include "iommu/null.h"
#include "lib/cleanup.h"
#include "lib/durable.h"
#include "lib/log.h"
#include "lib/macros.h"

#define ALIGN 64u

static uint64_t vhost_offset(void)
{
	return align_up(sizeof(struct kept_root), ALIGN);
}

static uint64_t vfio_user_offset(size_t i)
{
	return vhost_offset() + align_up(vhost_state_size(), ALIGN) +
	       i * align_up(vfio_user_state_size(), ALIGN);
}

uint64_t kept_extra_size(void)
{
	return vfio_user_offset(VM_ENDPOINTS_MAX);
}

uint64_t kept_sparse_size(void)
{
	return VM_ENDPOINTS_MAX * (uint64_t)vfio_user_room_size();
}

struct kept_root *kept_root(struct state *state)
{
	return state_extra(state);
}

struct vhost_state *kept_vhost(struct state *state)
{
	return (void *)((char *)state_extra(state) + vhost_offset());
}

struct vfio_user_kept kept_vfio_user(struct state *state, struct keeper *keeper,
				     size_t i)
{
	return (struct vfio_user_kept){
		.keeper = keeper,
		.state = state,
		.of = (void *)((char *)state_extra(state) +
			       vfio_user_offset(i)),
		.room = i * (uint64_t)vfio_user_room_size(),
	};
}

void kept_write_config(struct kept_root *root,
		       const struct agent_config *config)
{
	struct kept_config *kept = &root->config;

	*kept = (struct kept_config){
		.vm = config->vm,
		.null_entries = config->null_entries,
		.null_bytes = config->null_bytes,
		.iommu = config->iommu,
		.poll_us = config->poll_us,
		.log_level = config->log_level,
		.sandbox = config->sandbox,
	};
	kept->vm.policy = NULL;
	(void)snprintf(kept->name, sizeof(kept->name), "%s", config->name);
	(void)snprintf(kept->policy, sizeof(kept->policy), "%s",
		       config->policy);
	(void)snprintf(kept->handover, sizeof(kept->handover), "%s",
		       config->handover ? config->handover : "");
}

static bool is_text(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static int read_config(const struct kept_root *root,
		       struct agent_config *config)
{
	const struct kept_config *kept = &root->config;

	if (kept->iommu > CONFIG_IOMMU_NULL ||
	    kept->sandbox > CONFIG_SANDBOX_KILL ||
	    !is_text(kept->name, sizeof(kept->name)) ||
	    !is_text(kept->policy, sizeof(kept->policy)) ||
	    !is_text(kept->handover, sizeof(kept->handover))) {
		log_err("the state of the agent before this one is refused: its configuration is none");
		return -EUCLEAN;
	}
	config->name = strdup(kept->name);
	config->policy = strdup(kept->policy);
	config->handover = *kept->handover ? strdup(kept->handover) : NULL;
	if (!config->name || !config->policy ||
	    (*kept->handover && !config->handover))
		return -ENOMEM;
	config->vm = kept->vm;
	config->vm.policy = config->policy;
	config->has_quota = true;
	config->iommu = (enum config_iommu)kept->iommu;
	config->null_entries = kept->null_entries;
	config->null_bytes = kept->null_bytes;
	config->poll_us = kept->poll_us;
	config->log_level = kept->log_level;
	config->sandbox = (enum config_sandbox)kept->sandbox;
	return 0;
}

int kept_read_config(int fd, struct agent_config *config, bool *ret_complete)
{
	const struct state_layout layout =
		vm_layout(kept_extra_size(), kept_sparse_size());
	_cleanup_close_ int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	struct state *state;
	int r;

	if (copy < 0)
		return log_err_errno(errno, "cannot read the state");
	r = state_open(copy, &layout, &state);
	if (r < 0)
		return r;
	steal_fd(&copy);
	*ret_complete = kept_root(state)->complete == 1;
	r = *ret_complete ? read_config(kept_root(state), config) : 0;
	state_free(state);
	return r;
}

void kept_put_socket(struct keeper *keeper, struct kept_socket *kept, int fd,
		     const struct socket_name *name)
{
	*kept = (struct kept_socket){
		.dev = name->dev,
		.ino = name->ino,
	};
	(void)snprintf(kept->path, sizeof(kept->path), "%s",
		       name->path ? name->path : "");
	durable_store(&kept->id, keeper_put(keeper, KEEPER_LISTEN, fd));
}

int kept_claim_socket(struct keeper *keeper, const struct kept_socket *kept,
		      struct socket_name *ret_name)
{
	int fd = keeper_claim(keeper, kept->id);

	if (fd < 0)
		return fd;
	*ret_name = (struct socket_name){
		.dev = kept->dev,
		.ino = kept->ino,
	};
	if (*kept->path && is_text(kept->path, sizeof(kept->path)))
		ret_name->path = strdup(kept->path);
	return fd;
}

void kept_drop_socket(struct keeper *keeper, struct kept_socket *kept)
{
	uint64_t id = kept->id;

	durable_store(&kept->id, (uint64_t)0);
	keeper_drop(keeper, id);
}

/* Before what they reach is unmapped, they are to stop. */
static void reset_devices(struct keeper *keeper)
{
	int fd;

	for (size_t i = 0; (fd = keeper_find(keeper, KEEPER_DEVICE, i)) >= 0;
	     i++)
		if (ioctl(fd, VFIO_DEVICE_RESET) < 0)
			log_warn("a device cannot be reset: %s",
				 strerror(errno));
}

/* Whoever is connected, or wants to be, hears of it before the store lets go. */
static void shut_down(struct keeper *keeper, enum keeper_kind kind)
{
	int fd;

	for (size_t i = 0; (fd = keeper_find(keeper, kind, i)) >= 0; i++)
		(void)shutdown(fd, SHUT_RDWR);
}

/* Takes @iommu. */
static void unmap(struct iommu *iommu)
{
	int r = vm_unmap_all(iommu);

	if (r < 0)
		log_err_errno(
			r,
			"cannot unmap what the agent before this one has mapped; it ends when QEMU does");
	iommu_free(iommu);
}

void kept_clean_up(struct keeper *keeper)
{
	struct iommu *iommu;
	int fd;

	reset_devices(keeper);
	fd = keeper_find(keeper, KEEPER_CONTAINER, 0);
	if (fd >= 0)
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (fd >= 0) {
		if (type1_new(fd, &iommu) == 0)
			unmap(iommu);
		else
			close_fd(fd);
	}
	fd = keeper_find(keeper, KEEPER_IOMMU, 0);
	if (fd >= 0 && null_iommu_new(0, 0, &iommu) == 0) {
		(void)null_iommu_keep(iommu, fd);
		unmap(iommu);
	}
	shut_down(keeper, KEEPER_LISTEN);
	shut_down(keeper, KEEPER_CLIENT);
	keeper_clear(keeper);
}
