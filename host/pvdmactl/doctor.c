// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * doctor.c - looks whether this host, and a domain, are ready for pvdma
 *
 * Owns: the table of checks, and the list of what they found.
 *
 * Invariant: each check reports at least once, in the order of the table; a check
 * whose answer cannot be found out is skipped with its reason, never ok. Nothing
 * is changed on the host.
 *
 * Locks: none. In a request's way: not.
 */
#include "pvdmactl/doctor_impl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "pvdmactl/doctor_print.h"

/* Later ones use what earlier ones have found: the domain, the budget. */
static const struct check {
	const char *name;
	void (*run)(struct doctor *d, const char *name);
	bool domain; /* only if a domain is asked for */
} checks[] = {
	{ "iommu", doctor_iommu, false },
	{ "interrupt remapping", doctor_interrupts, false },
	{ "iommu groups", doctor_groups, false },
	{ "devices", doctor_devices, false },
	{ "kvm", doctor_kvm, false },
	{ "vfio", doctor_vfio, false },
	{ "agent's unit", doctor_units, false },
	{ "pvdmad", doctor_service, false },
	{ "budget", doctor_budget, false },
	{ "mappings", doctor_entries, false },
	{ "swap", doctor_swap, false },
	{ "libvirt", doctor_libvirt, false },
	{ "hook", doctor_hook, false },
	{ "apparmor", doctor_apparmor, false },
	{ "domain", doctor_domain, true },
	{ "qemu", doctor_qemu, false },
	{ "domain's memory", doctor_domain_memory, true },
	{ "domain's arguments", doctor_domain_arguments, true },
	{ "domain's devices", doctor_domain_devices, true },
};

void doctor_report(struct doctor *d, const char *name, enum doctor_state state,
		   const char *fix, const char *fmt, ...)
{
	struct doctor_result *list, result = { .name = name, .state = state };
	va_list args;
	int r;

	list = reallocarray(d->results, d->count + 1, sizeof(*list));
	if (!list) {
		d->error = -ENOMEM;
		return;
	}
	d->results = list;
	va_start(args, fmt);
	r = vasprintf(&result.detail, fmt, args);
	va_end(args);
	if (r < 0)
		result.detail = NULL;
	if (fix)
		result.fix = strdup(fix);
	if (!result.detail || (fix && !result.fix))
		d->error = -ENOMEM;
	list[d->count++] = result;
}

void doctor_fix(struct doctor *d, const char *fmt, ...)
{
	struct doctor_result *result;
	va_list args;
	char *fix;
	int r;

	if (d->count == 0)
		return;
	result = &d->results[d->count - 1];
	va_start(args, fmt);
	r = vasprintf(&fix, fmt, args);
	va_end(args);
	if (r < 0) {
		d->error = -ENOMEM;
		return;
	}
	free(result->fix);
	result->fix = fix;
}

bool doctor_file_has(const struct doctor *d, const char *path, const char *word)
{
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	if (sysfs_fopen(&d->sysfs, &f, "%s", path) < 0)
		return false;
	while (getline(&line, &size, f) > 0)
		if (strstr(line, word))
			return true;
	return false;
}

static void doctor_done(struct doctor *d)
{
	for (size_t i = 0; i < d->count; i++) {
		free(d->results[i].detail);
		free(d->results[i].fix);
	}
	free(d->results);
	xmlFreeDoc(d->domain);
	sysfs_done(&d->sysfs);
}

static int run_checks(struct doctor *d)
{
	bool failed = false;

	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		size_t before = d->count;

		if (checks[i].domain && !d->options->domain)
			continue;
		checks[i].run(d, checks[i].name);
		if (d->error < 0)
			return log_err_errno(d->error,
					     "cannot finish the check of %s",
					     checks[i].name);
		assert(d->count > before);
	}
	for (size_t i = 0; i < d->count; i++)
		failed = failed || d->results[i].state == DOCTOR_ERROR;
	return failed ? 1 : 0;
}

int doctor_run(const struct doctor_options *options, FILE *out)
{
	const char *root = options->root ? options->root : "/";
	struct doctor d = { .options = options, .live = !options->root };
	int failed, r;

	r = sysfs_init(&d.sysfs, root);
	if (r < 0)
		return log_err_errno(r, "cannot look at %s", root);
	failed = run_checks(&d);
	if (failed >= 0) {
		r = options->json ? doctor_print_json(d.results, d.count, out) :
				    doctor_print_text(d.results, d.count, out);
		if (r < 0)
			failed = log_err_errno(r, "cannot print the checks");
	}
	doctor_done(&d);
	return failed;
}
