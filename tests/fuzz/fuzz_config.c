// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes the configuration file: host/agent/config*.c. The input is the file.
 * Whatever it says, the outcome is a configuration within its bounds, or an
 * error; and nothing is left of it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config.h"
#include "lib/log.h"
#include "lib/macros.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "fuzz_config: %s\n", what);
	abort();
}

static void check_device(const struct agent_config *config, size_t n)
{
	const struct config_device *dev = &config->devices[n];

	must(dev->endpoint != 0, "no endpoint");
	must(!dev->socket.path != (dev->socket.fd < 0), "not one socket");
	must(!dev->bdf == (config->iommu == CONFIG_IOMMU_NULL) || !dev->bdf,
	     "a real device without an IOMMU");
	for (size_t i = 0; i < n; i++)
		must(config->devices[i].endpoint != dev->endpoint,
		     "an endpoint twice");
}

/* The promises of config_finish(). */
static void check(const struct agent_config *config)
{
	must(config->name && strlen(config->name) <= 64, "name");
	must(config->vm.granule_shift >= VIRTIO_PVDMA_GRANULE_SHIFT_MIN &&
		     config->vm.granule_shift <= VIRTIO_PVDMA_GRANULE_SHIFT_MAX,
	     "granule");
	must(config->vm.strategy < VIRTIO_PVDMA_STRATEGIES, "strategy");
	must(config->vm.num_queues >= 1 && config->vm.num_queues <= 64,
	     "queues");
	must(config->vm.max_ranges >= 1 && config->vm.max_ranges <= 4096,
	     "max-ranges");
	must(config->vm.policy == config->policy && config->policy, "policy");
	must(config->num_devices >= 1 &&
		     config->num_devices <= VM_ENDPOINTS_MAX,
	     "devices");
	for (size_t i = 0; i < config->num_devices; i++)
		check_device(config, i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[64];
	static int fd = -1;
	struct agent_config config;
	int r;

	if (fd < 0) {
		log_set_max_level(-1);
		fd = memfd_create("config", MFD_CLOEXEC);
		must(fd >= 0, "no file");
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	must(ftruncate(fd, 0) == 0 &&
		     pwrite(fd, data, size, 0) == (ssize_t)size,
	     "no file");
	config_init(&config);
	r = config_load(&config, path);
	if (config_finish(&config) == 0 && r == 0)
		check(&config);
	config_done(&config);
	return 0;
}
