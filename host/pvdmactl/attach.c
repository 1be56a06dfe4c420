// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * attach.c - "pvdmactl attach" and "pvdmactl detach": devices of libvirt domains
 *
 * Owns: the story: read the domain's XML, edit it, show the difference, ask,
 * define it; and with --live plug or unplug the device, too.
 *
 * Invariant: after a failure the domain is defined as it was before; what others
 * define meanwhile is not lost. What is done at once is done first when a device is
 * taken out, because the guest has a say in it, and last when one is put in, because
 * that can be undone.
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

static void forget(struct job *job)
{
	domain_xml_free(job->after);
	free(job->before);
	job->after = NULL;
	job->before = NULL;
}

static int edit(struct job *job)
{
	const struct attach_options *o = job->options;
	int r;

	forget(job);
	r = virt_xml(&job->virt, false, &job->before);
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

/* Is the domain still defined as @text? 1, 0, or a negative errno, logged. */
static int is_still(const struct job *job, const char *text)
{
	_cleanup_free_ char *now = NULL;
	int r = virt_xml(&job->virt, false, &now);

	return r < 0 ? r : strcmp(now, text) == 0;
}

/* 0, or -ESTALE, logged: others have defined the domain while we asked. */
static int check_still(const struct job *job)
{
	int r = is_still(job, job->before);

	if (r < 0)
		return r;
	if (r == 1)
		return 0;
	log_err("domain %s was changed meanwhile, by others: nothing was done; "
		"run this again",
		job->options->domain);
	return -ESTALE;
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

/* What was defined could not be plugged in. */
static void undefine(const struct job *job, const char *defined)
{
	const char *name = job->options->domain;

	if (!defined || is_still(job, defined) != 1)
		log_err("domain %s was changed meanwhile, by others: what this "
			"put into its definition stays there (pvdmactl detach)",
			name);
	else if (virt_define(&job->virt, job->before) == 0)
		log_notice("domain %s is defined as it was before", name);
}

static int put_in(struct job *job)
{
	_cleanup_free_ char *defined = NULL;
	int r = check_still(job);

	if (r == 0)
		r = virt_define(&job->virt, domain_xml_text(job->after));
	if (r < 0 || !job->options->live)
		return r;
	/* libvirt writes it in its own way */
	r = virt_xml(&job->virt, false, &defined);
	if (r == 0)
		r = do_live(job);
	if (r < 0)
		undefine(job, defined);
	return r;
}

/*
 * The device is out, which took its time: the edit begins with what is there now.
 * -ENOENT: others have taken the device out of that.
 */
static int look_again(struct job *job)
{
	int r = is_still(job, job->before);

	return r == 0 ? edit(job) : r < 0 ? r : 0;
}

static int take_out(struct job *job)
{
	int r = check_still(job);

	if (r == 0 && job->options->live) {
		r = do_live(job);
		if (r < 0)
			return r;
		r = look_again(job);
		if (r == -ENOENT)
			return 0;
	}
	if (r == 0)
		r = virt_define(&job->virt, domain_xml_text(job->after));
	return r;
}

static int do_job(struct job *job)
{
	return job->options->detach ? take_out(job) : put_in(job);
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
	forget(&job);
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
