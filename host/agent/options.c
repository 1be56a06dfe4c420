// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * options.c - the command line of pvdma-agent
 *
 * Owns: the options that are not settings (--config, --handover, --check,
 * --query, --help, --version) and the order in which file and command line are read: the file
 * first, so that the command line wins.
 *
 * Invariant: nothing is set before the whole line was understood.
 *
 * Locks: none. In a request's way: not.
 */
#include "options.h"

#include <errno.h>
#include <stdbool.h>
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
	       "  --handover PATH        take options and descriptors from pvdmad\n"
	       "  --check                judge the configuration and exit\n"
	       "  --query PATH COMMAND   send a command to a control socket and "
	       "print the answer\n"
	       "  --version              print the version\n"
	       "  --help                 print this\n");
}

/* One option of the command line, cut into its parts. */
struct arg {
	char *key;	   /* without the dashes; owned */
	const char *value; /* in argv; NULL: none, or not yet */
};

/* The command line, read from left to right. */
struct line {
	char **words; /* that are left */
	int count;
	const char *config_path;
	const char *handover_path;
	struct arg *settings; /* in their order */
	size_t num_settings;
};

static void line_done(struct line *line)
{
	for (size_t i = 0; i < line->num_settings; i++)
		free(line->settings[i].key);
	free(line->settings);
}

/* Cuts "--key" or "--key=value". -EINVAL for other words, logged. */
static int cut_word(const char *word, struct arg *ret)
{
	const char *equals;

	if (strncmp(word, "--", 2) != 0 || word[2] == '\0') {
		log_err("command line: %s: expected an option, --key=value; "
			"--help lists them",
			word);
		return -EINVAL;
	}
	word += 2;
	equals = strchr(word, '=');
	ret->key =
		strndup(word, equals ? (size_t)(equals - word) : strlen(word));
	ret->value = equals ? equals + 1 : NULL;
	return ret->key ? 0 : -ENOMEM;
}

static bool is_flag(const char *key)
{
	return strcmp(key, "check") == 0 || strcmp(key, "help") == 0 ||
	       strcmp(key, "version") == 0;
}

/* Takes the value of @arg, which may be the next word. */
static int take_value(struct line *line, struct arg *arg)
{
	if (is_flag(arg->key)) {
		if (!arg->value)
			return 0;
		log_err("command line: --%s takes no value", arg->key);
		return -EINVAL;
	}
	if (arg->value)
		return 0;
	if (line->count == 0) {
		log_err("command line: --%s: expected a value", arg->key);
		return -EINVAL;
	}
	arg->value = *line->words++;
	line->count--;
	return 0;
}

/* A path that may be given once. */
static int take_path(const char **to, const char *path, const char *key)
{
	if (*to) {
		log_err("command line: --%s is given twice", key);
		return -EINVAL;
	}
	*to = path;
	return 0;
}

/* All words behind the path are the command. */
static int take_query(struct line *line, const char *path, struct options *ret)
{
	if (line->count == 0) {
		log_err("command line: --query %s: expected a command behind "
			"it, such as stats",
			path);
		return -EINVAL;
	}
	ret->mode = OPTIONS_QUERY;
	ret->query_path = path;
	ret->query_words = line->words;
	ret->query_count = line->count;
	return 0;
}

/* Keeps a setting until the file has been read. Takes @arg->key. */
static int keep_setting(struct line *line, struct arg *arg)
{
	struct arg *settings;

	settings = realloc(line->settings,
			   (line->num_settings + 1) * sizeof(*settings));
	if (!settings)
		return -ENOMEM;
	line->settings = settings;
	settings[line->num_settings++] = (struct arg){
		.key = steal_ptr(arg->key),
		.value = arg->value,
	};
	return 0;
}

static int take_arg(struct line *line, struct arg *arg, struct options *ret)
{
	if (strcmp(arg->key, "config") == 0)
		return take_path(&line->config_path, arg->value, arg->key);
	if (strcmp(arg->key, "handover") == 0)
		return take_path(&line->handover_path, arg->value, arg->key);
	if (strcmp(arg->key, "query") == 0)
		return take_query(line, arg->value, ret);
	if (strcmp(arg->key, "check") == 0) {
		ret->mode = OPTIONS_CHECK;
		return 0;
	}
	if (strcmp(arg->key, "help") == 0) {
		print_help();
		ret->mode = OPTIONS_EXIT;
		return 0;
	}
	if (strcmp(arg->key, "version") == 0) {
		printf("pvdma-agent %s\n", PVDMA_VERSION);
		ret->mode = OPTIONS_EXIT;
		return 0;
	}
	return keep_setting(line, arg);
}

/* Reads words until none is left, or the mode says that no more matter. */
static int read_line(struct line *line, struct options *ret)
{
	int r = 0;

	while (r == 0 && line->count > 0 && ret->mode != OPTIONS_EXIT &&
	       ret->mode != OPTIONS_QUERY) {
		struct arg arg = { 0 };

		line->count--;
		r = cut_word(*line->words++, &arg);
		if (r == 0)
			r = take_value(line, &arg);
		if (r == 0)
			r = take_arg(line, &arg, ret);
		free(arg.key);
	}
	return r;
}

/*
 * The file's settings, the service's, then those of the line; goes on after an
 * error.
 */
static int apply(const struct line *line, struct agent_config *config)
{
	static const struct settings_place place = { 0 };
	int ret = 0, r;

	if (line->config_path)
		ret = config_load(config, line->config_path);
	if (line->handover_path && ret == 0)
		ret = config_take_handover(config, line->handover_path);
	for (size_t i = 0; i < line->num_settings; i++) {
		r = config_set(config, &place, line->settings[i].key,
			       line->settings[i].value);
		if (ret == 0)
			ret = r;
	}
	return ret < 0 ? ret : config_finish(config);
}

int options_parse(int argc, char **argv, struct agent_config *config,
		  struct options *ret)
{
	struct line line = { .words = argv + 1, .count = argc - 1 };
	int r;

	*ret = (struct options){ .mode = OPTIONS_RUN };
	if (argc < 1)
		return -EINVAL;
	r = read_line(&line, ret);
	if (r == 0 && (ret->mode == OPTIONS_RUN || ret->mode == OPTIONS_CHECK))
		r = apply(&line, config);
	line_done(&line);
	return r;
}
