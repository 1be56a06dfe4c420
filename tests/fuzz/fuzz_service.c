// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes the files that the service reads: host/pvdmad/service_config.c
 * (pvdmad.conf), and what it keeps over its own restart, of a VM (spec.c) and
 * of the budget (service_budget.c). The first byte says which (modulo 3), the
 * rest is the file. The outcome is an error, or settings within their bounds; a
 * VM's are read back as they were written.
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"
#include "pvdmad/budget.h"
#include "pvdmad/service.h"
#include "pvdmad/service_config.h"
#include "pvdmad/spec.h"
#include "tests/fuzz/support/input.h"

static char path[64];	/* of the input */
static char folder[32]; /* for what is written */

static void check_config(void)
{
	char *argv[] = { (char *)"pvdmad", (char *)"--config", path, NULL };
	enum service_config_mode mode;
	struct service_config c;

	if (service_config_parse(3, argv, &c, &mode) == 0) {
		fuzz_must(mode == SERVICE_RUN, "its mode");
		fuzz_must(c.runtime_dir && c.runtime_dir[0] == '/', "a path");
		fuzz_must(!c.owner || *c.owner, "an owner without a name");
		fuzz_must(c.round_usec == 0 || (c.round_usec >= 100000 &&
						c.round_usec <= 3600000000),
			  "the interval");
		fuzz_must(c.log_level >= LOG_EMERG && c.log_level <= LOG_DEBUG,
			  "the level");
	}
	service_config_done(&c);
}

static void check_bounds(const struct spec *spec)
{
	fuzz_must(spec->num_devices >= 1 &&
			  spec->num_devices <= SPEC_DEVICES_MAX,
		  "devices");
	fuzz_must(spec->min <= spec->quota && spec->quota <= spec->max,
		  "quota, min and max");
	fuzz_must(spec->weight >= BUDGET_WEIGHT_MIN &&
			  spec->weight <= BUDGET_WEIGHT_MAX,
		  "weight");
	for (size_t i = 0; i < spec->num_devices; i++) {
		fuzz_must(spec->devices[i].endpoint > 0, "no endpoint");
		for (size_t k = 0; k < i; k++)
			fuzz_must(spec->devices[i].endpoint !=
					  spec->devices[k].endpoint,
				  "an endpoint twice");
	}
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static void check_same(const struct spec *a, const struct spec *b)
{
	fuzz_must(a->quota == b->quota && a->min == b->min &&
			  a->max == b->max && a->weight == b->weight &&
			  same_text(a->owner, b->owner),
		  "other bounds");
	fuzz_must(a->num_devices == b->num_devices, "other devices");
	for (size_t i = 0; i < a->num_devices; i++)
		fuzz_must(same_text(a->devices[i].address,
				    b->devices[i].address) &&
				  a->devices[i].endpoint ==
					  b->devices[i].endpoint &&
				  same_text(a->devices[i].driver,
					    b->devices[i].driver),
			  "another device");
	fuzz_must(a->num_settings == b->num_settings, "other settings");
	for (size_t i = 0; i < a->num_settings; i++)
		fuzz_must(same_text(a->settings[i].key, b->settings[i].key) &&
				  same_text(a->settings[i].value,
					    b->settings[i].value),
			  "another setting");
}

static void check_spec(void)
{
	struct spec spec, again;
	char state[64];

	spec_init(&spec, "fuzz");
	if (spec_load(&spec, path) == 0) {
		check_bounds(&spec);
		(void)snprintf(state, sizeof(state), "%s/state", folder);
		fuzz_must(spec_save(&spec, state) == 0, "cannot be saved");
		spec_init(&again, "fuzz");
		fuzz_must(spec_load(&again, state) == 0, "cannot be read");
		check_same(&spec, &again);
		spec_done(&again);
		(void)unlink(state);
	}
	spec_done(&spec);
}

/* Whatever there is in the file, the service starts. */
static void check_budget(const uint8_t *data, size_t size)
{
	const struct service_config config = {
		.runtime_dir = folder,
		.budget = 1 << 30,
	};
	struct service service = { .config = &config };
	char file[64];
	FILE *f;

	(void)snprintf(file, sizeof(file), "%s/budget", folder);
	f = fopen(file, "we");
	fuzz_must(f && fwrite(data, 1, size, f) == size && fclose(f) == 0,
		  "no file");
	fuzz_must(service_load_budget(&service) == 0, "does not start");
	if (!memmem(data, size, "budget", strlen("budget")) ||
	    !memmem(data, size, "configured", strlen("configured")))
		fuzz_must(service.budget == config.budget, "another budget");
	(void)unlink(file);
}

static void remove_folder(void)
{
	(void)rmdir(folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;

	if (fd < 0) {
		log_set_max_level(-1);
		fd = memfd_create("file", MFD_CLOEXEC);
		fuzz_must(fd >= 0, "no file");
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		(void)snprintf(folder, sizeof(folder), "/dev/shm/pvdma-XXXXXX");
		fuzz_must(mkdtemp(folder) != NULL, "no folder");
		(void)atexit(remove_folder);
	}
	if (size == 0)
		return 0;
	fuzz_must(ftruncate(fd, 0) == 0 && pwrite(fd, data + 1, size - 1, 0) ==
						   (ssize_t)size - 1,
		  "no file");
	if (data[0] % 3 == 0)
		check_config();
	else if (data[0] % 3 == 1)
		check_spec();
	else
		check_budget(data + 1, size - 1);
	return 0;
}
