// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * config_device.c - devices, sockets and descriptors in the configuration
 *
 * Owns: the forms "word,key=value,..." of the options device and iommu, and the
 * rules that hold between devices, sockets and descriptors.
 *
 * Invariant: a value that is refused changed nothing in the configuration.
 *
 * Locks: none. In a request's way: not.
 */
#include "config_device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "lib/parse.h"

/* Words about a part of a value; one at a time is enough. */
static char why_text[256];

__attribute__((format(printf, 3, 4))) static int
bad_part(const char **why, int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why_text, sizeof(why_text), fmt, ap);
	va_end(ap);
	*why = why_text;
	return r;
}

int config_parse_fd(const char *value, int *ret, const char **why)
{
	uint64_t fd;
	int r = parse_uint(value, 0, INT32_MAX, &fd);

	if (r < 0)
		return r;
	if (fd <= 2)
		return bad_part(why, -EINVAL,
				"descriptors 0 to 2 are the standard ones");
	if (fcntl((int)fd, F_GETFD) < 0)
		return bad_part(why, -EINVAL, "descriptor %u is not open",
				(unsigned int)fd);
	*ret = (int)fd;
	return 0;
}

int config_check_path(const char *value, const char **why)
{
	if (*value == '\0')
		return -ENODATA;
	if (strlen(value) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return bad_part(why, -ERANGE,
				"is longer than the path of a socket may be");
	return 0;
}

/*
 * Cuts the next "key=value" off *@rest. False at the end. *@value is NULL where
 * there is no '='.
 */
static bool next_part(char **rest, char **key, char **value)
{
	char *part = strsep(rest, ",");

	if (!part)
		return false;
	*key = strsep(&part, "=");
	*value = part;
	return true;
}

int config_parse_iommu(struct agent_config *config, const char *value,
		       const char **why)
{
	_cleanup_free_ char *copy = strdup(value);
	uint64_t entries = 0, bytes = 0;
	char *rest = copy, *key, *v, *kind;
	int r;

	if (!copy)
		return -ENOMEM;
	kind = strsep(&rest, ",");
	if (strcmp(kind, "type1") == 0 && !rest) {
		config->iommu = CONFIG_IOMMU_TYPE1;
		return 0;
	}
	if (strcmp(kind, "null") != 0)
		return -EINVAL;
	while (next_part(&rest, &key, &v)) {
		if (v && strcmp(key, "entries") == 0)
			r = parse_uint(v, 1, UINT64_MAX, &entries);
		else if (v && strcmp(key, "bytes") == 0)
			r = parse_size(v, &bytes);
		else
			return bad_part(why, -EINVAL, "unknown part \"%s\"",
					key);
		if (r < 0)
			return bad_part(why, r, "\"%s\" %s", key,
					parse_strerror(r));
	}
	config->iommu = CONFIG_IOMMU_NULL;
	config->null_entries = entries;
	config->null_bytes = bytes;
	return 0;
}

static void device_init(struct config_device *dev)
{
	*dev = (struct config_device){
		.socket.fd = -EBADF,
		.group_fd = -EBADF,
		.device_fd = -EBADF,
	};
}

void config_device_done(struct config_device *dev)
{
	free(dev->bdf);
	free(dev->socket.path);
}

/* "null" or a PCI address, which is kept in its full form. */
static int parse_device_kind(struct config_device *dev, const char *kind,
			     const char **why)
{
	char text[PCI_ADDRESS_TEXT_MAX];
	struct pci_address addr;
	int r;

	if (strcmp(kind, "null") == 0)
		return 0;
	r = parse_pci_address(kind, &addr);
	if (r < 0)
		return bad_part(why, r,
				"\"%s\" is neither null nor a PCI address "
				"such as 0000:01:00.0",
				kind);
	format_pci_address(&addr, text);
	dev->bdf = strdup(text);
	return dev->bdf ? 0 : -ENOMEM;
}

static int parse_device_part(struct config_device *dev, const char *key,
			     const char *value, const char **why)
{
	uint64_t n;
	int r;

	if (!value)
		return bad_part(why, -EINVAL, "unknown part \"%s\"", key);
	if (strcmp(key, "socket") == 0) {
		r = config_check_path(value, why);
		if (r < 0)
			return r;
		free(dev->socket.path);
		dev->socket.path = strdup(value);
		return dev->socket.path ? 0 : -ENOMEM;
	}
	if (strcmp(key, "fd") == 0)
		return config_parse_fd(value, &dev->socket.fd, why);
	if (strcmp(key, "group-fd") == 0)
		return config_parse_fd(value, &dev->group_fd, why);
	if (strcmp(key, "device-fd") == 0)
		return config_parse_fd(value, &dev->device_fd, why);
	if (strcmp(key, "endpoint") == 0) {
		r = parse_uint(value, 1, UINT32_MAX, &n);
		if (r == 0)
			dev->endpoint = (uint32_t)n;
		return r;
	}
	return bad_part(why, -EINVAL, "unknown part \"%s\"", key);
}

/* The kind of device and its parts, in any combination. */
static int parse_parts(struct config_device *dev, const char *spec,
		       const char **why)
{
	_cleanup_free_ char *copy = strdup(spec);
	char *rest = copy, *key, *value;
	int r;

	if (!copy)
		return -ENOMEM;
	r = parse_device_kind(dev, strsep(&rest, ","), why);
	while (r == 0 && next_part(&rest, &key, &value)) {
		r = parse_device_part(dev, key, value, why);
		if (r < 0 && r != -ENOMEM && !*why)
			return bad_part(why, r, "\"%s\" %s", key,
					parse_strerror(r));
	}
	return r;
}

int config_parse_device_name(struct config_device *dev, const char *value,
			     const char **why)
{
	int r;

	device_init(dev);
	r = parse_parts(dev, value, why);
	if (r == 0 && (dev->socket.path || dev->socket.fd >= 0 ||
		       dev->group_fd >= 0 || dev->device_fd >= 0))
		r = bad_part(why, -EINVAL,
			     "expected a device, and endpoint=N at most");
	if (r < 0)
		config_device_done(dev);
	return r;
}

static int parse_device(struct config_device *dev, const char *spec,
			const char **why)
{
	int r = parse_parts(dev, spec, why);

	if (r < 0)
		return r;
	if (!dev->socket.path == (dev->socket.fd < 0))
		return bad_part(why, -EINVAL,
				"needs one of socket=PATH and fd=N");
	if (!dev->bdf && (dev->group_fd >= 0 || dev->device_fd >= 0))
		return bad_part(why, -EINVAL,
				"the null device has no group and no "
				"descriptor of its own");
	return 0;
}

int config_add_device(struct agent_config *config, const char *value,
		      const char **why)
{
	struct config_device dev, *devices;
	int r;

	if (config->num_devices >= VM_ENDPOINTS_MAX)
		return bad_part(why, -ERANGE, "a VM has at most %d devices",
				VM_ENDPOINTS_MAX);
	device_init(&dev);
	r = parse_device(&dev, value, why);
	if (r < 0)
		goto fail;
	r = -ENOMEM;
	devices = realloc(config->devices,
			  (config->num_devices + 1) * sizeof(*devices));
	if (!devices)
		goto fail;
	devices[config->num_devices] = dev;
	config->devices = devices;
	config->num_devices++;
	return 0;
fail:
	config_device_done(&dev);
	return r;
}

/* --- rules between parts --- */

/* All descriptors and socket paths of a configuration, one after another. */
struct used {
	const char *paths[VM_ENDPOINTS_MAX + 2];
	size_t num_paths;
	int fds[3 * VM_ENDPOINTS_MAX + 3];
	size_t num_fds;
};

static int use_fd(struct used *used, int fd)
{
	if (fd < 0)
		return 0;
	for (size_t i = 0; i < used->num_fds; i++) {
		if (used->fds[i] == fd) {
			log_err("descriptor %d is used twice", fd);
			return -EINVAL;
		}
	}
	used->fds[used->num_fds++] = fd;
	return 0;
}

static int use_socket(struct used *used, const struct config_socket *socket)
{
	if (!socket->path)
		return use_fd(used, socket->fd);
	for (size_t i = 0; i < used->num_paths; i++) {
		if (strcmp(used->paths[i], socket->path) == 0) {
			log_err("socket path %s is used twice", socket->path);
			return -EINVAL;
		}
	}
	used->paths[used->num_paths++] = socket->path;
	return use_fd(used, socket->fd);
}

static int use_all(const struct agent_config *config)
{
	struct used used = { 0 };
	int r = 0;

	if (use_socket(&used, &config->vhost) < 0 ||
	    use_socket(&used, &config->control) < 0 ||
	    use_fd(&used, config->container_fd) < 0)
		r = -EINVAL;
	for (size_t i = 0; i < config->num_devices; i++) {
		const struct config_device *dev = &config->devices[i];

		if (use_socket(&used, &dev->socket) < 0 ||
		    use_fd(&used, dev->group_fd) < 0 ||
		    use_fd(&used, dev->device_fd) < 0)
			r = -EINVAL;
	}
	return r;
}

int config_finish_sockets(const struct agent_config *config)
{
	int r = 0;

	if (config->vhost.path && config->vhost.fd >= 0) {
		log_err("vhost-socket=%s and vhost-fd=%d exclude each other",
			config->vhost.path, config->vhost.fd);
		r = -EINVAL;
	}
	if (config->control.path && config->control.fd >= 0) {
		log_err("control=%s and control-fd=%d exclude each other",
			config->control.path, config->control.fd);
		r = -EINVAL;
	}
	if (!config->vhost.path && config->vhost.fd < 0 &&
	    config->vm.strategy != VIRTIO_PVDMA_S_DIRECT_MAP &&
	    config->vm.fallback == VM_FALLBACK_DENY) {
		log_err("vhost-socket is not set: the guest's driver has no way "
			"to ask for mappings; set it, or fallback=direct");
		r = -EINVAL;
	}
	return use_all(config) < 0 ? -EINVAL : r;
}

/* Compares a device with those before it. */
static int check_device(const struct agent_config *config, size_t n)
{
	const struct config_device *dev = &config->devices[n];

	for (size_t i = 0; i < n; i++) {
		const struct config_device *other = &config->devices[i];

		if (other->endpoint == dev->endpoint) {
			log_err("endpoint %u is used by two devices: give them "
				"endpoint=N",
				dev->endpoint);
			return -EINVAL;
		}
		if (dev->bdf && other->bdf &&
		    strcmp(dev->bdf, other->bdf) == 0) {
			log_err("device %s is given twice", dev->bdf);
			return -EINVAL;
		}
	}
	return 0;
}

int config_finish_devices(struct agent_config *config)
{
	bool real = false;
	int r = 0;

	if (config->num_devices == 0) {
		log_err("device is not set: give at least one, such as "
			"device=0000:01:00.0,socket=/run/pvdma/vm-disk.sock");
		return -EINVAL;
	}
	for (size_t i = 0; i < config->num_devices; i++) {
		struct config_device *dev = &config->devices[i];

		real |= dev->bdf != NULL;
		if (dev->endpoint == 0)
			dev->endpoint = (uint32_t)i + 1;
		if (dev->bdf && config->iommu == CONFIG_IOMMU_NULL) {
			log_err("device %s needs iommu=type1", dev->bdf);
			r = -EINVAL;
		}
		if (check_device(config, i) < 0)
			r = -EINVAL;
	}
	if (!real && config->iommu == CONFIG_IOMMU_TYPE1) {
		log_err("iommu=type1 needs a real device; null devices alone go "
			"with iommu=null");
		r = -EINVAL;
	}
	return r;
}
