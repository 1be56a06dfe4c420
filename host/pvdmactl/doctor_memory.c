// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * doctor_memory.c - how much may be pinned, and where the rest can go
 *
 * Owns nothing.
 *
 * Invariant: sizes are bytes; shown as MiB.
 *
 * Locks: none. In a request's way: not.
 */
#include "pvdmactl/doctor_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/parse.h"

#define CONFIG "etc/pvdma/pvdmad.conf"

/* A budget of more than this share of the memory leaves little to the rest. */
#define BUDGET_PERCENT 75

static unsigned long long mib(uint64_t bytes)
{
	return bytes >> 20;
}

/* Bytes of memory that the host has; 0 if that cannot be read. */
static uint64_t read_total(const struct doctor *d)
{
	_cleanup_fclose_ FILE *f = NULL;
	unsigned long long kib;
	char line[256];

	if (sysfs_fopen(&d->sysfs, &f, "proc/meminfo") < 0)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "MemTotal: %llu kB", &kib) == 1)
			return kib << 10;
	return 0;
}

/* The setting of the service's file; 0 if there is none. */
static uint64_t read_configured(const struct doctor *d)
{
	_cleanup_fclose_ FILE *f = NULL;
	char line[256], value[64];
	uint64_t budget = 0;

	if (sysfs_fopen(&d->sysfs, &f, CONFIG) < 0)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " budget = %63s", value) == 1 &&
		    parse_size(value, &budget) < 0)
			budget = 0;
	return budget;
}

void doctor_budget(struct doctor *d, const char *name)
{
	uint64_t total = read_total(d);

	/* That of the running service goes before what it will read. */
	if (d->budget == 0)
		d->budget = read_configured(d);
	if (total == 0) {
		doctor_report(d, name, DOCTOR_SKIPPED, NULL,
			      "/proc/meminfo cannot be read");
		return;
	}
	if (d->budget == 0) {
		doctor_report(d, name, DOCTOR_WARNING, NULL,
			      "none: VMs may pin what their quotas add up to, "
			      "of %llu MiB of memory",
			      mib(total));
		doctor_fix(d, "budget=%lluM in /" CONFIG " is half of it",
			   mib(total / 2));
		return;
	}
	if (d->budget < total / 100 * BUDGET_PERCENT) {
		doctor_report(d, name, DOCTOR_OK, NULL,
			      "%llu of %llu MiB of memory may be pinned",
			      mib(d->budget), mib(total));
		return;
	}
	doctor_report(d, name,
		      d->budget < total ? DOCTOR_WARNING : DOCTOR_ERROR, NULL,
		      "%llu of %llu MiB of memory may be pinned, which cannot "
		      "be swapped or reclaimed then",
		      mib(d->budget), mib(total));
	doctor_fix(d, "lower it in /" CONFIG ", or by pvdmactl budget %lluM",
		   mib(total / 2));
}

void doctor_swap(struct doctor *d, const char *name)
{
	unsigned long long kib, sum = 0;
	_cleanup_fclose_ FILE *f = NULL;
	char line[1024], path[512];
	bool zram = false;

	if (sysfs_fopen(&d->sysfs, &f, "proc/swaps") < 0) {
		doctor_report(d, name, DOCTOR_SKIPPED, NULL,
			      "/proc/swaps cannot be read");
		return;
	}
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%511s %*s %llu", path, &kib) != 2)
			continue;
		sum += kib;
		zram = zram || strstr(path, "/zram");
	}
	if (sum > 0)
		doctor_report(d, name, DOCTOR_OK, NULL, "%llu MiB%s", sum >> 10,
			      zram ? ", with zram" : "");
	else
		doctor_report(d, name, DOCTOR_WARNING,
			      "add a swap file or partition, or zram "
			      "(systemd-zram-generator), before guests get "
			      "more memory together than the host has",
			      "none: what guests do not use cannot leave "
			      "memory");
}
