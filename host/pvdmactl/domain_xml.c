// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * domain_xml.c - a libvirt domain's XML, read and edited for pvdma
 *
 * Owns: reading a domain, and the stories of attach and detach. What stands in
 * the way of a device is domain_check.c's, the memory domain_memory.c's, the
 * arguments for QEMU domain_args.c's.
 *
 * Attaching writes down in the element pvdma:before what it found where it puts
 * something, so that detaching the last device gives back what was there, byte
 * by byte, as long as nobody else has edited it.
 *
 * Invariant: what has been read (name, metadata, ...) belongs to the text.
 *
 * Locks: none. In a request's way: not.
 */
#include "domain_xml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domain_impl.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/macros.h"

xmlNode *domain_root(const struct domain_xml *domain)
{
	return xmlDocGetRootElement(domain->xml.doc);
}

xmlNode *domain_child(const struct domain_xml *domain, const char *name)
{
	return xml_text_child(domain_root(domain), name, NULL);
}

xmlNode *domain_path(const xmlNode *from, const char *a, const char *b)
{
	xmlNode *node = xml_text_child(from, a, NULL);

	return node && b ? xml_text_child(node, b, NULL) : node;
}

xmlNode *domain_vm_element(const struct domain_xml *domain)
{
	return xml_text_child(domain_child(domain, "metadata"),
			      METADATA_ELEMENT, METADATA_NS);
}

bool domain_attribute_is(const xmlNode *node, const char *name,
			 const char *value)
{
	_cleanup_free_ char *have = node ? xml_text_attribute(node, name) :
					   NULL;

	return have && strcmp(have, value) == 0;
}

/* The text in an element, without blanks around it; allocated. */
static char *content_of(const xmlNode *node)
{
	char *text = node ? (char *)xmlNodeGetContent(node) : NULL;
	size_t n, skip;

	if (!text)
		return NULL;
	skip = strspn(text, " \t\r\n");
	n = strlen(text + skip);
	memmove(text, text + skip, n + 1);
	while (n > 0 && strchr(" \t\r\n", text[n - 1]))
		text[--n] = '\0';
	return text;
}

/* <seclabel type='static' model='dac'><label>USER:GROUP</label> */
static char *read_owner(const struct domain_xml *domain)
{
	xmlNode *label = domain_child(domain, "seclabel");

	while (label && !(domain_attribute_is(label, "model", "dac") &&
			  domain_attribute_is(label, "type", "static")))
		label = xml_text_next(label, "seclabel", NULL);
	return label ? content_of(domain_path(label, "label", NULL)) : NULL;
}

/* "+107:+107" is how libvirt writes numbers. */
static void strip_plus(char *owner)
{
	char *to = owner;

	for (; owner && *owner; owner++)
		if (*owner != '+')
			*to++ = *owner;
	if (to)
		*to = '\0';
}

static int read_domain(struct domain_xml *domain)
{
	xmlNode *vm;

	if (!xml_text_is(domain_root(domain), "domain", NULL)) {
		log_err("expected the XML of a libvirt domain");
		return -EINVAL;
	}
	domain->name = content_of(domain_child(domain, "name"));
	if (!domain->name || !*domain->name) {
		log_err("expected the XML of a libvirt domain with a name");
		return -EINVAL;
	}
	if (asprintf(&domain->where, "domain %s", domain->name) < 0) {
		domain->where = NULL;
		return -ENOMEM;
	}
	domain->uuid = content_of(domain_child(domain, "uuid"));
	domain->owner = read_owner(domain);
	strip_plus(domain->owner);
	vm = domain_vm_element(domain);
	domain->has_vm = vm != NULL;
	return vm ? metadata_parse(vm, domain->where, &domain->vm) : 0;
}

int domain_xml_new(const char *text, struct domain_xml **ret)
{
	struct domain_xml *domain = calloc(1, sizeof(*domain));
	const char *why = NULL;
	int r;

	if (!domain)
		return log_err_errno(ENOMEM, "cannot read a domain's XML");
	r = xml_text_init(&domain->xml, text, &why);
	if (r < 0)
		log_err("cannot read the domain's XML: %s", why);
	else
		r = read_domain(domain);
	if (r < 0) {
		domain_xml_free(domain);
		return r;
	}
	*ret = domain;
	return 0;
}

void domain_xml_free(struct domain_xml *domain)
{
	if (!domain)
		return;
	metadata_done(&domain->vm);
	xml_text_done(&domain->xml);
	free(domain->name);
	free(domain->where);
	free(domain->owner);
	free(domain->uuid);
	free(domain);
}

const char *domain_xml_text(const struct domain_xml *domain)
{
	return domain->xml.text;
}

const char *domain_xml_name(const struct domain_xml *domain)
{
	return domain->name;
}

const char *domain_xml_where(const struct domain_xml *domain)
{
	return domain->where;
}

const char *domain_xml_uuid(const struct domain_xml *domain)
{
	return domain->uuid ? domain->uuid : "";
}

const char *domain_xml_vm_name(const struct domain_xml *domain)
{
	const char *name = domain->vm.values[METADATA_NAME];

	return name ? name : domain->name;
}

const char *domain_xml_owner(const struct domain_xml *domain)
{
	return domain->owner && *domain->owner ? domain->owner : NULL;
}

const struct metadata *domain_xml_metadata(const struct domain_xml *domain)
{
	return domain->has_vm ? &domain->vm : NULL;
}

enum qemu_bus domain_xml_bus(const struct domain_xml *domain)
{
	_cleanup_free_ char *machine = NULL;
	xmlNode *type = domain_path(domain_root(domain), "os", "type");

	machine = type ? xml_text_attribute(type, "machine") : NULL;
	return machine && strstr(machine, "q35") ? QEMU_BUS_PCIE : QEMU_BUS_PCI;
}

static void drop_namespaces(xmlNode *node)
{
	for (xmlNode *child = xmlFirstElementChild(node); child;
	     child = xmlNextElementSibling(child))
		drop_namespaces(child);
	for (xmlAttr *attr = node->properties; attr; attr = attr->next)
		attr->ns = NULL;
	xmlSetNs(node, NULL);
	xmlFreeNsList(node->nsDef);
	node->nsDef = NULL;
}

char *domain_xml_metadata_text(const struct domain_xml *domain)
{
	xmlNode *vm = domain_vm_element(domain), *copy;
	xmlBuffer *buffer = xmlBufferCreate();
	char *text = NULL;

	/* libvirt gives all elements the namespace itself, and wants none there */
	copy = vm ? xmlDocCopyNode(vm, domain->xml.doc, 1) : NULL;
	if (copy)
		drop_namespaces(copy);
	if (copy && buffer &&
	    xmlNodeDump(buffer, domain->xml.doc, copy, 0, 0) >= 0)
		text = strdup((const char *)xmlBufferContent(buffer));
	xmlFreeNode(copy);
	xmlBufferFree(buffer);
	return text;
}

/* Reads everything again after edits. */
static int read_again(struct domain_xml *domain)
{
	metadata_done(&domain->vm);
	free(domain->name);
	free(domain->where);
	free(domain->owner);
	free(domain->uuid);
	domain->name = domain->where = domain->owner = domain->uuid = NULL;
	return read_domain(domain);
}

static int failed(const struct domain_xml *domain, int r)
{
	return log_err_errno(r, "%s: cannot edit its XML",
			     domain->where ? domain->where : "domain");
}

/* Makes sure that there is an element pvdma:vm. */
static int make_vm(struct domain_xml *domain)
{
	static const char vm[] = "<" METADATA_PREFIX ":" METADATA_ELEMENT
				 " xmlns:" METADATA_PREFIX "='" METADATA_NS
				 "'/>";
	static const char metadata[] =
		"<metadata>\n"
		"  <" METADATA_PREFIX ":" METADATA_ELEMENT
		" xmlns:" METADATA_PREFIX "='" METADATA_NS "'/>\n"
		"</metadata>";
	static const char *const behind[] = { "description", "title", "genid",
					      "uuid",	     "name",  NULL };
	xmlNode *node = domain_child(domain, "metadata");
	const char *before = "absent";
	int r;

	if (domain_vm_element(domain)) {
		node = domain_vm_element(domain);
		return xml_text_span(&domain->xml, node)->empty ?
			       domain_before_note(domain, "vm", "empty") :
			       0;
	}
	if (node) {
		before = xml_text_span(&domain->xml, node)->empty ? "empty" :
								    NULL;
		r = xml_text_insert_last(&domain->xml, node, vm);
	} else {
		r = domain_insert_behind(domain, behind, metadata);
	}
	if (r == 0)
		r = domain_before_note(domain, "vm", "absent");
	if (r == 0 && before)
		r = domain_before_note(domain, "metadata", before);
	return r;
}

/* Sets one; an element that was there before notes what it said. */
static int put_setting(struct domain_xml *domain, const char *name,
		       const char *value)
{
	_cleanup_free_ char *old =
		xml_text_attribute(domain_vm_element(domain), name);
	int r = 0;

	if (!domain_before_is(domain, "vm", "absent"))
		r = domain_before_note(domain, name, old ? old : "");
	if (r < 0)
		return r;
	return xml_text_set(&domain->xml, domain_vm_element(domain), name,
			    value);
}

/* Writes the settings that are set in @changes to the element. */
static int put_settings(struct domain_xml *domain,
			const struct metadata *changes)
{
	int r = 0;

	for (size_t i = 0; i < METADATA_KEYS && r == 0; i++)
		if (changes->values[i])
			r = put_setting(domain,
					metadata_key_name((enum metadata_key)i),
					changes->values[i]);
	return r;
}

/* Settings that attaching changed become what they were. */
static int restore_settings(struct domain_xml *domain)
{
	int r = 0;

	for (size_t i = 0; i < METADATA_KEYS && r == 0; i++) {
		const char *name = metadata_key_name((enum metadata_key)i);
		_cleanup_free_ char *old = domain_before_noted(domain, name);

		if (old)
			r = xml_text_set(&domain->xml,
					 domain_vm_element(domain), name,
					 *old ? old : NULL);
	}
	return r;
}

/* The name @local with the prefix of the element pvdma:vm; allocated. */
static char *name_in_vm(const struct domain_xml *domain, const char *local)
{
	const xmlNs *ns = domain_vm_element(domain)->ns;
	char *name;

	if (asprintf(&name, "%s%s%s", ns->prefix ? (char *)ns->prefix : "",
		     ns->prefix ? ":" : "", local) < 0)
		return NULL;
	return name;
}

static int put_device(struct domain_xml *domain,
		      const struct pci_address *address)
{
	_cleanup_free_ char *name = name_in_vm(domain, "device");
	_cleanup_free_ char *element = NULL;
	xmlNode *vm = domain_vm_element(domain), *last = NULL, *node;
	char text[PCI_ADDRESS_TEXT_MAX];

	format_pci_address(address, text);
	if (!name || asprintf(&element, "<%s address='%s'/>", name, text) < 0)
		return -ENOMEM;
	for (node = xml_text_child(vm, "device", METADATA_NS); node;
	     node = xml_text_next(node, "device", METADATA_NS))
		last = node;
	return last ? xml_text_insert_after(&domain->xml, last, element) :
		      xml_text_insert_first(&domain->xml, vm, element);
}

int domain_before_note(struct domain_xml *domain, const char *what,
		       const char *value)
{
	_cleanup_free_ char *name = name_in_vm(domain, "before");
	_cleanup_free_ char *noted = domain_before_noted(domain, what);
	_cleanup_free_ char *element = NULL;
	xmlNode *vm = domain_vm_element(domain), *before;

	if (noted)
		return 0;
	if (strpbrk(value, "<>&'\""))
		return -EINVAL;
	before = xml_text_child(vm, "before", METADATA_NS);
	if (before)
		return xml_text_set(&domain->xml, before, what, value);
	if (!name || asprintf(&element, "<%s %s='%s'/>", name, what, value) < 0)
		return -ENOMEM;
	return xml_text_insert_last(&domain->xml, vm, element);
}

char *domain_before_noted(const struct domain_xml *domain, const char *what)
{
	xmlNode *before = xml_text_child(domain_vm_element(domain), "before",
					 METADATA_NS);

	return before ? xml_text_attribute(before, what) : NULL;
}

bool domain_before_is(const struct domain_xml *domain, const char *what,
		      const char *value)
{
	_cleanup_free_ char *noted = domain_before_noted(domain, what);

	return noted && strcmp(noted, value) == 0;
}

int domain_insert_behind(struct domain_xml *domain, const char *const *names,
			 const char *element)
{
	for (; *names; names++) {
		xmlNode *node = domain_child(domain, *names);

		if (node)
			return xml_text_insert_after(&domain->xml, node,
						     element);
	}
	return xml_text_insert_first(&domain->xml, domain_root(domain),
				     element);
}

int domain_xml_attach(struct domain_xml *domain,
		      const struct pci_address *address,
		      const struct metadata *changes)
{
	int r;

	if (metadata_find_device(&domain->vm, address) >= 0) {
		log_err("%s: has the device already", domain->where);
		return -EEXIST;
	}
	r = make_vm(domain);
	if (r == 0)
		r = put_settings(domain, changes);
	if (r == 0)
		r = put_device(domain, address);
	if (r < 0)
		return failed(domain, r);
	r = read_again(domain);
	if (r == 0)
		r = metadata_check(&domain->vm, domain->where);
	if (r == 0 && !metadata_name_valid(domain_xml_vm_name(domain))) {
		log_err("%s: pvdma's VMs are called 1 to 64 of A-Z a-z 0-9 "
			"_ . -, and no dot first: give name=, or rename the "
			"domain",
			domain->where);
		r = -EINVAL;
	}
	if (r < 0)
		return r;
	r = domain_memory_share(domain);
	if (r == 0)
		r = domain_args_put(domain);
	return r < 0 ? failed(domain, r) : read_again(domain);
}

/* Takes out what attaching put into an element that was there before. */
static int restore_vm(struct domain_xml *domain)
{
	bool empty = domain_before_is(domain, "vm", "empty");
	int r = restore_settings(domain);
	xmlNode *node;

	node = xml_text_child(domain_vm_element(domain), "before", METADATA_NS);
	if (r == 0 && node)
		r = xml_text_remove(&domain->xml, node);
	node = domain_vm_element(domain);
	if (r < 0 || !empty || xmlFirstElementChild(node))
		return r;
	return xml_text_collapse(&domain->xml, node);
}

/* Takes out the element pvdma:vm that attaching brought. */
static int remove_vm(struct domain_xml *domain)
{
	_cleanup_free_ char *metadata = domain_before_noted(domain, "metadata");
	xmlNode *node = domain_vm_element(domain);
	int r;

	r = xml_text_remove(&domain->xml, node);
	node = domain_child(domain, "metadata");
	if (r < 0 || !metadata || xmlFirstElementChild(node))
		return r;
	if (strcmp(metadata, "absent") == 0)
		return xml_text_remove(&domain->xml, node);
	return xml_text_collapse(&domain->xml, node);
}

static int remove_device(struct domain_xml *domain,
			 const struct pci_address *address)
{
	int n = metadata_find_device(&domain->vm, address);
	xmlNode *node = xml_text_child(domain_vm_element(domain), "device",
				       METADATA_NS);

	while (n-- > 0)
		node = xml_text_next(node, "device", METADATA_NS);
	return xml_text_remove(&domain->xml, node);
}

int domain_xml_unlist(struct domain_xml *domain,
		      const struct pci_address *address)
{
	int r;

	if (metadata_find_device(&domain->vm, address) < 0)
		return 0;
	r = remove_device(domain, address);
	return r < 0 ? failed(domain, r) : read_again(domain);
}

int domain_xml_detach(struct domain_xml *domain,
		      const struct pci_address *address)
{
	char text[PCI_ADDRESS_TEXT_MAX];
	int r;

	format_pci_address(address, text);
	if (metadata_find_device(&domain->vm, address) < 0) {
		log_err("%s: has no device %s from pvdma", domain->where, text);
		return -ENOENT;
	}
	r = domain_xml_unlist(domain, address);
	if (r < 0)
		return r;
	if (domain->vm.num_devices > 0) {
		r = domain_args_put(domain);
	} else {
		r = domain_args_remove(domain);
		if (r == 0)
			r = domain_memory_restore(domain);
		if (r == 0)
			r = domain_before_is(domain, "vm", "absent") ?
				    remove_vm(domain) :
				    restore_vm(domain);
	}
	return r < 0 ? failed(domain, r) : read_again(domain);
}
