// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * doctor_kernel.c - KVM, VFIO's modules, and how many mappings they allow
 *
 * Owns nothing.
 *
 * Invariant: no module is loaded by looking.
 *
 * Locks: none. In a request's way: not.
 */
#include "pvdmactl/doctor_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "lib/cleanup.h"
#include "lib/macros.h"

#define LIMIT "sys/module/vfio_iommu_type1/parameters/dma_entry_limit"

/* The API of KVM has been this since 2007. */
#define KVM_VERSION 12

enum module { MODULE_LOADED, MODULE_LOADABLE, MODULE_MISSING };

/* @name has underscores, as in /sys; @file has what the file is called. */
static enum module find_module(const struct doctor *d, const char *name,
			       const char *file)
{
	static const char *const lists[] = { "modules.dep", "modules.builtin" };
	char release[128], path[PATH_MAX], word[64];

	if (sysfs_exists(&d->sysfs, "sys/module/%s", name))
		return MODULE_LOADED;
	if (sysfs_read(&d->sysfs, release, sizeof(release),
		       "proc/sys/kernel/osrelease") <= 0)
		return MODULE_MISSING;
	(void)snprintf(word, sizeof(word), "/%s.ko", file);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		(void)snprintf(path, sizeof(path), "lib/modules/%s/%s", release,
			       lists[i]);
		if (doctor_file_has(d, path, word))
			return i == 0 ? MODULE_LOADABLE : MODULE_LOADED;
	}
	return MODULE_MISSING;
}

void doctor_vfio(struct doctor *d, const char *name)
{
	static const struct {
		const char *name, *file;
	} modules[] = {
		{ "vfio", "vfio" },
		{ "vfio_iommu_type1", "vfio_iommu_type1" },
		{ "vfio_pci", "vfio-pci" },
	};
	const char *unloaded = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(modules); i++) {
		switch (find_module(d, modules[i].name, modules[i].file)) {
		case MODULE_LOADED:
			break;
		case MODULE_LOADABLE:
			unloaded = modules[i].file;
			break;
		case MODULE_MISSING:
			doctor_report(d, name, DOCTOR_ERROR,
				      "run a kernel with CONFIG_VFIO_PCI and "
				      "CONFIG_VFIO_IOMMU_TYPE1, as those of "
				      "distributions are",
				      "this kernel has no module %s",
				      modules[i].file);
			return;
		}
	}
	if (!unloaded) {
		doctor_report(d, name, DOCTOR_OK, NULL,
			      "vfio-pci and vfio_iommu_type1 are loaded");
		return;
	}
	doctor_report(d, name, DOCTOR_WARNING, NULL,
		      "module %s is there, but not loaded", unloaded);
	doctor_fix(d,
		   "modprobe %s; to have it after each boot: echo %s > "
		   "/etc/modules-load.d/pvdma.conf",
		   unloaded, unloaded);
}

void doctor_entries(struct doctor *d, const char *name)
{
	uint64_t limit, need = d->budget / 4096;

	if (sysfs_read_u64(&d->sysfs, &limit, LIMIT) < 0) {
		doctor_report(d, name, DOCTOR_SKIPPED, NULL,
			      "vfio_iommu_type1 is not loaded");
		return;
	}
	/* One short of 256 MiB, as the default is, is enough for 256 MiB. */
	if (need <= limit + 1) {
		doctor_report(d, name, DOCTOR_OK, NULL,
			      "a VM may have %llu, which is %llu MiB in pages",
			      (unsigned long long)limit,
			      (unsigned long long)limit / 256);
		return;
	}
	doctor_report(d, name, DOCTOR_WARNING, NULL,
		      "a VM may have %llu, which is %llu MiB in pages; pvdma "
		      "maps larger pieces beyond that, and evicts",
		      (unsigned long long)limit,
		      (unsigned long long)limit / 256);
	doctor_fix(d,
		   "for quotas above that: echo options vfio_iommu_type1 "
		   "dma_entry_limit=%llu > /etc/modprobe.d/pvdma.conf, and "
		   "load the module again",
		   (unsigned long long)need);
}

/* Reports whether the file /dev/kvm, which is there, can be used. */
static void ask_kvm(struct doctor *d, const char *name)
{
	_cleanup_close_ int fd = sysfs_open(&d->sysfs, O_RDWR, "dev/kvm");

	if (fd == -EACCES || fd == -EPERM)
		/* QEMU's user matters, and not who asks here. */
		doctor_report(d, name, DOCTOR_SKIPPED, NULL,
			      "there, but this user may not try it");
	else if (fd < 0)
		doctor_report(d, name, DOCTOR_ERROR,
			      "the kernel's log says why",
			      "/dev/kvm cannot be opened: %s", strerror(-fd));
	else if (d->live && ioctl(fd, KVM_GET_API_VERSION, 0) != KVM_VERSION)
		doctor_report(d, name, DOCTOR_ERROR, NULL,
			      "/dev/kvm speaks an unknown version");
	else
		doctor_report(d, name, DOCTOR_OK, NULL, "usable");
}

void doctor_kvm(struct doctor *d, const char *name)
{
	bool intel = doctor_file_has(d, "proc/cpuinfo", "GenuineIntel");

	if (sysfs_exists(&d->sysfs, "dev/kvm")) {
		ask_kvm(d, name);
		return;
	}
	if (!doctor_file_has(d, "proc/cpuinfo", intel ? " vmx" : " svm")) {
		doctor_report(d, name, DOCTOR_ERROR,
			      intel ? "switch VT-x on in the firmware's "
				      "settings" :
				      "switch SVM on in the firmware's "
				      "settings",
			      "the processor offers no virtualization");
		return;
	}
	doctor_report(d, name, DOCTOR_ERROR, NULL, "there is no /dev/kvm");
	doctor_fix(d, "modprobe %s", intel ? "kvm_intel" : "kvm_amd");
}
