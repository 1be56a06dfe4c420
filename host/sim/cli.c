// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cli.c - the command line of pvdma-sim
 *
 * Owns the table of options. Each has a function that takes its value; what
 * combinations make sense is judged once all are read.
 */
#include "host/sim/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/agent/policy/policy.h"
#include "host/agent/strategy.h"
#include "host/lib/log.h"
#include "host/lib/macros.h"
#include "host/lib/parse.h"
#include "host/sim/guest.h"

#define VMS_DEFAULT    1000u
#define BUDGET_DEFAULT 25u /* percent */
#define ROUNDS_DEFAULT 200u

static const unsigned int quotas_default[] = { 10, 25, 50, 100 };

static int set_verb(struct cli *cli, enum cli_verb verb)
{
	if (cli->verb != CLI_NONE && cli->verb != verb) {
		log_err("one of --bench, --host, --need, --info, --dump and "
			"--import at a time");
		return -EINVAL;
	}
	cli->verb = verb;
	return 0;
}

static int verb_bench(struct cli *cli, char *value)
{
	(void)value;
	return set_verb(cli, CLI_BENCH);
}

static int verb_need(struct cli *cli, char *value)
{
	(void)value;
	return set_verb(cli, CLI_NEED);
}

static int verb_host(struct cli *cli, char *value)
{
	(void)value;
	return set_verb(cli, CLI_HOST);
}

static int verb_info(struct cli *cli, char *value)
{
	(void)value;
	return set_verb(cli, CLI_INFO);
}

static int verb_dump(struct cli *cli, char *value)
{
	(void)value;
	return set_verb(cli, CLI_DUMP);
}

static int verb_import(struct cli *cli, char *value)
{
	(void)value;
	return set_verb(cli, CLI_IMPORT);
}

static int set_output(struct cli *cli, char *value)
{
	cli->output = value;
	return 0;
}

static int set_report(struct cli *cli, char *value)
{
	cli->report = value;
	return 0;
}

static int set_plot(struct cli *cli, char *value)
{
	cli->plot = value;
	return 0;
}

static int set_json(struct cli *cli, char *value)
{
	(void)value;
	cli->json = true;
	return 0;
}

static int set_markdown(struct cli *cli, char *value)
{
	(void)value;
	cli->markdown = true;
	return 0;
}

static int set_strict(struct cli *cli, char *value)
{
	(void)value;
	cli->strict = true;
	return 0;
}

static int set_cost(struct cli *cli, char *value)
{
	return cost_load(value, &cli->cost);
}

static int set_policy(struct cli *cli, char *value)
{
	for (const char *const *name = policy_names(); *name; name++) {
		if (strcmp(value, *name) != 0)
			continue;
		cli->bench.engine.policy = value;
		return 0;
	}
	log_err("--policy %s: there is no policy of this name", value);
	return -EINVAL;
}

static int get_shift(const char *option, const char *value, unsigned int *ret)
{
	uint64_t size;
	int r = parse_size(value, &size);

	if (r || !is_power_of_2(size) || size < 4096 || size > 2u << 20) {
		log_err("--%s: '%s' is not a power of two from 4K to 2M",
			option, value);
		return -EINVAL;
	}
	*ret = (unsigned int)__builtin_ctzll(size);
	return 0;
}

static int set_granule(struct cli *cli, char *value)
{
	return get_shift("granule", value, &cli->bench.engine.granule_shift);
}

static int set_strategy(struct cli *cli, char *value)
{
	if (!strategy_parse(value, &cli->bench.engine.strategy))
		return 0;
	log_err("--strategy: '%s' is none", value);
	return -EINVAL;
}

static int set_ahead(struct cli *cli, char *value)
{
	cli->bench.engine.ahead = strcmp(value, "on") == 0;
	if (cli->bench.engine.ahead || strcmp(value, "off") == 0)
		return 0;
	log_err("--ahead: '%s' is neither on nor off", value);
	return -EINVAL;
}

static int set_bounce(struct cli *cli, char *value)
{
	uint64_t size;
	int r = parse_size(value, &size);

	if (r || size > SIM_GUEST_POOL_MAX) {
		log_err("--bounce: '%s' is not a size up to %u KiB", value,
			(unsigned int)(SIM_GUEST_POOL_MAX >> 10));
		return -EINVAL;
	}
	cli->bench.engine.pool_max = size;
	return 0;
}

static int set_no_bounce(struct cli *cli, char *value)
{
	(void)value;
	cli->bench.engine.pool_max = 0;
	return 0;
}

static int set_policy_granule(struct cli *cli, char *value)
{
	return get_shift("policy-granule", value, &cli->bench.policy_shift);
}

static int set_quotas(struct cli *cli, char *value)
{
	char *rest = NULL;
	unsigned int n = 0;

	for (char *word = strtok_r(value, ",", &rest); word;
	     word = strtok_r(NULL, ",", &rest)) {
		uint64_t pct;

		if (parse_uint(word, 1, 1000, &pct) || n == BENCH_QUOTAS_MAX ||
		    (n && cli->bench.quotas[n - 1] >= pct)) {
			log_err("--quotas: at most %u rising numbers from 1 to "
				"1000, with commas",
				BENCH_QUOTAS_MAX);
			return -EINVAL;
		}
		cli->bench.quotas[n++] = (unsigned int)pct;
	}
	if (!n) {
		log_err("--quotas: a number is missing");
		return -EINVAL;
	}
	cli->bench.n_quotas = n;
	return 0;
}

/* "0000:01:00.0", or with "=name" behind it */
static int set_device(struct cli *cli, char *value)
{
	struct import_device *d = &cli->devices[cli->import.n_devices];
	char *equals = strchr(value, '=');

	if (cli->import.n_devices == TRACE_DEVICES_MAX) {
		log_err("--device: a trace takes %u devices at most",
			TRACE_DEVICES_MAX);
		return -EINVAL;
	}
	if (equals)
		*equals++ = '\0';
	d->address = value;
	d->name = equals ? equals : value;
	cli->import.n_devices++;
	return 0;
}

static int set_kernel(struct cli *cli, char *value)
{
	cli->import.kernel = value;
	return 0;
}

static int set_workload(struct cli *cli, char *value)
{
	cli->import.workload = value;
	return 0;
}

static int get_count(const char *option, const char *value, uint64_t least,
		     uint64_t most, unsigned int *ret)
{
	uint64_t n;
	int r = parse_uint(value, least, most, &n);

	if (r) {
		log_err("--%s: '%s' %s", option, value, parse_strerror(r));
		return -EINVAL;
	}
	*ret = (unsigned int)n;
	return 0;
}

static int set_vms(struct cli *cli, char *value)
{
	return get_count("vms", value, 1, HOST_VMS_MAX, &cli->host.vms);
}

static int set_rounds(struct cli *cli, char *value)
{
	return get_count("rounds", value, HOST_ROUNDS_MIN, 100000,
			 &cli->host.rounds);
}

static int set_seed(struct cli *cli, char *value)
{
	int r = parse_uint(value, 0, UINT64_MAX, &cli->host.seed);

	if (r)
		log_err("--seed: '%s' %s", value, parse_strerror(r));
	return r ? -EINVAL : 0;
}

/* "64G", or "25%" of all working sets */
static int set_budget(struct cli *cli, char *value)
{
	size_t len = strlen(value);

	if (len > 0 && value[len - 1] == '%') {
		value[len - 1] = '\0';
		cli->host.budget = 0;
		return get_count("budget", value, 1, 1000,
				 &cli->host.budget_pct);
	}
	if (!parse_size(value, &cli->host.budget) && cli->host.budget > 0)
		return 0;
	log_err("--budget: '%s' is neither a size, such as 64G, nor a share of "
		"all working sets, such as 25%%",
		value);
	return -EINVAL;
}

static int set_memory(struct cli *cli, char *value)
{
	int r = parse_size(value, &cli->import.memory);

	if (r || cli->import.memory > TRACE_ADDR_LAST) {
		log_err("--memory: '%s' is not a size that fits", value);
		return -EINVAL;
	}
	return 0;
}

static int set_cpus(struct cli *cli, char *value)
{
	uint64_t n;
	int r = parse_uint(value, 1, TRACE_CPUS_MAX, &n);

	if (r) {
		log_err("--cpus: '%s' %s", value, parse_strerror(r));
		return -EINVAL;
	}
	cli->import.cpus = (uint32_t)n;
	return 0;
}

static int show_help(struct cli *cli, char *value);

static int show_version(struct cli *cli, char *value)
{
	(void)value;
	printf("pvdma-sim %s\n", PVDMA_VERSION);
	cli->verb = CLI_EXIT;
	return 0;
}

static const struct cli_option {
	const char *name;
	const char *value; /* NULL: none */
	int (*take)(struct cli *cli, char *value);
	const char *help;
} cli_options[] = {
	{ "bench", NULL, verb_bench,
	  "replay traces under several quotas and compare" },
	{ "host", NULL, verb_host,
	  "divide one budget among many VMs that run these traces" },
	{ "need", NULL, verb_need, "say how much quota a workload needs" },
	{ "info", NULL, verb_info, "say what traces contain" },
	{ "dump", NULL, verb_dump, "print a trace, event by event" },
	{ "import", NULL, verb_import,
	  "convert the text of the kernel's events/dma tracepoints" },
	{ "quotas", "PCT,...", set_quotas,
	  "of the working set (10,25,50,100)" },
	{ "report", "FILE", set_report,
	  "where --bench and --host write their JSON" },
	{ "vms", "N", set_vms, "of --host (1000)" },
	{ "budget", "SIZE|PCT%", set_budget,
	  "of --host: bytes, or of all working sets (25%)" },
	{ "rounds", "N", set_rounds, "of --host (200)" },
	{ "seed", "N", set_seed, "of --host: other VMs (1)" },
	{ "json", NULL, set_json, "print JSON instead of a table" },
	{ "markdown", NULL, set_markdown, "print a table for documents" },
	{ "plot", "FILE", set_plot, "draw the curves of --bench as SVG" },
	{ "cost", "FILE", set_cost, "a calibration of the cost model" },
	{ "granule", "SIZE", set_granule, "of the engine (as pvdma-agent)" },
	{ "policy", "NAME", set_policy, "of the engine (as pvdma-agent)" },
	{ "strategy", "NAME", set_strategy, "of the engine (as pvdma-agent)" },
	{ "ahead", "WHETHER", set_ahead, "of the engine (as pvdma-agent)" },
	{ "bounce", "SIZE", set_bounce,
	  "the driver's pool of copies, at most (8M)" },
	{ "no-bounce", NULL, set_no_bounce, "the driver copies nothing" },
	{ "policy-granule", "SIZE", set_policy_granule,
	  "where policy and optimum are compared (4K)" },
	{ "output", "FILE", set_output, "where --import writes the trace" },
	{ "device", "ADDR[=NAME]", set_device,
	  "import this device, and no other (repeatable)" },
	{ "kernel", "TEXT", set_kernel, "for the imported trace" },
	{ "workload", "TEXT", set_workload, "for the imported trace" },
	{ "memory", "SIZE", set_memory, "of the guest that was recorded" },
	{ "cpus", "N", set_cpus, "of the guest that was recorded" },
	{ "strict", NULL, set_strict, "refuse a text that lost events" },
	{ "version", NULL, show_version, "print the version" },
	{ "help", NULL, show_help, "print this" },
};

static int show_help(struct cli *cli, char *value)
{
	(void)value;
	puts("pvdma-sim - what a quota does to a guest's DMA mappings\n\n"
	     "  pvdma-sim --bench TRACE...\n"
	     "  pvdma-sim --host TRACE...\n"
	     "  pvdma-sim --need TRACE...\n"
	     "  pvdma-sim --info TRACE...\n"
	     "  pvdma-sim --dump TRACE\n"
	     "  pvdma-sim --import TEXT --output TRACE\n");
	for (size_t i = 0; i < ARRAY_SIZE(cli_options); i++) {
		const struct cli_option *o = &cli_options[i];
		char left[40];

		(void)snprintf(left, sizeof(left), "--%s %s", o->name,
			       o->value ? o->value : "");
		printf("  %-24s %s\n", left, o->help);
	}
	cli->verb = CLI_EXIT;
	return 0;
}

static int judge(const struct cli *cli)
{
	if (cli->verb == CLI_EXIT)
		return 0;
	if (cli->verb == CLI_NONE)
		log_err("one of --bench, --host, --need, --info, --dump and "
			"--import is needed; --help says more");
	else if (!cli->n_files)
		log_err("a file is missing; --help says more");
	else if ((cli->verb == CLI_IMPORT || cli->verb == CLI_DUMP) &&
		 cli->n_files > 1)
		log_err("only one file at a time");
	else if (cli->verb == CLI_IMPORT && !cli->output)
		log_err("--import needs --output");
	else
		return 0;
	return -EINVAL;
}

static int take_options(int argc, char **argv, struct cli *cli)
{
	struct option longs[ARRAY_SIZE(cli_options) + 1] = { 0 };
	int index;

	for (size_t i = 0; i < ARRAY_SIZE(cli_options); i++) {
		longs[i].name = cli_options[i].name;
		longs[i].has_arg = cli_options[i].value ? required_argument :
							  no_argument;
	}
	/* getopt says itself what is wrong */
	for (;;) {
		int c = getopt_long(argc, argv, "", longs, &index), r;

		if (c == -1)
			return 0;
		if (c != 0)
			return -EINVAL;
		r = cli_options[index].take(cli, optarg);
		if (r || cli->verb == CLI_EXIT)
			return r ? -EINVAL : 0;
	}
}

int cli_parse(int argc, char **argv, struct cli *ret)
{
	int r;

	*ret = (struct cli){
		.cost = cost_default,
		.host = {
			.vms = VMS_DEFAULT,
			.budget_pct = BUDGET_DEFAULT,
			.rounds = ROUNDS_DEFAULT,
			.seed = 1,
		},
		.bench = {
			.policy_shift = 12,
			.n_quotas = ARRAY_SIZE(quotas_default),
		},
	};
	engine_config_init(&ret->bench.engine);
	memcpy(ret->bench.quotas, quotas_default, sizeof(quotas_default));
	ret->bench.cost = &ret->cost;
	ret->import.devices = ret->devices;
	r = take_options(argc, argv, ret);
	ret->files = argv + optind;
	ret->n_files = (unsigned int)(argc - optind);
	return r ? r : judge(ret);
}
