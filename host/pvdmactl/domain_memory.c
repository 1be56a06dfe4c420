// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * domain_memory.c - the memory of a domain, shared with pvdma's agent
 *
 * Owns: the elements source and access of memoryBacking. QEMU hands the guest's
 * memory to the agent as a descriptor, which must be of the guest's memory and
 * not of a private copy of it.
 *
 * Invariant: what is changed is written down in pvdma:before first.
 *
 * Locks: none. In a request's way: not.
 */
#include <stdlib.h>
#include <string.h>

#include "domain_impl.h"
#include "lib/cleanup.h"

#define BACKING "memoryBacking"

static xmlNode *backing_child(const struct domain_xml *domain, const char *name)
{
	return domain_path(domain_root(domain), BACKING, name);
}

bool domain_xml_memory_shared(const struct domain_xml *domain)
{
	xmlNode *source = backing_child(domain, "source");

	/* hugetlbfs is as good; other files cannot be pinned for long */
	return domain_attribute_is(backing_child(domain, "access"), "mode",
				   "shared") &&
	       (domain_attribute_is(source, "type", "memfd") ||
		(!source && backing_child(domain, "hugepages")));
}

/* Makes sure that there is a memoryBacking. */
static int make_backing(struct domain_xml *domain)
{
	static const char *const behind[] = { "currentMemory", "memory",
					      "maxMemory", "metadata", NULL };
	xmlNode *node = domain_child(domain, BACKING);
	int r = 0;

	if (!node)
		r = domain_before_note(domain, BACKING, "absent");
	else if (xml_text_span(&domain->xml, node)->empty)
		r = domain_before_note(domain, BACKING, "empty");
	if (r < 0 || node)
		return r;
	return domain_insert_behind(domain, behind,
				    "<" BACKING ">\n</" BACKING ">");
}

/* Sets the attribute of a child of memoryBacking; notes what it was. */
static int set_child(struct domain_xml *domain, const char *name,
		     const char *attribute, const char *value)
{
	_cleanup_free_ char *element = NULL, *old = NULL;
	xmlNode *node = backing_child(domain, name);
	int r;

	if (node)
		old = xml_text_attribute(node, attribute);
	if (!old)
		r = domain_before_note(domain, name, node ? "" : "absent");
	else
		r = domain_before_note(domain, name, old);
	if (r < 0)
		return r;
	node = backing_child(domain, name);
	if (node)
		return xml_text_set(&domain->xml, node, attribute, value);
	if (asprintf(&element, "<%s %s='%s'/>", name, attribute, value) < 0)
		return -ENOMEM;
	return xml_text_insert_last(&domain->xml, domain_child(domain, BACKING),
				    element);
}

int domain_memory_share(struct domain_xml *domain)
{
	int r;

	if (domain_xml_memory_shared(domain))
		return 0;
	r = make_backing(domain);
	if (r == 0)
		r = set_child(domain, "source", "type", "memfd");
	if (r == 0)
		r = set_child(domain, "access", "mode", "shared");
	return r;
}

/* Unless somebody has changed it since, a child becomes what it was. */
static int restore_child(struct domain_xml *domain, const char *name,
			 const char *attribute, const char *ours)
{
	_cleanup_free_ char *before = domain_before_noted(domain, name);
	xmlNode *node = backing_child(domain, name);

	if (!before || !domain_attribute_is(node, attribute, ours))
		return 0;
	if (strcmp(before, "absent") != 0)
		return xml_text_set(&domain->xml, node, attribute,
				    *before ? before : NULL);
	return xml_text_remove(&domain->xml, node);
}

int domain_memory_restore(struct domain_xml *domain)
{
	_cleanup_free_ char *before = domain_before_noted(domain, BACKING);
	xmlNode *node;
	int r;

	r = restore_child(domain, "source", "type", "memfd");
	if (r == 0)
		r = restore_child(domain, "access", "mode", "shared");
	node = domain_child(domain, BACKING);
	if (r < 0 || !before || !node || xmlFirstElementChild(node))
		return r;
	if (strcmp(before, "absent") == 0)
		return xml_text_remove(&domain->xml, node);
	return xml_text_collapse(&domain->xml, node);
}
