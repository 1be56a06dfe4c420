/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * control.h - the control socket: a line of text in, a line of JSON out
 */
#ifndef PVDMA_AGENT_CONTROL_H
#define PVDMA_AGENT_CONTROL_H

#include <stddef.h>
#include <stdio.h>
#include <systemd/sd-event.h>

struct control;

/* A command is a word and, behind blanks, an argument ("" if there is none). */
struct control_verb {
	const char *name;
	const char *help;
	/*
	 * Writes one line of JSON to @out, without its newline, and returns 0;
	 * or returns a negative errno with *@why set to words (or NULL: the
	 * error's own). What was written then is dropped.
	 */
	int (*fn)(void *userdata, const char *arg, FILE *out, const char **why);
};

/*
 * Listens on @listen_fd (owned on success). @verbs lives as long as the object;
 * the verb "help" is added. 0 or negative errno.
 */
int control_new(sd_event *event, int listen_fd,
		const struct control_verb *verbs, size_t num_verbs,
		void *userdata, struct control **ret);
void control_free(struct control *control);

/* Descriptors that can come along with one line. */
#define CONTROL_FDS_MAX 8

/*
 * For a verb: the descriptors that came with the line that it answers, which
 * stay the control socket's until they are taken out (set to -EBADF).
 */
int *control_fds(struct control *control, size_t *ret_num);

#endif
