// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * main.c - pvdma-agent: the data path of one VM
 *
 * Exit status: 0 success; 1 it failed, and stderr says why; 2 the command line
 * or the configuration is wrong.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

#include "agent.h"
#include "agent_kept.h"
#include "config.h"
#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/keeper.h"
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

static int run(const struct agent_config *config, struct keeper *keeper,
	       int state_fd)
{
	struct agent *agent;
	int r;

	log_set_max_level(config->log_level);
	if (agent_new(config, keeper, state_fd, &agent) < 0)
		return failed(EXIT_FAILURE);
	r = agent_run(agent);
	agent_free(agent);
	return r < 0 ? failed(EXIT_FAILURE) : EXIT_SUCCESS;
}

/*
 * What a process before this one left, if it served already: *@ret_fd, and its
 * configuration. What cannot be gone on with is cleaned up. 0, -EBADF (there is
 * nothing), or another negative errno.
 */
static int find_state(struct keeper *keeper, struct agent_config *config,
		      int *ret_fd)
{
	_cleanup_close_ int fd = keeper_take_state(keeper);
	bool complete = false;
	int r;

	if (fd < 0)
		return -EBADF;
	r = kept_read_config(fd, config, &complete);
	if (r == 0 && complete) {
		*ret_fd = steal_fd(&fd);
		return 0;
	}
	kept_clean_up(keeper);
	return r < 0 ? r : -EBADF;
}

static int start(int argc, char **argv, struct agent_config *config,
		 struct keeper *keeper)
{
	struct options options;
	int state_fd = -EBADF;
	int r = find_state(keeper, config, &state_fd);

	if (r == 0)
		return run(config, keeper, state_fd);
	if (r != -EBADF)
		return failed(EXIT_FAILURE);
	if (options_parse(argc, argv, config, &options) < 0)
		return failed(EXIT_USAGE);
	switch (options.mode) {
	case OPTIONS_RUN:
		return run(config, keeper, -EBADF);
	case OPTIONS_QUERY:
		return query_run(options.query_path, options.query_words,
				 options.query_count) == 0 ?
			       EXIT_SUCCESS :
			       EXIT_FAILURE;
	case OPTIONS_CHECK:
		printf("the configuration is valid\n");
		break;
	case OPTIONS_EXIT:
		break;
	}
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct agent_config config;
	struct keeper *keeper;
	int status;

	crash_init();
	if (keeper_new(&keeper) < 0)
		return failed(EXIT_FAILURE);
	config_init(&config);
	status = start(argc, argv, &config, keeper);
	config_done(&config);
	keeper_free(keeper);
	return status;
}
