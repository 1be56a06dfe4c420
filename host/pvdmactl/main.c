// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * main.c - pvdmactl: the operator's command
 *
 * Owns: the program's own options. The verbs are in verbs.c.
 *
 * Locks: none. In a request's way: not.
 */
#include <getopt.h>
#include <stdio.h>

#include "bus.h"
#include "lib/log.h"
#include "verbs.h"

static int run_verb(struct ctl *ctl, int argc, char **argv)
{
	const struct verb *verb;

	if (argc == 0) {
		log_err("expected a verb: pvdmactl help lists all");
		return CTL_USAGE;
	}
	verb = verbs_find(argv[0]);
	if (verb)
		return verbs_run(verb, ctl, argc, argv);
	log_err("there is no verb %s: pvdmactl help lists all", argv[0]);
	return CTL_USAGE;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "bus", required_argument, NULL, 'b' }, /* for tests */
		{ "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct ctl ctl = { 0 };
	int option, status;

	/* "+": options behind the verb are the verb's. */
	while ((option = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		switch (option) {
		case 'j':
			ctl.json = true;
			break;
		case 'b':
			ctl_bus_use(optarg);
			break;
		case 'v':
			printf("pvdmactl " PVDMA_VERSION "\n");
			return CTL_OK;
		case 'h':
			verbs_usage();
			return CTL_OK;
		default: /* getopt_long() has said what is wrong */
			return CTL_USAGE;
		}
	}
	status = run_verb(&ctl, argc - optind, argv + optind);
	ctl_done(&ctl);
	return status;
}
