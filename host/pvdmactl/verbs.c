// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * verbs.c - what pvdmactl can be asked to do
 *
 * Owns: the table of verbs, and what their command lines look like. The help
 * and the completion of shells come from it, or are compared with it.
 *
 * Locks: none. In a request's way: not.
 */
#include "verbs.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "attach.h"
#include "doctor.h"
#include "hook.h"
#include "lib/log.h"

static int run_doctor(int argc, char **argv)
{
	struct doctor_options options;
	int r = doctor_parse(argc, argv, &options);

	if (r != 0)
		return r < 0 ? CTL_USAGE : CTL_OK;
	return doctor_run(&options, stdout) == 0 ? CTL_OK : CTL_FAILED;
}

static int run_help(struct ctl *ctl, const struct verb_args *args);

static const struct verb_option limits_options[] = {
	{ "min", "SIZE", "what the VM is sure of" },
	{ "max", "SIZE", "what it never gets more than" },
	{ "weight", "N", "its share of the rest, 1 to 10000" },
	{ 0 },
};

static const struct verb_option top_options[] = {
	{ "once", NULL, "print once, and end" },
	{ "interval", "TIME", "between two looks, such as 500ms (default 2s)" },
	{ 0 },
};

static const struct verb_option trace_options[] = {
	{ "count", "N", "that many requests at most, 1 to 64 (default 16)" },
	{ "follow", NULL, "print new ones as they come" },
	{ 0 },
};

static const struct verb_option metrics_options[] = {
	{ "format", "NAME", "openmetrics (default) or prometheus" },
	{ "textfile", "FILE", "write FILE at one stroke, for node_exporter" },
	{ "http", NULL, "answer a request of HTTP on stdin and stdout" },
	{ 0 },
};

const struct verb verbs[] = {
	{ .name = "status",
	  .arguments = "[VM]",
	  .help = "the host: its budget, its VMs, what failed; or as show VM",
	  .max_words = 1,
	  .run = show_status },
	{ .name = "list",
	  .arguments = "",
	  .help = "all VMs, a line each",
	  .run = show_list },
	{ .name = "show",
	  .arguments = "VM",
	  .help = "all that is known of a VM",
	  .min_words = 1,
	  .max_words = 1,
	  .run = show_vm },
	{ .name = "devices",
	  .arguments = "[ADDRESS]",
	  .help = "devices that could be assigned, and what is in the way",
	  .max_words = 1,
	  .run = show_devices },
	{ .name = "top",
	  .arguments = "",
	  .help = "what VMs do now, over and over",
	  .options = top_options,
	  .run = top_run },
	{ .name = "start",
	  .arguments = "VM KEY=VALUE...",
	  .help = "start a VM's agent: quota=SIZE device=ADDRESS ... "
		  "(libvirt does it by itself)",
	  .min_words = 2,
	  .max_words = 256,
	  .run = change_start },
	{ .name = "stop",
	  .arguments = "VM",
	  .help = "end a VM's agent, and give its devices back",
	  .min_words = 1,
	  .max_words = 1,
	  .run = change_stop },
	{ .name = "quota",
	  .arguments = "VM [SIZE]",
	  .help = "what a VM's devices may have mapped; with SIZE, set it",
	  .min_words = 1,
	  .max_words = 2,
	  .run = change_quota },
	{ .name = "limits",
	  .arguments = "VM",
	  .help = "bounds of the quota for the host's budget, to see or to set",
	  .min_words = 1,
	  .max_words = 1,
	  .options = limits_options,
	  .run = change_limits },
	{ .name = "strategy",
	  .arguments = "VM [NAME]",
	  .help = "what becomes of mappings after their use; with NAME, set it",
	  .min_words = 1,
	  .max_words = 2,
	  .run = change_strategy },
	{ .name = "budget",
	  .arguments = "[SIZE]",
	  .help = "what all VMs together may pin; with SIZE or none, set it",
	  .max_words = 1,
	  .run = change_budget },
	{ .name = "trace",
	  .arguments = "VM",
	  .help = "the ways of single requests, with times",
	  .min_words = 1,
	  .max_words = 1,
	  .options = trace_options,
	  .run = show_trace },
	{ .name = "metrics",
	  .arguments = "",
	  .help = "all counters, for Prometheus",
	  .options = metrics_options,
	  .run = metrics_run },
	{ .name = "doctor",
	  .arguments = "[DOMAIN]",
	  .help = "look what this host, or a libvirt domain, lacks",
	  .run_alone = run_doctor,
	  .json_alone = true },
	{ .name = "attach",
	  .arguments = "DOMAIN ADDRESS",
	  .help = "give a device to a libvirt domain",
	  .run_alone = attach_run },
	{ .name = "detach",
	  .arguments = "DOMAIN ADDRESS",
	  .help = "take a device out of a libvirt domain",
	  .run_alone = detach_run },
	{ .name = "hook",
	  .arguments = "DOMAIN OPERATION...",
	  .help = "what libvirt calls when domains start and end",
	  .run_alone = hook_run },
	{ .name = "help",
	  .arguments = "[VERB]",
	  .help = "this, or more of one verb",
	  .max_words = 1,
	  .run = run_help },
	{ 0 },
};

const struct verb *verbs_find(const char *name)
{
	for (const struct verb *verb = verbs; verb->name; verb++)
		if (strcmp(verb->name, name) == 0)
			return verb;
	return NULL;
}

const char *verbs_option(const struct verb_args *args, const char *name)
{
	for (size_t i = 0; args->options && args->options[i].name; i++)
		if (strcmp(args->options[i].name, name) == 0)
			return args->values[i];
	return NULL;
}

/* --- help --- */

void verbs_usage(void)
{
	printf("pvdmactl [--json] VERB [ARGUMENT...]\n\n");
	for (const struct verb *verb = verbs; verb->name; verb++)
		printf("  %-8s %-19s %s\n", verb->name, verb->arguments,
		       verb->help);
	printf("\n  --json     for programs, with each verb but attach, detach "
	       "and hook\n"
	       "  --version  print the version\n"
	       "  --help     print this; after a verb, more of it\n"
	       "\nSizes take K, M, G or T. pvdmactl(1) tells more.\n");
}

static int print_help(const struct verb *verb)
{
	char help[] = "--help", *argv[] = { (char *)verb->name, help, NULL };
	char text[64];

	if (verb->run_alone)
		return verb->run_alone(2, argv);
	printf("pvdmactl %s%s%s\n\n  %s\n\n", verb->name,
	       *verb->arguments ? " " : "", verb->arguments, verb->help);
	for (const struct verb_option *o = verb->options; o && o->name; o++) {
		(void)snprintf(text, sizeof(text), "--%s%s%s", o->name,
			       o->value ? " " : "", o->value ? o->value : "");
		printf("  %-18s %s\n", text, o->help);
	}
	printf("  --json             for programs\n");
	return CTL_OK;
}

/* The table as JSON: what completions are made from. */
static json_object *table(void)
{
	json_object *list = json_object_new_array(), *item, *options;

	for (const struct verb *verb = verbs; verb->name; verb++) {
		item = json_object_new_object();
		options = json_object_new_array();
		json_object_object_add(item, "name",
				       json_object_new_string(verb->name));
		json_object_object_add(item, "arguments",
				       json_object_new_string(verb->arguments));
		json_object_object_add(item, "help",
				       json_object_new_string(verb->help));
		for (const struct verb_option *o = verb->options; o && o->name;
		     o++)
			(void)json_object_array_add(
				options, json_object_new_string(o->name));
		json_object_object_add(item, "options", options);
		(void)json_object_array_add(list, item);
	}
	item = json_object_new_object();
	json_object_object_add(item, "verbs", list);
	return item;
}

static int run_help(struct ctl *ctl, const struct verb_args *args)
{
	const struct verb *verb;

	if (ctl->json)
		return ctl_print_json(ctl, table(), false);
	if (args->num_words == 0) {
		verbs_usage();
		return CTL_OK;
	}
	verb = verbs_find(args->words[0]);
	if (verb)
		return print_help(verb);
	log_err("there is no verb %s: pvdmactl help lists all", args->words[0]);
	return CTL_USAGE;
}

/* --- command lines --- */

static int usage(const struct verb *verb)
{
	log_err("expected: pvdmactl %s %s; pvdmactl help %s tells more",
		verb->name, verb->arguments, verb->name);
	return CTL_USAGE;
}

/* The verb's options in the form of getopt_long(3), and ours. */
static void fill_long(const struct verb *verb,
		      struct option longs[static VERB_OPTIONS_MAX + 3])
{
	int n = 0;

	for (const struct verb_option *o = verb->options; o && o->name; o++) {
		longs[n] = (struct option){
			o->name,
			o->value ? required_argument : no_argument,
			NULL,
			256 + n,
		};
		n++;
	}
	longs[n++] = (struct option){ "json", no_argument, NULL, 'j' };
	longs[n++] = (struct option){ "help", no_argument, NULL, 'h' };
	longs[n] = (struct option){ 0 };
}

/* 0; 1: the help was printed; or negative: it does not fit, said. */
static int parse(const struct verb *verb, struct ctl *ctl, int argc,
		 char **argv, struct verb_args *ret)
{
	struct option longs[VERB_OPTIONS_MAX + 3];
	int option;

	*ret = (struct verb_args){ .options = verb->options };
	fill_long(verb, longs);
	optind = 0; /* the program's own options were read before */
	while ((option = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (option == 'j') {
			ctl->json = true;
		} else if (option == 'h') {
			(void)print_help(verb);
			return 1;
		} else if (option >= 256) {
			ret->values[option - 256] = optarg ? optarg : "";
		} else { /* getopt_long() has said what is wrong */
			return -1;
		}
	}
	ret->words = argv + optind;
	ret->num_words = argc - optind;
	return 0;
}

/* Hands the program's --json on. */
static int run_alone(const struct verb *verb, const struct ctl *ctl, int argc,
		     char **argv)
{
	char json[] = "--json", *args[64] = { argv[0], json };

	if (!ctl->json)
		return verb->run_alone(argc, argv);
	if (!verb->json_alone || argc + 2 > 64) {
		log_err("%s has no --json", verb->name);
		return CTL_USAGE;
	}
	memcpy(args + 2, argv + 1, (size_t)argc * sizeof(*argv));
	return verb->run_alone(argc + 1, args);
}

int verbs_run(const struct verb *verb, struct ctl *ctl, int argc, char **argv)
{
	struct verb_args args;
	int r;

	if (verb->run_alone)
		return run_alone(verb, ctl, argc, argv);
	r = parse(verb, ctl, argc, argv, &args);
	if (r != 0)
		return r < 0 ? CTL_USAGE : CTL_OK;
	if (args.num_words < verb->min_words ||
	    args.num_words > verb->max_words)
		r = usage(verb);
	else
		r = verb->run(ctl, &args);
	if (r != 0 && ctl->json && !ctl->printed)
		ctl_print_error(ctl, r);
	return r;
}
