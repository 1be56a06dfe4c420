// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bind.c - takes devices from the host's drivers, and gives them back
 *
 * Owns: driver_override of a device from bind_vfio() to bind_restore().
 *
 * Invariant: a write to /sys is no proof. After each attempt the device's driver
 * is looked at, and that alone decides. What was done is undone in reverse order.
 *
 * Locks: none; one thread binds. In a request's way: not; when a VM starts, ends,
 * or gets a device.
 */
#include "pvdmad/bind.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "pvdmad/vfio_open.h"

#define VFIO	 "vfio-pci"
#define PROBE	 "sys/bus/pci/drivers_probe"
#define OVERRIDE PCI_DEVICES "/%s/driver_override"

bool bind_has_vfio(const struct sysfs *sysfs)
{
	return sysfs_exists(sysfs, PCI_DRIVERS "/" VFIO);
}

void bind_explain_no_vfio(struct problem *ret)
{
	problem_what(ret, "the kernel's driver " VFIO " is not loaded");
	problem_fix(ret, "modprobe " VFIO);
}

/* The driver that the device has now, "" for none. 0 or a negative errno. */
static int read_driver(const struct sysfs *sysfs, const char *name,
		       char driver[static SYSFS_NAME_MAX])
{
	int r = sysfs_link_name(sysfs, driver, PCI_DEVICES "/%s/driver", name);

	if (r != -ENOENT)
		return r;
	driver[0] = '\0';
	return sysfs_exists(sysfs, PCI_DEVICES "/%s", name) ? 0 : -ENODEV;
}

/* True if the device has @driver now. */
static bool has_driver(const struct sysfs *sysfs, const char *name,
		       const char *driver)
{
	char now[SYSFS_NAME_MAX];

	return read_driver(sysfs, name, now) == 0 && strcmp(now, driver) == 0;
}

/* Takes the device from its driver, if it has one. 0 or a negative errno. */
static int unbind(const struct sysfs *sysfs, const char *name)
{
	int r = sysfs_write(sysfs, name, PCI_DEVICES "/%s/driver/unbind", name);

	return r == -ENOENT || has_driver(sysfs, name, "") ? 0 : r;
}

/*
 * Has the device bound to @driver, which may be any that knows it, and if none
 * does, explicitly. True if it has that driver then.
 */
static bool rebind(const struct sysfs *sysfs, const char *name,
		   const char *driver)
{
	(void)sysfs_write(sysfs, name, PROBE);
	if (has_driver(sysfs, name, driver))
		return true;
	/* Another driver came first, or probing is switched off. */
	if (unbind(sysfs, name) < 0)
		return false;
	(void)sysfs_write(sysfs, name, PCI_DRIVERS "/%s/bind", driver);
	return has_driver(sysfs, name, driver);
}

/* The kernel takes an empty line for "any driver". */
static int clear_override(const struct sysfs *sysfs, const char *name)
{
	return sysfs_write(sysfs, "\n", OVERRIDE, name);
}

/* After a failure: back to @driver and to the @override that there was. */
static void undo(const struct sysfs *sysfs, const char *name,
		 const char *driver, const char *override)
{
	if (strcmp(override, "(null)") == 0 || override[0] == '\0')
		(void)clear_override(sysfs, name);
	else
		(void)sysfs_write(sysfs, override, OVERRIDE, name);
	if (driver[0] != '\0' && !has_driver(sysfs, name, driver))
		(void)rebind(sysfs, name, driver);
}

static int take(const struct sysfs *sysfs, const char *name, const char *driver,
		struct problem *ret_problem)
{
	char now[SYSFS_NAME_MAX];
	int r;

	r = sysfs_write(sysfs, VFIO, OVERRIDE, name);
	if (r < 0) {
		problem_what(ret_problem,
			     "cannot set driver_override of %s: "
			     "%s",
			     name, strerror(-r));
		return r;
	}
	r = unbind(sysfs, name);
	if (r < 0) {
		problem_what(ret_problem,
			     "cannot take %s from its driver "
			     "%.64s: %s",
			     name, driver, strerror(-r));
		return r;
	}
	r = sysfs_write(sysfs, name, PROBE);
	if (has_driver(sysfs, name, VFIO))
		return 0;
	if (r == 0)
		r = read_driver(sysfs, name, now);
	if (r < 0) {
		problem_what(ret_problem, VFIO " did not take %s: %s", name,
			     strerror(-r));
	} else {
		r = -EIO;
		problem_what(ret_problem,
			     VFIO " did not take %s, which now "
				  "has %s%.64s",
			     name, now[0] ? "the driver " : "no driver", now);
	}
	problem_fix(ret_problem, "the kernel's log says why");
	return r;
}

int bind_vfio(const struct sysfs *sysfs, const struct pci_address *address,
	      char ret_driver[static PCI_DRIVER_MAX],
	      struct problem *ret_problem)
{
	char name[PCI_ADDRESS_TEXT_MAX], driver[SYSFS_NAME_MAX];
	char override[SYSFS_NAME_MAX];
	int r;

	format_pci_address(address, name);
	r = read_driver(sysfs, name, driver);
	if (r == 0 && strlen(driver) >= PCI_DRIVER_MAX)
		r = -ENAMETOOLONG;
	if (r == 0 && !pci_is_vfio_driver(driver)) {
		if (!bind_has_vfio(sysfs)) {
			bind_explain_no_vfio(ret_problem);
			return -ENOENT;
		}
		r = sysfs_read(sysfs, override, sizeof(override), OVERRIDE,
			       name);
		if (r >= 0) {
			r = take(sysfs, name, driver, ret_problem);
			if (r < 0) {
				undo(sysfs, name, driver, override);
				return r;
			}
		}
	}
	if (r < 0) {
		problem_what(ret_problem, "cannot look at %s: %s", name,
			     r == -ENODEV ? "there is no such device" :
					    strerror(-r));
		return r;
	}
	memcpy(ret_driver, driver, strlen(driver) + 1);
	return 0;
}

/*
 * To unbind vfio-pci waits for whoever has the device open, QEMU for its BARs
 * for one. Every such descriptor keeps the group open, too, which the kernel
 * gives to one opener only: so that tells. 0 or -EBUSY.
 */
static int check_closed(const struct sysfs *sysfs,
			const struct pci_address *address,
			struct problem *ret_problem)
{
	_cleanup_close_ int fd = -EBADF;
	struct problem ignored;
	struct pci_device dev;

	if (pci_read(sysfs, address, &dev) < 0 || dev.group < 0)
		return 0;
	fd = vfio_open_group(sysfs, dev.group, &ignored);
	if (fd != -EBUSY)
		return 0;
	*ret_problem = ignored;
	return -EBUSY;
}

int bind_restore(const struct sysfs *sysfs, const struct pci_address *address,
		 const char *driver, struct problem *ret_problem)
{
	char name[PCI_ADDRESS_TEXT_MAX], now[SYSFS_NAME_MAX];
	int r;

	if (pci_is_vfio_driver(driver))
		return 0;
	format_pci_address(address, name);
	r = read_driver(sysfs, name, now);
	if (r == -ENODEV)
		return 0;
	if (r == 0 && pci_is_vfio_driver(now)) {
		r = check_closed(sysfs, address, ret_problem);
		if (r < 0)
			return r;
	}
	if (r == 0)
		r = clear_override(sysfs, name);
	if (r < 0) {
		problem_what(ret_problem,
			     "cannot clear driver_override of "
			     "%s: %s",
			     name, strerror(-r));
		return r;
	}
	if (now[0] != '\0' && !pci_is_vfio_driver(now))
		return 0;
	r = unbind(sysfs, name);
	if (r < 0) {
		problem_what(ret_problem, "cannot take %s from %.64s: %s", name,
			     now, strerror(-r));
		return r;
	}
	if (driver[0] == '\0' || rebind(sysfs, name, driver))
		return 0;
	problem_what(ret_problem, "%s is not back with its driver %.64s", name,
		     driver);
	problem_fix(ret_problem,
		    "modprobe %.64s; echo %s > /sys/"
		    "bus/pci/drivers_probe; the kernel's log says why it "
		    "failed",
		    driver, name);
	return -EIO;
}
