// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * doctor_iommu.c - is there an IOMMU, does it work, and for which devices?
 *
 * Owns nothing. What stands in the way of a device is pvdmad's own judgement
 * (pvdmad/check.h).
 *
 * Invariant: looks at /sys and /proc alone.
 *
 * Locks: none. In a request's way: not.
 */
#include "pvdmactl/doctor_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "pvdmad/check.h"
#include "pvdmad/group.h"

#define CLASSES "sys/class/iommu"
#define GROUPS	"sys/kernel/iommu_groups"
#define UNSAFE_IRQ \
	"sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"

/* Bases of PCI classes that people assign: all but bridges and the like. */
static bool is_of_interest(const struct pci_device *dev)
{
	uint32_t base = dev->class >> 16;

	return !dev->bridge && base != 0x05 && base != 0x06 && base != 0x08;
}

static size_t count_names(const struct doctor *d, const char *path)
{
	_cleanup_(sysfs_names_done) struct sysfs_names names = { 0 };

	return sysfs_list(&d->sysfs, &names, "%s", path) < 0 ? 0 : names.count;
}

/* What to do to have an IOMMU, by the maker of the processor. */
static const char *how_to_switch_on(const struct doctor *d)
{
	if (doctor_file_has(d, "proc/cpuinfo", "GenuineIntel"))
		return "switch VT-d on in the firmware's settings, and boot "
		       "with intel_iommu=on on the kernel's command line";
	if (doctor_file_has(d, "proc/cpuinfo", "AuthenticAMD"))
		return "switch AMD-Vi (\"IOMMU\") on in the firmware's "
		       "settings, and boot without amd_iommu=off";
	return "switch the IOMMU on in the firmware's settings, and on the "
	       "kernel's command line";
}

void doctor_iommu(struct doctor *d, const char *name)
{
	static const char *const off[] = { "intel_iommu=off", "amd_iommu=off",
					   "iommu=off" };
	size_t iommus = count_names(d, CLASSES);
	size_t groups = count_names(d, GROUPS);

	if (groups > 0) {
		doctor_report(d, name, DOCTOR_OK, NULL,
			      "in use: %zu unit%s, %zu group%s", iommus,
			      iommus == 1 ? "" : "s", groups,
			      groups == 1 ? "" : "s");
		return;
	}
	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
		if (!doctor_file_has(d, "proc/cmdline", off[i]))
			continue;
		doctor_report(d, name, DOCTOR_ERROR, NULL,
			      "switched off on the kernel's command line");
		doctor_fix(d, "boot without %s", off[i]);
		return;
	}
	doctor_report(d, name, DOCTOR_ERROR, how_to_switch_on(d),
		      iommus > 0 ? "there, but not in use" :
				   "none: devices cannot be kept to the "
				   "memory of one VM");
}

void doctor_interrupts(struct doctor *d, const char *name)
{
	char unsafe[8] = "";

	if (!group_host_has_iommu(&d->sysfs)) {
		doctor_report(d, name, DOCTOR_SKIPPED, NULL,
			      "there is no IOMMU in use");
		return;
	}
	(void)sysfs_read(&d->sysfs, unsafe, sizeof(unsafe), UNSAFE_IRQ);
	if (doctor_file_has(d, "proc/interrupts", " IR-"))
		doctor_report(d, name, DOCTOR_OK, NULL, "on");
	else if (!sysfs_exists(&d->sysfs, "proc/interrupts"))
		doctor_report(d, name, DOCTOR_SKIPPED, NULL,
			      "/proc/interrupts cannot be read");
	else if (unsafe[0] == 'Y')
		doctor_report(d, name, DOCTOR_WARNING,
			      "switch it on in the firmware's settings, and "
			      "boot without intremap=off",
			      "off, and vfio_iommu_type1 is told to do without "
			      "(allow_unsafe_interrupts): a guest can send the "
			      "host any interrupt");
	else
		doctor_report(d, name, DOCTOR_ERROR,
			      "switch it on in the firmware's settings, and "
			      "boot without intremap=off; if you trust your "
			      "guests, allow_unsafe_interrupts=1 for "
			      "vfio_iommu_type1 does without",
			      "off: VFIO refuses to work");
}

/* Prints the names of group @group to @f. Returns how many there are. */
static size_t put_group(FILE *f, const struct pci_device *list, size_t count,
			int group)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		if (list[i].group != group || list[i].bridge)
			continue;
		(void)fprintf(f, "%s%s", n++ ? ", " : "", list[i].name);
	}
	return n;
}

/* Appends a line for each group that has several devices to @f. */
static void put_shared(FILE *f, const struct pci_device *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		_cleanup_free_ char *text = NULL;
		bool first = list[i].group >= 0 && !list[i].bridge;
		size_t size, n = 0;
		FILE *names;

		for (size_t j = 0; first && j < i; j++)
			first = list[j].group != list[i].group ||
				list[j].bridge;
		if (!first)
			continue;
		names = open_memstream(&text, &size);
		if (!names)
			continue;
		n = put_group(names, list, count, list[i].group);
		if (fclose(names) == 0 && n > 1)
			(void)fprintf(f, "\n%d: %s", list[i].group, text);
	}
}

/* All devices, or a report that they cannot be listed. */
static bool list_devices(struct doctor *d, const char *name,
			 struct pci_device **ret, size_t *ret_count)
{
	int r = pci_list(&d->sysfs, ret, ret_count);

	if (r < 0)
		doctor_report(d, name, DOCTOR_SKIPPED, NULL,
			      "PCI devices cannot be listed: %s", strerror(-r));
	return r == 0;
}

void doctor_groups(struct doctor *d, const char *name)
{
	_cleanup_free_ struct pci_device *list = NULL;
	_cleanup_free_ char *text = NULL;
	size_t count, size;
	FILE *f;

	if (!group_host_has_iommu(&d->sysfs)) {
		doctor_report(d, name, DOCTOR_SKIPPED, NULL,
			      "there is no IOMMU in use");
		return;
	}
	if (!list_devices(d, name, &list, &count))
		return;
	f = open_memstream(&text, &size);
	if (!f) {
		d->error = -errno;
		return;
	}
	put_shared(f, list, count);
	if (fclose(f) != 0) {
		d->error = -ENOMEM;
		return;
	}
	doctor_report(d, name, DOCTOR_OK, NULL, "%s%s",
		      size ? "these have several devices, which can only be "
			     "taken together:" :
			     "each device has one of its own",
		      text);
}

/* A line for @dev: what stands in its way. True if that is nothing. */
static bool put_device(struct doctor *d, FILE *f, const struct pci_device *dev)
{
	_cleanup_(problems_done) struct problems problems = { 0 };
	int r = check_device(&d->sysfs, dev, NULL, 0, CHECK_LOOK, &problems);

	(void)fprintf(f, "\n%s %s: ", dev->name, dev->text);
	if (r < 0)
		(void)fprintf(f, "cannot be looked at (%s)", strerror(-r));
	else if (problems.count > 0)
		(void)fprintf(f, "no: %s%s", problems.list[0].what,
			      problems.count > 1 ? ", and more" : "");
	else
		(void)fprintf(f, "yes, IOMMU group %d%s%s", dev->group,
			      dev->driver[0] ? ", driver " : "", dev->driver);
	return r == 0 && problems.count == 0;
}

/* The problems of @list[i], a line each, to @f. */
static bool put_problems(struct doctor *d, FILE *f,
			 const struct pci_address *list, size_t n, size_t i)
{
	_cleanup_(problems_done) struct problems problems = { 0 };
	struct pci_device dev;
	int r = pci_read(&d->sysfs, &list[i], &dev);

	if (r < 0) {
		char text[PCI_ADDRESS_TEXT_MAX];

		format_pci_address(&list[i], text);
		(void)fprintf(f, "%s: %s\n", text,
			      r == -ENODEV ? "there is no such device" :
					     strerror(-r));
		return true;
	}
	r = check_device(&d->sysfs, &dev, list, n, CHECK_TAKE, &problems);
	for (size_t p = 0; p < problems.count; p++)
		(void)fprintf(f, "%s; %s\n", problems.list[p].what,
			      problems.list[p].fix);
	if (r < 0)
		(void)fprintf(f, "%s: %s\n", dev.name, strerror(-r));
	return r < 0 || problems.count > 0;
}

void doctor_report_devices(struct doctor *d, const char *name,
			   const struct pci_address *list, size_t n)
{
	_cleanup_free_ char *text = NULL;
	bool bad = false;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f) {
		d->error = -errno;
		return;
	}
	for (size_t i = 0; i < n; i++)
		bad = put_problems(d, f, list, n, i) || bad;
	if (fclose(f) != 0) {
		d->error = -ENOMEM;
		return;
	}
	if (size > 0)
		text[size - 1] = '\0';
	if (bad)
		doctor_report(d, name, DOCTOR_ERROR, NULL, "%s", text);
	else
		doctor_report(d, name, DOCTOR_OK, NULL,
			      "%zu, which can be assigned together", n);
}

void doctor_devices(struct doctor *d, const char *name)
{
	const struct doctor_options *options = d->options;
	_cleanup_free_ struct pci_device *list = NULL;
	_cleanup_free_ char *text = NULL;
	size_t count, size, good = 0, all = 0;
	FILE *f;

	if (options->device_count > 0) {
		doctor_report_devices(d, name, options->devices,
				      options->device_count);
		return;
	}
	if (!list_devices(d, name, &list, &count))
		return;
	f = open_memstream(&text, &size);
	if (!f) {
		d->error = -errno;
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (!is_of_interest(&list[i]))
			continue;
		all++;
		good += put_device(d, f, &list[i]);
	}
	if (fclose(f) != 0) {
		d->error = -ENOMEM;
		return;
	}
	doctor_report(d, name, good ? DOCTOR_OK : DOCTOR_WARNING,
		      good ? NULL : "pvdmactl devices says what to do for each",
		      "%zu of %zu can be assigned%s%s", good, all,
		      all ? ":" : "", text);
}
