// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * devices.c - the agent's devices and the servers in front of them
 *
 * Owns: the list of devices: those of the configuration, and those that were
 * added while the VM runs.
 *
 * Invariant: each device of the list is open and served, but for the last one
 * while the agent starts; a device goes after its server, and was reset before.
 *
 * Locks: none: one thread, one event loop. In a request's way: not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent_impl.h"
#include "config_device.h"
#include "device/device.h"
#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/durable.h"
#include "lib/log.h"
#include "vfio_user/vfio_user.h"
#include "vm.h"

int agent_open_socket(const struct agent *agent,
		      const struct config_socket *socket, const char *what,
		      struct socket_name *ret_name)
{
	const struct socket_access access = {
		.mode = agent->config->socket_mode,
		.uid = agent->config->socket_uid,
		.gid = agent->config->socket_gid,
	};

	if (socket->fd >= 0)
		return socket_adopt(socket->fd, what);
	return socket_listen(socket->path, &access, ret_name);
}

/* Puts the descriptors of a device in, and notes their ids. */
static void keep_device(struct agent *agent, const struct agent_device *dev)
{
	int group, device;

	vfio_device_fds(dev->device, &group, &device);
	dev->kept->group = keeper_put(agent->keeper, KEEPER_GROUP, group);
	dev->kept->device = keeper_put(agent->keeper, KEEPER_DEVICE, device);
}

/* The PCI device behind @dev; descriptors handed in are its own afterwards. */
static int open_device(struct agent *agent, struct agent_device *dev)
{
	const struct config_device *config = dev->config;
	uint32_t tag = vm_tag(agent->vm);
	int r;

	if (!config->bdf) {
		r = null_device_new(tag, config->endpoint, agent->keeper,
				    &dev->kept->null, &dev->device);
		if (r < 0)
			return log_err_errno(r, "cannot make a null device");
		return 0;
	}
	if (config->group_fd >= 0)
		(void)fcntl(config->group_fd, F_SETFD, FD_CLOEXEC);
	if (config->device_fd >= 0)
		(void)fcntl(config->device_fd, F_SETFD, FD_CLOEXEC);
	r = vfio_device_new(config->bdf, config->group_fd, config->device_fd,
			    agent->iommu, tag, config->endpoint, &dev->device);
	if (r < 0)
		return r;
	if (!agent->resuming)
		keep_device(agent, dev);
	/* (On failure its descriptors are its own already.) */
	r = vfio_device_keep(dev->device, agent->keeper, &dev->kept->irqs);
	if (r < 0 && dev->own) {
		dev->own->device_fd = -EBADF;
		dev->own->group_fd = -EBADF;
	}
	return r;
}

/* Takes @fd, a listening socket, in any case. */
static int serve_device(struct agent *agent, struct agent_device *dev, int fd)
{
	const struct vfio_user_kept kept =
		kept_vfio_user(vm_state(agent->vm), agent->keeper,
			       (size_t)(dev->kept - agent->kept->devices));
	int r;

	r = vfio_user_new_kept(agent->event, fd, dev->device, agent->vm,
			       dev->config->endpoint, &kept, &dev->server);
	if (r < 0) {
		close_fd(fd);
		return log_err_errno(r, "cannot serve %s",
				     device_name(dev->device));
	}
	return 0;
}

static int open_server(struct agent *agent, struct agent_device *dev)
{
	struct kept_device *kept = dev->kept;
	int fd, r;

	fd = agent_open_socket(agent, &dev->config->socket, "device",
			       &dev->name);
	if (fd < 0) {
		close_fd(dev->config->socket.fd);
		return fd;
	}
	kept_put_socket(agent->keeper, &kept->socket, fd, &dev->name);
	r = serve_device(agent, dev, fd);
	if (r < 0)
		return r;
	kept->endpoint = dev->config->endpoint;
	(void)snprintf(kept->bdf, sizeof(kept->bdf), "%s",
		       dev->config->bdf ? dev->config->bdf : "");
	crash_point("device");
	durable_store(&kept->used, 1u);
	crash_point("device-noted");
	return 0;
}

/* A place in the state that no device has; there are as many as devices. */
static struct kept_device *find_place(struct agent *agent)
{
	for (size_t i = 0; i < VM_ENDPOINTS_MAX; i++) {
		struct kept_device *kept = &agent->kept->devices[i];
		bool taken = kept->used;

		for (size_t j = 0; !taken && j < agent->num_devices; j++)
			taken = agent->devices[j].kept == kept;
		if (!taken)
			return kept;
	}
	return NULL;
}

/* Room for one device more at @kept, or at a place that is free. NULL: none. */
static struct agent_device *append(struct agent *agent,
				   struct kept_device *kept)
{
	struct agent_device *devices;

	if (!kept) {
		kept = find_place(agent);
		if (!kept)
			return NULL;
		memset(kept, 0, sizeof(*kept));
	}

	devices = realloc(agent->devices,
			  (agent->num_devices + 1) * sizeof(*devices));
	if (!devices)
		return NULL;
	agent->devices = devices;
	devices[agent->num_devices] = (struct agent_device){ .kept = kept };
	return &devices[agent->num_devices++];
}

int devices_open(struct agent *agent)
{
	const struct agent_config *config = agent->config;
	int r = 0;

	for (size_t i = 0; r == 0 && i < config->num_devices; i++) {
		struct agent_device *dev = append(agent, NULL);

		if (!dev)
			return log_err_errno(ENOMEM, "cannot open devices");
		dev->config = &config->devices[i];
		r = open_device(agent, dev);
		if (r >= 0)
			r = open_server(agent, dev);
	}
	return r;
}

/* What the state says of a device, which is gone. */
static void forget_device(struct agent *agent, struct kept_device *kept)
{
	struct kept_device was = *kept;

	/* (Interrupts that are left it forgets itself, in device_free().) */
	durable_store(&kept->used, 0u);
	crash_point("device-forgotten");
	keeper_drop(agent->keeper, was.group);
	keeper_drop(agent->keeper, was.device);
	keeper_drop(agent->keeper, was.null.bar0);
	keeper_drop(agent->keeper, was.null.state);
	kept_drop_socket(agent->keeper, &kept->socket);
}

static void close_device(struct agent *agent, struct agent_device *dev)
{
	vfio_user_free(dev->server);
	if (dev->kept)
		forget_device(agent, dev->kept);
	device_free(dev->device);
	socket_name_done(&dev->name);
	if (dev->own) {
		config_device_done(dev->own);
		free(dev->own);
	}
}

void devices_close(struct agent *agent)
{
	for (size_t i = 0; i < agent->num_devices; i++)
		close_device(agent, &agent->devices[i]);
	free(agent->devices);
}

/* --- after a kill --- */

/* The configuration of a device as the state has it. NULL: no memory. */
static struct config_device *config_of(const struct kept_device *kept)
{
	struct config_device *own = calloc(1, sizeof(*own));

	if (!own)
		return NULL;
	*own = (struct config_device){
		.socket.fd = -EBADF,
		.endpoint = kept->endpoint,
		.group_fd = -EBADF,
		.device_fd = -EBADF,
	};
	if (*kept->bdf == '\0')
		return own;
	own->bdf = strndup(kept->bdf, sizeof(kept->bdf));
	if (!own->bdf) {
		free(own);
		return NULL;
	}
	return own;
}

static int reopen(struct agent *agent, struct kept_device *kept)
{
	struct agent_device *dev = append(agent, kept);
	int fd, r;

	if (!dev)
		return -ENOMEM;
	dev->own = config_of(kept);
	if (!dev->own)
		return -ENOMEM;
	dev->config = dev->own;
	if (dev->own->bdf) {
		dev->own->device_fd = keeper_claim(agent->keeper, kept->device);
		dev->own->group_fd = keeper_claim(agent->keeper, kept->group);
		if (dev->own->device_fd < 0)
			return -EBADF;
	}
	r = open_device(agent, dev);
	if (r < 0) {
		close_fd(dev->own->device_fd);
		close_fd(dev->own->group_fd);
		return r;
	}
	fd = kept_claim_socket(agent->keeper, &kept->socket, &dev->name);
	return fd < 0 ? fd : serve_device(agent, dev, fd);
}

int devices_reopen(struct agent *agent)
{
	for (size_t i = 0; i < VM_ENDPOINTS_MAX; i++) {
		struct kept_device *kept = &agent->kept->devices[i];
		int r = kept->used == 1 ? reopen(agent, kept) : 0;

		if (r < 0)
			return log_err_errno(r,
					     "a device cannot be opened again");
	}
	return 0;
}

int devices_resume(struct agent *agent)
{
	struct vfio_user *servers[VM_ENDPOINTS_MAX];

	for (size_t i = 0; i < agent->num_devices; i++) {
		int r = vfio_user_resume(agent->devices[i].server);

		if (r < 0)
			return r;
		servers[i] = agent->devices[i].server;
	}
	return vfio_user_resume_memory(agent->vm, servers, agent->num_devices);
}

void devices_go_on(struct agent *agent)
{
	for (size_t i = 0; i < agent->num_devices; i++)
		vfio_user_go_on(agent->devices[i].server);
}

/* --- while the VM runs --- */

static struct agent_device *find(struct agent *agent, const char *bdf,
				 uint32_t endpoint)
{
	for (size_t i = 0; i < agent->num_devices; i++) {
		const struct config_device *config = agent->devices[i].config;

		if (config->endpoint == endpoint ||
		    (bdf && config->bdf && strcmp(bdf, config->bdf) == 0))
			return &agent->devices[i];
	}
	return NULL;
}

/* An endpoint that no device has. */
static uint32_t free_endpoint(struct agent *agent)
{
	uint32_t endpoint = 1;

	while (find(agent, NULL, endpoint))
		endpoint++;
	return endpoint;
}

/* May @own be one of the VM's devices, with @num_fds descriptors? */
static int judge(struct agent *agent, const struct config_device *own,
		 size_t num_fds, const char **why)
{
	if (num_fds != (own->bdf ? 2 : 1)) {
		*why = "expected a listening socket, and for a real device its VFIO group, along with the command";
		return -EBADF;
	}
	if (find(agent, own->bdf, own->endpoint)) {
		*why = "the VM has this device, or this endpoint, already";
		return -EEXIST;
	}
	if (agent->num_devices >= VM_ENDPOINTS_MAX) {
		*why = "the VM has as many devices as it can have";
		return -ENOSPC;
	}
	if (own->bdf && agent->config->iommu == CONFIG_IOMMU_NULL) {
		*why = "a real device needs iommu=type1";
		return -EINVAL;
	}
	return 0;
}

/* Opens and serves @own. The descriptors that were taken from @fds are gone. */
static int add(struct agent *agent, struct config_device *own, int *fds,
	       const char **why)
{
	struct agent_device *dev = append(agent, NULL);
	int r;

	if (!dev)
		return -ENOMEM;
	own->socket.fd = steal_fd(&fds[0]);
	if (own->bdf)
		own->group_fd = steal_fd(&fds[1]);
	dev->config = own;
	r = open_device(agent, dev);
	if (r < 0) {
		close_fd(own->socket.fd);
		close_fd(own->group_fd);
	} else {
		r = open_server(agent, dev);
	}
	if (r >= 0) {
		dev->own = own;
		return 0;
	}
	*why = log_last_error();
	close_device(agent, dev);
	agent->num_devices--;
	return r;
}

int devices_add(struct agent *agent, const char *spec, int *fds, size_t num_fds,
		const char **why, uint32_t *ret_endpoint)
{
	struct config_device *own = calloc(1, sizeof(*own));
	int r = own ? config_parse_device_name(own, spec, why) : -ENOMEM;

	if (r < 0) {
		free(own);
		return r;
	}
	if (own->endpoint == 0)
		own->endpoint = free_endpoint(agent);
	r = judge(agent, own, num_fds, why);
	if (r == 0)
		r = add(agent, own, fds, why);
	if (r < 0) {
		config_device_done(own);
		free(own);
		return r;
	}
	*ret_endpoint = own->endpoint;
	log_info("device %s was added as endpoint %u",
		 own->bdf ? own->bdf : "null", own->endpoint);
	return 0;
}

int devices_remove(struct agent *agent, uint32_t endpoint, const char **why)
{
	struct agent_device *dev = find(agent, NULL, endpoint);
	size_t i;

	if (!dev) {
		*why = "no device has this endpoint";
		return -ENODEV;
	}
	if (vfio_user_is_connected(dev->server)) {
		*why = "QEMU uses the device: unplug it there first";
		return -EBUSY;
	}
	if (agent->num_devices == 1) {
		/* With the last group a container loses what it maps. */
		*why = "it is the VM's last device, which goes when the agent ends";
		return -EBUSY;
	}
	(void)device_reset(dev->device);
	log_info("device %s is removed", device_name(dev->device));
	close_device(agent, dev);
	i = (size_t)(dev - agent->devices);
	memmove(dev, dev + 1, (agent->num_devices - i - 1) * sizeof(*dev));
	agent->num_devices--;
	return 0;
}
