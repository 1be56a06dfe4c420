/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * domain_xml.h - a libvirt domain's XML, read and edited for pvdma
 */
#ifndef PVDMA_PVDMACTL_DOMAIN_XML_H
#define PVDMA_PVDMACTL_DOMAIN_XML_H

#include <stdbool.h>
#include <stddef.h>

#include "metadata.h"
#include "qemu_args.h"

struct domain_xml;

/*
 * Reads a domain. 0 with *@ret for domain_xml_free(), or a negative errno,
 * logged: -EINVAL if the text is no domain's, or its element pvdma:vm is wrong.
 */
int domain_xml_new(const char *text, struct domain_xml **ret);
void domain_xml_free(struct domain_xml *domain);

/* The text as it is now; until the next edit. */
const char *domain_xml_text(const struct domain_xml *domain);
/* What the domain is called; "domain NAME" for messages. */
const char *domain_xml_name(const struct domain_xml *domain);
const char *domain_xml_where(const struct domain_xml *domain);
/* Its UUID; "" where it has none (yet). */
const char *domain_xml_uuid(const struct domain_xml *domain);
/* What pvdma calls its VM: the metadata's name=, or the domain's. */
const char *domain_xml_vm_name(const struct domain_xml *domain);
/* "USER:GROUP" that QEMU runs as by the domain's own word, or NULL. */
const char *domain_xml_owner(const struct domain_xml *domain);
/* The element pvdma:vm, or NULL. It stays the domain's, until the next edit. */
const struct metadata *domain_xml_metadata(const struct domain_xml *domain);
enum qemu_bus domain_xml_bus(const struct domain_xml *domain);
/* Whether the guest's memory is one that others can map. */
bool domain_xml_memory_shared(const struct domain_xml *domain);
/*
 * The element pvdma:vm as a text of its own, in no namespace: virDomainSetMetadata()
 * declares that, and fails where it is declared already. Allocated.
 */
char *domain_xml_metadata_text(const struct domain_xml *domain);

/*
 * Whether the domain could have the device: 0, or -EINVAL, with all that stands
 * in the way logged. What is only unfavourable is logged as a warning.
 */
int domain_xml_check(const struct domain_xml *domain,
		     const struct pci_address *address);

/*
 * Gives the domain the device, with the settings in @changes that are set; the
 * rest of its settings stay. 0, or a negative errno, logged; after a failure
 * the domain can only be freed.
 */
int domain_xml_attach(struct domain_xml *domain,
		      const struct pci_address *address,
		      const struct metadata *changes);

/*
 * Takes the device out; with the last one, everything that attaching put in.
 * 0 or a negative errno, logged (-ENOENT: it has no such device); after a
 * failure the domain can only be freed.
 */
int domain_xml_detach(struct domain_xml *domain,
		      const struct pci_address *address);

/*
 * Takes the device out of the element pvdma:vm alone. 0, also if it is not in
 * there, or a negative errno, logged.
 */
int domain_xml_unlist(struct domain_xml *domain,
		      const struct pci_address *address);

#endif
