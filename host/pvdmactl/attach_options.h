/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * attach_options.h - the command lines of attach and detach
 */
#ifndef PVDMA_PVDMACTL_ATTACH_OPTIONS_H
#define PVDMA_PVDMACTL_ATTACH_OPTIONS_H

#include <stdbool.h>

#include "metadata.h"

struct attach_options {
	bool detach;
	const char *domain;
	struct pci_address address;
	char address_text[PCI_ADDRESS_TEXT_MAX];
	const char *uri; /* NULL: as libvirt likes */
	bool live, yes, dry_run, force;
	struct metadata changes;
};

/*
 * Reads a command line. 0 with *@ret filled, for attach_options_done(); 1: what
 * was asked for (the help) is done; or a negative errno, logged.
 */
int attach_options_parse(int argc, char **argv, struct attach_options *ret);
void attach_options_done(struct attach_options *options);

#endif
