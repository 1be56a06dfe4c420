// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * service_config.c - pvdmad.conf(5) and the command line of pvdmad
 *
 * Owns: the table of settings, which is the same for both and for --help.
 * Locks: none. In a request's way: not.
 */
#include "service_config.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "lib/parse.h"
#include "lib/settings.h"

/* Rounds may be as far apart. */
#define ROUND_USEC_MAX (UINT64_C(3600) * 1000000)

static int set_string(char **to, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

static int set_path(char **to, const char *value)
{
	return value[0] == '/' ? set_string(to, value) : -EINVAL;
}

static int set_runtime_dir(struct service_config *c, const char *value)
{
	return set_path(&c->runtime_dir, value);
}

static int set_bus(struct service_config *c, const char *value)
{
	return set_string(&c->bus_address, value);
}

static int set_owner(struct service_config *c, const char *value)
{
	return *value ? set_string(&c->owner, value) : -ENODATA;
}

static int set_budget(struct service_config *c, const char *value)
{
	return parse_size(value, &c->budget);
}

static int set_round(struct service_config *c, const char *value)
{
	uint64_t usec;
	int r = parse_duration(value, &usec);

	if (r < 0)
		return r;
	if (usec > ROUND_USEC_MAX || (usec > 0 && usec < 100000))
		return -ERANGE;
	c->round_usec = usec;
	return 0;
}

static int set_log_level(struct service_config *c, const char *value)
{
	return log_level_from_string(value, &c->log_level);
}

static const struct setting {
	const char *key;
	const char *arg;
	int (*set)(struct service_config *config, const char *value);
	const char *expected;
} settings[] = {
	{ "budget", "SIZE", set_budget,
	  "bytes that all VMs together may pin, such as 8G (default 0: no limit)" },
	{ "balance-interval", "TIME", set_round,
	  "how often the budget is divided, 100ms to 60min (default 2s; 0: never)" },
	{ "qemu-user", "USER", set_owner,
	  "who owns the sockets for QEMU: USER or USER:GROUP (default libvirt-qemu, if there is such a user)" },
	{ "runtime-dir", "PATH", set_runtime_dir,
	  "where sockets and state are (default /run/pvdma)" },
	{ "bus", "ADDRESS", set_bus,
	  "the D-Bus bus to serve at (default: the system's)" },
	{ "log-level", "LEVEL", set_log_level,
	  "err, warning, notice, info (default) or debug" },
};

static int set(void *userdata, const struct settings_place *place,
	       const char *key, const char *value)
{
	char where[SETTINGS_PLACE_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		int r;

		if (strcmp(settings[i].key, key) != 0)
			continue;
		r = settings[i].set(userdata, value);
		if (r == -ENOMEM)
			return log_err_errno(r,
					     "cannot keep the configuration");
		if (r == 0)
			return 0;
		log_err("%s: %s=%s: %s; expected %s",
			settings_place_text(place, where, sizeof(where)), key,
			value, parse_strerror(r), settings[i].expected);
		return -EINVAL;
	}
	log_err("%s: %s=%s: there is no option of this name; --help lists them",
		settings_place_text(place, where, sizeof(where)), key, value);
	return -ENOENT;
}

static void print_help(void)
{
	printf("pvdmad - assigns devices to VMs and divides the memory that they pin\n\n"
	       "  pvdmad [--config FILE] [OPTION...]\n\n"
	       "Options, on the command line or in the file as key=value:\n");
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		printf("  --%s %s\n      %s\n", settings[i].key,
		       settings[i].arg, settings[i].expected);
	printf("\nOnly on the command line:\n"
	       "  --config FILE   read options from FILE (default " SERVICE_CONFIG_FILE
	       ")\n"
	       "  --check         judge the configuration and exit\n"
	       "  --version       print the version\n"
	       "  --help          print this\n");
}

/* The options of the command line, behind those that are not settings. */
struct line {
	const char *config;
	bool check, version, help;
	const char *values[ARRAY_SIZE(settings)];
};

static int read_line(int argc, char **argv, struct line *line)
{
	enum { CONFIG = ARRAY_SIZE(settings), CHECK, VERSION, HELP, END };
	struct option options[END + 1] = {
		[CONFIG] = { "config", required_argument, NULL, CONFIG },
		[CHECK] = { "check", no_argument, NULL, CHECK },
		[VERSION] = { "version", no_argument, NULL, VERSION },
		[HELP] = { "help", no_argument, NULL, HELP },
	};
	int c;

	for (int i = 0; i < CONFIG; i++)
		options[i] = (struct option){ settings[i].key,
					      required_argument, NULL, i };
	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == CONFIG)
			line->config = optarg;
		else if (c == CHECK)
			line->check = true;
		else if (c == VERSION)
			line->version = true;
		else if (c == HELP)
			line->help = true;
		else if (c >= 0 && c < CONFIG)
			line->values[c] = optarg;
		else
			break;
	}
	if (c == -1 && optind == argc)
		return 0;
	log_err("command line: %s: expected an option, --key=value; --help lists them",
		argv[c == -1 ? optind : optind - 1]);
	return -EINVAL;
}

static int load(struct service_config *config, const char *path)
{
	const struct settings_reader reader = {
		.set = set,
		.userdata = config,
	};

	if (!path && access(SERVICE_CONFIG_FILE, F_OK) < 0)
		return 0;
	return settings_load(&reader, path ? path : SERVICE_CONFIG_FILE);
}

int service_config_parse(int argc, char **argv, struct service_config *config,
			 enum service_config_mode *ret)
{
	static const struct settings_place nowhere = { 0 };
	struct line line = { 0 };
	int r;

	*config = (struct service_config){
		.runtime_dir = strdup("/run/pvdma"),
		.round_usec = 2000000,
		.log_level = LOG_INFO,
	};
	if (!config->runtime_dir)
		return log_err_errno(ENOMEM, "cannot start");
	*ret = SERVICE_EXIT;
	r = read_line(argc, argv, &line);
	if (r < 0)
		return r;
	if (line.help || line.version) {
		if (line.help)
			print_help();
		else
			printf("pvdmad %s\n", PVDMA_VERSION);
		return 0;
	}
	r = load(config, line.config);
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		int one = line.values[i] ?
				  set(config, &nowhere, settings[i].key,
				      line.values[i]) :
				  0;
		if (r == 0)
			r = one;
	}
	if (r == 0 && line.check)
		printf("the configuration is valid\n");
	else
		*ret = SERVICE_RUN;
	return r;
}

void service_config_done(struct service_config *config)
{
	free(config->runtime_dir);
	free(config->bus_address);
	free(config->owner);
	*config = (struct service_config){ 0 };
}
