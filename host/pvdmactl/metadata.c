// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * metadata.c - what a libvirt domain says about pvdma: the element pvdma:vm
 *
 * Owns: the table of settings, what each may be, and the reading of the element.
 * host/libvirt/pvdma-domain.rng says the same to others.
 *
 * Invariant: each value of a struct metadata was found good when it was set, and
 * no device is in it twice.
 *
 * Locks: none. In a request's way: not.
 */
#include "metadata.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "xml_text.h"

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS	"0123456789"

bool metadata_name_valid(const char *name)
{
	size_t n = strlen(name);

	return n >= 1 && n <= METADATA_NAME_MAX && name[0] != '.' &&
	       strspn(name, LETTERS DIGITS "_.-") == n;
}

static bool is_name(const char *value)
{
	return metadata_name_valid(value);
}

static bool is_size(const char *value)
{
	uint64_t size;

	return parse_size(value, &size) == 0;
}

static bool is_granule(const char *value)
{
	uint64_t size;

	return parse_size(value, &size) == 0 && is_power_of_2(size) &&
	       size >= 4096 && size <= 2 << 20;
}

static bool is_duration(const char *value)
{
	uint64_t usec;

	return parse_duration(value, &usec) == 0;
}

/* What a setting is called, and what it may be. */
static const struct setting {
	const char *name, *value, *help;
	enum metadata_type type;
	const char *expected;		  /* for messages */
	bool (*valid)(const char *value); /* NULL: a number, or a word */
	uint64_t min, max;
	const char *const *words; /* NULL: a number */
} settings[METADATA_KEYS] = {
	[METADATA_NAME] = { "name", "NAME", "the VM's name (the domain's)",
			    METADATA_LOCAL,
			    "1 to 64 of A-Z a-z 0-9 _ . -, and no dot first",
			    .valid = is_name },
	[METADATA_QUOTA] = { "quota", "SIZE",
			     "what may be mapped at once (required)",
			     METADATA_STRING, "a size such as 256M",
			     .valid = is_size },
	[METADATA_MIN] = { "min", "SIZE", "the least that the quota may become",
			   METADATA_SIZE, "a size such as 128M",
			   .valid = is_size },
	[METADATA_MAX] = { "max", "SIZE", "the most that the quota may become",
			   METADATA_SIZE, "a size such as 512M",
			   .valid = is_size },
	[METADATA_WEIGHT] = { "weight", "N",
			      "its share of the host's budget (100)",
			      METADATA_NUMBER, "1 to 10000", .min = 1,
			      .max = 10000 },
	[METADATA_STRATEGY] = { "strategy", "NAME",
				"what becomes of mappings (on-demand)",
				METADATA_STRING,
				"single-use, shared, deferred, on-demand, "
				"persistent or direct-map",
				.words =
					(const char *const[]){
						"single-use", "shared",
						"deferred", "on-demand",
						"persistent", "direct-map",
						NULL } },
	[METADATA_GRANULE] = { "granule", "SIZE",
			       "unit of tracking, 4K to 2M (4K)",
			       METADATA_STRING, "a power of two from 4K to 2M",
			       .valid = is_granule },
	[METADATA_FALLBACK] = { "fallback", "NAME",
				"without a driver: deny or direct (deny)",
				METADATA_STRING, "deny or direct",
				.words = (const char *const[]){ "deny",
								"direct",
								NULL } },
	[METADATA_ENFORCE] = { "enforce", "NAME",
			       "a lowered quota: wait or revoke (wait)",
			       METADATA_STRING, "wait or revoke",
			       .words = (const char *const[]){ "wait", "revoke",
							       NULL } },
	[METADATA_ENFORCE_DEADLINE] = { "enforce-deadline", "TIME",
					"how long the guest has (500ms)",
					METADATA_STRING,
					"a time such as 500ms or 2s",
					.valid = is_duration },
	[METADATA_AHEAD] = { "ahead", "WHETHER", "map ahead: on or off (on)",
			     METADATA_STRING, "on or off",
			     .words = (const char *const[]){ "on", "off",
							     NULL } },
	[METADATA_POLICY] = { "policy", "NAME",
			      "who is evicted: reuse, clock or slru (reuse)",
			      METADATA_STRING, "reuse, clock or slru",
			      .words = (const char *const[]){ "reuse", "clock",
							      "slru", NULL } },
	[METADATA_POLL] = { "poll", "MICROSECONDS", "look at queues that long",
			    METADATA_STRING, "0 to 1000000", .min = 0,
			    .max = 1000000 },
	[METADATA_QUEUES] = { "queues", "N", "request queues, 1 to 64 (2)",
			      METADATA_STRING, "1 to 64", .min = 1, .max = 64 },
	[METADATA_MAX_RANGES] = { "max-ranges", "N",
				  "items of a request, 1 to 4096 (256)",
				  METADATA_STRING, "1 to 4096", .min = 1,
				  .max = 4096 },
	[METADATA_SPARE_PORTS] = { "spare-ports", "N",
				   "PCIe ports for devices to come (1)",
				   METADATA_LOCAL, "0 to 16", .min = 0,
				   .max = 16 },
};

const char *metadata_key_name(enum metadata_key key)
{
	return settings[key].name;
}

const char *metadata_key_value(enum metadata_key key)
{
	return settings[key].value;
}

const char *metadata_key_help(enum metadata_key key)
{
	return settings[key].help;
}

enum metadata_type metadata_key_type(enum metadata_key key)
{
	return settings[key].type;
}

enum metadata_key metadata_key_find(const char *name)
{
	for (size_t i = 0; i < METADATA_KEYS; i++)
		if (strcmp(settings[i].name, name) == 0)
			return (enum metadata_key)i;
	return METADATA_KEYS;
}

static bool is_valid(const struct setting *s, const char *value)
{
	uint64_t number;

	if (s->valid)
		return s->valid(value);
	if (!s->words)
		return parse_uint(value, s->min, s->max, &number) == 0;
	for (size_t i = 0; s->words[i]; i++)
		if (strcmp(s->words[i], value) == 0)
			return true;
	return false;
}

int metadata_set(struct metadata *vm, const char *where, enum metadata_key key,
		 const char *value)
{
	const struct setting *s = &settings[key];
	char *copy = NULL;

	if (value && *value) {
		if (!is_valid(s, value)) {
			log_err("%s: %s=\"%s\": expected %s", where, s->name,
				value, s->expected);
			return -EINVAL;
		}
		copy = strdup(value);
		if (!copy)
			return -ENOMEM;
	}
	free(vm->values[key]);
	vm->values[key] = copy;
	return 0;
}

uint64_t metadata_number(const struct metadata *vm, enum metadata_key key,
			 uint64_t otherwise)
{
	const char *value = vm->values[key];
	uint64_t number;

	if (!value || parse_size(value, &number) < 0)
		return otherwise;
	return number;
}

int metadata_find_device(const struct metadata *vm,
			 const struct pci_address *address)
{
	for (size_t i = 0; i < vm->num_devices; i++) {
		const struct pci_address *a = &vm->devices[i];

		if (a->domain == address->domain && a->bus == address->bus &&
		    a->device == address->device &&
		    a->function == address->function)
			return (int)i;
	}
	return -1;
}

int metadata_add_device(struct metadata *vm, const struct pci_address *address)
{
	if (metadata_find_device(vm, address) >= 0)
		return -EEXIST;
	if (vm->num_devices == METADATA_DEVICES_MAX)
		return -E2BIG;
	vm->devices[vm->num_devices++] = *address;
	return 0;
}

/* Every attribute of the element is a setting. */
static int parse_attributes(const xmlNode *element, const char *where,
			    struct metadata *vm)
{
	const xmlAttr *attr = element->properties;

	for (; attr; attr = attr->next) {
		_cleanup_free_ char *value = NULL;
		enum metadata_key key;
		int r;

		if (attr->ns)
			continue;
		key = metadata_key_find((const char *)attr->name);
		if (key == METADATA_KEYS) {
			log_err("%s: pvdma's element has an attribute \"%s\", "
				"which is not known",
				where, (const char *)attr->name);
			return -EINVAL;
		}
		value = xml_text_attribute(element, (const char *)attr->name);
		r = value ? metadata_set(vm, where, key, value) : -ENOMEM;
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_device(const xmlNode *device, const char *where,
			struct metadata *vm)
{
	_cleanup_free_ char *text = xml_text_attribute(device, "address");
	struct pci_address address;
	int r;

	if (!text || parse_pci_address(text, &address) < 0) {
		log_err("%s: device address=\"%s\": expected a PCI address "
			"such as 0000:01:00.0",
			where, text ? text : "");
		return -EINVAL;
	}
	r = metadata_add_device(vm, &address);
	if (r == -EEXIST)
		log_err("%s: device %s is named twice", where, text);
	else if (r < 0)
		log_err("%s: expected at most %d devices", where,
			METADATA_DEVICES_MAX);
	return r;
}

int metadata_parse(const xmlNode *element, const char *where,
		   struct metadata *ret)
{
	struct metadata vm = { 0 };
	const xmlNode *device;
	int r;

	r = parse_attributes(element, where, &vm);
	device = xml_text_child(element, "device", METADATA_NS);
	while (r == 0 && device) {
		r = parse_device(device, where, &vm);
		device = xml_text_next(device, "device", METADATA_NS);
	}
	if (r < 0) {
		metadata_done(&vm);
		vm = (struct metadata){ 0 };
	}
	*ret = vm;
	return r;
}

int metadata_check(const struct metadata *vm, const char *where)
{
	uint64_t quota = metadata_number(vm, METADATA_QUOTA, 0);

	if (!vm->values[METADATA_QUOTA]) {
		log_err("%s: expected a quota: how much memory its devices may "
			"use at once, such as 256M",
			where);
		return -EINVAL;
	}
	if (metadata_number(vm, METADATA_MIN, quota) > quota ||
	    metadata_number(vm, METADATA_MAX, quota) < quota) {
		log_err("%s: expected min <= quota <= max, and not %s, %s, %s",
			where,
			vm->values[METADATA_MIN] ? vm->values[METADATA_MIN] :
						   "none",
			vm->values[METADATA_QUOTA],
			vm->values[METADATA_MAX] ? vm->values[METADATA_MAX] :
						   "none");
		return -EINVAL;
	}
	return 0;
}

void metadata_done(struct metadata *vm)
{
	for (size_t i = 0; i < METADATA_KEYS; i++)
		free(vm->values[i]);
	*vm = (struct metadata){ 0 };
}
