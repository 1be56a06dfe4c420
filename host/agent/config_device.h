/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * config_device.h - options whose value has parts, for config.c alone
 */
#ifndef PVDMA_AGENT_CONFIG_DEVICE_H
#define PVDMA_AGENT_CONFIG_DEVICE_H

#include "config.h"

/*
 * All return 0, -ENOMEM, or another negative errno for a bad value; *@why may
 * then point to words (static, or valid until the next call).
 */
int config_parse_iommu(struct agent_config *config, const char *value,
		       const char **why);
int config_add_device(struct agent_config *config, const char *value,
		      const char **why);
/* "ADDRESS|null[,endpoint=N]" alone, for devices_add(). */
int config_parse_device_name(struct config_device *dev, const char *value,
			     const char **why);
void config_device_done(struct config_device *dev);
int config_parse_fd(const char *value, int *ret, const char **why);
int config_check_path(const char *value, const char **why);

/* Parts of config_finish(): 0 or -EINVAL, logged. */
int config_finish_sockets(const struct agent_config *config);
int config_finish_devices(struct agent_config *config);

#endif
