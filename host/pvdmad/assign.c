// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * assign.c - the devices of a VM, from the host's drivers to VFIO and back
 *
 * Owns: which VM has which device. How devices are judged, bound and opened
 * stands in check.c, bind.c and vfio_open.c.
 *
 * Invariant: a device has its old driver written down in the machine's spec, and
 * in the file of that, before it is taken from it. Giving back what was not
 * taken does nothing.
 *
 * Locks: none; one event loop. In a request's way: not.
 */
#include "assign.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bind.h"
#include "check.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/watchdog.h"
#include "machine.h"
#include "messages.h"
#include "pci.h"
#include "problem.h"
#include "service.h"
#include "vfio_open.h"

#define _cleanup_problems_ _cleanup_(problems_done)

static bool is_null(const struct spec_device *dev)
{
	return strcmp(dev->address, "null") == 0;
}

static struct pci_address address_of(const char *text)
{
	struct pci_address address = { 0 };

	(void)parse_pci_address(text, &address);
	return address;
}

const struct machine *assign_user(const struct service *service,
				  const char *address)
{
	for (const struct machine *m = service->machines; m; m = m->next)
		for (size_t i = 0; i < m->spec.num_devices; i++)
			if (strcmp(m->spec.devices[i].address, address) == 0)
				return m;
	return NULL;
}

static int log_problem(const char *address, const struct problem *problem)
{
	log_err("%s: %s%s%s", address, problem->what,
		problem->fix[0] ? "; " : "", problem->fix);
	return -EPERM;
}

static int note_driver(struct spec_device *dev, const char *driver)
{
	char *copy = strdup(driver);

	if (!copy)
		return log_err_errno(ENOMEM, "%s", dev->address);
	free(dev->driver);
	dev->driver = copy;
	return 0;
}

/* All that stands in the way, and what the device is. */
static int find_problems(const struct service *service, const struct spec *spec,
			 size_t i, struct pci_device *dev,
			 struct problems *problems)
{
	struct pci_address with[SPEC_DEVICES_MAX];
	int r;

	for (size_t n = 0; n < spec->num_devices; n++)
		with[n] = address_of(spec->devices[n].address);
	r = pci_read(&service->sysfs, &with[i], dev);
	if (r < 0)
		return log_err_errno(r, "%s: no such PCI device",
				     spec->devices[i].address);
	r = check_device(&service->sysfs, dev, with, spec->num_devices,
			 CHECK_TAKE, problems);
	return r < 0 ? log_err_errno(r, "%s: cannot be looked at", dev->name) :
		       0;
}

int assign_check_one(const struct service *service, struct spec *spec, size_t i)
{
	_cleanup_problems_ struct problems problems = { 0 };
	struct spec_device *dev = &spec->devices[i];
	const struct machine *user;
	struct pci_device pci;
	int r;

	if (is_null(dev))
		return 0;
	user = assign_user(service, dev->address);
	if (user && &user->spec != spec) {
		log_err("%s is used by the VM %s", dev->address,
			user->spec.name);
		return -EBUSY;
	}
	r = find_problems(service, spec, i, &pci, &problems);
	if (r < 0)
		return r;
	for (size_t n = 0; n < problems.count; n++)
		r = log_problem(dev->address, &problems.list[n]);
	return r < 0 ? r : note_driver(dev, pci.driver);
}

int assign_check(const struct service *service, struct spec *spec)
{
	int r = 0;

	if (service_find(service, spec->name)) {
		log_err("%s is there already; end it first", spec->name);
		return -EEXIST;
	}
	for (size_t i = 0; r == 0 && i < spec->num_devices; i++)
		r = assign_check_one(service, spec, i);
	return r;
}

int assign_problems(const struct service *service, const char *address,
		    struct problems *problems)
{
	struct pci_address parsed = address_of(address);
	const struct machine *user = assign_user(service, address);
	struct problem *problem;
	struct pci_device dev;
	int r;

	r = pci_read(&service->sysfs, &parsed, &dev);
	if (r < 0) {
		/* anybody may ask, as often as they like */
		log_ratelimited(LOG_ERR, "%s: no such PCI device: %s", address,
				strerror(-r));
		return r;
	}
	if (!user)
		return check_device(&service->sysfs, &dev, &parsed, 1,
				    CHECK_LOOK, problems);
	r = problems_add(problems, &problem);
	if (r < 0)
		return r;
	problem_what(problem, "it is used by the VM %s", user->spec.name);
	problem_fix(problem, "detach it there first");
	return 0;
}

/* The device has another driver now. */
static void tell(const char *id, const struct spec *spec,
		 const struct spec_device *dev, const char *driver)
{
	const struct log_field fields[] = {
		{ "PVDMA_VM", spec->name },
		{ "PVDMA_DEVICE", dev->address },
		{ "PVDMA_DRIVER", driver },
		{ NULL, NULL },
	};

	log_event(LOG_INFO, id, fields, "%s: its driver is %s now (VM %s)",
		  dev->address, driver, spec->name);
}

int assign_take_one(const struct service *service, struct spec *spec, size_t i)
{
	struct spec_device *dev = &spec->devices[i];
	char driver[PCI_DRIVER_MAX];
	struct pci_address address;
	struct problem problem;
	int r;

	if (is_null(dev))
		return 0;
	address = address_of(dev->address);
	watchdog_wait();
	r = bind_vfio(&service->sysfs, &address, driver, &problem);
	watchdog_go_on();
	if (r < 0)
		return log_problem(dev->address, &problem);
	r = note_driver(dev, driver);
	if (r < 0)
		return r;
	tell(MESSAGE_DEVICE_BOUND, spec, dev, "vfio-pci");
	return 0;
}

int assign_take(const struct service *service, struct spec *spec)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < spec->num_devices; i++)
		r = assign_take_one(service, spec, i);
	return r;
}

int assign_give_back_one(const struct service *service, struct spec *spec,
			 size_t i)
{
	struct spec_device *dev = &spec->devices[i];
	struct pci_address address;
	struct problem problem;
	int r;

	if (is_null(dev) || !dev->driver)
		return 0;
	address = address_of(dev->address);
	watchdog_wait();
	r = bind_restore(&service->sysfs, &address, dev->driver, &problem);
	watchdog_go_on();
	if (r == -EBUSY) {
		log_debug("%s: %s", dev->address, problem.what);
		return r;
	}
	if (r < 0)
		(void)log_problem(dev->address, &problem);
	else
		tell(MESSAGE_DEVICE_RETURNED, spec, dev,
		     dev->driver[0] ? dev->driver : "none");
	free(dev->driver);
	dev->driver = NULL;
	return 0;
}

int assign_give_back(const struct service *service, struct spec *spec)
{
	int ret = 0;

	for (size_t i = 0; i < spec->num_devices; i++)
		if (assign_give_back_one(service, spec, i) < 0)
			ret = -EBUSY;
	return ret;
}

bool assign_same_group(const struct service *service,
		       const struct spec_device *a, const struct spec_device *b)
{
	struct pci_address address_a = address_of(a->address);
	struct pci_address address_b = address_of(b->address);
	struct pci_device pci_a, pci_b;

	return !is_null(a) && !is_null(b) &&
	       pci_read(&service->sysfs, &address_a, &pci_a) == 0 &&
	       pci_read(&service->sysfs, &address_b, &pci_b) == 0 &&
	       pci_a.group >= 0 && pci_a.group == pci_b.group;
}

int assign_open(const struct service *service, const struct spec_device *dev)
{
	struct pci_address address = address_of(dev->address);
	struct problem problem;
	struct pci_device pci;
	int fd, r;

	r = pci_read(&service->sysfs, &address, &pci);
	if (r < 0)
		return log_err_errno(r, "%s: no such PCI device", dev->address);
	fd = vfio_open_group(&service->sysfs, pci.group, &problem);
	return fd < 0 ? log_problem(dev->address, &problem) : fd;
}

int assign_open_container(const struct service *service)
{
	struct problem problem;
	int fd = vfio_open_container(&service->sysfs, &problem);

	return fd < 0 ? log_problem("VFIO", &problem) : fd;
}
