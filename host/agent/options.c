// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * options.c - the command line of pvdma-agent
 *
 * Owns: the options that are not settings (--config, --check, --query, --help,
 * --version) and the order in which file and command line are read: the file
 * first, so that the command line wins.
 *
 * Locks: none. In a request's way: not.
 */
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "lib/cleanup.h"
#include "lib/log.h"

#ifndef PVDMA_VERSION
#define PVDMA_VERSION "unknown"
#endif

static void print_help(void)
{
	printf("pvdma-agent - maps guest memory for passthrough devices on "
	       "demand\n\n"
	       "  pvdma-agent [--config FILE] [OPTION...]\n"
	       "  pvdma-agent --query PATH COMMAND...\n\n"
	       "Options, on the command line or in the file as key=value:\n");
	config_help(stdout);
	printf("\nOnly on the command line:\n"
	       "  --config FILE          read options from FILE\n"
	       "  --check                judge the configuration and exit\n"
	       "  --query PATH COMMAND   send a command to a control socket and "
	       "print the answer\n"
	       "  --version              print the version\n"
	       "  --help                 print this\n");
}

/* One option of the command line, cut into its parts. */
struct arg {
	const char *key;	/* without the dashes; in `buf` */
	const char *value;	/* behind '=', or NULL */
	char *buf;
};

/* Cuts "--key" or "--key=value". -EINVAL for other words, logged. */
static int cut_arg(const char *word, struct arg *ret)
{
	char *equals;

	if (strncmp(word, "--", 2) != 0 || word[2] == '\0') {
		log_err("command line: %s: expected an option, --key=value; "
			"--help lists them",
			word);
		return -EINVAL;
	}
	ret->buf = strdup(word + 2);
	if (!ret->buf)
		return -ENOMEM;
	equals = strchr(ret->buf, '=');
	if (equals)
		*equals++ = '\0';
	ret->key = ret->buf;
	ret->value = equals;
	return 0;
}

static bool is_flag(const char *key)
{
	return strcmp(key, "check") == 0 || strcmp(key, "help") == 0 ||
	       strcmp(key, "version") == 0;
}

/*
 * Reads the option at argv[*i], with its value, which may be the next word, and
 * moves *@i behind it. @ret->buf is the caller's to free.
 */
static int next_arg(int argc, char **argv, int *i, struct arg *ret)
{
	int r = cut_arg(argv[(*i)++], ret);

	if (r < 0)
		return r;
	if (is_flag(ret->key)) {
		if (!ret->value)
			return 0;
		log_err("command line: --%s takes no value", ret->key);
		return -EINVAL;
	}
	if (ret->value)
		return 0;
	if (*i >= argc) {
		log_err("command line: --%s: expected a value", ret->key);
		return -EINVAL;
	}
	ret->value = argv[(*i)++];
	return 0;
}

/* Handles what is not a setting. 0: it is one; 1: done; negative errno. */
static int take_special(const struct arg *arg, char **argv, int argc, int i,
			const char **config_path, struct options *ret)
{
	if (strcmp(arg->key, "help") == 0) {
		print_help();
		ret->mode = OPTIONS_EXIT;
	} else if (strcmp(arg->key, "version") == 0) {
		printf("pvdma-agent %s\n", PVDMA_VERSION);
		ret->mode = OPTIONS_EXIT;
	} else if (strcmp(arg->key, "check") == 0) {
		ret->mode = OPTIONS_CHECK;
	} else if (strcmp(arg->key, "config") == 0) {
		if (*config_path) {
			log_err("command line: --config is given twice");
			return -EINVAL;
		}
		/* arg->value may lie in a buffer that goes: look in argv. */
		*config_path = argv[i - 1];
		if (strncmp(*config_path, "--config=", 9) == 0)
			*config_path += 9;
	} else if (strcmp(arg->key, "query") == 0) {
		ret->query_path = argv[i - 1];
		if (strncmp(ret->query_path, "--query=", 8) == 0)
			ret->query_path += 8;
		ret->query_words = argv + i;
		ret->query_count = argc - i;
		ret->mode = OPTIONS_QUERY;
	} else {
		return 0;
	}
	return 1;
}

/*
 * One pass over the command line: the first looks for what is not a setting,
 * the second (@config not NULL) takes the settings.
 */
static int pass(int argc, char **argv, struct agent_config *config,
		const char **config_path, struct options *ret)
{
	static const struct config_place place = { 0 };
	const char *ignored = NULL;
	struct options again = { 0 };
	int ret_errno = 0;

	for (int i = 1; i < argc;) {
		_cleanup_(cleanup_free) char *buf = NULL;
		struct arg arg = { 0 };
		int r = next_arg(argc, argv, &i, &arg);

		buf = arg.buf;
		if (r < 0)
			return r;
		r = take_special(&arg, argv, argc, i,
				 config ? &ignored : config_path,
				 config ? &again : ret);
		if (r < 0)
			return r;
		if (ret->mode == OPTIONS_EXIT || ret->mode == OPTIONS_QUERY)
			return 0;
		if (r == 0 && config) {
			r = config_set(config, &place, arg.key, arg.value);
			if (r < 0)
				ret_errno = r;
		}
	}
	return ret_errno;
}

int options_parse(int argc, char **argv, struct agent_config *config,
		  struct options *ret)
{
	const char *config_path = NULL;
	int r, ret_errno = 0;

	*ret = (struct options){ .mode = OPTIONS_RUN };
	r = pass(argc, argv, NULL, &config_path, ret);
	if (r < 0)
		return r;
	if (ret->mode == OPTIONS_EXIT)
		return 0;
	if (ret->mode == OPTIONS_QUERY) {
		if (ret->query_count > 0)
			return 0;
		log_err("command line: --query %s: expected a command behind "
			"it, such as stats",
			ret->query_path);
		return -EINVAL;
	}
	if (config_path) {
		ret_errno = config_load(config, config_path);
		if (ret_errno < 0 && ret_errno != -EINVAL &&
		    ret_errno != -ENOENT)
			return ret_errno;
	}
	r = pass(argc, argv, config, NULL, ret);
	if (r < 0)
		return r;
	if (ret_errno < 0)
		return ret_errno;
	return config_finish(config);
}
