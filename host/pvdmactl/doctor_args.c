// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * doctor_args.c - the arguments of pvdmactl doctor
 *
 * Owns: their names, and the help. --root is for tests and for files that
 * somebody has sent, and not in the help.
 *
 * Locks: none. In a request's way: not.
 */
#include "pvdmactl/doctor.h"

#include <errno.h>
#include <getopt.h>

#include "lib/log.h"

static const char help[] =
	"pvdmactl doctor [--json] [--device ADDRESS]... [--qemu PATH]\n"
	"                [--connect URI] [DOMAIN]\n"
	"\n"
	"Looks whether this host, and a libvirt domain, are ready for pvdma, "
	"and says what\nto do where they are not. Ends with status 1 if it "
	"found an error.\n"
	"\n"
	"  --json         for programs: {\"checks\":[{\"name\",\"state\","
	"\"detail\",\"fix\"}...]}\n"
	"  --device ADDRESS\n"
	"                 can this PCI device be assigned? Several: together, "
	"to one VM\n"
	"  --qemu PATH    look at this QEMU\n"
	"  --connect URI  libvirt's, qemu:///system by default\n";

static int add_device(struct doctor_options *options, const char *text)
{
	if (options->device_count == DOCTOR_DEVICES_MAX) {
		log_err("doctor looks at no more than %d devices",
			DOCTOR_DEVICES_MAX);
		return -EINVAL;
	}
	if (parse_pci_address(text, &options->devices[options->device_count]) <
	    0) {
		log_err("--device %s: not a PCI address, such as 0000:01:00.0 "
			"(lspci -D lists them)",
			text);
		return -EINVAL;
	}
	options->device_count++;
	return 0;
}

int doctor_parse(int argc, char **argv, struct doctor_options *ret)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "json", no_argument, NULL, 'j' },
		{ "device", required_argument, NULL, 'd' },
		{ "qemu", required_argument, NULL, 'q' },
		{ "connect", required_argument, NULL, 'c' },
		{ "root", required_argument, NULL, 'r' },
		{ 0 },
	};
	struct doctor_options parsed = { 0 };
	int option;

	optind = 0; /* the program's own arguments were read before */
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'h':
			(void)fputs(help, stdout);
			return 1;
		case 'j':
			parsed.json = true;
			break;
		case 'd':
			if (add_device(&parsed, optarg) < 0)
				return -EINVAL;
			break;
		case 'q':
			parsed.qemu = optarg;
			break;
		case 'c':
			parsed.connect = optarg;
			break;
		case 'r':
			parsed.root = optarg;
			break;
		default: /* getopt_long() has said what is wrong */
			return -EINVAL;
		}
	}
	if (argc - optind > 1) {
		log_err("doctor looks at one domain: what is %s?",
			argv[optind + 1]);
		return -EINVAL;
	}
	if (optind < argc)
		parsed.domain = argv[optind];
	*ret = parsed;
	return 0;
}
