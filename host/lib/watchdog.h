/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * watchdog.h - the service manager's patience while a driver takes its time
 */
#ifndef PVDMA_LIB_WATCHDOG_H
#define PVDMA_LIB_WATCHDOG_H

/*
 * Between the two the service may be silent for ten minutes, else for as long as
 * its unit says. Without a watchdog they do nothing. They do not nest.
 */
void watchdog_wait(void);
void watchdog_go_on(void);

#endif
