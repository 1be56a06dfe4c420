// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * domain_check.c - what keeps a domain from having a device of pvdma's
 *
 * Owns: the reasons, in words that say what to do about them. All of them are
 * reported at once.
 *
 * Invariant: looks, and changes nothing.
 *
 * Locks: none. In a request's way: not.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "domain_impl.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/parse.h"

/* One check of a domain. */
struct check {
	const struct domain_xml *domain;
	const char *where;
	const struct pci_address *address;
	const char *address_text;
	bool bad;
};

static void check_type(struct check *c)
{
	xmlNode *root = domain_root(c->domain);
	xmlNode *os = domain_path(root, "os", "type");
	_cleanup_free_ char *type = xml_text_attribute(root, "type");
	_cleanup_free_ char *arch = os ? xml_text_attribute(os, "arch") : NULL;
	_cleanup_free_ char *machine = os ? xml_text_attribute(os, "machine") :
					    NULL;

	/* libvirt's test driver runs nothing, and keeps what it is given */
	if (type && strcmp(type, "test") == 0)
		return;
	if (!type || (strcmp(type, "kvm") != 0 && strcmp(type, "qemu") != 0)) {
		c->bad = true;
		log_err("%s: is of type %s; pvdma's devices come from QEMU: "
			"expected kvm",
			c->where, type ? type : "none");
	}
	if (arch && strcmp(arch, "x86_64") != 0) {
		c->bad = true;
		log_err("%s: is a machine with %s; pvdma knows x86_64 only",
			c->where, arch);
	}
	if (!machine ||
	    !(strstr(machine, "q35") || strcmp(machine, "pc") == 0 ||
	      strncmp(machine, "pc-i440fx", 9) == 0)) {
		c->bad = true;
		log_err("%s: machine %s has no PCI bus that pvdma knows: "
			"expected q35, or pc",
			c->where, machine ? machine : "(none)");
	}
}

static void check_memory(struct check *c)
{
	const xmlNode *root = domain_root(c->domain);
	xmlNode *node = domain_path(root, "cpu", "numa");
	unsigned int n = 0;

	for (node = xml_text_child(node, "cell", NULL); node;
	     node = xml_text_next(node, "cell", NULL), n++) {
		if (!domain_attribute_is(node, "memAccess", "private"))
			continue;
		c->bad = true;
		log_err("%s: NUMA cell %u has memAccess='private', and the "
			"agent cannot reach such memory: make it 'shared', or "
			"remove the attribute",
			c->where, n);
	}
	node = domain_path(root, "devices", "memory");
	for (; node; node = xml_text_next(node, "memory", NULL)) {
		if (!domain_attribute_is(node, "access", "private"))
			continue;
		c->bad = true;
		log_err("%s: a memory device has access='private', and the "
			"agent cannot reach such memory: make it 'shared', or "
			"remove the attribute",
			c->where);
	}
	if (domain_path(root, "memoryBacking", "locked")) {
		c->bad = true;
		log_err("%s: all of its memory is locked (memoryBacking/"
			"locked), so there is nothing that pvdma could keep "
			"swappable: remove that element, or use a plain "
			"hostdev",
			c->where);
	}
	if (domain_path(root, "launchSecurity", NULL)) {
		c->bad = true;
		log_err("%s: its memory is encrypted (launchSecurity): no "
			"device reaches it",
			c->where);
	}
}

/* A number of an address, with or without "0x". */
static bool number_is(const xmlNode *address, const char *name, uint32_t value)
{
	_cleanup_free_ char *text = xml_text_attribute(address, name);
	uint64_t number;

	return text && parse_uint(text, 0, UINT32_MAX, &number) == 0 &&
	       number == value;
}

static bool is_address(const xmlNode *node, const struct pci_address *address)
{
	return number_is(node, "domain", address->domain) &&
	       number_is(node, "bus", address->bus) &&
	       number_is(node, "slot", address->device) &&
	       number_is(node, "function", address->function);
}

/* A device of the host's that is passed through by other means. */
static void check_hostdev(struct check *c, const xmlNode *hostdev)
{
	const xmlNode *address = domain_path(hostdev, "source", "address");

	if (address && is_address(address, c->address)) {
		c->bad = true;
		log_err("%s: has %s as a %s already: remove that first (virsh "
			"detach-device --config)",
			c->where, c->address_text, (const char *)hostdev->name);
	} else if (address) {
		log_warn("%s: has a plain %s, too, which pins all of its "
			 "memory: give it to pvdma instead",
			 c->where, (const char *)hostdev->name);
	}
}

static void check_devices(struct check *c)
{
	xmlNode *devices = domain_child(c->domain, "devices");
	const xmlNode *node;

	for (node = xml_text_child(devices, "hostdev", NULL); node;
	     node = xml_text_next(node, "hostdev", NULL))
		if (domain_attribute_is(node, "type", "pci"))
			check_hostdev(c, node);
	for (node = xml_text_child(devices, "interface", NULL); node;
	     node = xml_text_next(node, "interface", NULL))
		if (domain_attribute_is(node, "type", "hostdev"))
			check_hostdev(c, node);
	if (xml_text_child(devices, "iommu", NULL))
		log_warn("%s: has a virtual IOMMU: start the guest with "
			 "iommu=pt, or pvdma's module leaves the device alone",
			 c->where);
}

/* vfio-pci,host=... among the user's own arguments */
static void check_args(struct check *c)
{
	xmlNode *commandline = xml_text_child(domain_root(c->domain),
					      "commandline", DOMAIN_QEMU_NS);
	xmlNode *arg = xml_text_child(commandline, "arg", DOMAIN_QEMU_NS);

	for (; arg; arg = xml_text_next(arg, "arg", DOMAIN_QEMU_NS)) {
		_cleanup_free_ char *value = xml_text_attribute(arg, "value");

		if (!value || qemu_args_is_ours(value) ||
		    !strstr(value, c->address_text))
			continue;
		c->bad = true;
		log_err("%s: an argument for QEMU names %s already: remove "
			"\"%s\" from qemu:commandline first",
			c->where, c->address_text, value);
	}
}

int domain_xml_check(const struct domain_xml *domain,
		     const struct pci_address *address)
{
	char text[PCI_ADDRESS_TEXT_MAX];
	struct check c = {
		.domain = domain,
		.where = domain->where,
		.address = address,
		.address_text = text,
	};

	format_pci_address(address, text);
	check_type(&c);
	check_memory(&c);
	check_devices(&c);
	check_args(&c);
	return c.bad ? -EINVAL : 0;
}
