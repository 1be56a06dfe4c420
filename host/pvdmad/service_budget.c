// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * service_budget.c - what all VMs of this host may pin together
 *
 * Owns: the budget, and the file below the runtime directory that keeps one that
 * was set while the service ran. It holds until the host restarts, or until
 * another one is configured.
 *
 * Invariant: what VMs are sure of, the sum of their min, is within the budget.
 *
 * Locks: none; one event loop. In a request's way: not.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "lib/parse.h"
#include "lib/settings.h"
#include "machine.h"
#include "manager.h"
#include "messages.h"
#include "service.h"

uint64_t service_assigned(const struct service *service)
{
	uint64_t sum = 0;

	for (const struct machine *m = service->machines; m; m = m->next)
		sum += m->spec.quota;
	return sum;
}

uint64_t service_mapped(const struct service *service)
{
	uint64_t sum = 0;

	for (const struct machine *m = service->machines; m; m = m->next)
		sum += m->mapped;
	return sum;
}

/* What all VMs but @except are sure to get. */
static uint64_t sum_of_min(const struct service *service,
			   const struct machine *except)
{
	uint64_t sum = 0;

	for (const struct machine *m = service->machines; m; m = m->next)
		if (m != except)
			sum += m->spec.min;
	return sum;
}

/* Is that left when all VMs but @except have what they are sure of? */
static bool fits(const struct service *service, const struct machine *except,
		 uint64_t bytes)
{
	uint64_t others = sum_of_min(service, except);

	return service->budget == 0 ||
	       (others <= service->budget && bytes <= service->budget - others);
}

int service_may_grow(const struct service *service,
		     const struct machine *machine, uint64_t bytes)
{
	uint64_t others = sum_of_min(service, machine);

	if (fits(service, machine, bytes))
		return 0;
	log_err("%" PRIu64
		" bytes are not to be had: the host's budget is %" PRIu64
		", of which the other VMs are sure of %" PRIu64
		"; raise the budget, or lower their min",
		bytes, service->budget, others);
	return -ENOSPC;
}

static void tell_budget(const struct service *service, const struct spec *spec)
{
	char asked[24], budget[24];
	const struct log_field fields[] = {
		{ "PVDMA_VM", spec->name },
		{ "PVDMA_ASKED", asked },
		{ "PVDMA_BUDGET", budget },
		{ NULL, NULL },
	};

	(void)snprintf(asked, sizeof(asked), "%" PRIu64,
		       sum_of_min(service, NULL) + spec->min);
	(void)snprintf(budget, sizeof(budget), "%" PRIu64, service->budget);
	log_event(
		LOG_ERR, MESSAGE_BUDGET_EXCEEDED, fields,
		"%s does not fit the host's budget of %s bytes: with it, VMs would be sure of %s; raise the budget, or lower their min",
		spec->name, budget, asked);
}

int service_admit(const struct service *service, struct spec *spec)
{
	/* without rounds nobody hears what a VM gave up later */
	bool rounds = service->config->round_usec > 0;
	uint64_t left = service->budget;

	if (!fits(service, NULL, spec->min)) {
		tell_budget(service, spec);
		return -ENOSPC;
	}
	if (service->budget == 0)
		return 0;
	for (const struct machine *m = service->machines; m; m = m->next)
		left -= min(left, rounds ? machine_taken(m) : m->spec.quota);
	if (spec->quota <= left)
		return 0;
	/* The next round divides anew; but there is no way up from nothing. */
	spec->quota = max(spec->min, left);
	if (spec->quota == 0) {
		tell_budget(service, spec);
		return -ENOSPC;
	}
	log_info("%s: starts with %" PRIu64
		 " bytes, for no more of the budget is free",
		 spec->name, spec->quota);
	return 0;
}

/* --- over a restart of the service --- */

static char *budget_file(const struct service *service)
{
	char *path;

	return asprintf(&path, "%s/budget", service->config->runtime_dir) < 0 ?
		       NULL :
		       path;
}

static int save_budget(const struct service *service, uint64_t bytes)
{
	_cleanup_free_ char *path = budget_file(service);
	char text[160];
	int r;

	(void)snprintf(
		text, sizeof(text),
		"# As it was set while the service ran, and what was configured then.\n"
		"budget=%" PRIu64 "\nconfigured=%" PRIu64 "\n",
		bytes, service->config->budget);
	r = path ? file_replace(path, text, strlen(text), 0644) : -ENOMEM;
	return r < 0 ? log_err_errno(r, "cannot keep the budget") : 0;
}

struct saved_budget {
	uint64_t budget, configured;
	bool has_budget, has_configured;
};

static int set_saved(void *userdata, const struct settings_place *place,
		     const char *key, const char *value)
{
	struct saved_budget *saved = userdata;

	(void)place;
	if (strcmp(key, "budget") == 0) {
		saved->has_budget = true;
		return parse_size(value, &saved->budget);
	}
	if (strcmp(key, "configured") == 0) {
		saved->has_configured = true;
		return parse_size(value, &saved->configured);
	}
	return -ENOENT;
}

int service_load_budget(struct service *service)
{
	_cleanup_free_ char *path = budget_file(service);
	struct saved_budget saved = { 0 };
	const struct settings_reader reader = {
		.set = set_saved,
		.userdata = &saved,
	};

	if (!path)
		return log_err_errno(ENOMEM, "cannot read the budget");
	service->budget = service->config->budget;
	if (access(path, F_OK) < 0)
		return 0;
	/* A half of it would be taken for no limit. */
	if (settings_load(&reader, path) < 0 || !saved.has_budget ||
	    !saved.has_configured) {
		log_warn("%s says nothing; the budget is as configured", path);
		return 0;
	}
	/* Of the two, the one that was changed last. */
	if (saved.configured != service->config->budget)
		return 0;
	service->budget = saved.budget;
	return 0;
}

int service_set_budget(struct service *service, uint64_t bytes)
{
	uint64_t sure = sum_of_min(service, NULL);
	int r;

	if (bytes != 0 && bytes < sure) {
		log_err("a budget of %" PRIu64
			" bytes is below what VMs are sure of, %" PRIu64
			": lower their min first",
			bytes, sure);
		return -ERANGE;
	}
	r = save_budget(service, bytes);
	if (r < 0)
		return r;
	service->budget = bytes;
	log_notice("the budget is %" PRIu64 " bytes", bytes);
	manager_changed(service, "Budget");
	return 0;
}
