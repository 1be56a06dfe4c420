/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * query.h - the client of a control socket
 */
#ifndef PVDMA_AGENT_QUERY_H
#define PVDMA_AGENT_QUERY_H

/*
 * Sends the @count @words as one command to the agent at @path, and prints its
 * answer on stdout. Returns 0, a positive value where the agent answered with
 * an error, or a negative errno, logged.
 */
int query_run(const char *path, char *const *words, int count);

#endif
