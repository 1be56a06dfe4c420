/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * verbs.h - what pvdmactl can be asked to do
 */
#ifndef PVDMA_PVDMACTL_VERBS_H
#define PVDMA_PVDMACTL_VERBS_H

#include <stdbool.h>
#include <stddef.h>

#include "ctl.h"

#define VERB_OPTIONS_MAX 8

/* An option of a verb; the list ends with one without a name. */
struct verb_option {
	const char *name;
	const char *value; /* what it takes, such as "SIZE"; NULL: nothing */
	const char *help;
};

/* A command line that fits its verb. Strings are the caller's. */
struct verb_args {
	const struct verb_option *options;    /* that the verb has */
	const char *values[VERB_OPTIONS_MAX]; /* NULL: not given */
	char **words;
	int num_words;
};

struct verb {
	const char *name;
	const char *arguments;
	const char *help; /* a line */
	int min_words, max_words;
	const struct verb_option *options; /* NULL: none */
	/* 0 or an exit status, explained. */
	int (*run)(struct ctl *ctl, const struct verb_args *args);
	/* Instead of it: reads its arguments by itself, argv[0] is the verb. */
	int (*run_alone)(int argc, char **argv);
	bool json_alone; /* such a one knows --json */
};

/* The table; ends with one without a name. */
extern const struct verb verbs[];

const struct verb *verbs_find(const char *name);

/* The value of an option ("" if it takes none), or NULL: it was not given. */
const char *verbs_option(const struct verb_args *args, const char *name);

/* Runs a verb, argv[0] being its name. Returns the exit status. */
int verbs_run(const struct verb *verb, struct ctl *ctl, int argc, char **argv);

/* pvdmactl's help. */
void verbs_usage(void);

/* --- the verbs --- */

/* show.c */
int show_status(struct ctl *ctl, const struct verb_args *args);
int show_list(struct ctl *ctl, const struct verb_args *args);
int show_vm(struct ctl *ctl, const struct verb_args *args);
/* show_devices.c */
int show_devices(struct ctl *ctl, const struct verb_args *args);
/* show_trace.c */
int show_trace(struct ctl *ctl, const struct verb_args *args);
/* top.c */
int top_run(struct ctl *ctl, const struct verb_args *args);
/* change.c */
int change_start(struct ctl *ctl, const struct verb_args *args);
int change_stop(struct ctl *ctl, const struct verb_args *args);
int change_quota(struct ctl *ctl, const struct verb_args *args);
int change_limits(struct ctl *ctl, const struct verb_args *args);
int change_strategy(struct ctl *ctl, const struct verb_args *args);
int change_budget(struct ctl *ctl, const struct verb_args *args);
/* metrics.c */
int metrics_run(struct ctl *ctl, const struct verb_args *args);

#endif
