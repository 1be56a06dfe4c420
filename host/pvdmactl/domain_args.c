// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * domain_args.c - pvdma's arguments for QEMU in a domain's XML
 *
 * Owns: the elements qemu:arg that are ours, which are known by their ids. They
 * are always written anew, behind the user's own, which are never touched.
 *
 * Invariant: the element qemu:commandline and the namespace that it needs go
 * away with the last of our arguments if it was us who brought them.
 *
 * Locks: none. In a request's way: not.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domain_impl.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/parse.h"

#define COMMANDLINE "commandline"
#define NAMESPACE   "namespace"

static xmlNode *commandline_of(const struct domain_xml *domain)
{
	return xml_text_child(domain_root(domain), COMMANDLINE, DOMAIN_QEMU_NS);
}

static xmlNode *first_arg(const struct domain_xml *domain)
{
	return xml_text_child(commandline_of(domain), "arg", DOMAIN_QEMU_NS);
}

static xmlNode *next_arg(const xmlNode *arg)
{
	return xml_text_next(arg, "arg", DOMAIN_QEMU_NS);
}

/* Whether @arg is the first of two, -device or -chardev and one of ours. */
static bool is_ours(const xmlNode *arg)
{
	xmlNode *second = next_arg(arg);
	_cleanup_free_ char *value = NULL;

	if (!second || !(domain_attribute_is(arg, "value", "-device") ||
			 domain_attribute_is(arg, "value", "-chardev")))
		return false;
	value = xml_text_attribute(second, "value");
	return value && qemu_args_is_ours(value);
}

static int remove_arg(struct domain_xml *domain, size_t n)
{
	xmlNode *arg = first_arg(domain);

	while (n-- > 0)
		arg = next_arg(arg);
	return xml_text_remove(&domain->xml, arg);
}

/* Removes our arguments alone. */
static int remove_ours(struct domain_xml *domain)
{
	for (;;) {
		xmlNode *arg = first_arg(domain);
		size_t n = 0;
		int r;

		for (; arg && !is_ours(arg); arg = next_arg(arg))
			n++;
		if (!arg)
			return 0;
		r = remove_arg(domain, n + 1);
		if (r == 0)
			r = remove_arg(domain, n);
		if (r < 0)
			return r;
	}
}

/* Marks the slot that an address of the domain's names, if it is on bus 0. */
static void mark_address(const xmlNode *address, uint32_t *used)
{
	_cleanup_free_ char *slot = xml_text_attribute(address, "slot");
	_cleanup_free_ char *bus = xml_text_attribute(address, "bus");
	uint64_t n;

	if (!domain_attribute_is(address, "type", "pci") || !slot || !bus ||
	    parse_uint(bus, 0, 0, &n) < 0 || parse_uint(slot, 0, 31, &n) < 0)
		return;
	*used |= 1U << n;
}

/* The slots of the first bus that the domain's devices and arguments take. */
static uint32_t used_slots(const struct domain_xml *domain)
{
	xmlNode *device = domain_path(domain_root(domain), "devices", NULL);
	uint32_t used = 0;
	xmlNode *arg;

	device = device ? xmlFirstElementChild(device) : NULL;
	for (; device; device = xmlNextElementSibling(device)) {
		xmlNode *address = xml_text_child(device, "address", NULL);

		if (address)
			mark_address(address, &used);
	}
	for (arg = first_arg(domain); arg; arg = next_arg(arg)) {
		_cleanup_free_ char *value = xml_text_attribute(arg, "value");
		int slot = value ? qemu_args_slot(value) : -1;

		if (slot >= 0)
			used |= 1U << slot;
	}
	return used;
}

/* Writes the arguments as elements, a line each. */
static void put_elements(FILE *f, const char *args, const char *prefix,
			 const char *indent)
{
	while (*args) {
		size_t n = strcspn(args, "\n");

		(void)fprintf(f, "%s<%s%sarg value='%.*s'/>\n", indent, prefix,
			      *prefix ? ":" : "", (int)n, args);
		args += n + (args[n] == '\n');
	}
}

static const char *prefix_of(const xmlNs *ns)
{
	return ns && ns->prefix ? (const char *)ns->prefix : "";
}

/* All of it as elements, with a commandline around them if there is none. */
static void put_xml(const struct domain_xml *domain, FILE *f, const char *args)
{
	const xmlNode *commandline = commandline_of(domain);
	xmlNode *root = domain_root(domain);
	const xmlNs *ns;

	if (commandline) {
		put_elements(f, args, prefix_of(commandline->ns), "");
		return;
	}
	ns = xmlSearchNsByHref(domain->xml.doc, root,
			       (const xmlChar *)DOMAIN_QEMU_NS);
	if (ns && ns->prefix)
		(void)fprintf(f, "<%s:" COMMANDLINE ">\n", prefix_of(ns));
	else
		(void)fprintf(f, "<qemu:" COMMANDLINE
				 " xmlns:qemu='" DOMAIN_QEMU_NS "'>\n");
	put_elements(f, args, ns && ns->prefix ? prefix_of(ns) : "qemu", "  ");
	(void)fprintf(f, "</%s:" COMMANDLINE ">\n",
		      ns && ns->prefix ? prefix_of(ns) : "qemu");
}

/* The arguments of the domain's VM, as qemu_args_put() writes them. */
static int make_args(const struct domain_xml *domain, char **ret)
{
	_cleanup_free_ char *args = NULL;
	size_t size;
	FILE *f = open_memstream(&args, &size);
	int r;

	if (!f)
		return -ENOMEM;
	r = qemu_args_put(f, domain_xml_vm_name(domain), &domain->vm,
			  domain_xml_bus(domain), used_slots(domain));
	if (fclose(f) != 0)
		return -ENOMEM;
	if (r == -ENOSPC)
		log_err("%s: its first PCI bus has no free slot for pvdma's "
			"devices",
			domain->where);
	if (r == 0)
		*ret = steal_ptr(args);
	return r;
}

/* Writes down what is there of the place where our arguments go. */
static int note_place(struct domain_xml *domain)
{
	const xmlNode *commandline = commandline_of(domain);
	const char *before = "absent";
	int r = 0;

	if (commandline)
		before = xml_text_span(&domain->xml, commandline)->empty ?
				 "empty" :
				 NULL;
	else if (!xmlSearchNsByHref(domain->xml.doc, domain_root(domain),
				    (const xmlChar *)DOMAIN_QEMU_NS))
		r = domain_before_note(domain, NAMESPACE, "absent");
	if (r == 0 && before)
		r = domain_before_note(domain, COMMANDLINE, before);
	return r;
}

int domain_args_put(struct domain_xml *domain)
{
	_cleanup_free_ char *args = NULL, *text = NULL;
	size_t size;
	FILE *f;
	int r;

	r = remove_ours(domain);
	if (r == 0)
		r = make_args(domain, &args);
	if (r == 0)
		r = note_place(domain);
	if (r < 0 || !args)
		return r < 0 ? r : -ENOMEM;
	f = open_memstream(&text, &size);
	if (!f)
		return -ENOMEM;
	put_xml(domain, f, args);
	if (fclose(f) != 0)
		return -ENOMEM;
	if (commandline_of(domain))
		return xml_text_insert_last(&domain->xml,
					    commandline_of(domain), text);
	return xml_text_insert_last(&domain->xml, domain_root(domain), text);
}

/* Whether the root has a child element of QEMU's namespace. */
static bool has_qemu_elements(const struct domain_xml *domain)
{
	xmlNode *node = xmlFirstElementChild(domain_root(domain));

	for (; node; node = xmlNextElementSibling(node))
		if (node->ns &&
		    strcmp((const char *)node->ns->href, DOMAIN_QEMU_NS) == 0)
			return true;
	return false;
}

/* libvirt has moved the namespace that we brought to the root. */
static int remove_namespace(struct domain_xml *domain)
{
	_cleanup_free_ char *name = NULL;
	const xmlNs *ns;

	if (!domain_before_is(domain, NAMESPACE, "absent") ||
	    has_qemu_elements(domain))
		return 0;
	ns = xmlSearchNsByHref(domain->xml.doc, domain_root(domain),
			       (const xmlChar *)DOMAIN_QEMU_NS);
	if (!ns || !ns->prefix)
		return 0;
	if (asprintf(&name, "xmlns:%s", prefix_of(ns)) < 0)
		return -ENOMEM;
	return xml_text_set(&domain->xml, domain_root(domain), name, NULL);
}

int domain_args_remove(struct domain_xml *domain)
{
	_cleanup_free_ char *before = domain_before_noted(domain, COMMANDLINE);
	xmlNode *node;
	int r = remove_ours(domain);

	node = commandline_of(domain);
	if (r < 0 || !before || !node || xmlFirstElementChild(node))
		return r;
	if (strcmp(before, "absent") == 0)
		r = xml_text_remove(&domain->xml, node);
	else
		r = xml_text_collapse(&domain->xml, node);
	return r < 0 ? r : remove_namespace(domain);
}
