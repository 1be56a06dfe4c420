// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes the configuration file: host/agent/config*.c. The input is the file.
 * Whatever it says, the outcome is a configuration within its bounds, or an
 * error; and nothing is left of it.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "config.h"
#include "lib/log.h"
#include "tests/fuzz/support/input.h"

static void check_device(const struct agent_config *config, size_t n)
{
	const struct config_device *dev = &config->devices[n];

	fuzz_must(dev->endpoint != 0, "no endpoint");
	fuzz_must(!dev->socket.path != (dev->socket.fd < 0), "not one socket");
	fuzz_must(!dev->bdf == (config->iommu == CONFIG_IOMMU_NULL) ||
			  !dev->bdf,
		  "a real device without an IOMMU");
	for (size_t i = 0; i < n; i++)
		fuzz_must(config->devices[i].endpoint != dev->endpoint,
			  "an endpoint twice");
}

/* The promises of config_finish(). */
static void check(const struct agent_config *config)
{
	fuzz_must(config->name && strlen(config->name) <= 64, "name");
	fuzz_must(config->vm.granule_shift >= VIRTIO_PVDMA_GRANULE_SHIFT_MIN &&
			  config->vm.granule_shift <=
				  VIRTIO_PVDMA_GRANULE_SHIFT_MAX,
		  "granule");
	fuzz_must(config->vm.strategy < VIRTIO_PVDMA_STRATEGIES, "strategy");
	fuzz_must(config->vm.num_queues >= 1 && config->vm.num_queues <= 64,
		  "queues");
	fuzz_must(config->vm.max_ranges >= 1 && config->vm.max_ranges <= 4096,
		  "max-ranges");
	fuzz_must(config->vm.policy == config->policy && config->policy,
		  "policy");
	fuzz_must(config->num_devices >= 1 &&
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
		fuzz_must(fd >= 0, "no file");
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	fuzz_must(ftruncate(fd, 0) == 0 &&
			  pwrite(fd, data, size, 0) == (ssize_t)size,
		  "no file");
	config_init(&config);
	r = config_load(&config, path);
	if (config_finish(&config) == 0 && r == 0)
		check(&config);
	config_done(&config);
	return 0;
}
