/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stats_json.h - the agent's counters as JSON objects
 */
#ifndef PVDMA_AGENT_STATS_JSON_H
#define PVDMA_AGENT_STATS_JSON_H

#include <stdio.h>

struct vfio_user_stats;
struct vhost_stats;
struct vm_curve;
struct vm_stats;

/* Each writes one object "{...}", without a newline. */
void stats_json_vm(FILE *out, const struct vm_stats *stats);
void stats_json_vhost(FILE *out, const struct vhost_stats *stats);
void stats_json_vfio_user(FILE *out, const struct vfio_user_stats *stats);

/* The same of a curve: quotas in bytes, losses in a second. */
void stats_json_curve(FILE *out, const struct vm_curve *curve);

/*
 * This process's memory in bytes, as the kernel counts it: "locked" is VmLck,
 * which is what VFIO charges against RLIMIT_MEMLOCK; "private" is anonymous
 * memory in RAM; "limit" the soft RLIMIT_MEMLOCK (-1: none). @status is
 * /proc/self/status, or NULL: then the first two are 0.
 */
void stats_json_process(FILE *out, FILE *status);

#endif
