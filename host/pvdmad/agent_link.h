/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * agent_link.h - the service's end of an agent's control socket
 */
#ifndef PVDMA_PVDMAD_AGENT_LINK_H
#define PVDMA_PVDMAD_AGENT_LINK_H

#include <json-c/json.h>
#include <stddef.h>
#include <systemd/sd-event.h>

struct agent_link;

/*
 * The answer to a command: @error is NULL and @json the agent's line, with
 * @answer what it says; or @error has words, and the others are NULL. All live
 * until the function returns, which must not free the link.
 */
typedef void (*agent_link_fn)(void *userdata, const char *error,
			      json_object *answer, const char *json);

/* The agent closed the connection, or spoke nonsense; free the link. */
typedef void (*agent_link_lost_fn)(void *userdata);

/* Connects to the control socket at @path. 0 or a negative errno, logged. */
int agent_link_new(sd_event *event, const char *path, agent_link_lost_fn lost,
		   void *userdata, struct agent_link **ret);

/*
 * Ends the connection; who waits for an answer is told that it will not come.
 * Takes NULL.
 */
void agent_link_free(struct agent_link *link);

/*
 * Sends a command, a line without its end. @fn is called once, and only if 0
 * was returned; -EAGAIN: too many wait; or another negative errno.
 */
int agent_link_ask(struct agent_link *link, const char *command,
		   agent_link_fn fn, void *userdata);

/* The same with descriptors, at most AGENT_LINK_FDS, which stay the caller's. */
#define AGENT_LINK_FDS 2
int agent_link_ask_fds(struct agent_link *link, const char *command,
		       const int *fds, size_t num_fds, agent_link_fn fn,
		       void *userdata);

/* Questions that are not answered yet. */
unsigned int agent_link_waiting(const struct agent_link *link);

#endif
