// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virt.c - what pvdmactl does with libvirt
 *
 * Owns: the connection, and how libvirt's errors become ours. libvirt's own
 * messages on stderr are switched off: each error is reported once, with what
 * was wanted.
 *
 * Locks: none. In a request's way: not.
 */
#include "virt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>

#include "lib/log.h"
#include "metadata.h"

#define DEFAULT_URI "qemu:///system"

static void ignore_error(void *userdata, virErrorPtr error)
{
	(void)userdata;
	(void)error;
}

static int failed(const char *what)
{
	log_err("cannot %s: libvirt: %s", what, virGetLastErrorMessage());
	return -EIO;
}

int virt_open(const char *uri, const char *domain, struct virt *ret)
{
	struct virt virt = { 0 };

	virSetErrorFunc(NULL, ignore_error);
	if (!uri && !getenv("LIBVIRT_DEFAULT_URI"))
		uri = DEFAULT_URI;
	virt.connection = virConnectOpen(uri);
	if (!virt.connection)
		return failed("connect");
	virt.domain = virDomainLookupByName(virt.connection, domain);
	if (!virt.domain)
		virt.domain =
			virDomainLookupByUUIDString(virt.connection, domain);
	if (!virt.domain) {
		log_err("libvirt has no domain %s: virsh list --all shows them",
			domain);
		virt_close(&virt);
		return -ENOENT;
	}
	virt.running = virDomainIsActive(virt.domain) == 1;
	virt.persistent = virDomainIsPersistent(virt.domain) == 1;
	*ret = virt;
	return 0;
}

void virt_close(struct virt *virt)
{
	if (virt->domain)
		(void)virDomainFree(virt->domain);
	if (virt->connection)
		(void)virConnectClose(virt->connection);
	*virt = (struct virt){ 0 };
}

int virt_xml(const struct virt *virt, bool live, char **ret)
{
	unsigned int flags = VIR_DOMAIN_XML_SECURE;
	char *xml;

	if (!live)
		flags |= VIR_DOMAIN_XML_INACTIVE;
	xml = virDomainGetXMLDesc(virt->domain, flags);
	if (!xml)
		return failed("read the domain");
	*ret = xml;
	return 0;
}

int virt_define(const struct virt *virt, const char *xml)
{
	virDomainPtr domain = virDomainDefineXML(virt->connection, xml);

	if (!domain)
		return failed("define the domain");
	(void)virDomainFree(domain);
	return 0;
}

int virt_set_live_metadata(const struct virt *virt, const char *xml)
{
	if (virDomainSetMetadata(virt->domain, VIR_DOMAIN_METADATA_ELEMENT, xml,
				 METADATA_PREFIX, METADATA_NS,
				 VIR_DOMAIN_AFFECT_LIVE) < 0)
		return failed("set the running domain's metadata");
	return 0;
}

static int command(void *userdata, const char *json, char **ret_answer)
{
	if (virDomainQemuMonitorCommand(userdata, json, ret_answer, 0) < 0)
		return failed("reach QEMU's monitor");
	return 0;
}

struct monitor virt_monitor(const struct virt *virt)
{
	return (struct monitor){ .command = command, .userdata = virt->domain };
}
