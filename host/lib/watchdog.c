// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * watchdog.c - the service manager's patience while a driver takes its time
 *
 * A write to sysfs that binds a device returns when the driver's probe() has, and
 * one that unbinds it when its last request has ended: a disk that is reset, or a
 * NIC that loads its firmware, may need more than the watchdog allows. A service
 * that was killed there would leave the device between two drivers. So may the reset
 * of a device, for which the kernel waits a minute; an agent that was killed there
 * would begin it anew. So the watchdog is told to wait (WATCHDOG_USEC=,
 * sd_notify(3)), but not for ever.
 *
 * Owns: nothing. Invariant: outside of the two calls the unit's time holds.
 * Locks: none. In a request's way: not.
 */
#include "lib/watchdog.h"

#include <inttypes.h>
#include <stdint.h>
#include <systemd/sd-daemon.h>

#define WAIT_USEC UINT64_C(600000000)

static void notify(uint64_t usec)
{
	(void)sd_notifyf(0, "WATCHDOG=1\nWATCHDOG_USEC=%" PRIu64, usec);
}

void watchdog_wait(void)
{
	uint64_t usec;

	if (sd_watchdog_enabled(0, &usec) > 0 && usec < WAIT_USEC)
		notify(WAIT_USEC);
}

void watchdog_go_on(void)
{
	uint64_t usec;

	if (sd_watchdog_enabled(0, &usec) > 0 && usec < WAIT_USEC)
		notify(usec);
}
