/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * spec.h - what a VM was asked to be: its quota, devices and settings
 */
#ifndef PVDMA_PVDMAD_SPEC_H
#define PVDMA_PVDMAD_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/parse.h"

#define SPEC_NAME_MAX	 64
#define SPEC_DEVICES_MAX 32
#define SPEC_WEIGHT_MAX	 10000
#define SPEC_NO_DOMAIN	 "none"

/* A PCI device, or the synthetic one of tests. */
struct spec_device {
	/* In full form, or "null". */
	char address[PCI_ADDRESS_TEXT_MAX];
	uint32_t endpoint;
	/* What it was bound to before; "": nothing. NULL: not known (yet). */
	char *driver;
};

/* A setting for the agent, which judges it. */
struct spec_setting {
	char *key;
	char *value;
};

struct spec {
	char name[SPEC_NAME_MAX + 1];
	uint64_t quota; /* now; the others bound it */
	uint64_t min;
	uint64_t max;
	uint32_t weight;
	char *owner; /* of the sockets for QEMU; NULL: the service's default */
	/* UUID of the libvirt domain that it is for; NULL: not known */
	char *domain;
	struct spec_device *devices;
	size_t num_devices;
	struct spec_setting *settings;
	size_t num_settings;
};

/* True for 1 to 64 of [A-Za-z0-9_.-], not beginning with a dot. */
bool spec_is_name(const char *name);

/* @name as spec_is_name() wants it. */
void spec_init(struct spec *spec, const char *name);
void spec_done(struct spec *spec);

/*
 * Sets one setting: quota, min, max, weight, owner, domain; device (repeatable),
 * ADDRESS[,endpoint=N][,driver=NAME]; or one that the agent has, whose value
 * the agent judges. 0; -EINVAL, logged with what would be right; -ENOMEM.
 */
int spec_set(struct spec *spec, const char *key, const char *value);

/*
 * Judges all together, and fills min and max in where they are not given. 0 or
 * -EINVAL, logged.
 */
int spec_finish(struct spec *spec);

/* The setting of this key, or NULL. */
const char *spec_get(const struct spec *spec, const char *key);

/* Takes device @index out of the list. 0, or -EINVAL: there is none. */
int spec_remove_device(struct spec *spec, size_t index);

/*
 * The form in which the service keeps a VM over its own restart: settings as
 * spec_set() takes them, behind the name. spec_load() takes what was saved.
 * 0 or a negative errno, logged.
 */
int spec_save(const struct spec *spec, const char *path);
int spec_load(struct spec *spec, const char *path);

#endif
