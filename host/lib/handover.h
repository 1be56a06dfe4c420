/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * handover.h - how the service gives an agent its configuration and its
 * descriptors
 *
 * The agent connects to a socket of the service (SOCK_SEQPACKET); the service
 * finds out whose agent that is, and sends one message: settings in the form of
 * pvdma-agent.conf(5), and descriptors. The settings name descriptor I of the
 * message by the number HANDOVER_FD_BASE + I, under which the agent puts it.
 */
#ifndef PVDMA_LIB_HANDOVER_H
#define PVDMA_LIB_HANDOVER_H

#include <stddef.h>

/* Above what a program has open when it starts. */
#define HANDOVER_FD_BASE 100
/* Of one message; the kernel takes 253 (SCM_MAX_FD). */
#define HANDOVER_FDS_MAX 200
/* Bytes of settings. */
#define HANDOVER_TEXT_MAX 65536

/*
 * Sends @text and the @num descriptors at @fds, which stay the caller's, over
 * the connection @conn. 0, -E2BIG, or another negative errno; not logged.
 */
int handover_send(int conn, const char *text, const int *fds, size_t num);

/*
 * Connects to @path and waits for the message, but not for ever. Returns the
 * settings (to be freed) in *@ret_text, with the descriptors in their places,
 * close-on-exec. 0 or a negative errno, logged.
 */
int handover_receive(const char *path, char **ret_text);

#endif
