// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * main.c - pvdmad: assigns devices to VMs and divides the memory that they pin
 *
 * Exit status: 0 success; 1 it failed, and the log says why; 2 the command line
 * or the configuration is wrong.
 */
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "service_config.h"

#define EXIT_USAGE 2

/* Debian's name for the user of libvirt's QEMU. */
#define QEMU_USER "libvirt-qemu"

static int run(struct service_config *config)
{
	struct service *service;
	int r;

	log_set_max_level(config->log_level);
	if (!config->owner && getpwnam(QEMU_USER))
		config->owner = strdup(QEMU_USER);
	if (service_new(config, &service) < 0)
		return EXIT_FAILURE;
	r = service_run(service);
	service_free(service);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct service_config config;
	enum service_config_mode mode;
	int status = EXIT_SUCCESS;

	if (service_config_parse(argc, argv, &config, &mode) < 0)
		status = EXIT_USAGE;
	else if (mode == SERVICE_RUN)
		status = run(&config);
	service_config_done(&config);
	return status;
}
