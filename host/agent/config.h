/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * config.h - what the agent was asked to do
 */
#ifndef PVDMA_AGENT_CONFIG_H
#define PVDMA_AGENT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "lib/settings.h"
#include "vm.h"

enum config_iommu {
	CONFIG_IOMMU_TYPE1,
	CONFIG_IOMMU_NULL,
};

/* Where a server listens: a path, or a descriptor that was handed in. */
struct config_socket {
	char *path; /* NULL: not by path */
	int fd;	    /* -EBADF: not by descriptor */
};

/* The longest deadline of enforce-deadline and of the verb quota. */
#define CONFIG_DEADLINE_MAX_USEC (UINT64_C(3600) * 1000000)

struct config_device {
	char *bdf; /* full form; NULL: the null device */
	struct config_socket socket;
	uint32_t endpoint; /* 0: by position, from 1 */
	int group_fd;	   /* -EBADF: opened by path */
	int device_fd;	   /* -EBADF: taken from the group */
};

/* What becomes of a system call that a serving agent does not need. */
enum config_sandbox {
	CONFIG_SANDBOX_OFF,
	CONFIG_SANDBOX_ON,   /* it is refused */
	CONFIG_SANDBOX_KILL, /* the agent is killed, by SIGSYS */
};

struct agent_config {
	char *name;
	char *handover; /* where the service hands over; NULL: it does not */
	struct vm_config vm; /* .policy points to `policy` below */
	char *policy;
	bool has_quota;
	enum config_iommu iommu;
	uint64_t null_entries; /* limits of the null backend; 0: none */
	uint64_t null_bytes;
	struct config_device *devices;
	size_t num_devices;
	struct config_socket vhost;
	struct config_socket control;
	int container_fd;   /* -EBADF: opened by path */
	mode_t socket_mode; /* of all sockets but control's */
	uid_t socket_uid;   /* (uid_t)-1: as it comes */
	gid_t socket_gid;   /* (gid_t)-1: as it comes */
	uint32_t poll_us;   /* for how long queues are looked at; 0: never */
	enum config_sandbox sandbox; /* from when it serves on */
	int log_level;
};

void config_init(struct agent_config *config);
void config_done(struct agent_config *config);

/*
 * Sets the option @key to @value; a later setting replaces an earlier one, but
 * devices add up. Returns 0; -ENOENT (no such option), -EINVAL (not a value of
 * this option), both logged with @place, the key, the value and what would be
 * right; or -ENOMEM.
 */
int config_set(struct agent_config *config, const struct settings_place *place,
	       const char *key, const char *value);

/*
 * Reads settings from a file: lines "key=value"; blank lines and lines that
 * begin with '#' are skipped. A key given twice is an error. Returns 0 or a
 * negative errno; logged. Reads on after an error, to report all of them.
 */
int config_load(struct agent_config *config, const char *path);

/*
 * Takes settings and descriptors from the service at @path (lib/handover.h).
 * Returns 0 or a negative errno; logged.
 */
int config_take_handover(struct agent_config *config, const char *path);

/*
 * Judges all settings together and fills in what depends on others. Returns 0
 * or -EINVAL; logged.
 */
int config_finish(struct agent_config *config);

/* Writes the list of options for --help. */
void config_help(FILE *out);

#endif
