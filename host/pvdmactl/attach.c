// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * attach.c - "pvdmactl attach" and "pvdmactl detach": devices of libvirt domains
 *
 * Owns: the story: read the domain's XML, edit it, show the difference, ask,
 * define it; and with --live plug or unplug the device, too.
 *
 * Invariant: after a failure the domain is defined as it was before. What is
 * done at once is done first when a device is taken out, because the guest has a
 * say in it, and last when one is put in, because that can be undone.
 *
 * Locks: none. In a request's way: not.
 */
#include "attach.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach_options.h"
#include "bus.h"
#include "diff.h"
#include "domain_xml.h"
#include "hotplug.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "virt.h"

/* Binding a device and starting an agent take their time. */
#define BUS_TIMEOUT_USEC 90000000ULL

DEFINE_CLEANUP(domain, struct domain_xml *, domain_xml_free);
DEFINE_CLEANUP(bus, sd_bus *, sd_bus_flush_close_unref);

/* The job, and the domain's XML before and after it. */
struct job {
	const struct attach_options *options;
	struct virt virt;
	char *before;
	struct domain_xml *after;
};

/* What can be known to be in vain before anything is read. */
static int check_job(const struct job *job)
{
	const struct attach_options *o = job->options;

	if (o->live && !job->virt.running) {
		log_err("domain %s does not run: leave --live out", o->domain);
		return -EINVAL;
	}
	if (!job->virt.persistent) {
		log_err("domain %s is transient, it has no configuration that "
			"could be changed: edit the XML that it is created "
			"from",
			o->domain);
		return -EINVAL;
	}
	if (o->live && o->detach && !o->force)
		return hotplug_check_unplug(&o->address);
	return 0;
}

static int edit(struct job *job)
{
	const struct attach_options *o = job->options;
	int r = virt_xml(&job->virt, false, &job->before);

	if (r == 0)
		r = domain_xml_new(job->before, &job->after);
	if (r < 0)
		return r;
	if (o->detach)
		return domain_xml_detach(job->after, &o->address);
	r = domain_xml_check(job->after, &o->address);
	if (r == 0)
		r = domain_xml_attach(job->after, &o->address, &o->changes);
	return r;
}

/* Shows what is going to happen, and asks. 0, or -ECANCELED. */
static int ask(const struct job *job)
{
	const struct attach_options *o = job->options;
	char answer[16];
	int r;

	r = diff_show(job->before, "now", domain_xml_text(job->after),
		      o->detach ? "without the device" : "with the device");
	if (r < 0 || o->dry_run || o->yes)
		return r;
	printf("Define domain %s so? [y/N] ", o->domain);
	(void)fflush(stdout);
	if (fgets(answer, sizeof(answer), stdin) &&
	    (strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0))
		return 0;
	printf("Nothing was changed.\n");
	return -ECANCELED;
}

/* Plugs or unplugs the device of the running domain. */
static int do_live(const struct job *job)
{
	const struct attach_options *o = job->options;
	_cleanup_(cleanup_domain) struct domain_xml *live = NULL;
	_cleanup_(cleanup_bus) sd_bus *bus = NULL;
	_cleanup_free_ char *xml = NULL, *metadata = NULL;
	struct hotplug hotplug;
	int r;

	r = virt_xml(&job->virt, true, &xml);
	if (r == 0)
		r = domain_xml_new(xml, &live);
	if (r == 0)
		r = ctl_bus_open(BUS_TIMEOUT_USEC, &bus);
	if (r < 0)
		return r;
	hotplug = (struct hotplug){
		.live = live,
		.bus = bus,
		.monitor = virt_monitor(&job->virt),
	};
	if (o->detach)
		r = hotplug_detach(&hotplug, &o->address);
	else
		r = hotplug_attach(&hotplug, &o->address, &o->changes);
	if (r < 0)
		return r;
	/* so that the hook ends the VM with the domain */
	metadata = domain_xml_metadata_text(live);
	if (metadata && virt_set_live_metadata(&job->virt, metadata) < 0)
		log_warn("end pvdma's VM by hand when the domain has ended: "
			 "pvdmactl stop %s",
			 domain_xml_vm_name(live));
	return 0;
}

static int do_job(const struct job *job)
{
	const struct attach_options *o = job->options;
	int r = 0;

	if (o->live && o->detach)
		r = do_live(job);
	if (r == 0)
		r = virt_define(&job->virt, domain_xml_text(job->after));
	if (r == 0 && o->live && !o->detach) {
		r = do_live(job);
		if (r < 0 && virt_define(&job->virt, job->before) == 0)
			log_notice("domain %s is defined as it was before",
				   o->domain);
	}
	return r;
}

static void tell(const struct job *job)
{
	const struct attach_options *o = job->options;

	if (o->detach)
		printf("Domain %s no longer has %s", o->domain,
		       o->address_text);
	else
		printf("Domain %s has %s", o->domain, o->address_text);
	printf("%s.\n", job->virt.running && !o->live ?
				" when it is started the next time" :
				"");
}

static int run(const struct attach_options *options)
{
	struct job job = { .options = options };
	int r = virt_open(options->uri, options->domain, &job.virt);

	if (r == 0)
		r = check_job(&job);
	if (r == 0)
		r = edit(&job);
	if (r == 0)
		r = ask(&job);
	if (r == 0 && !options->dry_run) {
		r = do_job(&job);
		if (r == 0)
			tell(&job);
	}
	domain_xml_free(job.after);
	free(job.before);
	virt_close(&job.virt);
	return r < 0 ? 1 : 0;
}

int attach_run(int argc, char **argv)
{
	struct attach_options options;
	int r = attach_options_parse(argc, argv, &options);

	if (r != 0)
		return r < 0 ? 2 : 0;
	r = run(&options);
	attach_options_done(&options);
	return r;
}

int detach_run(int argc, char **argv)
{
	return attach_run(argc, argv);
}
