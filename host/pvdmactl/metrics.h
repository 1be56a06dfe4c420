/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * metrics.h - counters of the host and of all VMs in the forms of Prometheus
 */
#ifndef PVDMA_PVDMACTL_METRICS_H
#define PVDMA_PVDMACTL_METRICS_H

#include <stdio.h>

#include <json-c/json.h>

enum metrics_format {
	METRICS_OPENMETRICS, /* text, version 1.0.0 */
	METRICS_PROMETHEUS,  /* text, version 0.0.4: for node_exporter */
};

/* For HTTP. */
const char *metrics_content_type(enum metrics_format format);

/* --- metrics_table.c --- */

/* Writes what vms_host() and vms_list_stats() said. */
void metrics_write(json_object *host, json_object *vms,
		   enum metrics_format format, FILE *out);

/* --- metrics_http.c --- */

/* What a request wants: 200, with the format; or a status that says why not. */
int metrics_http_read(int fd, enum metrics_format *ret);
/* Answers; @body may be NULL. 0 or a negative errno, not logged. */
int metrics_http_answer(int fd, int status, enum metrics_format format,
			const char *body, size_t size);

#endif
