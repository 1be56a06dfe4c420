/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * domain_impl.h - what the files domain_*.c share
 */
#ifndef PVDMA_PVDMACTL_DOMAIN_IMPL_H
#define PVDMA_PVDMACTL_DOMAIN_IMPL_H

#include "domain_xml.h"
#include "xml_text.h"

#define DOMAIN_QEMU_NS "http://libvirt.org/schemas/domain/qemu/1.0"

struct domain_xml {
	struct xml_text xml;
	char *name, *where, *owner, *uuid;
	bool has_vm;
	struct metadata vm; /* empty without the element */
};

/* Elements of the tree; NULL if there is none. */
xmlNode *domain_root(const struct domain_xml *domain);
xmlNode *domain_child(const struct domain_xml *domain, const char *name);
xmlNode *domain_vm_element(const struct domain_xml *domain);
/* @root/@a/@b without namespaces; @b may be NULL. */
xmlNode *domain_path(const xmlNode *from, const char *a, const char *b);
bool domain_attribute_is(const xmlNode *node, const char *name,
			 const char *value);

/*
 * What was there before: attributes of the element pvdma:before. _note() writes
 * one down unless it is there already, _noted() looks (NULL: not noted; else
 * allocated).
 */
int domain_before_note(struct domain_xml *domain, const char *what,
		       const char *value);
char *domain_before_noted(const struct domain_xml *domain, const char *what);
bool domain_before_is(const struct domain_xml *domain, const char *what,
		      const char *value);

/* domain_memory.c: the memory that QEMU shares, and back. */
int domain_memory_share(struct domain_xml *domain);
int domain_memory_restore(struct domain_xml *domain);

/* domain_args.c: the arguments for QEMU. */
int domain_args_put(struct domain_xml *domain);
int domain_args_remove(struct domain_xml *domain);

/* Puts @element behind the first child of the root that is there of @names. */
int domain_insert_behind(struct domain_xml *domain, const char *const *names,
			 const char *element);

#endif
