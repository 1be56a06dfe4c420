// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * doctor_libvirt.c - libvirt, its hook, and what confines its guests
 *
 * Owns: the one connection to libvirt, for as long as a question takes.
 *
 * Invariant: pvdma does without libvirt; what is missing of it is an error only
 * if a domain was asked for.
 *
 * Locks: none. In a request's way: not.
 */
#include "pvdmactl/doctor_impl.h"

#include <errno.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/macros.h"

#define URI	 "qemu:///system"
#define LIBVIRT	 "etc/libvirt"
#define APPARMOR "etc/apparmor.d"
/* What the rules of pvdma let QEMU use. */
#define SOCKETS "/run/pvdma"

static void close_connection(virConnectPtr *connection)
{
	if (*connection)
		(void)virConnectClose(*connection);
}

static void free_domain(virDomainPtr *domain)
{
	if (*domain)
		(void)virDomainFree(*domain);
}

/* libvirt prints its errors by itself otherwise. */
static void ignore_error(void *userdata, virErrorPtr error)
{
	(void)userdata;
	(void)error;
}

static virConnectPtr connect(const struct doctor *d)
{
	virSetErrorFunc(NULL, ignore_error);
	return virConnectOpenReadOnly(
		d->options->connect ? d->options->connect : URI);
}

void doctor_libvirt(struct doctor *d, const char *name)
{
	_cleanup_(close_connection) virConnectPtr connection = NULL;
	unsigned long version = 0;

	if (!d->live && !d->options->connect) {
		doctor_report(d, name, DOCTOR_SKIPPED, NULL,
			      "services of another root are not asked");
		return;
	}
	connection = connect(d);
	if (connection) {
		(void)virConnectGetLibVersion(connection, &version);
		doctor_report(d, name, DOCTOR_OK, NULL,
			      "answers, version %lu.%lu.%lu", version / 1000000,
			      version / 1000 % 1000, version % 1000);
		return;
	}
	doctor_report(d, name,
		      d->options->domain ? DOCTOR_ERROR : DOCTOR_WARNING,
		      "systemctl start libvirtd.socket, or virtqemud.socket; "
		      "without libvirt, pvdmactl start serves a QEMU of your "
		      "own",
		      "cannot be reached: %s", virGetLastErrorMessage());
}

int doctor_libvirt_xml(struct doctor *d, char **ret, char **ret_error)
{
	_cleanup_(close_connection) virConnectPtr connection = connect(d);
	_cleanup_(free_domain) virDomainPtr domain = NULL;
	char *xml = NULL;

	if (connection)
		domain = virDomainLookupByName(connection, d->options->domain);
	/* What the next start will use; a running domain may differ. */
	if (domain)
		xml = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE);
	if (!xml) {
		*ret_error = strdup(virGetLastErrorMessage());
		return -EIO;
	}
	*ret = xml;
	return 0;
}

/* Is there an executable file at @path? */
static bool is_executable(const struct doctor *d, const char *path)
{
	struct stat st;

	return fstatat(d->sysfs.root, path, &st, 0) == 0 &&
	       S_ISREG(st.st_mode) && (st.st_mode & 0111);
}

void doctor_hook(struct doctor *d, const char *name)
{
	static const char own[] = LIBVIRT "/hooks/qemu.d/pvdma";
	static const char common[] = LIBVIRT "/hooks/qemu";

	if (!sysfs_exists(&d->sysfs, LIBVIRT)) {
		doctor_report(d, name, DOCTOR_SKIPPED, NULL,
			      "libvirt is not installed");
		return;
	}
	if (is_executable(d, own))
		doctor_report(d, name, DOCTOR_OK, NULL, "/%s", own);
	else if (is_executable(d, common) &&
		 doctor_file_has(d, common, "pvdma"))
		doctor_report(d, name, DOCTOR_OK, NULL, "/%s", common);
	else if (sysfs_exists(&d->sysfs, own)) {
		doctor_report(d, name, DOCTOR_ERROR, NULL,
			      "/%s cannot be executed", own);
		doctor_fix(d, "chmod 755 /%s", own);
	} else {
		doctor_report(d, name, DOCTOR_ERROR,
			      "install pvdma's (make install), and restart "
			      "libvirt's daemon, which looks for hooks when it "
			      "starts",
			      "there is no /%s: domains would start without "
			      "their agents",
			      own);
	}
}

/* Has any file of a folder @word? */
static bool folder_has(const struct doctor *d, const char *folder,
		       const char *word)
{
	_cleanup_(sysfs_names_done) struct sysfs_names names = { 0 };
	char path[PATH_MAX];

	if (sysfs_list(&d->sysfs, &names, "%s", folder) < 0)
		return false;
	for (size_t i = 0; i < names.count; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder,
			       names.list[i]);
		if (doctor_file_has(d, path, word))
			return true;
	}
	return false;
}

void doctor_apparmor(struct doctor *d, const char *name)
{
	static const char local[] = APPARMOR "/local/abstractions/libvirt-qemu";
	static const char common[] = APPARMOR "/abstractions/libvirt-qemu";
	static const char folder[] = APPARMOR "/abstractions/libvirt-qemu.d";
	char enabled[8] = "";

	(void)sysfs_read(&d->sysfs, enabled, sizeof(enabled),
			 "sys/module/apparmor/parameters/enabled");
	if (enabled[0] != 'Y')
		doctor_report(d, name, DOCTOR_OK, NULL, "not in use");
	else if (!sysfs_exists(&d->sysfs, common))
		doctor_report(d, name, DOCTOR_OK, NULL,
			      "on, without rules for libvirt's guests");
	else if (doctor_file_has(d, local, SOCKETS) ||
		 ((doctor_file_has(d, common, "libvirt-qemu.d") ||
		   doctor_file_has(d, local, "libvirt-qemu.d")) &&
		  folder_has(d, folder, SOCKETS)) ||
		 doctor_file_has(d, common, SOCKETS))
		doctor_report(d, name, DOCTOR_OK, NULL,
			      "on, and lets guests reach " SOCKETS);
	else {
		doctor_report(
			d, name, DOCTOR_ERROR, NULL,
			"on, and keeps QEMU from the sockets below " SOCKETS);
		doctor_fix(d,
			   "echo '" SOCKETS "/vm/*/*.sock rw,' >> /%s; the "
			   "next start of a domain reads it",
			   local);
	}
}
