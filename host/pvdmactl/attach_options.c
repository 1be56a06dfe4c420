// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * attach_options.c - the command lines of attach and detach
 *
 * Owns: their options. Those that are settings of the VM are the metadata's.
 *
 * Locks: none. In a request's way: not.
 */
#include "attach_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "lib/log.h"

/* Values of getopt_long(): settings are their keys. */
enum {
	OPTION_CONNECT = METADATA_KEYS,
	OPTION_LIVE,
	OPTION_YES,
	OPTION_DRY_RUN,
	OPTION_FORCE,
	OPTION_HELP,
	OPTIONS_END,
};

static const struct option common[] = {
	{ "connect", required_argument, NULL, OPTION_CONNECT },
	{ "live", no_argument, NULL, OPTION_LIVE },
	{ "yes", no_argument, NULL, OPTION_YES },
	{ "dry-run", no_argument, NULL, OPTION_DRY_RUN },
	{ "force", no_argument, NULL, OPTION_FORCE },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ 0 },
};

static void print_help(bool detach)
{
	if (detach)
		printf("pvdmactl detach DOMAIN DEVICE [OPTION...]: takes a PCI "
		       "device from a libvirt domain\n\n");
	else
		printf("pvdmactl attach DOMAIN DEVICE [OPTION...]: gives a "
		       "libvirt domain a PCI device\n\n");
	for (size_t i = 0; !detach && i < METADATA_KEYS; i++) {
		enum metadata_key key = (enum metadata_key)i;
		int n = printf("  --%s %s", metadata_key_name(key),
			       metadata_key_value(key));

		printf("%*s%s\n", n < 27 ? 27 - n : 1, "",
		       metadata_key_help(key));
	}
	printf("  --live                   now, too, if the domain runs\n"
	       "  --yes                    do not ask\n"
	       "  --dry-run                only show what would be changed\n"
	       "  --connect URI            libvirt's (qemu:///system)\n");
	if (detach)
		printf("  --force                  unplug even a device at which "
		       "QEMU aborts\n");
}

/* The options of the verb: the settings, then the common ones. */
static void fill_options(bool detach, struct option *options)
{
	size_t n = 0;

	for (size_t i = 0; !detach && i < METADATA_KEYS; i++)
		options[n++] = (struct option){
			.name = metadata_key_name((enum metadata_key)i),
			.has_arg = required_argument,
			.val = (int)i,
		};
	memcpy(options + n, common, sizeof(common));
}

static int take_option(struct attach_options *options, int option)
{
	switch (option) {
	case OPTION_CONNECT:
		options->uri = optarg;
		return 0;
	case OPTION_LIVE:
		options->live = true;
		return 0;
	case OPTION_YES:
		options->yes = true;
		return 0;
	case OPTION_DRY_RUN:
		options->dry_run = true;
		return 0;
	case OPTION_FORCE:
		options->force = true;
		return 0;
	case OPTION_HELP:
		print_help(options->detach);
		return 1;
	default:
		break;
	}
	if (option < 0 || option >= METADATA_KEYS) {
		log_err("command line: %s --help lists the options",
			options->detach ? "detach" : "attach");
		return -EINVAL;
	}
	return metadata_set(&options->changes, "command line",
			    (enum metadata_key)option, optarg);
}

static int take_words(struct attach_options *options, int count, char **words)
{
	if (count != 2) {
		log_err("command line: expected a domain and a device, such as "
			"vm1 0000:01:00.0");
		return -EINVAL;
	}
	options->domain = words[0];
	if (parse_pci_address(words[1], &options->address) < 0) {
		log_err("command line: %s: expected a PCI address such as "
			"0000:01:00.0",
			words[1]);
		return -EINVAL;
	}
	format_pci_address(&options->address, options->address_text);
	return 0;
}

int attach_options_parse(int argc, char **argv, struct attach_options *ret)
{
	struct option options[OPTIONS_END + 1];
	int option, r = 0;

	*ret = (struct attach_options){
		.detach = strcmp(argv[0], "detach") == 0,
	};
	fill_options(ret->detach, options);
	optind = 0; /* anew, with words in any order */
	while (r == 0 &&
	       (option = getopt_long(argc, argv, "", options, NULL)) != -1)
		r = take_option(ret, option == '?' ? -1 : option);
	if (r == 0)
		r = take_words(ret, argc - optind, argv + optind);
	if (r != 0)
		attach_options_done(ret);
	return r;
}

void attach_options_done(struct attach_options *options)
{
	metadata_done(&options->changes);
}
