/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fake_sys.h - a /sys, /proc and /dev in a temporary folder, with a kernel that
 * binds drivers
 *
 * Functions fail the test that calls them. Paths are relative to the root, as
 * those of pvdmad/sysfs.h.
 */
#ifndef PVDMA_TESTS_UNIT_SUPPORT_FAKE_SYS_H
#define PVDMA_TESTS_UNIT_SUPPORT_FAKE_SYS_H

#include <stdbool.h>

#include "pvdmad/sysfs.h"

struct fake_sys {
	char root[64];
	struct sysfs sysfs; /* with the kernel behind it */
	/* What the kernel does wrong, by the name of a driver. */
	const char *refuses; /* takes no device */
	const char *keeps;   /* lets none go */
	bool autoprobe_off;  /* drivers_probe binds by driver_override only */
	unsigned int writes;
};

/* For cmocka: *state becomes a struct fake_sys, with PCI and vfio-pci. */
int fake_sys_setup(void **state);
int fake_sys_teardown(void **state);

/* Makes a file with @text, and the folders that lead to it. */
void fake_sys_file(const struct fake_sys *fake, const char *text,
		   const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void fake_sys_link(const struct fake_sys *fake, const char *target,
		   const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void fake_sys_mkdir(const struct fake_sys *fake, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Removes a file or a link. */
void fake_sys_remove(const struct fake_sys *fake, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Loads a driver into the kernel, and takes it out. */
void fake_sys_driver(const struct fake_sys *fake, const char *driver);
void fake_sys_unload(const struct fake_sys *fake, const char *driver);

/*
 * A PCI device of domain 0, bus 0 (or what @name says, all in pci0000:00), whose
 * own driver is @driver (NULL: none knows it), and which is bound to it. No group
 * for a negative @group.
 */
void fake_sys_pci(const struct fake_sys *fake, const char *name, uint32_t class,
		  const char *driver, int group);

/* A block device below the PCI device @pci; @parent: of which it is a part. */
void fake_sys_block(const struct fake_sys *fake, const char *pci,
		    const char *parent, const char *name, const char *number);

/* A network interface of the PCI device @pci, that is up or not. */
void fake_sys_net(const struct fake_sys *fake, const char *pci,
		  const char *name, bool up);

#endif
