// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hotplug.c - devices of pvdma's into and out of a running QEMU
 *
 * Owns: the order of it. In: first the agent has the device, then QEMU gets it.
 * Out: first QEMU lets go, then the agent does. What fails on the way in is
 * undone.
 *
 * Invariant: a device that QEMU has is never taken from the agent.
 *
 * Locks: none. In a request's way: not.
 */
#include "hotplug.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/parse.h"
#include "qemu_args.h"

#define UNPLUG_SECONDS	30
#define PCI_CONFIG_SIZE 256

int hotplug_has_msix(const uint8_t *config, size_t size)
{
	uint8_t at;

	if (size < PCI_CONFIG_SIZE)
		return -ENODATA;
	if (!(config[PCI_STATUS] & PCI_STATUS_CAP_LIST))
		return 0;
	at = config[PCI_CAPABILITY_LIST] & ~3;
	/* each has 4 bytes at least, so a list that goes on is a loop */
	for (int n = 0; at >= 0x40 && n < PCI_CONFIG_SIZE / 4; n++) {
		if (config[at] == PCI_CAP_ID_MSIX)
			return 1;
		at = config[at + 1] & ~3;
	}
	return 0;
}

int hotplug_check_unplug(const struct pci_address *address)
{
	_cleanup_close_ int fd = -EBADF;
	uint8_t config[PCI_CONFIG_SIZE];
	char text[PCI_ADDRESS_TEXT_MAX], path[64];
	ssize_t n;

	format_pci_address(address, text);
	(void)snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config",
		       text);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, config, sizeof(config));
	if (n > 0 && hotplug_has_msix(config, (size_t)n) == 0)
		return 0;
	log_err("device %s %s MSI-X, and QEMU (seen with 11.1.3) aborts when "
		"such a device is unplugged: the whole VM would be lost. Shut "
		"the guest down and detach without --live; --force unplugs "
		"nevertheless",
		text, n == (ssize_t)sizeof(config) ? "has" : "may well have");
	return -ENOTSUP;
}

/* Plugs the virtio device in, for a domain that was started without. */
static int plug_virtio(const struct hotplug *hotplug)
{
	const struct metadata *vm = domain_xml_metadata(hotplug->live);
	_cleanup_free_ char *port = NULL, *chardev = NULL, *device = NULL;
	char path[QEMU_ARGS_PATH_MAX];
	int r = monitor_free_port(&hotplug->monitor, &port);

	if (r < 0)
		return r;
	qemu_args_vhost_path(domain_xml_vm_name(hotplug->live), path);
	if (asprintf(&chardev,
		     "{\"execute\":\"chardev-add\",\"arguments\":{\"id\":"
		     "\"" QEMU_ARGS_VHOST "\",\"backend\":{\"type\":\"socket\","
		     "\"data\":{\"server\":false,\"addr\":{\"type\":\"unix\","
		     "\"data\":{\"path\":\"%s\"}}}}}}",
		     path) < 0)
		chardev = NULL;
	if (asprintf(&device,
		     "{\"execute\":\"device_add\",\"arguments\":{\"driver\":"
		     "\"vhost-user-test-device-pci\","
		     "\"id\":\"" QEMU_ARGS_VIRTIO "\","
		     "\"chardev\":\"" QEMU_ARGS_VHOST "\",\"virtio-id\":39,"
		     "\"num_vqs\":%llu,\"vq_size\":256,\"config_size\":64"
		     "%s%s%s}}",
		     (unsigned long long)metadata_number(vm, METADATA_QUEUES,
							 2),
		     port ? ",\"bus\":\"" : "", port ? port : "",
		     port ? "\"" : "") < 0)
		device = NULL;
	if (!chardev || !device)
		return log_err_errno(ENOMEM, "cannot plug the virtio device");
	r = monitor_do(&hotplug->monitor, "connect QEMU to the agent", chardev);
	if (r < 0)
		return r;
	r = monitor_do(&hotplug->monitor, "plug the virtio device", device);
	if (r < 0)
		(void)monitor_do(&hotplug->monitor,
				 "disconnect QEMU from the agent",
				 "{\"execute\":\"chardev-remove\","
				 "\"arguments\":"
				 "{\"id\":\"" QEMU_ARGS_VHOST "\"}}");
	return r;
}

static int plug_device(const struct hotplug *hotplug,
		       const struct pci_address *address, const char *socket)
{
	_cleanup_free_ char *port = NULL, *command = NULL;
	char id[QEMU_ARGS_ID_MAX];
	size_t size;
	FILE *f;
	int r = monitor_free_port(&hotplug->monitor, &port);

	if (r < 0)
		return r;
	f = open_memstream(&command, &size);
	if (!f)
		return log_err_errno(errno, "cannot plug the device");
	qemu_args_device_id(address, id);
	(void)fputs("{\"execute\":\"device_add\",\"arguments\":", f);
	qemu_args_put_device(f, id, socket, port, NULL);
	(void)fputc('}', f);
	if (fclose(f) != 0)
		return log_err_errno(errno, "cannot plug the device");
	return monitor_do(&hotplug->monitor, "plug the device", command);
}

/* A new VM for a domain that runs without one. */
static int attach_new(struct hotplug *hotplug,
		      const struct pci_address *address)
{
	const char *name = domain_xml_vm_name(hotplug->live);
	const struct metadata *vm = domain_xml_metadata(hotplug->live);
	char path[QEMU_ARGS_PATH_MAX];
	int r;

	if (vm->num_devices != 1) {
		log_err("%s runs, but pvdma has no VM %s for it any longer: "
			"shut it down and attach without --live",
			domain_xml_where(hotplug->live), name);
		return -ENOENT;
	}
	r = ctl_bus_start_vm(hotplug->bus, name, vm,
			     domain_xml_owner(hotplug->live),
			     domain_xml_uuid(hotplug->live));
	if (r != 0)
		return r < 0 ? r : -EIO;
	r = plug_virtio(hotplug);
	if (r == 0) {
		qemu_args_device_path(name, address, path);
		r = plug_device(hotplug, address, path);
		if (r < 0)
			log_err("the virtio device of pvdma stays plugged in");
	}
	if (r < 0)
		(void)ctl_bus_stop_vm(hotplug->bus, name);
	return r;
}

/* One more device for a VM. */
static int attach_more(struct hotplug *hotplug,
		       const struct pci_address *address)
{
	const char *name = domain_xml_vm_name(hotplug->live);
	_cleanup_free_ char *socket = NULL;
	char text[PCI_ADDRESS_TEXT_MAX];
	int r;

	format_pci_address(address, text);
	r = ctl_bus_add_device(hotplug->bus, name, text, &socket);
	if (r != 0)
		return r < 0 ? r : -EIO;
	r = plug_device(hotplug, address, socket);
	if (r < 0)
		(void)ctl_bus_remove_device(hotplug->bus, name, text);
	return r;
}

/* Which settings will be others than those that the domain has now. */
static void find_changed(const struct hotplug *hotplug,
			 const struct metadata *changes,
			 bool changed[static METADATA_KEYS])
{
	const struct metadata *now = domain_xml_metadata(hotplug->live);

	for (size_t i = 0; i < METADATA_KEYS; i++) {
		const char *value = now ? now->values[i] : NULL;

		changed[i] = changes->values[i] &&
			     metadata_key_type((enum metadata_key)i) !=
				     METADATA_LOCAL &&
			     (!value || strcmp(value, changes->values[i]) != 0);
	}
}

/* Settings of a VM that runs are not changed by the way. */
static void warn_of_changed(const bool changed[static METADATA_KEYS])
{
	for (size_t i = 0; i < METADATA_KEYS; i++)
		if (changed[i])
			log_warn("%s= counts from the domain's next start on: "
				 "its VM runs already (pvdmactl quota, limits "
				 "and strategy change it now)",
				 metadata_key_name((enum metadata_key)i));
}

/*
 * The VM of the domain's name: 0 with *@ret for ctl_bus_vm_done(), a verdict, or
 * a negative errno, logged. A VM of another domain's would give that one's guest
 * the device, and this one's guest the other's memory.
 */
static int look_at_vm(const struct hotplug *hotplug, struct ctl_bus_vm *ret)
{
	const char *name = domain_xml_vm_name(hotplug->live);
	int r = ctl_bus_get_vm(hotplug->bus, name, ret);

	if (r != 0 || ctl_bus_vm_is_of(ret, domain_xml_uuid(hotplug->live)))
		return r;
	log_err("pvdma's VM %s is not that of %s, but %s%s: set another name= "
		"of pvdma:vm in its metadata",
		name, domain_xml_where(hotplug->live),
		strcmp(ret->domain, "none") == 0 ?
			"one that was started by hand" :
			"of the domain with the UUID ",
		strcmp(ret->domain, "none") == 0 ? "" : ret->domain);
	ctl_bus_vm_done(ret);
	return -EEXIST;
}

int hotplug_attach(struct hotplug *hotplug, const struct pci_address *address,
		   const struct metadata *changes)
{
	_cleanup_(ctl_bus_vm_done) struct ctl_bus_vm vm = { 0 };
	bool changed[METADATA_KEYS];
	int r = domain_xml_check(hotplug->live, address);

	if (r < 0)
		return r;
	if (!domain_xml_memory_shared(hotplug->live)) {
		log_err("%s: its memory is not in a shared memfd, and that "
			"cannot change while it runs: attach without --live, "
			"shut it down, and start it",
			domain_xml_where(hotplug->live));
		return -EINVAL;
	}
	find_changed(hotplug, changes, changed);
	r = domain_xml_attach(hotplug->live, address, changes);
	if (r == 0)
		r = look_at_vm(hotplug, &vm);
	if (r < 0)
		return r;
	if (r == CTL_BUS_NO_SUCH_VM)
		return attach_new(hotplug, address);
	warn_of_changed(changed);
	return attach_more(hotplug, address);
}

int hotplug_detach(struct hotplug *hotplug, const struct pci_address *address)
{
	const char *name = domain_xml_vm_name(hotplug->live);
	_cleanup_(ctl_bus_vm_done) struct ctl_bus_vm vm = { 0 };
	char text[PCI_ADDRESS_TEXT_MAX], id[QEMU_ARGS_ID_MAX];
	int r = look_at_vm(hotplug, &vm);

	if (r < 0)
		return r;
	format_pci_address(address, text);
	qemu_args_device_id(address, id);
	r = monitor_has_device(&hotplug->monitor, id);
	if (r == 1 && vm.num_devices == 1) {
		/* as the agent says, but before the guest has lost it */
		log_err("device %s is the last one of pvdma's VM %s, which "
			"goes when that ends: shut the guest down and detach "
			"without --live",
			text, name);
		return -ENOTSUP;
	}
	if (r == 1)
		r = monitor_unplug(&hotplug->monitor, id, UNPLUG_SECONDS);
	if (r < 0)
		return r;
	r = ctl_bus_remove_device(hotplug->bus, name, text);
	if (r < 0)
		return r;
	return domain_xml_unlist(hotplug->live, address);
}
