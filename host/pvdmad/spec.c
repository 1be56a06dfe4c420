// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * spec.c - what a VM was asked to be: its quota, devices and settings
 *
 * Owns: the names of settings and who judges them. What bounds memory and who
 * may connect is the service's; what an agent does with its quota is the
 * agent's, and goes through unread.
 *
 * Invariant: after spec_finish() min <= quota <= max, no device and no endpoint
 * is there twice, and no value can break out of its line in a file.
 *
 * Locks: none. In a request's way: not.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "lib/settings.h"
#include "spec.h"

/* What the agent's own configuration has, and may be chosen for a VM. */
static const char *const agent_keys[] = {
	"granule",    "strategy",  "fallback", "enforce", "enforce-deadline",
	"ahead",      "poll",	   "policy",   "iommu",	  "queues",
	"max-ranges", "log-level",
};

bool spec_is_name(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.";
	size_t len = strlen(name);

	return len >= 1 && len <= SPEC_NAME_MAX && name[0] != '.' &&
	       strspn(name, allowed) == len;
}

void spec_init(struct spec *spec, const char *name)
{
	*spec = (struct spec){
		.weight = 100,
		.quota = UINT64_MAX,
		.min = UINT64_MAX,
	};
	(void)snprintf(spec->name, sizeof(spec->name), "%s", name);
}

void spec_done(struct spec *spec)
{
	for (size_t i = 0; i < spec->num_devices; i++)
		free(spec->devices[i].driver);
	free(spec->devices);
	for (size_t i = 0; i < spec->num_settings; i++) {
		free(spec->settings[i].key);
		free(spec->settings[i].value);
	}
	free(spec->settings);
	free(spec->owner);
	free(spec->domain);
	*spec = (struct spec){ 0 };
}

static int set_size(uint64_t *to, const char *key, const char *value)
{
	int r = parse_size(value, to);

	if (r < 0)
		log_err("%s=%s: %s; expected a size in bytes, such as 256M",
			key, value, parse_strerror(r));
	return r < 0 ? -EINVAL : 0;
}

static int set_weight(struct spec *spec, const char *value)
{
	uint64_t weight;
	int r = parse_uint(value, 1, SPEC_WEIGHT_MAX, &weight);

	if (r < 0) {
		log_err("weight=%s: %s; expected 1 to %d", value,
			parse_strerror(r), SPEC_WEIGHT_MAX);
		return -EINVAL;
	}
	spec->weight = (uint32_t)weight;
	return 0;
}

static int replace(char **to, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

/* "5a1d3c2e-..." as libvirt writes them, or none. */
static int set_domain(struct spec *spec, const char *value)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	size_t i = 0;

	if (strcmp(value, SPEC_NO_DOMAIN) == 0)
		return replace(&spec->domain, value);
	while (form[i] && (form[i] == '-' ? value[i] == '-' :
					    isxdigit((unsigned char)value[i])))
		i++;
	if (form[i] || value[i]) {
		log_err("domain=%s: expected the UUID of a libvirt domain, "
			"or none",
			value);
		return -EINVAL;
	}
	return replace(&spec->domain, value);
}

/* "KEY=VALUE" behind a device's address. */
static int set_device_part(struct spec_device *dev, char *part)
{
	char *value = strchr(part, '=');
	uint64_t n;

	if (value)
		*value++ = '\0';
	if (value && strcmp(part, "driver") == 0)
		return replace(&dev->driver, value);
	if (value && strcmp(part, "endpoint") == 0 &&
	    parse_uint(value, 1, UINT32_MAX, &n) == 0) {
		dev->endpoint = (uint32_t)n;
		return 0;
	}
	return -EINVAL;
}

static int parse_device(struct spec_device *dev, const char *value)
{
	_cleanup_free_ char *copy = strdup(value);
	struct pci_address address;
	char *rest = copy, *part;
	int r = 0;

	if (!copy)
		return -ENOMEM;
	part = strsep(&rest, ",");
	if (strcmp(part, "null") == 0)
		(void)strcpy(dev->address, "null");
	else if (parse_pci_address(part, &address) == 0)
		format_pci_address(&address, dev->address);
	else
		return -EINVAL;
	while (r == 0 && (part = strsep(&rest, ",")))
		r = set_device_part(dev, part);
	return r;
}

static int add_device(struct spec *spec, const char *value)
{
	struct spec_device dev = { 0 }, *devices;
	int r;

	if (spec->num_devices >= SPEC_DEVICES_MAX) {
		log_err("device=%s: a VM has at most %d devices", value,
			SPEC_DEVICES_MAX);
		return -EINVAL;
	}
	r = parse_device(&dev, value);
	if (r == -EINVAL)
		log_err("device=%s: expected a PCI address, such as "
			"0000:01:00.0",
			value);
	if (r < 0)
		goto fail;
	r = -ENOMEM;
	devices = realloc(spec->devices,
			  (spec->num_devices + 1) * sizeof(*devices));
	if (!devices)
		goto fail;
	spec->devices = devices;
	devices[spec->num_devices++] = dev;
	return 0;
fail:
	free(dev.driver);
	return r;
}

int spec_remove_device(struct spec *spec, size_t index)
{
	if (index >= spec->num_devices)
		return -EINVAL;
	free(spec->devices[index].driver);
	memmove(&spec->devices[index], &spec->devices[index + 1],
		(spec->num_devices - index - 1) * sizeof(*spec->devices));
	spec->num_devices--;
	return 0;
}

static int add_setting(struct spec *spec, const char *key, const char *value)
{
	struct spec_setting *settings, setting;

	for (size_t i = 0; i < spec->num_settings; i++)
		if (strcmp(spec->settings[i].key, key) == 0)
			return replace(&spec->settings[i].value, value);
	settings = realloc(spec->settings,
			   (spec->num_settings + 1) * sizeof(*settings));
	if (!settings)
		return -ENOMEM;
	spec->settings = settings;
	setting = (struct spec_setting){ strdup(key), strdup(value) };
	if (!setting.key || !setting.value) {
		free(setting.key);
		free(setting.value);
		return -ENOMEM;
	}
	settings[spec->num_settings++] = setting;
	return 0;
}

static bool is_agent_key(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(agent_keys); i++)
		if (strcmp(agent_keys[i], key) == 0)
			return true;
	return false;
}

/* One line of text, with no blank at an end, which a file would not keep. */
static bool is_value(const char *value)
{
	size_t len = strlen(value);

	for (size_t i = 0; i < len; i++)
		if (!isprint((unsigned char)value[i]))
			return false;
	return len > 0 && len < 512 && value[0] != ' ' && value[len - 1] != ' ';
}

int spec_set(struct spec *spec, const char *key, const char *value)
{
	if (!is_value(value)) {
		log_err("%s: expected a value of printable characters, "
			"without blanks around it",
			key);
		return -EINVAL;
	}
	if (strcmp(key, "quota") == 0)
		return set_size(&spec->quota, key, value);
	if (strcmp(key, "min") == 0)
		return set_size(&spec->min, key, value);
	if (strcmp(key, "max") == 0)
		return set_size(&spec->max, key, value);
	if (strcmp(key, "weight") == 0)
		return set_weight(spec, value);
	if (strcmp(key, "owner") == 0)
		return replace(&spec->owner, value);
	if (strcmp(key, "domain") == 0)
		return set_domain(spec, value);
	if (strcmp(key, "device") == 0)
		return add_device(spec, value);
	if (is_agent_key(key))
		return add_setting(spec, key, value);
	log_err("%s=%s: there is no setting of this name; org.pvdma1(5) and "
		"pvdma-agent.conf(5) list them",
		key, value);
	return -EINVAL;
}

/* Compares a device with those before it, and numbers it. */
static int finish_device(struct spec *spec, size_t n)
{
	struct spec_device *dev = &spec->devices[n];

	if (dev->endpoint == 0)
		dev->endpoint = (uint32_t)n + 1;
	for (size_t i = 0; i < n; i++) {
		const struct spec_device *other = &spec->devices[i];

		if (strcmp(other->address, dev->address) == 0 &&
		    strcmp(dev->address, "null") != 0) {
			log_err("device %s is given twice", dev->address);
			return -EINVAL;
		}
		if (other->endpoint == dev->endpoint) {
			log_err("endpoint %u is used by %s and by %s",
				dev->endpoint, other->address, dev->address);
			return -EINVAL;
		}
	}
	return 0;
}

int spec_finish(struct spec *spec)
{
	if (spec->quota == UINT64_MAX) {
		log_err("quota is not set: give the bytes that may be mapped "
			"at once, such as 256M");
		return -EINVAL;
	}
	if (spec->num_devices == 0) {
		log_err("no device is given");
		return -EINVAL;
	}
	if (spec->max == 0)
		spec->max = spec->quota;
	if (spec->min == UINT64_MAX)
		spec->min = min(spec->quota, spec->max);
	if (spec->min > spec->max) {
		log_err("min=%" PRIu64 " is above max=%" PRIu64, spec->min,
			spec->max);
		return -EINVAL;
	}
	if (spec->quota < spec->min || spec->quota > spec->max) {
		log_err("quota=%" PRIu64 " is not between min=%" PRIu64
			" and max=%" PRIu64,
			spec->quota, spec->min, spec->max);
		return -EINVAL;
	}
	for (size_t i = 0; i < spec->num_devices; i++)
		if (finish_device(spec, i) < 0)
			return -EINVAL;
	return 0;
}

const char *spec_get(const struct spec *spec, const char *key)
{
	for (size_t i = 0; i < spec->num_settings; i++)
		if (strcmp(spec->settings[i].key, key) == 0)
			return spec->settings[i].value;
	return NULL;
}

/* --- over a restart of the service --- */

static void write_spec(const struct spec *spec, FILE *f)
{
	fprintf(f,
		"# The VM %s, as pvdmad runs it; removed when it ends.\n"
		"quota=%" PRIu64 "\nmin=%" PRIu64 "\nmax=%" PRIu64
		"\nweight=%" PRIu32 "\n",
		spec->name, spec->quota, spec->min, spec->max, spec->weight);
	if (spec->owner)
		fprintf(f, "owner=%s\n", spec->owner);
	if (spec->domain)
		fprintf(f, "domain=%s\n", spec->domain);
	for (size_t i = 0; i < spec->num_devices; i++) {
		const struct spec_device *dev = &spec->devices[i];

		fprintf(f, "device=%s,endpoint=%" PRIu32, dev->address,
			dev->endpoint);
		if (dev->driver)
			fprintf(f, ",driver=%s", dev->driver);
		fputc('\n', f);
	}
	for (size_t i = 0; i < spec->num_settings; i++)
		fprintf(f, "%s=%s\n", spec->settings[i].key,
			spec->settings[i].value);
}

int spec_save(const struct spec *spec, const char *path)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	int r;

	if (!f)
		return log_err_errno(ENOMEM, "cannot write %s", path);
	write_spec(spec, f);
	r = fclose(f) == 0 ? file_replace(path, text, size, 0644) : -ENOMEM;
	return r < 0 ? log_err_errno(r, "cannot write %s", path) : 0;
}

static int set_from_file(void *userdata, const struct settings_place *place,
			 const char *key, const char *value)
{
	char where[SETTINGS_PLACE_MAX];
	int r = spec_set(userdata, key, value);

	if (r < 0)
		log_err("%s: not taken",
			settings_place_text(place, where, sizeof(where)));
	return r;
}

static bool key_repeats(const char *key)
{
	return strcmp(key, "device") == 0;
}

int spec_load(struct spec *spec, const char *path)
{
	const struct settings_reader reader = {
		.set = set_from_file,
		.repeats = key_repeats,
		.userdata = spec,
	};
	int r = settings_load(&reader, path);

	return r < 0 ? r : spec_finish(spec);
}
