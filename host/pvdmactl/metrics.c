// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * metrics.c - pvdmactl metrics: all counters, for Prometheus
 *
 * Owns: the ways out: stdout, a file for node_exporter's textfile collector, and
 * one answer of HTTP, for a socket of systemd with Accept=yes.
 *
 * Invariant: the file is never seen half written.
 *
 * Locks: none. In a request's way: not.
 */
#include "metrics.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/log.h"
#include "verbs.h"
#include "vms.h"

DEFINE_CLEANUP(json, json_object *, json_object_put);

/* All of it as text, to be freed. 0 or an exit status, said. */
static int collect(struct ctl *ctl, enum metrics_format format, char **ret,
		   size_t *ret_size)
{
	_cleanup_(cleanup_json) json_object *host = NULL, *vms = NULL;
	int r = vms_host(ctl, &host);
	FILE *f;

	if (r == 0)
		r = vms_list_stats(ctl, &vms);
	if (r != 0)
		return r;
	f = open_memstream(ret, ret_size);
	if (f) {
		metrics_write(host, vms, format, f);
		if (fclose(f) == 0)
			return CTL_OK;
	}
	log_err_errno(ENOMEM, "cannot collect metrics");
	return CTL_FAILED;
}

/* One request of HTTP. A service that is not there is the client's to know. */
static int serve(struct ctl *ctl)
{
	enum metrics_format format = METRICS_OPENMETRICS;
	int status = metrics_http_read(STDIN_FILENO, &format), r;
	_cleanup_free_ char *text = NULL;
	size_t size = 0;

	if (status == 200 && collect(ctl, format, &text, &size) != 0)
		status = 503;
	r = metrics_http_answer(STDOUT_FILENO, status, format,
				status == 200 ? text : NULL, size);
	if (r < 0)
		log_err_errno(r, "cannot answer");
	return r < 0 ? CTL_FAILED : CTL_OK;
}

static int read_format(const struct verb_args *args, enum metrics_format *ret)
{
	const char *name = verbs_option(args, "format");

	/* The file's reader knows no other. */
	*ret = verbs_option(args, "textfile") ? METRICS_PROMETHEUS :
						METRICS_OPENMETRICS;
	if (!name)
		return CTL_OK;
	if (strcmp(name, "prometheus") == 0) {
		*ret = METRICS_PROMETHEUS;
	} else if (strcmp(name, "openmetrics") == 0) {
		*ret = METRICS_OPENMETRICS;
	} else {
		log_err("format %s: expected openmetrics or prometheus", name);
		return CTL_USAGE;
	}
	return CTL_OK;
}

static int print(struct ctl *ctl, const char *text, size_t size)
{
	json_object *object;
	int r;

	if (ctl->json) {
		object = json_object_new_object();
		json_object_object_add(object, "metrics",
				       json_object_new_string(text));
		return ctl_print_json(ctl, object, false);
	}
	r = file_write(STDOUT_FILENO, text, size);
	if (r == 0)
		return CTL_OK;
	log_err_errno(r, "cannot print");
	return CTL_FAILED;
}

int metrics_run(struct ctl *ctl, const struct verb_args *args)
{
	const char *path = verbs_option(args, "textfile");
	_cleanup_free_ char *text = NULL;
	enum metrics_format format;
	size_t size;
	int r = read_format(args, &format);

	if (r != 0)
		return r;
	if (verbs_option(args, "http"))
		return serve(ctl);
	r = collect(ctl, format, &text, &size);
	if (r != 0)
		return r;
	if (!path)
		return print(ctl, text, size);
	r = file_replace(path, text, size, 0644);
	if (r == 0)
		return CTL_OK;
	log_err_errno(r, "cannot write %s", path);
	return CTL_FAILED;
}
