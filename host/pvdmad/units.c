// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * units.c - the service manager, as far as agents need it
 *
 * Theory of operation. A call that starts or stops a unit is answered at once,
 * with a job; the signal JobRemoved says how the job ended. The answer comes
 * before the signal, for both have one sender.
 *
 * Owns: the calls and jobs that are under way.
 *
 * Invariant: each of them has its callback called once, unless who asked forgot
 * it or the whole object ends first; it is out of the list by then.
 *
 * Locks: none; one event loop. In a request's way: not.
 */
#include "units.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/log.h"

#define SYSTEMD	      "org.freedesktop.systemd1"
#define SYSTEMD_PATH  "/org/freedesktop/systemd1"
#define SYSTEMD_UNITS SYSTEMD_PATH "/unit"
#define MANAGER	      SYSTEMD ".Manager"
/* Starting an agent takes as long as resetting its devices. */
#define CALL_USEC 60000000

/* A question or a job that waits for its end. */
struct wait {
	struct units *units;
	struct wait *next;
	sd_bus_slot *slot;
	char *job; /* path; NULL: not answered yet, or not a job */
	union {
		units_done_fn done;
		units_state_fn state;
		units_name_fn name;
	} fn;
	void *userdata;
};

struct units {
	sd_bus *bus;
	units_changed_fn changed;
	void *userdata;
	sd_bus_slot *job_slot;
	sd_bus_slot *state_slot;
	struct wait *waits;
};

static void wait_free(struct wait *wait)
{
	struct wait **at = &wait->units->waits;

	while (*at && *at != wait)
		at = &(*at)->next;
	if (*at)
		*at = wait->next;
	sd_bus_slot_unref(wait->slot);
	free(wait->job);
	free(wait);
}

static struct wait *wait_new(struct units *units, void *userdata)
{
	struct wait *wait = calloc(1, sizeof(*wait));

	if (!wait)
		return NULL;
	wait->units = units;
	wait->userdata = userdata;
	wait->next = units->waits;
	units->waits = wait;
	return wait;
}

void units_forget(struct units *units, const void *userdata)
{
	struct wait *next;

	for (struct wait *wait = units->waits; wait; wait = next) {
		next = wait->next;
		if (wait->userdata == userdata)
			wait_free(wait);
	}
}

char *units_path(const char *unit)
{
	char *path;

	return sd_bus_path_encode(SYSTEMD_UNITS, unit, &path) < 0 ? NULL : path;
}

/* --- signals --- */

static int on_job_removed(sd_bus_message *m, void *userdata,
			  sd_bus_error *ret_error)
{
	struct units *units = userdata;
	const char *job, *unit, *result;
	uint32_t id;

	(void)ret_error;
	if (sd_bus_message_read(m, "uoss", &id, &job, &unit, &result) < 0)
		return 0;
	for (struct wait *wait = units->waits; wait; wait = wait->next) {
		units_done_fn done = wait->fn.done;
		void *data = wait->userdata;

		if (!wait->job || strcmp(wait->job, job) != 0)
			continue;
		wait_free(wait);
		done(data, strcmp(result, "done") == 0 ? NULL : result);
		return 0;
	}
	return 0;
}

/* The value of the string property @name in a dictionary, or NULL. */
static const char *find_string(sd_bus_message *m, const char *name)
{
	const char *key, *value = NULL;

	if (sd_bus_message_enter_container(m, 'a', "{sv}") < 0)
		return NULL;
	while (!value && sd_bus_message_enter_container(m, 'e', "sv") > 0) {
		if (sd_bus_message_read(m, "s", &key) < 0)
			return NULL;
		if (strcmp(key, name) == 0) {
			if (sd_bus_message_read(m, "v", "s", &value) < 0)
				return NULL;
		} else if (sd_bus_message_skip(m, "v") < 0) {
			return NULL;
		}
		if (sd_bus_message_exit_container(m) < 0)
			return NULL;
	}
	return value;
}

static int on_properties(sd_bus_message *m, void *userdata,
			 sd_bus_error *ret_error)
{
	struct units *units = userdata;
	_cleanup_free_ char *unit = NULL;
	const char *interface, *active;

	(void)ret_error;
	if (sd_bus_message_read(m, "s", &interface) < 0 ||
	    strcmp(interface, SYSTEMD ".Unit") != 0 ||
	    sd_bus_path_decode(sd_bus_message_get_path(m), SYSTEMD_UNITS,
			       &unit) <= 0 ||
	    strncmp(unit, "pvdma-agent@", sizeof("pvdma-agent@") - 1) != 0)
		return 0;
	active = find_string(m, "ActiveState");
	if (active)
		units->changed(units->userdata, unit, active);
	return 0;
}

/* --- jobs --- */

static int on_job(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct wait *wait = userdata;
	const sd_bus_error *error = sd_bus_message_get_error(m);
	units_done_fn done;
	const char *job;
	void *data;

	(void)ret_error;
	if (!error && sd_bus_message_read(m, "o", &job) >= 0) {
		wait->job = strdup(job);
		if (wait->job)
			return 0;
	}
	done = wait->fn.done;
	data = wait->userdata;
	sd_bus_message_ref(m);
	wait_free(wait);
	done(data, error ? error->message : "no memory");
	sd_bus_message_unref(m);
	return 0;
}

static int run_job(struct units *units, const char *method, const char *unit,
		   const char *mode, units_done_fn fn, void *userdata)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	struct wait *wait = wait_new(units, userdata);
	int r;

	if (!wait)
		return -ENOMEM;
	wait->fn.done = fn;
	r = sd_bus_message_new_method_call(units->bus, &m, SYSTEMD,
					   SYSTEMD_PATH, MANAGER, method);
	if (r >= 0)
		r = sd_bus_message_append(m, "ss", unit, mode);
	if (r >= 0)
		r = sd_bus_call_async(units->bus, &wait->slot, m, on_job, wait,
				      CALL_USEC);
	if (r < 0) {
		wait_free(wait);
		return log_err_errno(r, "cannot ask systemd for %s of %s",
				     method, unit);
	}
	return 0;
}

int units_start(struct units *units, const char *unit, units_done_fn fn,
		void *userdata)
{
	return run_job(units, "StartUnit", unit, "replace", fn, userdata);
}

int units_stop(struct units *units, const char *unit, units_done_fn fn,
	       void *userdata)
{
	/*
	 * At the host's shutdown agents wait for libvirt-guests, which waits
	 * for libvirt's hook, which waits for this: not for others, then.
	 */
	return run_job(units, "StopUnit", unit, "ignore-dependencies", fn,
		       userdata);
}

void units_reset_failed(struct units *units, const char *unit)
{
	/* An answer would not matter: most units have not failed. */
	(void)sd_bus_call_method_async(units->bus, NULL, SYSTEMD, SYSTEMD_PATH,
				       MANAGER, "ResetFailedUnit", NULL, NULL,
				       "s", unit);
}

/* --- questions --- */

/* Reads what we want of a{sv}; strings live as long as @m. */
static int read_state(sd_bus_message *m, struct units_state *state)
{
	const struct {
		const char *name;
		const char **to;
	} strings[] = {
		{ "ActiveState", &state->active },
		{ "Result", &state->result },
		{ "StatusText", &state->status_text },
	};
	uint32_t pid;
	const char *key;
	int r = sd_bus_message_enter_container(m, 'a', "{sv}");

	while (r >= 0 &&
	       (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		bool taken = false;

		r = sd_bus_message_read(m, "s", &key);
		if (r < 0)
			return r;
		for (size_t i = 0; i < 3 && !taken; i++) {
			if (strcmp(key, strings[i].name) != 0)
				continue;
			r = sd_bus_message_read(m, "v", "s", strings[i].to);
			taken = true;
		}
		if (!taken && strcmp(key, "MainPID") == 0) {
			r = sd_bus_message_read(m, "v", "u", &pid);
			state->main_pid = (pid_t)pid;
			taken = true;
		}
		if (!taken)
			r = sd_bus_message_skip(m, "v");
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	return r;
}

static int on_state(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct wait *wait = userdata;
	struct units_state state = { "", "", "", 0 };
	units_state_fn fn;
	void *data;
	bool ok;

	(void)ret_error;
	ok = !sd_bus_message_get_error(m) && read_state(m, &state) >= 0;
	fn = wait->fn.state;
	data = wait->userdata;
	sd_bus_message_ref(m);
	wait_free(wait);
	fn(data, ok ? &state : NULL);
	sd_bus_message_unref(m);
	return 0;
}

int units_get_state(struct units *units, const char *unit, units_state_fn fn,
		    void *userdata)
{
	_cleanup_free_ char *path = units_path(unit);
	struct wait *wait = path ? wait_new(units, userdata) : NULL;
	int r;

	if (!wait)
		return -ENOMEM;
	wait->fn.state = fn;
	/* The empty interface: the properties of all that it has. */
	r = sd_bus_call_method_async(units->bus, &wait->slot, SYSTEMD, path,
				     "org.freedesktop.DBus.Properties",
				     "GetAll", on_state, wait, "s", "");
	if (r < 0)
		wait_free(wait);
	return r < 0 ? r : 0;
}

int units_is_running(struct units *units, const char *unit)
{
	_cleanup_free_ char *path = units_path(unit), *active = NULL;
	int r;

	if (!path)
		return -ENOMEM;
	r = sd_bus_get_property_string(units->bus, SYSTEMD, path,
				       SYSTEMD ".Unit", "ActiveState", NULL,
				       &active);
	if (r < 0)
		return r;
	return strcmp(active, "active") == 0 ||
	       strcmp(active, "activating") == 0;
}

static int on_name(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct wait *wait = userdata;
	const char *path = NULL;
	units_name_fn fn;
	void *data;

	(void)ret_error;
	if (sd_bus_message_get_error(m) ||
	    sd_bus_message_read(m, "o", &path) < 0)
		path = NULL;
	fn = wait->fn.name;
	data = wait->userdata;
	sd_bus_message_ref(m);
	wait_free(wait);
	fn(data, path);
	sd_bus_message_unref(m);
	return 0;
}

int units_of_pid(struct units *units, pid_t pid, units_name_fn fn,
		 void *userdata)
{
	struct wait *wait = wait_new(units, userdata);
	int r;

	if (!wait)
		return -ENOMEM;
	wait->fn.name = fn;
	r = sd_bus_call_method_async(units->bus, &wait->slot, SYSTEMD,
				     SYSTEMD_PATH, MANAGER, "GetUnitByPID",
				     on_name, wait, "u", (uint32_t)pid);
	if (r < 0)
		wait_free(wait);
	return r < 0 ? r : 0;
}

/* --- the object --- */

int units_new(sd_bus *bus, units_changed_fn changed, void *userdata,
	      struct units **ret)
{
	struct units *units = calloc(1, sizeof(*units));
	int r;

	if (!units)
		return log_err_errno(ENOMEM, "cannot watch units");
	units->bus = sd_bus_ref(bus);
	units->changed = changed;
	units->userdata = userdata;
	r = sd_bus_match_signal(bus, &units->job_slot, SYSTEMD, SYSTEMD_PATH,
				MANAGER, "JobRemoved", on_job_removed, units);
	if (r >= 0)
		r = sd_bus_add_match(
			bus, &units->state_slot,
			"type='signal',sender='" SYSTEMD
			"',path_namespace='" SYSTEMD_UNITS
			"',interface='org.freedesktop.DBus.Properties',"
			"member='PropertiesChanged',arg0='" SYSTEMD ".Unit'",
			on_properties, units);
	if (r >= 0)
		r = sd_bus_call_method_async(bus, NULL, SYSTEMD, SYSTEMD_PATH,
					     MANAGER, "Subscribe", NULL, NULL,
					     NULL);
	if (r < 0) {
		units_free(units);
		return log_err_errno(r, "cannot watch units");
	}
	*ret = units;
	return 0;
}

void units_free(struct units *units)
{
	if (!units)
		return;
	while (units->waits)
		wait_free(units->waits);
	sd_bus_slot_unref(units->job_slot);
	sd_bus_slot_unref(units->state_slot);
	sd_bus_unref(units->bus);
	free(units);
}
