/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * options.h - the command line of pvdma-agent
 */
#ifndef PVDMA_AGENT_OPTIONS_H
#define PVDMA_AGENT_OPTIONS_H

struct agent_config;

enum options_mode {
	OPTIONS_RUN,
	OPTIONS_CHECK, /* judge the configuration and exit */
	OPTIONS_QUERY, /* send one command to a running agent */
	OPTIONS_EXIT,  /* --help or --version: was printed */
};

struct options {
	enum options_mode mode;
	const char *query_path;
	char **query_words; /* of the command; into argv */
	int query_count;
};

/*
 * Reads the command line and the file that --config names into @config; what
 * the command line says wins, but devices of both add up. Returns 0 with *@ret
 * filled, or a negative errno, logged. In modes RUN and CHECK @config is
 * finished (config_finish()).
 */
int options_parse(int argc, char **argv, struct agent_config *config,
		  struct options *ret);

#endif
