/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cli.h - the command line of pvdma-sim
 */
#ifndef PVDMA_SIM_CLI_H
#define PVDMA_SIM_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include "host/sim/bench.h"
#include "host/sim/cost.h"
#include "host/sim/host.h"
#include "host/sim/import.h"

enum cli_verb {
	CLI_NONE,
	CLI_EXIT, /* help or version: all is done */
	CLI_IMPORT,
	CLI_BENCH,
	CLI_NEED,
	CLI_HOST,
	CLI_INFO,
	CLI_DUMP,
};

struct cli {
	enum cli_verb verb;
	char **files;
	unsigned int n_files;
	const char *output;
	const char *report; /* NULL: the verb's default */
	const char *plot;
	bool json, markdown, strict;
	struct cost_model cost;
	struct bench_options bench;
	struct host_options host;
	struct import_options import;
	struct import_device devices[TRACE_DEVICES_MAX];
};

/*
 * Reads @argv, which must outlive *@ret and is changed. 0, or -EINVAL with the
 * reason logged.
 */
int cli_parse(int argc, char **argv, struct cli *ret);

#endif
