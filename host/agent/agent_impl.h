/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * agent_impl.h - inside of struct agent, for agent.c and commands.c alone
 */
#ifndef PVDMA_AGENT_AGENT_IMPL_H
#define PVDMA_AGENT_AGENT_IMPL_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <systemd/sd-event.h>

#include "agent_kept.h"
#include "config.h"
#include "control.h"
#include "lib/socket.h"

struct agent_device {
	struct kept_device *kept;
	const struct config_device *config;
	struct config_device *own; /* `config` where it was added; or NULL */
	struct device *device;
	struct vfio_user *server;
	struct socket_name name;
};

struct agent {
	const struct agent_config *config;
	struct keeper *keeper;
	struct kept_root *kept; /* in the VM's arena */
	bool resuming;		/* goes on where a process was killed */
	sd_event *event;
	sd_event_source *work_source;	 /* runs vm_work() */
	sd_event_source *tick_source;	 /* runs vm_tick() */
	sd_event_source *look_source;	 /* runs vm_look(); NULL: no need */
	sd_event_source *observe_source; /* runs vm_observe() */
	uint64_t observe_until;		 /* CLOCK_MONOTONIC, usec */
	sd_event_source *trace_source;	 /* ends the trace; NULL: none yet */
	int iommu_fd;			 /* borrowed, until it is put in */
	struct iommu *iommu;		 /* owned by vm, once there is one */
	struct vm *vm;
	struct agent_device *devices;
	size_t num_devices;
	struct vhost *vhost; /* NULL: no way for a driver */
	struct socket_name vhost_name;
	struct control *control;
	struct socket_name control_name;
	FILE *status; /* /proc/self/status; NULL: there is none */
};

/* --- devices.c --- */

/* The listening descriptor of @socket; or a negative errno, logged. */
int agent_open_socket(const struct agent *agent,
		      const struct config_socket *socket, const char *what,
		      struct socket_name *ret_name);

/* Opens and serves all of the configuration. 0 or a negative errno, logged. */
int devices_open(struct agent *agent);
/*
 * The same with those of the process before; then goes on with their clients, as
 * vfio_user_resume() says. Likewise.
 */
int devices_reopen(struct agent *agent);
int devices_resume(struct agent *agent);
void devices_go_on(struct agent *agent);
void devices_close(struct agent *agent);

/*
 * Adds a device, "ADDRESS|null[,endpoint=N]", while the VM runs. @fds are the
 * listening socket and, for a real device, its VFIO group; those that were
 * taken are -EBADF afterwards. 0 with the endpoint; or a negative errno with
 * words in *@why.
 */
int devices_add(struct agent *agent, const char *spec, int *fds, size_t num_fds,
		const char **why, uint32_t *ret_endpoint);

/* Resets the device and lets go of it; not while QEMU uses it. Likewise. */
int devices_remove(struct agent *agent, uint32_t endpoint, const char **why);

/* --- agent_resume.c --- */

/* Takes over what the process before served. 0 or a negative errno, logged. */
int agent_resume(struct agent *agent);
/* Serves on, beginning with what waits. */
void agent_go_on(struct agent *agent);

/* --- agent.c --- */

/* Somebody asks for the cost curve: looks at what that needs for a while. */
void agent_observe(struct agent *agent);

/* --- memlock.c --- */

/*
 * Moves the soft RLIMIT_MEMLOCK to @quota bytes, as far as the hard limit lets
 * it; to be called again whenever the quota changes. 0; or the limit in bytes
 * where it does not suffice, which is logged.
 */
uint64_t memlock_prepare(uint64_t quota);

/* --- commands.c --- */

/* The verbs of the control socket; their userdata is the struct agent. */
extern const struct control_verb agent_verbs[];
extern const size_t agent_num_verbs;

#endif
