// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * qemu_args.c - the arguments by which QEMU gets pvdma's devices
 *
 * Owns: their form, their ids, and where on the first PCI bus they sit.
 *
 * libvirt gives all devices of its own an address and knows nothing of ours, so
 * ours say where they sit, too: in slots from 0x10 on, which libvirt takes last.
 * On q35 each device has a root port, as a real one has, because nothing else
 * can be plugged and unplugged there; eight of them share a slot.
 *
 * Invariant: the same VM and the same taken slots give the same arguments; each
 * of them has an id that begins with "pvdma-", or uses such a one.
 *
 * Locks: none. In a request's way: not.
 */
#include "qemu_args.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PORTS_PER_SLOT 8
/* libvirt numbers the chassis of its ports from 1. */
#define CHASSIS_BASE 160
#define RUN_DIR	     "/run/pvdma/vm"

void qemu_args_vhost_path(const char *name, char buf[static QEMU_ARGS_PATH_MAX])
{
	(void)snprintf(buf, QEMU_ARGS_PATH_MAX, RUN_DIR "/%s/vhost.sock", name);
}

void qemu_args_device_path(const char *name, const struct pci_address *address,
			   char buf[static QEMU_ARGS_PATH_MAX])
{
	char text[PCI_ADDRESS_TEXT_MAX];

	format_pci_address(address, text);
	(void)snprintf(buf, QEMU_ARGS_PATH_MAX, RUN_DIR "/%s/%s.sock", name,
		       text);
}

void qemu_args_device_id(const struct pci_address *address,
			 char buf[static QEMU_ARGS_ID_MAX])
{
	(void)snprintf(buf, QEMU_ARGS_ID_MAX,
		       QEMU_ARGS_PREFIX "%04x-%02x-%02x.%x", address->domain,
		       address->bus, address->device, address->function);
}

void qemu_args_put_device(FILE *f, const char *id, const char *path,
			  const char *bus, const char *addr)
{
	(void)fprintf(f, "{\"driver\":\"vfio-user-pci\",\"id\":\"%s\",", id);
	if (bus)
		(void)fprintf(f, "\"bus\":\"%s\",", bus);
	if (addr)
		(void)fprintf(f, "\"addr\":\"%s\",", addr);
	(void)fprintf(f,
		      "\"socket\":{\"type\":\"unix\",\"path\":\"%s\"},"
		      "\"x-msg-timeout\":%u}",
		      path, QEMU_ARGS_TIMEOUT);
}

/* The value behind @key in "driver,key=value", or in JSON; NULL if not there. */
static const char *find_option(const char *value, const char *key)
{
	size_t n = strlen(key);
	const char *at = value;

	while ((at = strstr(at, key))) {
		const char *behind = at + n;
		char before = at == value ? ',' : at[-1];

		if (before == ',' && *behind == '=')
			return behind + 1;
		if (before == '"' && *behind == '"') {
			behind += 1 + strspn(behind + 1, " \t");
			if (*behind == ':')
				return behind + 1 + strspn(behind + 1, " \t\"");
		}
		at = behind;
	}
	return NULL;
}

bool qemu_args_is_ours(const char *value)
{
	const char *id = find_option(value, "id");

	return id &&
	       strncmp(id, QEMU_ARGS_PREFIX, strlen(QEMU_ARGS_PREFIX)) == 0;
}

int qemu_args_slot(const char *value)
{
	const char *bus = find_option(value, "bus");
	const char *addr = find_option(value, "addr");
	unsigned long slot;
	char *end;

	if (!addr || (bus && strncmp(bus, "pcie.0", 6) != 0 &&
		      strncmp(bus, "pci.0", 5) != 0))
		return -1;
	slot = strtoul(addr, &end, 16);
	return end != addr && slot < 32 ? (int)slot : -1;
}

/* Takes a slot of @used; -1 if there is none. */
static int take_slot(uint32_t *used)
{
	static const unsigned char order[] = {
		0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19,
		0x0f, 0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09, 0x08, 0x07, 0x06,
		0x05, 0x04, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x03, 0x02,
	};

	for (size_t i = 0; i < sizeof(order); i++) {
		if (!(*used & 1U << order[i])) {
			*used |= 1U << order[i];
			return order[i];
		}
	}
	return -1;
}

static int put_ports(FILE *f, size_t n, uint32_t *used)
{
	int slot = -1;

	for (size_t i = 0; i < n; i++) {
		if (i % PORTS_PER_SLOT == 0)
			slot = take_slot(used);
		if (slot < 0)
			return -ENOSPC;
		(void)fprintf(f,
			      "-device\npcie-root-port,id=" QEMU_ARGS_PORT
			      "%zu,bus=pcie.0,chassis=%zu,addr=0x%02x.%zu%s\n",
			      i + 1, CHASSIS_BASE + i, slot, i % PORTS_PER_SLOT,
			      i % PORTS_PER_SLOT == 0 ? ",multifunction=on" :
							"");
	}
	return 0;
}

static int put_virtio(FILE *f, const char *name, const struct metadata *vm,
		      enum qemu_bus bus, uint32_t *used)
{
	char path[QEMU_ARGS_PATH_MAX];
	int slot = take_slot(used);

	if (slot < 0)
		return -ENOSPC;
	qemu_args_vhost_path(name, path);
	(void)fprintf(f,
		      "-chardev\nsocket,id=" QEMU_ARGS_VHOST ",path=%s\n"
		      "-device\nvhost-user-test-device-pci,id=" QEMU_ARGS_VIRTIO
		      ",chardev=" QEMU_ARGS_VHOST
		      ",virtio-id=39,num_vqs=%llu,vq_size=256,config_size=64,"
		      "bus=%s,addr=0x%02x\n",
		      path,
		      (unsigned long long)metadata_number(vm, METADATA_QUEUES,
							  2),
		      bus == QEMU_BUS_PCIE ? "pcie.0" : "pci.0", slot);
	return 0;
}

static int put_devices(FILE *f, const char *name, const struct metadata *vm,
		       enum qemu_bus bus, uint32_t *used)
{
	for (size_t i = 0; i < vm->num_devices; i++) {
		char path[QEMU_ARGS_PATH_MAX], id[QEMU_ARGS_ID_MAX];
		char port[QEMU_ARGS_ID_MAX], addr[16];

		qemu_args_device_path(name, &vm->devices[i], path);
		qemu_args_device_id(&vm->devices[i], id);
		(void)fprintf(f, "-device\n");
		if (bus == QEMU_BUS_PCIE) {
			(void)snprintf(port, sizeof(port), QEMU_ARGS_PORT "%zu",
				       i + 1);
			qemu_args_put_device(f, id, path, port, NULL);
		} else {
			int slot = take_slot(used);

			if (slot < 0)
				return -ENOSPC;
			(void)snprintf(addr, sizeof(addr), "%02x", slot);
			qemu_args_put_device(f, id, path, "pci.0", addr);
		}
		(void)fprintf(f, "\n");
	}
	return 0;
}

int qemu_args_put(FILE *f, const char *name, const struct metadata *vm,
		  enum qemu_bus bus, uint32_t used)
{
	size_t ports = vm->num_devices +
		       (size_t)metadata_number(vm, METADATA_SPARE_PORTS, 1);
	int r;

	/* the host bridge, and the chip set's slot */
	used |= 1U | 1U << 31;
	r = bus == QEMU_BUS_PCIE ? put_ports(f, ports, &used) : 0;
	if (r == 0)
		r = put_virtio(f, name, vm, bus, &used);
	if (r == 0)
		r = put_devices(f, name, vm, bus, &used);
	return r;
}
