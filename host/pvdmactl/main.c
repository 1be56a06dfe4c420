// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * main.c - pvdmactl: the operator's command
 *
 * Owns: which verb is whose.
 *
 * Locks: none. In a request's way: not.
 */
#include <stddef.h>
#include <string.h>

#include "attach.h"
#include "hook.h"
#include "lib/log.h"

static const struct verb {
	const char *name;
	int (*run)(int argc, char **argv);
} verbs[] = {
	{ "attach", attach_run },
	{ "detach", detach_run },
	{ "hook", hook_run },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(verbs) / sizeof(verbs[0]);
	     i++)
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].run(argc - 1, argv + 1);
	log_err("usage: pvdmactl attach|detach|hook ...");
	return 2;
}
