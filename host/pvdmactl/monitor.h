/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor.h - what pvdma asks of the monitor (QMP) of a running QEMU
 */
#ifndef PVDMA_PVDMACTL_MONITOR_H
#define PVDMA_PVDMACTL_MONITOR_H

#include <stdbool.h>

/* A way to a monitor. */
struct monitor {
	/*
	 * Sends a command; 0 with the whole answer, allocated, in *@ret_answer;
	 * or a negative errno, logged.
	 */
	int (*command)(void *userdata, const char *json, char **ret_answer);
	void *userdata;
};

/*
 * A command without an interesting answer: 0, or a negative errno, logged as
 * "cannot @what: QEMU's words".
 */
int monitor_do(const struct monitor *monitor, const char *what,
	       const char *json);

/*
 * A PCIe root port that nothing is plugged into, ours before libvirt's; libvirt's
 * last first, because libvirt takes the first. *@ret_id is allocated; NULL
 * where the machine has no root ports at all, and devices sit on the first bus.
 * 0, -ENOSPC if all are taken, or another negative errno; logged.
 */
int monitor_free_port(const struct monitor *monitor, char **ret_id);

/* Whether there is a device of that id. 1, 0, or a negative errno, logged. */
int monitor_has_device(const struct monitor *monitor, const char *id);

/*
 * Asks the guest to give the device up, and waits for that. 0, -ETIMEDOUT, or
 * another negative errno; logged.
 */
int monitor_unplug(const struct monitor *monitor, const char *id,
		   unsigned int seconds);

#endif
