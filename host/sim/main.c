// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * main.c - pvdma-sim: what a quota does to a guest's DMA mappings
 *
 * Exit status: 0 success; 1 it failed, and stderr says why; 2 the command line
 * is wrong.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host/lib/cleanup.h"
#include "host/lib/log.h"
#include "host/lib/macros.h"
#include "host/sim/cli.h"
#include "host/sim/grid.h"
#include "host/sim/import.h"
#include "host/sim/need.h"
#include "host/sim/progress.h"
#include "host/sim/trace_file.h"

#define EXIT_USAGE 2

#define REPORT_BENCH "build/sim/report.json"
#define REPORT_HOST  "build/sim/host.json"

DEFINE_CLEANUP(trace, struct trace *, trace_free);

/* "dir/name.pvt": "name", in memory of its own. */
static char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *name = strdup(slash ? slash + 1 : path);
	char *dot = name ? strrchr(name, '.') : NULL;

	if (dot && dot != name && !strcmp(dot, ".pvt"))
		*dot = '\0';
	return name;
}

static double mib(uint64_t bytes)
{
	return (double)bytes / 1048576;
}

/* Says why @path cannot be worked on; what is malformed has been said. */
static int complain(int r, const char *path)
{
	if (r == -E2BIG)
		log_err("%s: it is too large to simulate", path);
	else if (r != -EIO)
		log_err_errno(r, "%s", path);
	return r;
}

/* A trace that has something to replay. */
static int load(const char *path, struct trace **ret)
{
	int r = trace_load(path, ret);

	if (r || (*ret)->n_maps)
		return r;
	log_err("%s: it has no map calls", path);
	trace_free(*ret);
	return -EINVAL;
}

/* --- import --- */

static int run_import(const struct cli *cli)
{
	const char *path = cli->files[0];
	_cleanup_fclose_ FILE *in = fopen(path, "re");
	_cleanup_(cleanup_trace) struct trace *trace = NULL;
	struct import_result result;
	uint32_t live = 0, oneshot = 0;
	int r;

	if (!in)
		return log_err_errno(errno, "cannot open %s", path);
	r = import_text(in, &cli->import, &result);
	trace = result.trace;
	if (r == -EBADMSG && result.error_line)
		log_err("%s, line %" PRIu64 ": %s", path, result.error_line,
			result.error);
	else if (r == -EBADMSG)
		log_err("%s: %s", path, result.error);
	else if (r)
		log_err_errno(r, "cannot import %s", path);
	if (r)
		return r;
	if (cli->strict && trace->info.lost) {
		log_err("%s: %" PRIu64 " events were lost: record again with a "
			"larger buffer",
			path, trace->info.lost);
		return -EBADMSG;
	}
	for (uint32_t m = 0; m < trace->n_maps; m++) {
		uint8_t kind = trace_map_of(trace, m)->kind;

		live += trace_is_live(trace, m);
		oneshot += trace_is_live(trace, m) &&
			   (kind == TRACE_SINGLE || kind == TRACE_SG);
	}
	printf("%s: %u maps, %u of which do not end; %" PRIu64
	       " unmaps of something unknown, %" PRIu64 " events lost, %" PRIu64
	       " lists cut, %" PRIu64 " maps skipped\n",
	       path, trace->n_maps, live, trace->info.unmatched,
	       trace->info.lost, trace->info.truncated, trace->info.skipped);
	if (result.translated > trace->n_maps / 10)
		log_warn("many addresses for the device are not those of the "
			 "memory: where an IOMMU translates for the driver, "
			 "coherent memory is taken to be elsewhere");
	if (oneshot > 100 && oneshot > trace->n_maps / 2)
		log_warn(
			"most maps do not end: a kernel that leaves out unmaps "
			"that do nothing? See pvdma-sim(1), RECORDING.");
	return trace_save(trace, cli->output);
}

/* --- info, dump --- */

/* What a trace touches, and has in use at once, by size of granule. */
static int print_sizes(const struct trace *trace)
{
	for (unsigned int i = 0; i < BENCH_SIZES; i++) {
		struct grid *grid = NULL;
		uint64_t held = 0;
		int r = grid_new(trace, bench_shifts[i], &grid);

		if (!r)
			r = grid_held_peak(grid, trace, &held);
		if (!r)
			printf("  in granules of %4u KiB: working set %9.2f "
			       "MiB, at most %9.2f MiB in use at once\n",
			       1u << (bench_shifts[i] - 10),
			       mib(grid_bytes(grid)), mib(held));
		grid_free(grid);
		if (r)
			return r;
	}
	return 0;
}

static int print_info(const char *path)
{
	_cleanup_(cleanup_trace) struct trace *trace = NULL;
	uint32_t kinds[TRACE_KINDS] = { 0 }, live = 0;
	const struct trace_info *info;
	uint64_t bytes = 0;
	int r = load(path, &trace);

	if (r)
		return r;
	info = &trace->info;
	for (uint32_t m = 0; m < trace->n_maps; m++) {
		kinds[trace_map_of(trace, m)->kind]++;
		live += trace_is_live(trace, m);
	}
	for (size_t i = 0; i < trace->n_segments; i++)
		bytes += trace->segments[i].len;
	printf("%s\n  kernel %s, %u CPUs, %.0f MiB, workload %s\n  devices:",
	       path, info->kernel, info->cpus, mib(info->memory),
	       info->workload);
	for (uint32_t i = 0; i < info->n_devices; i++)
		printf(" %s", info->devices[i]);
	printf("\n  %u map calls of %.2f MiB in %.3f s, %u never end\n ",
	       trace->n_maps, mib(bytes),
	       (double)trace->events[trace->n_events - 1].time_us / 1e6, live);
	for (unsigned int k = 0; k < TRACE_KINDS; k++)
		printf(" %s %u", trace_kind_name(k), kinds[k]);
	printf("\n  lost %" PRIu64 ", unmatched %" PRIu64 ", truncated %" PRIu64
	       ", skipped %" PRIu64 "\n",
	       info->lost, info->unmatched, info->truncated, info->skipped);
	r = print_sizes(trace);
	return r ? complain(r, path) : 0;
}

static int run_info(const struct cli *cli)
{
	int r = 0;

	for (unsigned int i = 0; i < cli->n_files && !r; i++)
		r = print_info(cli->files[i]);
	return r;
}

static int run_dump(const struct cli *cli)
{
	_cleanup_(cleanup_trace) struct trace *trace = NULL;
	int r = trace_load(cli->files[0], &trace);

	if (r)
		return r;
	for (size_t i = 0; i < trace->n_events; i++) {
		const struct trace_event *e = &trace->events[i];

		printf("%" PRIu64 " cpu %u %s %s %u", e->time_us, e->cpu,
		       trace->info.devices[e->device],
		       e->n_segments ? "map" : "unmap", e->map);
		if (e->n_segments)
			printf(" %s, %s", trace_kind_name(e->kind),
			       trace_dir_name(e->dir));
		for (uint32_t k = 0; k < e->n_segments; k++)
			printf(" %" PRIx64 "+%" PRIx64,
			       trace->segments[e->segment + k].addr,
			       trace->segments[e->segment + k].len);
		putchar('\n');
	}
	return 0;
}

/* --- need --- */

static int print_need(const struct cli *cli, const char *path)
{
	_cleanup_(cleanup_trace) struct trace *trace = NULL;
	struct progress progress;
	struct need need;
	int r = load(path, &trace);

	if (r)
		return r;
	progress_start(&progress, 0);
	progress.what = path;
	r = need_find(trace, &cli->bench.engine, &cli->cost, progress_step,
		      &progress, &need);
	progress_end(&progress);
	if (r)
		return complain(r, path);
	printf("%s\n"
	       "  touched by its devices           %9.2f MiB\n"
	       "  in use at once, at most          %9.2f MiB\n"
	       "  no map is refused from           %9.2f MiB  (%.2f%% wait)\n"
	       "  hardly slower than with more:    %9.2f MiB  (%.2f%% wait)\n"
	       "  nothing is ever mapped twice at  %9.2f MiB  (%.2f%% wait)\n",
	       path, mib(need.working_set), mib(need.held_peak),
	       mib(need.serves), 100 * need.waits_serves, mib(need.enough),
	       100 * need.waits_enough, mib(need.all), 100 * need.waits_all);
	return 0;
}

static int run_need(const struct cli *cli)
{
	int r = 0;

	for (unsigned int i = 0; i < cli->n_files && !r; i++)
		r = print_need(cli, cli->files[i]);
	return r;
}

/* --- bench --- */

static int bench_one(const struct cli *cli, const char *path,
		     struct progress *progress, struct bench_trace *ret)
{
	_cleanup_(cleanup_trace) struct trace *trace = NULL;
	int r = load(path, &trace);

	if (r)
		return r;
	progress->what = ret->name;
	r = bench_run(trace, &cli->bench, progress_step, progress, ret);
	return r ? complain(r, path) : 0;
}

/* Makes the folders above @path. */
static void make_parents(const char *path)
{
	_cleanup_free_ char *copy = strdup(path);

	for (char *s = copy ? strchr(copy + 1, '/') : NULL; s;
	     s = strchr(s + 1, '/')) {
		*s = '\0';
		/* what fails is seen when the file is opened */
		(void)mkdir(copy, 0777);
		*s = '/';
	}
}

/* Opens @path for writing, with the folders above it. NULL: it was logged. */
static FILE *open_report(const char *path)
{
	FILE *out;

	make_parents(path);
	out = fopen(path, "we");
	if (!out)
		(void)log_err_errno(errno, "cannot write %s", path);
	return out;
}

static int close_report(FILE *out, const char *path)
{
	if (ferror(out) | fclose(out))
		return log_err_errno(EIO, "cannot write %s", path);
	return 0;
}

static int write_files(const struct cli *cli, const struct bench_trace *traces)
{
	unsigned int n = cli->n_files;
	int r = 0;

	for (int i = 0; i < 2 && r == 0; i++) {
		const char *path = i ? cli->plot : cli->report;
		FILE *out;

		if (!path)
			path = i ? NULL : REPORT_BENCH;
		if (!path)
			continue;
		out = open_report(path);
		if (!out)
			return -EIO;
		if (i)
			bench_print_svg(out, traces, n);
		else
			bench_print_json(out, traces, n, &cli->bench);
		r = close_report(out, path);
	}
	return r;
}

static int run_bench(const struct cli *cli)
{
	unsigned int n = cli->n_files;
	struct bench_trace *traces = calloc(n, sizeof(*traces));
	struct progress progress;
	int r = traces ? 0 : -ENOMEM;

	progress_start(&progress, n * bench_steps(&cli->bench));
	for (unsigned int i = 0; i < n && !r; i++) {
		traces[i].name = name_of(cli->files[i]);
		r = traces[i].name ? bench_one(cli, cli->files[i], &progress,
					       &traces[i]) :
				     -ENOMEM;
	}
	progress_end(&progress);
	if (!r) {
		if (cli->json)
			bench_print_json(stdout, traces, n, &cli->bench);
		else if (cli->markdown)
			bench_print_markdown(stdout, traces, n);
		else
			bench_print_table(stdout, traces, n);
		r = write_files(cli, traces);
	}
	for (unsigned int i = 0; traces && i < n; i++)
		free((char *)traces[i].name);
	free(traces);
	return r;
}

/* --- host --- */

static int load_profile(const struct cli *cli, const char *path,
			struct progress *progress, struct profile *ret)
{
	_cleanup_(cleanup_trace) struct trace *trace = NULL;
	int r = load(path, &trace);

	if (r)
		return r;
	progress->what = path;
	r = profile_make(trace, &cli->bench.engine, &cli->cost, progress_step,
			 progress, ret);
	return r ? complain(r, path) : 0;
}

static int print_host(const struct cli *cli, const struct host_result *result)
{
	const char *path = cli->report ? cli->report : REPORT_HOST;
	FILE *out;

	if (cli->json)
		host_print_json(stdout, result);
	else
		host_print_table(stdout, result);
	out = open_report(path);
	if (!out)
		return -EIO;
	host_print_json(out, result);
	return close_report(out, path);
}

static int run_host(const struct cli *cli)
{
	unsigned int n = cli->n_files;
	_cleanup_free_ struct profile *profiles = calloc(n, sizeof(*profiles));
	struct host_result result;
	struct progress progress;
	int r = profiles ? 0 : -ENOMEM;

	progress_start(&progress, n * PROFILE_RUNS + cli->host.rounds);
	for (unsigned int i = 0; i < n && !r; i++)
		r = load_profile(cli, cli->files[i], &progress, &profiles[i]);
	progress.what = "rounds";
	if (!r)
		r = host_run(profiles, n, &cli->host, progress_step, &progress,
			     &result);
	progress_end(&progress);
	return r ? r : print_host(cli, &result);
}

int main(int argc, char **argv)
{
	struct cli cli;
	int r = 0;

	/* the agent explains itself to operators; here nobody operates */
	log_set_max_level(LOG_WARNING);
	if (cli_parse(argc, argv, &cli))
		return EXIT_USAGE;
	switch (cli.verb) {
	case CLI_IMPORT:
		r = run_import(&cli);
		break;
	case CLI_BENCH:
		r = run_bench(&cli);
		break;
	case CLI_HOST:
		r = run_host(&cli);
		break;
	case CLI_NEED:
		r = run_need(&cli);
		break;
	case CLI_INFO:
		r = run_info(&cli);
		break;
	case CLI_DUMP:
		r = run_dump(&cli);
		break;
	case CLI_NONE:
	case CLI_EXIT:
		break;
	}
	if (fflush(stdout) || ferror(stdout))
		r = log_err_errno(errno ? errno : EIO, "cannot write it all");
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
