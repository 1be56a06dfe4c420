/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * doctor_impl.h - what the files doctor*.c share
 *
 * A check is a function that reports what it has found, as a rule once. It does
 * not fail: what it cannot find out, it reports as skipped, with the reason.
 */
#ifndef PVDMA_PVDMACTL_DOCTOR_IMPL_H
#define PVDMA_PVDMACTL_DOCTOR_IMPL_H

#include <libxml/tree.h>
#include <stdint.h>

#include "pvdmactl/doctor.h"
#include "pvdmad/sysfs.h"

enum doctor_state {
	DOCTOR_OK,
	DOCTOR_WARNING,
	DOCTOR_ERROR,
	DOCTOR_SKIPPED,
};

struct doctor_result {
	const char *name; /* of the check; static */
	enum doctor_state state;
	char *detail; /* one line or several; no newline at the end */
	char *fix;    /* NULL: none */
};

struct doctor {
	const struct doctor_options *options;
	struct sysfs sysfs;
	bool live; /* this host, and not a copy of another one's files */
	struct doctor_result *results;
	size_t count;
	int error; /* -ENOMEM: a result is missing */
	/* What one check has found for later ones. */
	xmlDoc *domain;
	int memory_shared; /* the domain's: 1 or 0; -1: not known */
	uint64_t budget;   /* bytes; 0: none */
};

/*
 * Reports what check @name has found. @fix is copied, and may be NULL; doctor_fix()
 * sets the last result's by a format.
 */
void doctor_report(struct doctor *d, const char *name, enum doctor_state state,
		   const char *fix, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
void doctor_fix(struct doctor *d, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* True if a line of the file at @path (relative) has @word in it. */
bool doctor_file_has(const struct doctor *d, const char *path,
		     const char *word);

/*
 * Runs a program without a shell, with nothing to read, and no longer than some
 * seconds. 0 with what it wrote in *@ret_output, the caller's to free(); -ENOENT
 * if there is no such program; or another negative errno.
 */
int doctor_command(char *const argv[], char **ret_output);

/* doctor_iommu.c */
void doctor_iommu(struct doctor *d, const char *name);
void doctor_interrupts(struct doctor *d, const char *name);
void doctor_groups(struct doctor *d, const char *name);
void doctor_devices(struct doctor *d, const char *name);
/*
 * Reports whether the @n devices of @list can be assigned to one VM; if not, what
 * stands in the way of each, with what to do about it, a line each.
 */
void doctor_report_devices(struct doctor *d, const char *name,
			   const struct pci_address *list, size_t n);

/* doctor_kernel.c */
void doctor_vfio(struct doctor *d, const char *name);
void doctor_entries(struct doctor *d, const char *name);
void doctor_kvm(struct doctor *d, const char *name);

/* doctor_memory.c */
void doctor_budget(struct doctor *d, const char *name);
void doctor_swap(struct doctor *d, const char *name);

/* doctor_qemu.c */
void doctor_qemu(struct doctor *d, const char *name);

/* doctor_service.c */
void doctor_units(struct doctor *d, const char *name);
void doctor_service(struct doctor *d, const char *name);

/* doctor_libvirt.c */
void doctor_libvirt(struct doctor *d, const char *name);
void doctor_hook(struct doctor *d, const char *name);
void doctor_apparmor(struct doctor *d, const char *name);

/* doctor_domain.c: they are made only if a domain is asked for. */
void doctor_domain(struct doctor *d, const char *name);
void doctor_domain_memory(struct doctor *d, const char *name);
void doctor_domain_arguments(struct doctor *d, const char *name);
void doctor_domain_devices(struct doctor *d, const char *name);

/* The text of libvirt's XML of the domain; the caller's. 0 or -errno. */
int doctor_libvirt_xml(struct doctor *d, char **ret, char **ret_error);
/* The program that the domain runs by, the caller's; NULL: not known. */
char *doctor_domain_emulator(const struct doctor *d);

#endif
