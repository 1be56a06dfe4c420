/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * domains.h - domains as libvirt and people write them
 */
#ifndef PVDMA_TESTS_DOMAINS_H
#define PVDMA_TESTS_DOMAINS_H

#include <stddef.h>

struct test_domain {
	const char *what;
	const char *xml;
};

/* Domains that can have a device. The last has no name: {0}. */
extern const struct test_domain domains_good[];

/* As virt-install makes them on q35; the first of the above. */
extern const char domains_q35[];
/* With hostdevs, one of them 0000:01:00.0. */
extern const char domains_hostdev[];

#endif
