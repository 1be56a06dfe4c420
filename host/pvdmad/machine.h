/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * machine.h - a VM as the service knows it, from its start to its end
 */
#ifndef PVDMA_PVDMAD_MACHINE_H
#define PVDMA_PVDMAD_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "lib/macros.h"
#include "lib/socket.h"
#include "spec.h"

struct agent_link;
struct service;

enum machine_state {
	MACHINE_STARTING,
	MACHINE_RUNNING,
	MACHINE_STOPPING,
	MACHINE_FAILED, /* the agent is gone, the devices are still ours */
};

/* What an operation came to: NULL, or why it failed, in words. */
typedef void (*machine_done_fn)(void *userdata, const char *error);

/* A device of the VM, on its way to the agent. */
struct machine_device {
	struct socket_name name; /* of the socket for QEMU */
	int listen_fd;		 /* -EBADF: handed over */
	int group_fd;		 /* likewise; or there is none */
};

struct machine {
	struct machine *next;
	struct service *service;
	struct spec spec;
	enum machine_state state;
	char *failure; /* NULL: none */
	char *unit;
	char *unit_path; /* on the bus */
	char *path;	 /* of its own object on the bus */
	char *dir;
	char *state_file;
	struct machine_device devices[SPEC_DEVICES_MAX]; /* as in spec */
	struct socket_name vhost_name;
	struct socket_name control_name;
	int vhost_fd; /* these until they are handed over, -EBADF then */
	int control_fd;
	int container_fd;
	pid_t pid; /* of the agent; 0: not known */
	struct agent_link *link;
	bool announced;		  /* to the bus */
	unsigned int full_rounds; /* in which the quota did not suffice */
	uint64_t mapped;	  /* bytes, when it last said */
	sd_event_source *retry;	  /* of giving devices back; NULL: not now */
	unsigned int tries;
	machine_done_fn done; /* of the start or stop that is under way */
	void *userdata;
	machine_done_fn stop; /* of a stop that waits for the start's end */
	void *stop_userdata;
};

/*
 * Prepares devices and sockets of @spec (which is taken over on success), and
 * starts the agent. @done is called when it serves, or when it is all undone
 * and the machine is gone. 0 if that is under way; a negative errno, logged,
 * with nothing changed.
 */
int machine_start(struct service *service, struct spec *spec,
		  machine_done_fn done, void *userdata);

/*
 * Ends the agent, gives the devices back, and forgets the machine, which is
 * gone when @done is called; one that is being started is ended when that is done.
 * 0 or a negative errno, logged.
 */
int machine_stop(struct machine *machine, machine_done_fn done, void *userdata);

/* Takes up what an earlier service left in the file at @path. Likewise. */
int machine_resume(struct service *service, const char *name, const char *path);

/* The service manager says that the agent's unit is @active now. */
void machine_unit_changed(struct machine *machine, const char *active);

/*
 * The process @pid, which is of this machine's unit, asks for what it needs:
 * sent over @conn. 0 or a negative errno, logged.
 */
int machine_hand_over(struct machine *machine, pid_t pid, int conn);

/* The way to the agent, if it runs; NULL otherwise. */
struct agent_link *machine_link(struct machine *machine);

/* What it has of the host's budget: its quota, or what it holds above that. */
static inline uint64_t machine_taken(const struct machine *machine)
{
	return max(machine->spec.quota, machine->mapped);
}

const char *machine_state_name(enum machine_state state);

/* Frees the object and its descriptors; touches nothing else. */
void machine_free(struct machine *machine);

/* --- machine_live.c: what can be changed while it runs --- */

/*
 * Sets the quota, of the agent and of the kernel's limit for it: within min and
 * max, or both with it where they are the same. @done says whether the agent
 * took it; called only if 0 was returned.
 */
int machine_set_quota(struct machine *machine, uint64_t bytes,
		      machine_done_fn done, void *userdata);

/*
 * Bounds and weight for the budget; the quota follows. 0 or a negative errno,
 * logged.
 */
int machine_set_limits(struct machine *machine, uint64_t min, uint64_t max,
		       uint32_t weight);

/* Sets the strategy. As machine_set_quota(). */
int machine_set_strategy(struct machine *machine, const char *strategy,
			 machine_done_fn done, void *userdata);

/*
 * Takes a device from its driver and gives it to the running agent; or the
 * other way round, after QEMU has unplugged it. As machine_set_quota(); @address
 * is in full form.
 */
int machine_add_device(struct machine *machine, const char *address,
		       machine_done_fn done, void *userdata);
int machine_remove_device(struct machine *machine, const char *address,
			  machine_done_fn done, void *userdata);

/* --- machine_sockets.c: sockets, descriptors and limits --- */

/* Opens all that the agent needs. 0 or a negative errno, logged. */
int machine_open(struct machine *machine);
/* Opens what device @i needs. Likewise. */
int machine_open_device(struct machine *machine, size_t i);
/* Where QEMU finds a device; in @buf. */
void machine_socket_path(const struct machine *machine,
			 const struct spec_device *dev, char *buf, size_t size);
/* Removes the socket of device @i, whoever made it. */
void machine_remove_socket(const struct machine *machine, size_t i);
/* Closes what is open, and removes sockets and directory. */
void machine_close(struct machine *machine);
/* The limit of locked memory of the agent. 0 or a negative errno, logged. */
int machine_limit(const struct machine *machine, pid_t pid, uint64_t bytes);

#endif
