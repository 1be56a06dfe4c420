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
#include <stdlib.h>
#include <string.h>

#include "agent_impl.h"
#include "config_device.h"
#include "device/device.h"
#include "lib/cleanup.h"
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

/* The PCI device behind @dev; descriptors handed in are its own afterwards. */
static int open_device(struct agent *agent, struct agent_device *dev)
{
	const struct config_device *config = dev->config;
	uint32_t tag = vm_tag(agent->vm);
	int r;

	if (!config->bdf) {
		r = null_device_new(tag, config->endpoint, &dev->device);
		if (r < 0)
			return log_err_errno(r, "cannot make a null device");
		return 0;
	}
	if (config->group_fd >= 0)
		(void)fcntl(config->group_fd, F_SETFD, FD_CLOEXEC);
	if (config->device_fd >= 0)
		(void)fcntl(config->device_fd, F_SETFD, FD_CLOEXEC);
	return vfio_device_new(config->bdf, config->group_fd, config->device_fd,
			       agent->iommu, tag, config->endpoint,
			       &dev->device);
}

static int open_server(struct agent *agent, struct agent_device *dev)
{
	int fd, r;

	fd = agent_open_socket(agent, &dev->config->socket, "device",
			       &dev->name);
	if (fd < 0) {
		close_fd(dev->config->socket.fd);
		return fd;
	}
	r = vfio_user_new(agent->event, fd, dev->device, agent->vm,
			  dev->config->endpoint, &dev->server);
	if (r < 0) {
		close_fd(fd);
		return log_err_errno(r, "cannot serve %s",
				     device_name(dev->device));
	}
	return 0;
}

/* Room for one device more, all zero. NULL: no memory. */
static struct agent_device *append(struct agent *agent)
{
	struct agent_device *devices;

	devices = realloc(agent->devices,
			  (agent->num_devices + 1) * sizeof(*devices));
	if (!devices)
		return NULL;
	agent->devices = devices;
	devices[agent->num_devices] = (struct agent_device){ 0 };
	return &devices[agent->num_devices++];
}

int devices_open(struct agent *agent)
{
	const struct agent_config *config = agent->config;
	int r = 0;

	for (size_t i = 0; r == 0 && i < config->num_devices; i++) {
		struct agent_device *dev = append(agent);

		if (!dev)
			return log_err_errno(ENOMEM, "cannot open devices");
		dev->config = &config->devices[i];
		r = open_device(agent, dev);
		if (r >= 0)
			r = open_server(agent, dev);
	}
	return r;
}

static void close_device(struct agent_device *dev)
{
	vfio_user_free(dev->server);
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
		close_device(&agent->devices[i]);
	free(agent->devices);
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
	struct agent_device *dev = append(agent);
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
	close_device(dev);
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
	close_device(dev);
	i = (size_t)(dev - agent->devices);
	memmove(dev, dev + 1, (agent->num_devices - i - 1) * sizeof(*dev));
	agent->num_devices--;
	return 0;
}
