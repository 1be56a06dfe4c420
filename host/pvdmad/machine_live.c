// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * machine_live.c - what can be changed of a VM while it runs
 *
 * Theory of operation. A change is a command of the agent's control socket. What
 * must be there before the agent acts on it (a limit of locked memory, a device
 * that is bound, the file from which a restarted service learns of it) is done
 * before, and undone if the agent refuses; what follows from it (the spec, a
 * limit that falls) is done when it has answered. So a change that would be
 * forgotten for want of room on the disk is refused.
 *
 * Owns: changes that are under way.
 *
 * Invariant: each has its callback called once; a machine outlives them, for
 * its link answers them all before it ends.
 *
 * Locks: none; one event loop. In a request's way: not.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent_link.h"
#include "assign.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "machine.h"
#include "manager.h"
#include "service.h"

struct change {
	struct machine *machine;
	/* What follows when the agent has done it; NULL: what failed. */
	void (*finish)(struct change *change, const char *error,
		       json_object *answer);
	uint64_t number; /* bytes of a quota; an endpoint */
	bool fixed;	 /* min and max go along */
	char text[64];
	machine_done_fn done;
	void *userdata;
};

static void on_answer(void *userdata, const char *error, json_object *answer,
		      const char *json)
{
	struct change *change = userdata;

	(void)json;
	change->finish(change, error, answer);
	if (change->done)
		change->done(change->userdata, error);
	free(change);
}

/* Sends @command with @what as its change. 0 or a negative errno, logged. */
static int begin(const struct change *what, const char *command, const int *fds,
		 size_t num_fds)
{
	struct machine *machine = what->machine;
	struct change *change;
	int r;

	if (!machine_link(machine)) {
		log_err("%s has no agent that runs", machine->spec.name);
		return -ENOTCONN;
	}
	change = malloc(sizeof(*change));
	if (!change)
		return log_err_errno(ENOMEM, "%s", machine->spec.name);
	*change = *what;
	r = agent_link_ask_fds(machine->link, command, fds, num_fds, on_answer,
			       change);
	if (r < 0) {
		free(change);
		return log_err_errno(r, "%s: the agent cannot be asked",
				     machine->spec.name);
	}
	return 0;
}

static void save(struct machine *machine)
{
	(void)spec_save(&machine->spec, machine->state_file);
}

/* --- quota --- */

static void finish_quota(struct change *change, const char *error,
			 json_object *answer)
{
	struct machine *machine = change->machine;
	json_object *mapped;

	if (!error) {
		machine->spec.quota = change->number;
		/* of a quota that fell, more may still be in use */
		if (json_object_object_get_ex(answer, "mapped_bytes", &mapped))
			machine->mapped = json_object_get_uint64(mapped);
		if (change->fixed) {
			machine->spec.min = change->number;
			machine->spec.max = change->number;
		}
		manager_vm_changed(machine, "Quota");
	}
	/* Now that the agent keeps it, or as it was. */
	save(machine);
	(void)machine_limit(machine, machine->pid, machine->spec.quota);
}

/* What must be there before the agent is asked. 0 or a negative errno, logged. */
static int prepare_quota(const struct machine *machine, uint64_t bytes,
			 bool fixed)
{
	struct spec next = machine->spec; /* shares what it points to */
	int r;

	next.quota = bytes;
	if (fixed) {
		next.min = bytes;
		next.max = bytes;
	}
	r = spec_save(&next, machine->state_file);
	/* The limit must be there before it is used. */
	if (r == 0 && bytes > machine->spec.quota)
		r = machine_limit(machine, machine->pid, bytes);
	return r;
}

int machine_set_quota(struct machine *machine, uint64_t bytes,
		      machine_done_fn done, void *userdata)
{
	const struct spec *spec = &machine->spec;
	struct change change = {
		.machine = machine,
		.finish = finish_quota,
		.number = bytes,
		.fixed = spec->min == spec->max,
		.done = done,
		.userdata = userdata,
	};
	char command[64];
	int r;

	if (!change.fixed && (bytes < spec->min || bytes > spec->max)) {
		log_err("%s: a quota of %" PRIu64
			" bytes is not between its min of %" PRIu64
			" and its max of %" PRIu64 "; set those first",
			spec->name, bytes, spec->min, spec->max);
		return -ERANGE;
	}
	r = prepare_quota(machine, bytes, change.fixed);
	if (r == 0) {
		(void)snprintf(command, sizeof(command), "quota %" PRIu64,
			       bytes);
		r = begin(&change, command, NULL, 0);
	}
	if (r < 0)
		save(machine);
	return r;
}

int machine_set_limits(struct machine *machine, uint64_t min, uint64_t max,
		       uint32_t weight)
{
	struct spec *spec = &machine->spec;
	struct spec next = *spec; /* shares what it points to */
	int r;

	if (min > max || weight < 1 || weight > SPEC_WEIGHT_MAX) {
		log_err("%s: expected min <= max and a weight of 1 to %d",
			spec->name, SPEC_WEIGHT_MAX);
		return -EINVAL;
	}
	next.min = min;
	next.max = max;
	next.weight = weight;
	next.quota = min(max(spec->quota, min), max);
	r = spec_save(&next, machine->state_file);
	if (r < 0)
		return r;
	spec->min = min;
	spec->max = max;
	spec->weight = weight;
	manager_vm_changed(machine, "Min");
	manager_vm_changed(machine, "Max");
	manager_vm_changed(machine, "Weight");
	if (next.quota != spec->quota && machine->state == MACHINE_RUNNING)
		(void)machine_set_quota(machine, next.quota, NULL, NULL);
	return 0;
}

/* --- strategy --- */

static void finish_strategy(struct change *change, const char *error,
			    json_object *answer)
{
	struct machine *machine = change->machine;

	(void)answer;
	if (error)
		return;
	(void)spec_set(&machine->spec, "strategy", change->text);
	save(machine);
	manager_vm_changed(machine, "Strategy");
}

int machine_set_strategy(struct machine *machine, const char *strategy,
			 machine_done_fn done, void *userdata)
{
	struct change change = {
		.machine = machine,
		.finish = finish_strategy,
		.done = done,
		.userdata = userdata,
	};
	char command[80];

	if (strlen(strategy) >= sizeof(change.text) ||
	    strpbrk(strategy, " \t\n")) {
		log_err("%s: \"%s\" is no strategy", machine->spec.name,
			strategy);
		return -EINVAL;
	}
	(void)snprintf(change.text, sizeof(change.text), "%s", strategy);
	(void)snprintf(command, sizeof(command), "strategy %s", strategy);
	return begin(&change, command, NULL, 0);
}

/* --- devices --- */

/* The place of the device in the spec, or num_devices. */
static size_t find_endpoint(const struct machine *machine, uint64_t endpoint)
{
	const struct spec *spec = &machine->spec;
	size_t i = 0;

	while (i < spec->num_devices && spec->devices[i].endpoint != endpoint)
		i++;
	return i;
}

static size_t find_device(const struct machine *machine, const char *address)
{
	const struct spec *spec = &machine->spec;
	size_t i = 0;

	while (i < spec->num_devices &&
	       strcmp(spec->devices[i].address, address) != 0)
		i++;
	return i;
}

/* Takes the device out of the spec, and gives it back. */
static void drop_device(struct machine *machine, size_t i)
{
	struct machine_device *dev = &machine->devices[i];

	dev->listen_fd = close_fd(dev->listen_fd);
	dev->group_fd = close_fd(dev->group_fd);
	socket_name_done(&dev->name);
	machine_remove_socket(machine, i);
	if (assign_give_back_one(machine->service, &machine->spec, i) < 0)
		log_warn("%s: still open, so that it stays with vfio-pci",
			 machine->spec.devices[i].address);
	(void)spec_remove_device(&machine->spec, i);
	memmove(dev, dev + 1, (SPEC_DEVICES_MAX - i - 1) * sizeof(*dev));
	machine->devices[SPEC_DEVICES_MAX - 1] = (struct machine_device){
		.listen_fd = -EBADF,
		.group_fd = -EBADF,
	};
	save(machine);
}

static void finish_add(struct change *change, const char *error,
		       json_object *answer)
{
	struct machine *machine = change->machine;
	size_t i = find_endpoint(machine, change->number);
	struct machine_device *dev = &machine->devices[i];

	(void)answer;
	if (i == machine->spec.num_devices)
		return;
	if (error) {
		drop_device(machine, i);
		return;
	}
	dev->listen_fd = close_fd(dev->listen_fd);
	dev->group_fd = close_fd(dev->group_fd);
	manager_vm_changed(machine, "Devices");
}

/* One more than the largest: numbers are not used again while a VM runs. */
static uint32_t next_endpoint(const struct spec *spec)
{
	uint32_t endpoint = 1;

	for (size_t i = 0; i < spec->num_devices; i++)
		endpoint = max(endpoint, spec->devices[i].endpoint + 1);
	return endpoint;
}

static int take_device(struct machine *machine, const char *address)
{
	struct spec *spec = &machine->spec;
	uint32_t endpoint = next_endpoint(spec);
	size_t i = spec->num_devices;
	int r;

	r = spec_set(spec, "device", address);
	if (r < 0)
		return r;
	spec->devices[i].endpoint = endpoint;
	r = assign_check_one(machine->service, spec, i);
	if (r < 0) {
		(void)spec_remove_device(spec, i);
		return r;
	}
	r = spec_save(spec, machine->state_file);
	if (r < 0) {
		(void)spec_remove_device(spec, i);
		return r;
	}
	r = assign_take_one(machine->service, spec, i);
	if (r == 0)
		r = machine_open_device(machine, i);
	if (r < 0)
		drop_device(machine, i);
	return r;
}

int machine_add_device(struct machine *machine, const char *address,
		       machine_done_fn done, void *userdata)
{
	struct change change = {
		.machine = machine,
		.finish = finish_add,
		.done = done,
		.userdata = userdata,
	};
	const struct machine_device *dev;
	size_t i = machine->spec.num_devices;
	int fds[AGENT_LINK_FDS], r;
	char command[96];

	if (machine->state != MACHINE_RUNNING) {
		log_err("%s does not run", machine->spec.name);
		return -ENOTCONN;
	}
	r = take_device(machine, address);
	if (r < 0)
		return r;
	dev = &machine->devices[i];
	fds[0] = dev->listen_fd;
	fds[1] = dev->group_fd;
	change.number = machine->spec.devices[i].endpoint;
	(void)snprintf(command, sizeof(command),
		       "device-add %s,endpoint=%" PRIu64,
		       machine->spec.devices[i].address, change.number);
	r = begin(&change, command, fds, dev->group_fd >= 0 ? 2 : 1);
	if (r < 0)
		drop_device(machine, i);
	return r;
}

static void finish_remove(struct change *change, const char *error,
			  json_object *answer)
{
	struct machine *machine = change->machine;
	size_t i = find_endpoint(machine, change->number);

	(void)answer;
	if (error || i == machine->spec.num_devices)
		return;
	drop_device(machine, i);
	manager_vm_changed(machine, "Devices");
}

int machine_remove_device(struct machine *machine, const char *address,
			  machine_done_fn done, void *userdata)
{
	struct change change = {
		.machine = machine,
		.finish = finish_remove,
		.done = done,
		.userdata = userdata,
	};
	size_t i = find_device(machine, address);
	char command[64];

	if (i == machine->spec.num_devices) {
		log_err("%s has no device %s", machine->spec.name, address);
		return -ENODEV;
	}
	change.number = machine->spec.devices[i].endpoint;
	(void)snprintf(command, sizeof(command), "device-remove %" PRIu64,
		       change.number);
	return begin(&change, command, NULL, 0);
}
