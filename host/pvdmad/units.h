/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * units.h - the service manager, as far as agents need it
 */
#ifndef PVDMA_PVDMAD_UNITS_H
#define PVDMA_PVDMAD_UNITS_H

#include <sys/types.h>
#include <systemd/sd-bus.h>

struct units;

/* What the service manager says of a unit. */
struct units_state {
	const char *active;	 /* active, inactive, failed, activating, ... */
	const char *result;	 /* success, exit-code, signal, ... */
	const char *status_text; /* the unit's own words; "" for none */
	pid_t main_pid;		 /* 0: none */
};

/*
 * Told whenever a unit of an agent enters another state. @unit is the name.
 */
typedef void (*units_changed_fn)(void *userdata, const char *unit,
				 const char *active);

/* The end of a job: NULL, or why it did not succeed. */
typedef void (*units_done_fn)(void *userdata, const char *error);
/* @state is NULL if it could not be found out. */
typedef void (*units_state_fn)(void *userdata, const struct units_state *state);
/* The unit of a process, NULL if there is none. */
typedef void (*units_name_fn)(void *userdata, const char *unit_path);

/* 0 or a negative errno, logged. The bus outlives it. */
int units_new(sd_bus *bus, units_changed_fn changed, void *userdata,
	      struct units **ret);
/* Callbacks that are due are not called any more. */
void units_free(struct units *units);

/*
 * Starts or stops a unit; @fn is called when the job is done, and only if 0 was
 * returned. A negative errno otherwise.
 */
int units_start(struct units *units, const char *unit, units_done_fn fn,
		void *userdata);
int units_stop(struct units *units, const char *unit, units_done_fn fn,
	       void *userdata);

/* Forgets that a unit failed, so that it can go. */
void units_reset_failed(struct units *units, const char *unit);

/* Asks for a unit's state. @fn is called only if 0 was returned. */
int units_get_state(struct units *units, const char *unit, units_state_fn fn,
		    void *userdata);

/*
 * Does it run, or is it on its way (back)? Waits for the answer: 1 or 0, or a
 * negative errno.
 */
int units_is_running(struct units *units, const char *unit);

/* Asks whose process @pid is. @fn is called only if 0 was returned. */
int units_of_pid(struct units *units, pid_t pid, units_name_fn fn,
		 void *userdata);

/* No callback with this @userdata is called any more. */
void units_forget(struct units *units, const void *userdata);

/* The bus path of a unit; to be freed. NULL: no memory. */
char *units_path(const char *unit);

#endif
