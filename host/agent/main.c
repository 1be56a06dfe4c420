// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * main.c - pvdma-agent: the data path of one VM
 *
 * Exit status: 0 success; 1 it failed, and stderr says why; 2 the command line
 * or the configuration is wrong.
 */
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

#include "agent.h"
#include "config.h"
#include "lib/log.h"
#include "options.h"
#include "query.h"

#define EXIT_USAGE 2

/* Who started this agent wants to know why it did not come up, or fell. */
static int failed(int status)
{
	(void)sd_notifyf(0, "STATUS=%s", log_last_error());
	return status;
}

static int run(const struct agent_config *config)
{
	struct agent *agent;
	int r;

	log_set_max_level(config->log_level);
	if (agent_new(config, &agent) < 0)
		return failed(EXIT_FAILURE);
	r = agent_run(agent);
	agent_free(agent);
	return r < 0 ? failed(EXIT_FAILURE) : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct agent_config config;
	struct options options;
	int status = EXIT_SUCCESS;

	config_init(&config);
	if (options_parse(argc, argv, &config, &options) < 0) {
		config_done(&config);
		return failed(EXIT_USAGE);
	}
	switch (options.mode) {
	case OPTIONS_RUN:
		status = run(&config);
		break;
	case OPTIONS_QUERY:
		status = query_run(options.query_path, options.query_words,
				   options.query_count) == 0 ?
				 EXIT_SUCCESS :
				 EXIT_FAILURE;
		break;
	case OPTIONS_CHECK:
		printf("the configuration is valid\n");
		break;
	case OPTIONS_EXIT:
		break;
	}
	config_done(&config);
	return status;
}
