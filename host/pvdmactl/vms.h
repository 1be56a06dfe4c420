/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vms.h - what the service says of the host and of its VMs, as JSON
 *
 * The forms are those that --json prints and pvdmactl(1) describes. Who gets an
 * object puts it. All functions return 0 or an exit status, which was explained.
 */
#ifndef PVDMA_PVDMACTL_VMS_H
#define PVDMA_PVDMACTL_VMS_H

#include "ctl.h"

/* {"version", "budget", "assigned", "mapped"} */
int vms_host(struct ctl *ctl, json_object **ret);

/* The properties of one VM; "devices" is an array of objects. */
int vms_get(struct ctl *ctl, const char *name, json_object **ret);

/* An array of what vms_get() says, sorted by name. */
int vms_list(struct ctl *ctl, json_object **ret);

/* The agent's answer to @command. */
int vms_query(struct ctl *ctl, const char *name, const char *command,
	      json_object **ret);

/*
 * As vms_list(), with the answer to "stats" as "stats" in each VM that runs and
 * answers.
 */
int vms_list_stats(struct ctl *ctl, json_object **ret);

/* --- reading them: @path is "a.b.c"; what is not there is 0 or "" --- */

json_object *vms_at(json_object *object, const char *path);
uint64_t vms_u64(json_object *object, const char *path);
const char *vms_text(json_object *object, const char *path);
/* Of an array; 0 of all else, which an agent may have sent in its place. */
size_t vms_length(json_object *list);

#endif
