// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hook.c - "pvdmactl hook": what libvirt calls when domains start and end
 *
 * Owns: which operation of libvirt's does what with a VM of pvdma's:
 *
 *	prepare		StartVM; a failure keeps the domain from starting
 *	release		StopVM, if the VM is this domain's
 *	reconnect	looks whether the VM is still there
 *	all others	nothing
 *
 * libvirt waits for a hook and holds the domain's lock meanwhile: this never
 * calls libvirt, and it always ends. A domain without our element costs reading
 * its XML, and nothing else.
 *
 * Invariant: a failure of "reconnect" would end the domain, so it never fails.
 * Nothing is written to stdout, which libvirt takes for XML in some operations.
 *
 * Locks: none. In a request's way: not.
 */
#include "hook.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "bus.h"
#include "domain_xml.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/parse.h"
#include "xml_text.h"

#define TIMEOUT_SECONDS 60
/* Past the bus's own time-out, for what nobody thought of. */
#define ALARM_SECONDS 10

DEFINE_CLEANUP(domain, struct domain_xml *, domain_xml_free);
DEFINE_CLEANUP(bus, sd_bus *, sd_bus_flush_close_unref);

/* A warning that must be seen: libvirt shows no output of a hook that is well. */
__attribute__((format(printf, 2, 3))) static void
warn_journal(const char *name, const char *fmt, ...)
{
	char message[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	log_warn("%s", message);
	(void)sd_journal_send("MESSAGE=%s", message, "PRIORITY=%i", LOG_WARNING,
			      "PVDMA_VM=%s", name, NULL);
}

static void out_of_time(int sig)
{
	static const char message[] =
		"err: pvdmactl hook: gave up, it took too long\n";

	(void)sig;
	(void)!write(STDERR_FILENO, message, sizeof(message) - 1);
	_exit(1);
}

static void limit_time(unsigned int seconds)
{
	struct sigaction action = { .sa_handler = out_of_time };

	(void)sigaction(SIGALRM, &action, NULL);
	(void)alarm(seconds + ALARM_SECONDS);
}

/* Makes room for more of the text. 0 or a negative errno. */
static int make_room(char **text, size_t *room)
{
	size_t more = *room ? 2 * *room : 64 << 10;
	char *p;

	if (more > 2 * XML_TEXT_MAX)
		return -E2BIG;
	p = realloc(*text, more);
	if (!p)
		return -ENOMEM;
	*text = p;
	*room = more;
	return 0;
}

/* All of stdin, allocated; NULL after an error, logged. */
static char *read_stdin(void)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0, room = 0;
	ssize_t n;
	int r = 0;

	do {
		if (room - size < 2)
			r = make_room(&text, &room);
		if (r < 0)
			break;
		n = read(STDIN_FILENO, text + size, room - size - 1);
		if (n < 0 && errno != EINTR)
			r = -errno;
		if (n > 0)
			size += (size_t)n;
	} while (r == 0 && n != 0);
	if (r < 0) {
		log_err_errno(r, "cannot read the domain's XML");
		return NULL;
	}
	text[size] = '\0';
	return steal_ptr(text);
}

/* Whether the domain and its settings are such that a VM can have them. */
static int check(const struct domain_xml *domain)
{
	if (!domain_xml_memory_shared(domain)) {
		log_err("%s: its memory is not shared, so its devices would "
			"see other memory than the guest: put <source "
			"type='memfd'/><access mode='shared'/> into its "
			"memoryBacking, as pvdmactl attach does",
			domain_xml_where(domain));
		return -EINVAL;
	}
	if (!metadata_name_valid(domain_xml_vm_name(domain))) {
		log_err("%s: pvdma's VMs are called 1 to 64 of A-Z a-z 0-9 "
			"_ . -, and no dot first: set name= of pvdma:vm in its "
			"metadata",
			domain_xml_where(domain));
		return -EINVAL;
	}
	return metadata_check(domain_xml_metadata(domain),
			      domain_xml_where(domain));
}

static int prepare(const struct domain_xml *domain, sd_bus *bus)
{
	return ctl_bus_start_vm(bus, domain_xml_vm_name(domain),
				domain_xml_metadata(domain),
				domain_xml_owner(domain),
				domain_xml_uuid(domain));
}

/*
 * libvirt releases domains that never started, too: there may be no VM, or it
 * is that of another domain, which was the reason, and runs.
 */
static int release(const struct domain_xml *domain, sd_bus *bus)
{
	const char *name = domain_xml_vm_name(domain);
	_cleanup_(ctl_bus_vm_done) struct ctl_bus_vm vm = { 0 };
	int r = ctl_bus_get_vm(bus, name, &vm);

	if (r == 0 && !ctl_bus_vm_is_of(&vm, domain_xml_uuid(domain))) {
		log_notice(
			"%s has ended; pvdma's VM %s is not its own, and goes on",
			domain_xml_where(domain), name);
		return 0;
	}
	if (r == 0)
		r = ctl_bus_stop_vm(bus, name);
	return r == CTL_BUS_NO_SUCH_VM ? 0 : r;
}

static int reconnect(const struct domain_xml *domain, sd_bus *bus)
{
	const char *name = domain_xml_vm_name(domain);
	_cleanup_(ctl_bus_vm_done) struct ctl_bus_vm vm = { 0 };
	int r = ctl_bus_get_vm(bus, name, &vm);

	if (r == CTL_BUS_NO_SUCH_VM ||
	    (r == 0 && !ctl_bus_vm_is_of(&vm, domain_xml_uuid(domain))))
		warn_journal(name,
			     "%s runs, but pvdma has no VM %s for it: its "
			     "devices reach nothing until it is started again",
			     domain_xml_where(domain), name);
	else if (r < 0)
		warn_journal(name, "cannot tell how pvdma's VM %s is", name);
	else if (strcmp(vm.state, "running") != 0)
		warn_journal(name, "pvdma's VM %s of the running %s is %s",
			     name, domain_xml_where(domain), vm.state);
	return 0;
}

static const struct operation {
	const char *name;
	int (*run)(const struct domain_xml *domain, sd_bus *bus);
	bool check;    /* the settings first */
	bool may_fail; /* and libvirt heeds it */
} operations[] = {
	{ "prepare", prepare, true, true },
	{ "release", release, false, true },
	{ "reconnect", reconnect, false, false },
};

static const struct operation *find_operation(const char *name)
{
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		if (strcmp(operations[i].name, name) == 0)
			return &operations[i];
	return NULL;
}

static int run_operation(const struct operation *operation,
			 unsigned int seconds)
{
	_cleanup_(cleanup_domain) struct domain_xml *domain = NULL;
	_cleanup_(cleanup_bus) sd_bus *bus = NULL;
	_cleanup_free_ char *text = read_stdin();
	int r;

	if (!text)
		return -EIO;
	/* quick, and safe from whatever else the XML of others may have */
	if (!strstr(text, METADATA_NS))
		return 0;
	r = domain_xml_new(text, &domain);
	if (r < 0 || !domain_xml_metadata(domain))
		return r;
	log_set_vm(domain_xml_vm_name(domain));
	if (operation->check)
		r = check(domain);
	if (r == 0)
		r = ctl_bus_open(seconds * 1000000ULL, &bus);
	return r < 0 ? r : operation->run(domain, bus);
}

#define USAGE \
	"pvdmactl hook [--timeout SECONDS] DOMAIN OPERATION SUBOPERATION EXTRA"

static int usage(void)
{
	log_err("usage: " USAGE);
	return 2;
}

static int help(void)
{
	printf("%s\n\n"
	       "  --timeout SECONDS  how long pvdmad may take (%d)\n\n"
	       "What libvirt runs when a domain starts and ends, with the domain's XML as "
	       "input.\n",
	       USAGE, TIMEOUT_SECONDS);
	return 0;
}

int hook_run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "timeout", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	uint64_t seconds = TIMEOUT_SECONDS;
	const struct operation *operation;
	int option, r;

	optind = 0; /* anew, with words in any order */
	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1)
		if (option == 'h' && argc == 2)
			return help();
		else if (option != 't' ||
			 parse_uint(optarg, 1, 3600, &seconds) < 0)
			return usage();
	if (argc - optind < 2)
		return usage();
	operation = find_operation(argv[optind + 1]);
	if (!operation)
		return 0;
	limit_time((unsigned int)seconds);
	r = run_operation(operation, (unsigned int)seconds);
	return r == 0 || !operation->may_fail ? 0 : 1;
}
