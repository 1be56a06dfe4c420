/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * event.h - the event loop of a program that runs until it is told to end
 */
#ifndef PVDMA_LIB_EVENT_H
#define PVDMA_LIB_EVENT_H

#include <systemd/sd-event.h>

/*
 * A loop that SIGTERM and SIGINT end, with a watchdog where the service manager
 * asks for one. Blocks the two signals, and ignores SIGPIPE. 0 with *@ret set,
 * or a negative errno, not logged.
 */
int event_new(sd_event **ret);

#endif
