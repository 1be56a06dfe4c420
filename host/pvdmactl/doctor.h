/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * doctor.h - looks whether this host, and a domain, are ready for pvdma
 */
#ifndef PVDMA_PVDMACTL_DOCTOR_H
#define PVDMA_PVDMACTL_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "lib/parse.h"

/* As many as a VM may have. */
#define DOCTOR_DEVICES_MAX 64

/* All zero: this host, for people. Strings are the caller's. */
struct doctor_options {
	const char *domain;  /* also looks at this libvirt domain */
	const char *qemu;    /* NULL: the domain's, or the one in $PATH */
	const char *connect; /* libvirt's URI; NULL: qemu:///system */
	/*
	 * A folder with a copy of another host's /sys, /proc, /etc, ..., for
	 * tests and for files that somebody has sent. Services are not asked
	 * then; the domain is read from etc/libvirt/qemu/DOMAIN.xml.
	 */
	const char *root;
	bool json;
	/* These devices instead of all, for one VM; an error if one cannot be. */
	struct pci_address devices[DOCTOR_DEVICES_MAX];
	size_t device_count;
};

/*
 * Reads the arguments of the verb, @argv[0] being it. 0 with *@ret pointing
 * into @argv; -EINVAL, logged; or 1 after --help, which was printed.
 */
int doctor_parse(int argc, char **argv, struct doctor_options *ret);

/*
 * Makes all checks and prints them to @out. 0; 1 if one of them found an error;
 * or a negative errno, logged, when they could not be made or printed.
 */
int doctor_run(const struct doctor_options *options, FILE *out);

#endif
