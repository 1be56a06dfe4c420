// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * doctor_domain.c - is a libvirt domain ready for pvdma?
 *
 * Owns: reading the domain; what else stands in its XML is read only. Settings and
 * memory are judged by the functions of libvirt's hook, which decides in the end.
 *
 * Invariant: all checks look at one XML, that of the domain's next start.
 *
 * Locks: none. In a request's way: not.
 */
#include "pvdmactl/doctor_impl.h"

#include <errno.h>
#include <libxml/parser.h>
#include <stdlib.h>
#include <string.h>

#include "domain_xml.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "pvdmad/check.h"

#define PVDMA_NS "https://pvdma.org/xmlns/libvirt/domain/1.0"
#define QEMU_NS	 "http://libvirt.org/schemas/domain/qemu/1.0"

#define XML_MAX (8 << 20)

DEFINE_CLEANUP(domain, struct domain_xml *, domain_xml_free);

/* The first child element of that name and namespace (NULL: none), from @node. */
static xmlNode *find(xmlNode *node, const char *name, const char *ns)
{
	for (; node; node = node->next) {
		if (node->type != XML_ELEMENT_NODE ||
		    strcmp((const char *)node->name, name) != 0)
			continue;
		if (ns ? node->ns && strcmp((const char *)node->ns->href, ns) ==
					     0 :
			 !node->ns)
			return node;
	}
	return NULL;
}

static xmlNode *child(const xmlNode *node, const char *name, const char *ns)
{
	return node ? find(node->children, name, ns) : NULL;
}

static xmlNode *root_of(const struct doctor *d)
{
	return d->domain ? xmlDocGetRootElement(d->domain) : NULL;
}

/* An attribute, the caller's; NULL if there is none. */
static char *attribute(xmlNode *node, const char *name)
{
	return node ? (char *)xmlGetNoNsProp(node, (const xmlChar *)name) :
		      NULL;
}

static bool attribute_is(xmlNode *node, const char *name, const char *value)
{
	_cleanup_free_ char *text = attribute(node, name);

	return text && strcmp(text, value) == 0;
}

static xmlNode *vm_element(const struct doctor *d)
{
	return child(child(root_of(d), "metadata", NULL), "vm", PVDMA_NS);
}

/* Reads libvirt's own file of the domain. 0 with *@ret the caller's, or -errno. */
static int read_file(const struct doctor *d, char **ret)
{
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_ char *text = malloc(XML_MAX);
	size_t n;
	int r;

	if (!text)
		return -ENOMEM;
	if (strchr(d->options->domain, '/'))
		return -EINVAL;
	r = sysfs_fopen(&d->sysfs, &f, "etc/libvirt/qemu/%s.xml",
			d->options->domain);
	if (r < 0)
		return r;
	n = fread(text, 1, XML_MAX - 1, f);
	if (ferror(f) || !feof(f))
		return -EIO;
	text[n] = '\0';
	*ret = steal_ptr(text);
	return 0;
}

/* The domain's XML, or a report that there is none. */
static char *read_xml(struct doctor *d, const char *name)
{
	_cleanup_free_ char *error = NULL;
	char *text;
	int r;

	if (d->live || d->options->connect)
		r = doctor_libvirt_xml(d, &text, &error);
	else
		r = read_file(d, &text);
	if (r == 0)
		return text;
	doctor_report(d, name, DOCTOR_ERROR,
		      "virsh list --all has the names of all domains",
		      "%s cannot be read: %s", d->options->domain,
		      error ? error : strerror(-r));
	return NULL;
}

/* As hook.c's check(): 0, or a negative errno, logged. */
static int judge(struct doctor *d, const char *text)
{
	_cleanup_(cleanup_domain) struct domain_xml *domain = NULL;
	const char *vm_name;
	int r = domain_xml_new(text, &domain);

	d->memory_shared = -1;
	if (r < 0)
		return r;
	d->memory_shared = domain_xml_memory_shared(domain);
	vm_name = domain_xml_vm_name(domain);
	if (!metadata_name_valid(vm_name)) {
		log_err("no VM can be called \"%s\": set name= of pvdma:vm in "
			"its metadata",
			vm_name);
		return -EINVAL;
	}
	return metadata_check(domain_xml_metadata(domain),
			      domain_xml_where(domain));
}

void doctor_domain(struct doctor *d, const char *name)
{
	_cleanup_free_ char *text = read_xml(d, name);
	_cleanup_free_ char *quota = NULL;
	int r;

	if (!text)
		return;
	d->domain = xmlReadMemory(text, (int)strlen(text), NULL, NULL,
				  XML_PARSE_NONET | XML_PARSE_NOERROR |
					  XML_PARSE_NOWARNING);
	if (!d->domain || !find(root_of(d), "domain", NULL)) {
		xmlFreeDoc(d->domain);
		d->domain = NULL;
		doctor_report(d, name, DOCTOR_ERROR, NULL,
			      "%s: its XML cannot be read", d->options->domain);
		return;
	}
	if (!vm_element(d)) {
		doctor_report(d, name, DOCTOR_ERROR, NULL,
			      "%s has no device from pvdma",
			      d->options->domain);
		doctor_fix(d, "pvdmactl attach %s ADDRESS --quota SIZE",
			   d->options->domain);
		return;
	}
	r = judge(d, text);
	quota = attribute(vm_element(d), "quota");
	if (quota && r < 0)
		doctor_report(d, name, DOCTOR_ERROR,
			      "pvdma-domain(5) has what its metadata may say",
			      "%s", log_last_error());
	else if (quota)
		doctor_report(d, name, DOCTOR_OK, NULL, "%s, quota %s",
			      d->options->domain, quota);
	else
		doctor_report(d, name, DOCTOR_ERROR,
			      "pvdmactl detach, then attach it again with "
			      "--quota SIZE",
			      "%s: the element vm of its metadata has no quota",
			      d->options->domain);
}

char *doctor_domain_emulator(const struct doctor *d)
{
	xmlNode *node =
		child(child(root_of(d), "devices", NULL), "emulator", NULL);

	return node ? (char *)xmlNodeGetContent(node) : NULL;
}

/* Reports the check as skipped if there is no VM of pvdma to look at. */
static bool skip_without_vm(struct doctor *d, const char *name)
{
	if (vm_element(d))
		return false;
	doctor_report(d, name, DOCTOR_SKIPPED, NULL,
		      d->domain ? "the domain has no device from pvdma" :
				  "the domain cannot be read");
	return true;
}

void doctor_domain_memory(struct doctor *d, const char *name)
{
	xmlNode *backing = child(root_of(d), "memoryBacking", NULL);
	xmlNode *source = child(backing, "source", NULL);
	const char *fix = "pvdmactl attach sets it; by hand: <memoryBacking>"
			  "<source type='memfd'/><access mode='shared'/>"
			  "</memoryBacking>";

	if (skip_without_vm(d, name))
		return;
	if (d->memory_shared < 0)
		doctor_report(d, name, DOCTOR_SKIPPED, NULL,
			      "its metadata has to be mended first");
	else if (attribute_is(source, "type", "file"))
		doctor_report(d, name, DOCTOR_ERROR, fix,
			      "in a file, whose pages cannot be pinned for "
			      "long");
	else if (!attribute_is(source, "type", "memfd") &&
		 (source || !child(backing, "hugepages", NULL)))
		doctor_report(d, name, DOCTOR_ERROR, fix,
			      "anonymous: the agent cannot map it");
	else if (!d->memory_shared)
		doctor_report(d, name, DOCTOR_ERROR, fix,
			      "private: the agent would see other memory than "
			      "the guest");
	else if (child(backing, "locked", NULL))
		doctor_report(d, name, DOCTOR_WARNING,
			      "remove <locked/> from <memoryBacking>",
			      "locked: all of it stays in memory, whatever "
			      "the quota");
	else
		doctor_report(d, name, DOCTOR_OK, NULL,
			      "shared, as the agent needs it");
}

/* The pvdma:device elements' addresses. How many there are; -EINVAL. */
static int read_devices(const struct doctor *d,
			struct pci_address list[static DOCTOR_DEVICES_MAX])
{
	int n = 0;

	for (xmlNode *node = child(vm_element(d), "device", PVDMA_NS); node;
	     node = find(node->next, "device", PVDMA_NS)) {
		_cleanup_free_ char *text = attribute(node, "address");

		if (!text || n == DOCTOR_DEVICES_MAX ||
		    parse_pci_address(text, &list[n]) < 0)
			return -EINVAL;
		n++;
	}
	return n;
}

/* Has QEMU's command line an argument with all of these words? */
static bool has_argument(const struct doctor *d, const char *a, const char *b)
{
	xmlNode *node = child(child(root_of(d), "commandline", QEMU_NS), "arg",
			      QEMU_NS);

	for (; node; node = find(node->next, "arg", QEMU_NS)) {
		_cleanup_free_ char *text = attribute(node, "value");

		if (text && strstr(text, a) && strstr(text, b))
			return true;
	}
	return false;
}

/* The first argument for QEMU that is missing is put into @missing. */
static bool find_missing(const struct doctor *d, char *missing, size_t size)
{
	_cleanup_free_ char *vm = attribute(vm_element(d), "name");
	struct pci_address list[DOCTOR_DEVICES_MAX];
	char path[256], text[PCI_ADDRESS_TEXT_MAX];
	const char *name = vm ? vm : d->options->domain;
	int n = read_devices(d, list);

	(void)snprintf(path, sizeof(path), "/run/pvdma/vm/%s/vhost.sock", name);
	if (!has_argument(d, "socket,", path)) {
		(void)snprintf(missing, size, "a chardev for %s", path);
		return true;
	}
	if (!has_argument(d, "vhost-user-test-device-pci", "virtio-id=39")) {
		(void)snprintf(missing, size,
			       "the device vhost-user-test-device-pci");
		return true;
	}
	for (int i = 0; i < n; i++) {
		format_pci_address(&list[i], text);
		(void)snprintf(path, sizeof(path), "/run/pvdma/vm/%s/%s.sock",
			       name, text);
		if (has_argument(d, "vfio-user-pci", path))
			continue;
		(void)snprintf(missing, size, "a vfio-user-pci for %s", path);
		return true;
	}
	return false;
}

void doctor_domain_arguments(struct doctor *d, const char *name)
{
	char missing[320];

	if (skip_without_vm(d, name))
		return;
	if (!find_missing(d, missing, sizeof(missing))) {
		doctor_report(d, name, DOCTOR_OK, NULL,
			      "as attach writes them");
		return;
	}
	doctor_report(d, name, DOCTOR_ERROR,
		      "detach its devices and attach them again (pvdmactl "
		      "detach, attach)",
		      "<qemu:commandline> is without %s", missing);
}

void doctor_domain_devices(struct doctor *d, const char *name)
{
	struct pci_address list[DOCTOR_DEVICES_MAX];
	int n;

	if (skip_without_vm(d, name))
		return;
	n = read_devices(d, list);
	if (n <= 0) {
		doctor_report(d, name, DOCTOR_ERROR, NULL,
			      n < 0 ? "an address in its metadata is wrong" :
				      "its metadata names none");
		doctor_fix(d, "pvdmactl attach %s ADDRESS", d->options->domain);
		return;
	}
	doctor_report_devices(d, name, list, (size_t)n);
}
