// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * service.c - the system service: all parts, wired to one event loop
 *
 * Owns: the event loop, the bus, and all other parts.
 *
 * Invariant: VMs outlive the service. What it knows of them stands in files
 * below its runtime directory before it is done; a service that starts takes
 * up what it finds there, and only then has its name on the bus.
 *
 * Locks: none: one thread, one event loop. In a request's way: not.
 */
#include "service.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "balance.h"
#include "handover_server.h"
#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "machine.h"
#include "manager.h"
#include "messages.h"

struct machine *service_find(const struct service *service, const char *name)
{
	struct machine *machine = service->machines;

	while (machine && strcmp(machine->spec.name, name) != 0)
		machine = machine->next;
	return machine;
}

/* --- setting up --- */

static int make_dir(const struct service *service, const char *name)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/%s", service->config->runtime_dir, name) < 0) {
		path = NULL;
		return log_err_errno(ENOMEM, "cannot start");
	}
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return log_err_errno(errno, "cannot make %s", path);
	return 0;
}

static void on_unit_changed(void *userdata, const char *unit,
			    const char *active)
{
	struct service *service = userdata;

	for (struct machine *m = service->machines; m; m = m->next) {
		if (strcmp(m->unit, unit) != 0)
			continue;
		machine_unit_changed(m, active);
		return;
	}
}

static int open_bus(struct service *service)
{
	const char *address = service->config->bus_address;
	int r;

	if (!address) {
		r = sd_bus_open_system(&service->bus);
	} else {
		r = sd_bus_new(&service->bus);
		if (r >= 0)
			r = sd_bus_set_address(service->bus, address);
		if (r >= 0)
			r = sd_bus_set_bus_client(service->bus, true);
		if (r >= 0)
			r = sd_bus_start(service->bus);
	}
	if (r < 0)
		return log_err_errno(r, "cannot connect to the bus%s%s",
				     address ? " at " : "",
				     address ? address : "");
	r = sd_bus_attach_event(service->bus, service->event, 0);
	if (r >= 0)
		r = sd_bus_set_exit_on_disconnect(service->bus, true);
	return r < 0 ? log_err_errno(r, "cannot use the bus") : 0;
}

/* One VM that the last service left; a file that says nothing stays there. */
static void resume_one(struct service *service, const char *file)
{
	_cleanup_free_ char *path = NULL;
	char name[SPEC_NAME_MAX + 1];
	size_t len = strlen(file);

	if (len < sizeof(".conf") || len - 5 > SPEC_NAME_MAX ||
	    strcmp(file + len - 5, ".conf") != 0)
		return;
	memcpy(name, file, len - 5);
	name[len - 5] = '\0';
	if (!spec_is_name(name) ||
	    asprintf(&path, "%s/state/%s", service->config->runtime_dir, file) <
		    0) {
		path = NULL;
		return;
	}
	if (machine_resume(service, name, path) < 0)
		log_err("%s: cannot be read; what it says is not looked after any more",
			path);
}

static int resume_all(struct service *service)
{
	_cleanup_free_ char *path = NULL;
	const struct dirent *entry;
	DIR *dir;

	if (asprintf(&path, "%s/state", service->config->runtime_dir) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	dir = opendir(path);
	if (!dir)
		return log_err_errno(errno, "cannot read %s", path);
	while ((entry = readdir(dir)))
		resume_one(service, entry->d_name);
	(void)closedir(dir);
	return 0;
}

/* With the name, whoever waits for the service is let in. */
static int take_name(struct service *service)
{
	int r = sd_bus_request_name(service->bus, MANAGER_NAME, 0);

	if (r == -EEXIST)
		return log_err_errno(r, MANAGER_NAME
				     " is taken: pvdmad runs already");
	if (r < 0)
		return log_err_errno(r, "cannot have the name " MANAGER_NAME
					" on the bus");
	return 0;
}

int service_new(const struct service_config *config, struct service **ret)
{
	struct service *service = calloc(1, sizeof(*service));
	int r;

	if (!service)
		return log_err_errno(ENOMEM, "cannot start");
	service->config = config;
	service->sysfs.root = -EBADF;
	r = event_new(&service->event);
	if (r < 0)
		log_err_errno(r, "cannot set the event loop up");
	if (r >= 0)
		r = sysfs_init(&service->sysfs, "/");
	if (r >= 0)
		r = open_bus(service);
	if (r >= 0)
		r = make_dir(service, "vm");
	if (r >= 0)
		r = make_dir(service, "state");
	if (r >= 0)
		r = service_load_budget(service);
	if (r >= 0)
		r = units_new(service->bus, on_unit_changed, service,
			      &service->units);
	if (r >= 0)
		r = handover_server_new(service, &service->handover);
	if (r >= 0)
		r = manager_new(service, &service->manager);
	if (r >= 0)
		r = resume_all(service);
	if (r >= 0)
		r = balance_new(service, &service->balance);
	if (r >= 0)
		r = take_name(service);
	if (r < 0) {
		service_free(service);
		return r;
	}
	*ret = service;
	return 0;
}

int service_run(struct service *service)
{
	int r;

	log_info("serving " MANAGER_NAME);
	(void)sd_notify(0, "READY=1\nSTATUS=Serving " MANAGER_NAME ".");
	r = sd_event_loop(service->event);
	(void)sd_notify(0, "STOPPING=1");
	if (r < 0)
		return log_err_errno(r, "the event loop failed");
	log_info("stopping; VMs go on");
	return 0;
}

void service_free(struct service *service)
{
	if (!service)
		return;
	manager_free(service->manager);
	handover_server_free(service->handover);
	while (service->machines) {
		struct machine *machine = service->machines;

		service->machines = machine->next;
		machine_free(machine);
	}
	balance_free(service->balance);
	units_free(service->units);
	sysfs_done(&service->sysfs);
	sd_bus_flush_close_unref(service->bus);
	sd_event_unref(service->event);
	free(service);
}
