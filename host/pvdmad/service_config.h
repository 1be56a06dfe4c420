/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * service_config.h - pvdmad.conf(5) and the command line of pvdmad
 */
#ifndef PVDMA_PVDMAD_SERVICE_CONFIG_H
#define PVDMA_PVDMAD_SERVICE_CONFIG_H

#include "service.h"

#define SERVICE_CONFIG_FILE "/etc/pvdma/pvdmad.conf"

enum service_config_mode {
	SERVICE_RUN,
	SERVICE_EXIT, /* --check, --help or --version: was done */
};

/*
 * Reads the command line and the file that it names, or the default one if that
 * exists; the line wins. 0 with the mode in *@ret, or a negative errno, logged.
 */
int service_config_parse(int argc, char **argv, struct service_config *config,
			 enum service_config_mode *ret);
void service_config_done(struct service_config *config);

#endif
