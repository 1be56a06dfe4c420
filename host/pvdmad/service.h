/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * service.h - the system service: what its parts share
 */
#ifndef PVDMA_PVDMAD_SERVICE_H
#define PVDMA_PVDMAD_SERVICE_H

#include <stdint.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "pvdmad/sysfs.h"
#include "units.h"

struct balance;
struct machine;
struct spec;
struct handover_server;
struct manager;

/* What the operator set (pvdmad.conf(5)). */
struct service_config {
	char *runtime_dir;   /* where sockets and state are */
	char *bus_address;   /* NULL: the system's bus */
	char *owner;	     /* of the sockets for QEMU, USER[:GROUP] */
	uint64_t budget;     /* bytes that all VMs may pin; 0: no limit */
	uint64_t round_usec; /* between two divisions of the budget; 0: never */
	int log_level;
};

struct service {
	const struct service_config *config;
	sd_event *event;
	sd_bus *bus;
	struct sysfs sysfs;
	struct units *units;
	struct handover_server *handover;
	struct manager *manager;
	struct balance *balance;
	struct machine *machines; /* a list, by age */
	uint64_t budget;
};

/* 0 with all VMs that the last service left, or a negative errno, logged. */
int service_new(const struct service_config *config, struct service **ret);
/* Until SIGTERM. VMs go on. 0 or a negative errno, logged. */
int service_run(struct service *service);
/* Takes NULL. */
void service_free(struct service *service);

/* The VM of this name, or NULL. */
struct machine *service_find(const struct service *service, const char *name);
/* The sum of all quotas, and of what was pinned when last asked; bytes. */
uint64_t service_assigned(const struct service *service);
uint64_t service_mapped(const struct service *service);

/*
 * May a VM of these bounds be added? Makes its quota fit into what the budget
 * has left. 0 or -ENOSPC, logged.
 */
int service_admit(const struct service *service, struct spec *spec);

/* May this VM have at least @bytes? 0 or -ENOSPC, logged. */
int service_may_grow(const struct service *service,
		     const struct machine *machine, uint64_t bytes);

/*
 * Sets the budget, 0 for none, and keeps it over restarts of the service. 0, or
 * -ERANGE: all VMs' min need more, or another negative errno; logged.
 */
int service_set_budget(struct service *service, uint64_t bytes);
/* The one that was set, or the one that is configured. 0 or a negative errno, logged. */
int service_load_budget(struct service *service);

#endif
