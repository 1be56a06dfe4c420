// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * machine.c - a VM as the service knows it, from its start to its end
 *
 * Theory of operation. A start is a line of steps: devices are taken from their
 * drivers (assign.c), descriptors and sockets are opened (machine_sockets.c),
 * what will have to be undone is written down (spec.c), the unit is started;
 * its agent comes and is handed what it needs (handover_server.c); when the
 * unit says that it serves, the start is done. A stop, and a start that failed,
 * go the way back: the agent ends first, for a device must not lose its
 * mappings before it was reset.
 *
 * Owns: the machines, each in the service's list from the first step to the
 * last.
 *
 * Invariant: a machine in the list has a state file, and a file has a machine;
 * so a service that starts again finds everything that has to be undone.
 *
 * Locks: none; one event loop. In a request's way: not.
 */
#include "machine.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent_link.h"
#include "assign.h"
#include "balance.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "manager.h"
#include "messages.h"
#include "service.h"

#define AGENT_UNIT "pvdma-agent@%s.service"

/* How often a device that is still open is tried again, and how many times. */
#define GIVE_BACK_USEC	250000
#define GIVE_BACK_TRIES 40

const char *machine_state_name(enum machine_state state)
{
	static const char *const names[] = {
		[MACHINE_STARTING] = "starting",
		[MACHINE_RUNNING] = "running",
		[MACHINE_STOPPING] = "stopping",
		[MACHINE_FAILED] = "failed",
	};

	return names[state];
}

/* --- what operators are told --- */

static void tell_started(const struct machine *machine)
{
	char quota[24];
	const struct log_field fields[] = {
		{ "PVDMA_VM", machine->spec.name },
		{ "PVDMA_QUOTA", quota },
		{ NULL, NULL },
	};

	(void)snprintf(quota, sizeof(quota), "%" PRIu64, machine->spec.quota);
	log_event(LOG_NOTICE, MESSAGE_VM_STARTED, fields,
		  "%s: started, with a quota of %s bytes", machine->spec.name,
		  quota);
}

static void tell_failed(const struct machine *machine, const char *what,
			const char *why)
{
	const struct log_field fields[] = {
		{ "PVDMA_VM", machine->spec.name },
		{ "PVDMA_REASON", why },
		{ NULL, NULL },
	};

	log_event(LOG_ERR, MESSAGE_VM_FAILED, fields, "%s: %s: %s",
		  machine->spec.name, what, why);
}

/* --- the object --- */

static void list_add(struct machine *machine)
{
	struct machine **end = &machine->service->machines;

	while (*end)
		end = &(*end)->next;
	*end = machine;
}

static void list_remove(struct machine *machine)
{
	struct machine **at = &machine->service->machines;

	while (*at && *at != machine)
		at = &(*at)->next;
	if (*at)
		*at = machine->next;
}

void machine_free(struct machine *machine)
{
	if (!machine)
		return;
	/* Who is told that no answer comes finds no link to ask again. */
	agent_link_free(steal_ptr(machine->link));
	balance_forget(machine->service->balance, machine);
	sd_event_source_disable_unref(machine->retry);
	units_forget(machine->service->units, machine);
	for (size_t i = 0; i < SPEC_DEVICES_MAX; i++) {
		close_fd(machine->devices[i].listen_fd);
		close_fd(machine->devices[i].group_fd);
		free(machine->devices[i].name.path);
	}
	close_fd(machine->vhost_fd);
	close_fd(machine->control_fd);
	close_fd(machine->container_fd);
	free(machine->vhost_name.path);
	free(machine->control_name.path);
	free(machine->failure);
	free(machine->unit);
	free(machine->unit_path);
	free(machine->path);
	free(machine->dir);
	free(machine->state_file);
	spec_done(&machine->spec);
	free(machine);
}

/* "DIR/MIDDLE/NAME.SUFFIX"; NULL: no memory. */
static char *join(const char *dir, const char *middle, const char *name,
		  const char *suffix)
{
	char *text;

	return asprintf(&text, "%s%s%s%s", dir, middle, name, suffix) < 0 ?
		       NULL :
		       text;
}

/* Takes @spec over; NULL: no memory, and @spec is as it was. */
static struct machine *machine_new(struct service *service, struct spec *spec)
{
	struct machine *machine = calloc(1, sizeof(*machine));
	const char *dir = service->config->runtime_dir;

	if (!machine)
		return NULL;
	machine->service = service;
	machine->vhost_fd = -EBADF;
	machine->control_fd = -EBADF;
	machine->container_fd = -EBADF;
	for (size_t i = 0; i < SPEC_DEVICES_MAX; i++) {
		machine->devices[i].listen_fd = -EBADF;
		machine->devices[i].group_fd = -EBADF;
	}
	if (asprintf(&machine->unit, AGENT_UNIT, spec->name) < 0)
		machine->unit = NULL;
	machine->dir = join(dir, "/vm/", spec->name, "");
	machine->state_file = join(dir, "/state/", spec->name, ".conf");
	if (machine->unit)
		machine->unit_path = units_path(machine->unit);
	if (sd_bus_path_encode(MANAGER_VM_PREFIX, spec->name, &machine->path) <
	    0)
		machine->path = NULL;
	if (!machine->unit || !machine->unit_path || !machine->path ||
	    !machine->dir || !machine->state_file) {
		machine_free(machine);
		return NULL;
	}
	machine->spec = *spec;
	*spec = (struct spec){ 0 };
	return machine;
}

static void set_state(struct machine *machine, enum machine_state state)
{
	machine->state = state;
	manager_vm_changed(machine, "State");
}

/* --- the way back --- */

/* Everything is undone: the machine goes; @error is what is to be said. */
static void end(struct machine *machine, const char *error)
{
	machine_done_fn done = machine->done, stop = machine->stop;
	void *userdata = machine->userdata;
	void *stop_userdata = machine->stop_userdata;
	_cleanup_free_ char *text = error ? strdup(error) : NULL;

	(void)unlink(machine->state_file);
	list_remove(machine);
	if (machine->announced)
		manager_vm_removed(machine);
	units_reset_failed(machine->service->units, machine->unit);
	machine_free(machine);
	if (done)
		done(userdata, error && !text ? "no memory" : text);
	if (stop)
		stop(stop_userdata, NULL);
}

/* Somebody does not let go of a device: the machine stays, as one that failed. */
static void give_up(struct machine *machine)
{
	machine_done_fn done = machine->done, stop = machine->stop;

	free(machine->failure);
	if (asprintf(
		    &machine->failure,
		    "the agent has ended, but a device is still open, by QEMU as a rule: end that, then end the VM again") <
	    0)
		machine->failure = NULL;
	log_err("%s: %s", machine->spec.name,
		machine->failure ? machine->failure : "");
	machine->done = NULL;
	machine->stop = NULL;
	set_state(machine, MACHINE_FAILED);
	if (done)
		done(machine->userdata, log_last_error());
	if (stop)
		stop(machine->stop_userdata, log_last_error());
}

static int on_retry(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct machine *machine = userdata;

	(void)usec;
	if (assign_give_back(machine->service, &machine->spec) == 0) {
		end(machine, machine->failure);
		return 0;
	}
	if (++machine->tries < GIVE_BACK_TRIES) {
		(void)sd_event_source_set_time_relative(s, GIVE_BACK_USEC);
		(void)sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
		return 0;
	}
	machine->retry = sd_event_source_disable_unref(machine->retry);
	give_up(machine);
	return 0;
}

/* The agent is gone: undoes all the rest; @error is why, or NULL. */
static void finish(struct machine *machine, const char *error)
{
	agent_link_free(steal_ptr(machine->link));
	machine_close(machine);
	if (assign_give_back(machine->service, &machine->spec) == 0) {
		end(machine, error);
		return;
	}
	/* QEMU may take a moment longer than the agent. */
	machine->tries = 0;
	if (sd_event_add_time_relative(machine->service->event, &machine->retry,
				       CLOCK_MONOTONIC, GIVE_BACK_USEC, 0,
				       on_retry, machine) < 0)
		give_up(machine);
}

static void on_undone(void *userdata, const char *error)
{
	struct machine *machine = userdata;

	(void)error; /* It did not run any more. */
	finish(machine, machine->failure);
}

/* The start failed: ends what may run, then finishes. */
static void undo_start(struct machine *machine, const char *why)
{
	tell_failed(machine, "cannot start", why);
	free(machine->failure);
	machine->failure = strdup(why);
	machine->state = MACHINE_STOPPING;
	if (units_stop(machine->service->units, machine->unit, on_undone,
		       machine) < 0)
		finish(machine, why);
}

/* --- running --- */

static void on_lost(void *userdata)
{
	struct machine *machine = userdata;

	/* What became of the agent is heard from the service manager. */
	agent_link_free(steal_ptr(machine->link));
}

/* The control socket of an agent that serves. */
static int connect_agent(struct machine *machine)
{
	_cleanup_free_ char *path = join(machine->dir, "/", "control", "");

	if (!path)
		return -ENOMEM;
	return agent_link_new(machine->service->event, path, on_lost, machine,
			      &machine->link);
}

struct agent_link *machine_link(struct machine *machine)
{
	/* An agent that was too slow once may be back. */
	if (machine->state == MACHINE_RUNNING && !machine->link)
		(void)connect_agent(machine);
	return machine->state == MACHINE_RUNNING ? machine->link : NULL;
}

/* Why a unit failed, in its own words where it has any. */
static char *failure_text(const struct machine *machine,
			  const struct units_state *state, const char *job)
{
	char *text;
	int n;

	if (state && state->status_text[0] != '\0')
		n = asprintf(&text, "%s (journalctl -u %s has more)",
			     state->status_text, machine->unit);
	else
		n = asprintf(&text, "%s: %s; journalctl -u %s says why",
			     machine->unit,
			     state && state->result[0] ? state->result : job,
			     machine->unit);
	return n < 0 ? NULL : text;
}

static void on_start_failed(void *userdata, const struct units_state *state)
{
	struct machine *machine = userdata;
	_cleanup_free_ char *text = failure_text(machine, state, "failed");

	undo_start(machine, text ? text : "no memory");
}

/* Somebody did not want to wait: libvirt, whose hook was out of time. */
static void stop_after_start(struct machine *machine)
{
	machine_done_fn stop = machine->stop;

	machine->stop = NULL;
	if (stop && machine_stop(machine, stop, machine->stop_userdata) < 0)
		stop(machine->stop_userdata, log_last_error());
}

static void on_started(void *userdata, const char *error)
{
	struct machine *machine = userdata;
	machine_done_fn done = machine->done;

	if (error) {
		if (units_get_state(machine->service->units, machine->unit,
				    on_start_failed, machine) < 0)
			undo_start(machine, error);
		return;
	}
	if (machine->state != MACHINE_STARTING) /* It fell at once. */
		return undo_start(machine, "the agent ended");
	if (connect_agent(machine) < 0)
		return undo_start(machine, log_last_error());
	tell_started(machine);
	set_state(machine, MACHINE_RUNNING);
	machine->done = NULL;
	done(machine->userdata, NULL);
	stop_after_start(machine);
}

int machine_start(struct service *service, struct spec *spec,
		  machine_done_fn done, void *userdata)
{
	struct machine *machine;
	int r;

	r = assign_check(service, spec);
	if (r < 0)
		return r;
	machine = machine_new(service, spec);
	if (!machine)
		return log_err_errno(ENOMEM, "cannot start a VM");
	list_add(machine);
	r = spec_save(&machine->spec, machine->state_file);
	if (r == 0)
		r = assign_take(service, &machine->spec);
	if (r == 0)
		r = machine_open(machine);
	if (r == 0)
		r = units_start(service->units, machine->unit, on_started,
				machine);
	if (r < 0) {
		finish(machine, NULL);
		return r;
	}
	machine->done = done;
	machine->userdata = userdata;
	machine->announced = true;
	manager_vm_added(machine);
	return 0;
}

/* --- the end --- */

static void on_stopped(void *userdata, const char *error)
{
	struct machine *machine = userdata;

	if (error &&
	    units_is_running(machine->service->units, machine->unit) > 0) {
		machine_done_fn done = machine->done;

		machine->done = NULL;
		set_state(machine, MACHINE_RUNNING);
		log_err("%s: cannot stop: %s", machine->spec.name, error);
		if (done)
			done(machine->userdata, error);
		return;
	}
	log_notice("%s: stopped", machine->spec.name);
	free(machine->failure);
	machine->failure = NULL;
	finish(machine, NULL);
}

int machine_stop(struct machine *machine, machine_done_fn done, void *userdata)
{
	enum machine_state state = machine->state;
	int r;

	if (state == MACHINE_STARTING && !machine->stop) {
		machine->stop = done;
		machine->stop_userdata = userdata;
		log_notice(
			"%s: is being started, and will be ended when that is done",
			machine->spec.name);
		return 0;
	}
	if (state == MACHINE_STARTING || state == MACHINE_STOPPING) {
		log_err("%s is %s; try again when that is done",
			machine->spec.name, machine_state_name(state));
		return -EBUSY;
	}
	set_state(machine, MACHINE_STOPPING);
	r = units_stop(machine->service->units, machine->unit, on_stopped,
		       machine);
	if (r < 0) {
		set_state(machine, state);
		return r;
	}
	machine->done = done;
	machine->userdata = userdata;
	return 0;
}

static void on_failed(void *userdata, const struct units_state *state)
{
	struct machine *machine = userdata;

	if (machine->state != MACHINE_FAILED)
		return;
	free(machine->failure);
	machine->failure = failure_text(machine, state, "ended");
	tell_failed(machine, "the agent is gone, and the devices reach nothing",
		    machine->failure ? machine->failure : "");
	manager_vm_changed(machine, "Failure");
}

/*
 * The agent is gone. It may be on its way back: a unit that is started again passes
 * through "failed", and is not where it was when we hear of that.
 */
static void on_gone(void *userdata, const struct units_state *state)
{
	struct machine *machine = userdata;

	if (machine->state != MACHINE_RUNNING)
		return;
	if (state && (strcmp(state->active, "active") == 0 ||
		      strcmp(state->active, "activating") == 0))
		return;
	machine->pid = 0;
	machine->mapped = 0; /* it went with the agent */
	set_state(machine, MACHINE_FAILED);
	on_failed(machine, state);
}

static void on_pid(void *userdata, const struct units_state *state)
{
	struct machine *machine = userdata;

	if (!state)
		return;
	machine->pid = state->main_pid;
	/* It may have been killed while there was nobody to ask for its limit. */
	(void)machine_limit(machine, machine->pid, machine->spec.quota);
}

/*
 * What it was told when it was killed, it may have heard or not; and it may not
 * have come by for its limit (handover_server.c).
 */
static void tell_again(struct machine *machine)
{
	machine->pid = 0; /* that of the one that was killed */
	(void)units_get_state(machine->service->units, machine->unit, on_pid,
			      machine);
	agent_link_free(steal_ptr(machine->link));
	if (connect_agent(machine) == 0)
		(void)machine_set_quota(machine, machine->spec.quota, NULL,
					NULL);
}

void machine_unit_changed(struct machine *machine, const char *active)
{
	if (machine->state == MACHINE_RUNNING && strcmp(active, "active") == 0)
		return tell_again(machine);
	if (strcmp(active, "failed") != 0 && strcmp(active, "inactive") != 0)
		return;
	if (machine->state != MACHINE_RUNNING) {
		machine->pid = 0;
		return;
	}
	agent_link_free(steal_ptr(machine->link));
	if (units_get_state(machine->service->units, machine->unit, on_gone,
			    machine) < 0)
		on_gone(machine, NULL);
}

/* --- after a restart of the service --- */

int machine_resume(struct service *service, const char *name, const char *path)
{
	struct machine *machine;
	struct spec spec;
	int r;

	spec_init(&spec, name);
	r = spec_load(&spec, path);
	machine = r == 0 ? machine_new(service, &spec) : NULL;
	spec_done(&spec);
	if (!machine)
		return r < 0 ? r : -ENOMEM;
	list_add(machine);
	machine->announced = true;
	r = units_is_running(service->units, machine->unit);
	if (r > 0) {
		/* One that is on its way back is tried again (machine_link()). */
		(void)connect_agent(machine);
		machine->state = MACHINE_RUNNING;
		(void)units_get_state(service->units, machine->unit, on_pid,
				      machine);
		log_info("%s: still running", name);
		return 0;
	}
	machine->state = MACHINE_FAILED;
	(void)units_get_state(service->units, machine->unit, on_failed,
			      machine);
	return 0;
}
