// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * doctor_service.c - is pvdma's service there, and does it run?
 *
 * Owns nothing.
 *
 * Invariant: the service is not started by asking.
 *
 * Locks: none. In a request's way: not.
 */
#include "pvdmactl/doctor_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "lib/cleanup.h"
#include "lib/macros.h"
#include "pvdmactl/bus.h"

#define SERVICE	  "org.pvdma1"
#define OBJECT	  "/org/pvdma1"
#define INTERFACE "org.pvdma1.Manager"
#define AGENT	  "pvdma-agent@.service"

DEFINE_CLEANUP(bus, sd_bus *, sd_bus_flush_close_unref);

static void error_done(sd_bus_error *error)
{
	sd_bus_error_free(error);
}

/* Does the file at @path give agents rights that no limit of memory holds for? */
static bool lifts_limit(const struct doctor *d, const char *path)
{
	_cleanup_fclose_ FILE *f = NULL;
	char line[1024];

	if (sysfs_fopen(&d->sysfs, &f, "%s", path) < 0)
		return false;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "User=root", strlen("User=root")) == 0)
			return true;
		if (strncmp(line, "AmbientCapabilities=",
			    strlen("AmbientCapabilities=")) == 0 &&
		    strstr(line, "CAP_IPC_LOCK"))
			return true;
	}
	return false;
}

/*
 * Finds such a file: the unit's at @path, or one of an operator's changes to it,
 * whose path goes to @path then.
 */
static bool find_lifting(const struct doctor *d, char path[static PATH_MAX])
{
	static const char folder[] = "etc/systemd/system/" AGENT ".d";
	_cleanup_(sysfs_names_done) struct sysfs_names names = { 0 };
	char change[PATH_MAX];

	if (lifts_limit(d, path))
		return true;
	if (sysfs_list(&d->sysfs, &names, folder) < 0)
		return false;
	for (size_t i = 0; i < names.count; i++) {
		(void)snprintf(change, sizeof(change), "%s/%s", folder,
			       names.list[i]);
		if (!lifts_limit(d, change))
			continue;
		memcpy(path, change, strlen(change) + 1);
		return true;
	}
	return false;
}

void doctor_units(struct doctor *d, const char *name)
{
	static const char *const folders[] = {
		"etc/systemd/system",		"run/systemd/system",
		"usr/local/lib/systemd/system", "usr/lib/systemd/system",
		"lib/systemd/system",
	};
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		(void)snprintf(path, sizeof(path), "%s/" AGENT, folders[i]);
		if (!sysfs_exists(&d->sysfs, "%s", path))
			continue;
		if (!find_lifting(d, path)) {
			doctor_report(d, name, DOCTOR_OK, NULL, "/%s", path);
			return;
		}
		doctor_report(d, name, DOCTOR_WARNING, NULL,
			      "the kernel's limit of pinned memory "
			      "(RLIMIT_MEMLOCK) does not hold for agents");
		doctor_fix(d, "take User=root and CAP_IPC_LOCK out of /%s",
			   path);
		return;
	}
	doctor_report(d, name, DOCTOR_ERROR,
		      "install pvdma's service (make install), then "
		      "systemctl daemon-reload",
		      AGENT " is nowhere: no VM's agent can be started");
}

/* Who has the service's name? 1, 0 for nobody, or a negative errno. */
static int has_owner(sd_bus *bus)
{
	_cleanup_(error_done) sd_bus_error error = SD_BUS_ERROR_NULL;
	int r;

	r = sd_bus_call_method(bus, "org.freedesktop.DBus",
			       "/org/freedesktop/DBus", "org.freedesktop.DBus",
			       "GetNameOwner", &error, NULL, "s", SERVICE);
	if (r >= 0)
		return 1;
	return sd_bus_error_has_name(
		       &error, "org.freedesktop.DBus.Error.NameHasNoOwner") ?
		       0 :
		       r;
}

static void ask(struct doctor *d, const char *name, sd_bus *bus)
{
	_cleanup_(error_done) sd_bus_error error = SD_BUS_ERROR_NULL;
	_cleanup_free_ char *version = NULL;
	uint64_t budget;
	int r;

	r = sd_bus_get_property_string(bus, SERVICE, OBJECT, INTERFACE,
				       "Version", &error, &version);
	if (r < 0) {
		doctor_report(d, name, DOCTOR_ERROR,
			      "journalctl -u pvdmad says why",
			      "it runs, but does not answer: %s",
			      error.message ? error.message : strerror(-r));
		return;
	}
	if (sd_bus_get_property_trivial(bus, SERVICE, OBJECT, INTERFACE,
					"Budget", NULL, 't', &budget) >= 0)
		d->budget = budget;
	if (strcmp(version, PVDMA_VERSION) == 0)
		doctor_report(d, name, DOCTOR_OK, NULL, "runs, version %s",
			      version);
	else
		doctor_report(d, name, DOCTOR_WARNING,
			      "systemctl restart pvdmad; VMs go on meanwhile",
			      "runs version %s, and pvdmactl is " PVDMA_VERSION,
			      version);
}

void doctor_service(struct doctor *d, const char *name)
{
	_cleanup_(cleanup_bus) sd_bus *bus = NULL;
	int r;

	if (!d->live) {
		doctor_report(d, name, DOCTOR_SKIPPED, NULL,
			      "services of another root are not asked");
		return;
	}
	r = ctl_bus_connect(&bus);
	if (r < 0) {
		doctor_report(d, name, DOCTOR_ERROR,
			      "systemctl start dbus.socket",
			      "the system's bus cannot be reached: %s",
			      strerror(-r));
		return;
	}
	r = has_owner(bus);
	if (r > 0)
		ask(d, name, bus);
	else if (r == 0)
		doctor_report(d, name, DOCTOR_ERROR,
			      "systemctl enable --now pvdmad",
			      "it does not run");
	else
		doctor_report(d, name, DOCTOR_ERROR, NULL,
			      "the system's bus does not answer: %s",
			      strerror(-r));
}
