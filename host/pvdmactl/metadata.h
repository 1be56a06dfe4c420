/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * metadata.h - what a libvirt domain says about pvdma: the element pvdma:vm
 */
#ifndef PVDMA_PVDMACTL_METADATA_H
#define PVDMA_PVDMACTL_METADATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libxml/tree.h>

#include "lib/parse.h"

#define METADATA_NS	 "https://pvdma.org/xmlns/libvirt/domain/1.0"
#define METADATA_PREFIX	 "pvdma"
#define METADATA_ELEMENT "vm"

/* Of a VM, as the service takes them (SPEC_DEVICES_MAX). */
#define METADATA_DEVICES_MAX 32
#define METADATA_NAME_MAX    64

/* The settings, which are attributes of the element and options of attach. */
enum metadata_key {
	METADATA_NAME,
	METADATA_QUOTA,
	METADATA_MIN,
	METADATA_MAX,
	METADATA_WEIGHT,
	METADATA_STRATEGY,
	METADATA_GRANULE,
	METADATA_FALLBACK,
	METADATA_ENFORCE,
	METADATA_ENFORCE_DEADLINE,
	METADATA_AHEAD,
	METADATA_POLICY,
	METADATA_POLL,
	METADATA_QUEUES,
	METADATA_MAX_RANGES,
	METADATA_SPARE_PORTS,
	METADATA_KEYS,
};

/* How a setting goes to the service in org.pvdma1.Manager.StartVM. */
enum metadata_type {
	METADATA_STRING, /* s, as it is written */
	METADATA_SIZE,	 /* t */
	METADATA_NUMBER, /* u */
	METADATA_LOCAL,	 /* not at all */
};

/* A VM. All zero: no settings, no devices. */
struct metadata {
	char *values[METADATA_KEYS]; /* NULL: not set */
	struct pci_address devices[METADATA_DEVICES_MAX];
	size_t num_devices; /* in the order of the endpoints */
};

/* A key's name, such as "quota". */
const char *metadata_key_name(enum metadata_key key);
/* What its value is, for a help text, such as "SIZE". */
const char *metadata_key_value(enum metadata_key key);
const char *metadata_key_help(enum metadata_key key);
enum metadata_type metadata_key_type(enum metadata_key key);
/* The key of that name, or METADATA_KEYS. */
enum metadata_key metadata_key_find(const char *name);

/*
 * Sets a key; NULL or "" removes it. 0, -ENOMEM, or -EINVAL, logged with @where
 * ("domain vm1") in front.
 */
int metadata_set(struct metadata *vm, const char *where, enum metadata_key key,
		 const char *value);

/* A setting that is a number: it, or @otherwise. */
uint64_t metadata_number(const struct metadata *vm, enum metadata_key key,
			 uint64_t otherwise);

/*
 * Reads the element into *@ret. 0, or a negative errno, logged with @where in
 * front and *@ret empty.
 */
int metadata_parse(const xmlNode *element, const char *where,
		   struct metadata *ret);

/*
 * Whether the settings can be used together: there is a quota, min <= quota <=
 * max. 0 or -EINVAL, logged.
 */
int metadata_check(const struct metadata *vm, const char *where);

/* The place of a device, or -1. */
int metadata_find_device(const struct metadata *vm,
			 const struct pci_address *address);

/* 0, -EEXIST, or -E2BIG; not logged. */
int metadata_add_device(struct metadata *vm, const struct pci_address *address);

/* Whether a VM can have that name: 1 to 64 of [A-Za-z0-9_.-], no dot first. */
bool metadata_name_valid(const char *name);

void metadata_done(struct metadata *vm);

#endif
