// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bench_print.c - the results of --bench as a table and as JSON
 *
 * Owns nothing. The JSON's names are an interface: see pvdma-sim(1).
 */
#include <inttypes.h>
#include <stdbool.h>

#include "host/agent/json_out.h"
#include "host/sim/bench.h"

static const char *size_name(unsigned int shift)
{
	switch (shift) {
	case 12:
		return "4K";
	case 14:
		return "16K";
	case 16:
		return "64K";
	case 18:
		return "256K";
	case 21:
		return "2M";
	default:
		return "?";
	}
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static double mib(uint64_t bytes)
{
	return (double)bytes / 1048576;
}

static double ratio(const struct bench_point *p)
{
	return p->engine.cost_us / p->fixed[p->best].cost_us;
}

static void print_summary(FILE *out, const struct bench_trace *traces,
			  unsigned int n, bool feasible_only)
{
	struct bench_summary s;

	bench_summarise(traces, n, feasible_only, &s);
	if (!s.points)
		return;
	fprintf(out,
		"%s (%u points): cost %.2f of the best fixed size's (worst %.2f), "
		"%.2f%% of map calls wait, %.2f%% of bytes bounced, "
		"policy %.3f of the optimum's misses (worst %.2f), "
		"quota exceeded at %u points\n",
		feasible_only ? "Quota covers what is in use at once" : "All",
		s.points, s.cost_ratio, s.cost_ratio_max, 100 * s.wait_share,
		100 * s.bounced_share, s.policy_ratio, s.policy_ratio_max,
		s.over_quota);
}

void bench_print_table(FILE *out, const struct bench_trace *traces,
		       unsigned int n)
{
	fprintf(out,
		"%-28s %5s %8s | %6s %8s %9s %8s %9s | %4s %6s %9s | %5s | %8s %8s %5s\n",
		"trace", "quota", "MiB", "waits%", "requests", "MiB mapd",
		"peak MiB", "cost ms", "best", "waits%", "cost ms",
		"cost:", "misses", "optimum", "ratio");
	for (unsigned int i = 0; i < n; i++)
		for (unsigned int k = 0; k < traces[i].n_points; k++) {
			const struct bench_trace *t = &traces[i];
			const struct bench_point *p = &t->points[k];
			const struct replay_result *best = &p->fixed[p->best];

			fprintf(out,
				"%-28.28s %4u%%%c%8.2f | %6.2f %8" PRIu64
				" %9.2f %8.2f %9.1f | %4s %6.2f %9.1f | %5.2f"
				" | %8" PRIu64 " %8" PRIu64 " %5.2f\n",
				t->name, p->quota_pct,
				bench_is_feasible(t, p) ? ' ' : '!',
				mib(p->quota),
				percent(p->engine.waits, t->map_calls),
				p->engine.requests, mib(p->engine.mapped_bytes),
				mib(p->engine.pinned_peak),
				p->engine.cost_us / 1000,
				size_name(bench_shifts[p->best]),
				percent(best->waits, t->map_calls),
				best->cost_us / 1000, ratio(p), p->policy.loads,
				p->opt.loads,
				p->opt.loads ? (double)p->policy.loads /
						       (double)p->opt.loads :
					       1.0);
		}
	fputs("\n! the quota is less than what is in use at once\n", out);
	print_summary(out, traces, n, false);
	print_summary(out, traces, n, true);
}

/* "12.3%, 45": waits, and cost in ms or what was never served. */
static void markdown_cell(FILE *out, uint64_t waits, uint64_t calls,
			  uint64_t unserved, double cost_us, bool bold)
{
	const char *mark = bold ? "**" : "";

	fprintf(out, " | %s%.1f%%, ", mark, percent(waits, calls));
	if (unserved)
		fprintf(out, "%" PRIu64 " lost%s", unserved, mark);
	else
		fprintf(out, "%.0f%s", cost_us / 1000, mark);
}

static void markdown_row(FILE *out, const struct bench_trace *t,
			 const struct bench_point *p)
{
	fprintf(out, "| %s | %" PRIu64 " | %.2f | %.2f | %u%%%s", t->name,
		t->map_calls, mib(t->working_set), mib(t->held_peak),
		p->quota_pct, bench_is_feasible(t, p) ? "" : " !");
	markdown_cell(out, p->engine.waits, t->map_calls, p->engine.unserved,
		      p->engine.cost_us, false);
	for (unsigned int s = 0; s < BENCH_SIZES; s++)
		markdown_cell(out, p->fixed[s].waits, t->map_calls,
			      p->fixed[s].unserved, p->fixed[s].cost_us,
			      s == p->best);
	fprintf(out, " | %.2f |\n",
		p->opt.loads ? (double)p->policy.loads / (double)p->opt.loads :
			       1.0);
}

void bench_print_markdown(FILE *out, const struct bench_trace *traces,
			  unsigned int n)
{
	fputs("| trace | map calls | working set, MiB | in use at once, MiB | quota "
	      "| engine | 4K | 16K | 64K | 256K | 2M | policy / optimum |\n"
	      "|---|---|---|---|---|---|---|---|---|---|---|---|\n",
	      out);
	for (unsigned int i = 0; i < n; i++)
		for (unsigned int k = 0; k < traces[i].n_points; k++)
			markdown_row(out, &traces[i], &traces[i].points[k]);
	fputs("\n", out);
	print_summary(out, traces, n, false);
	fputs("\n", out);
	print_summary(out, traces, n, true);
}

static void json_u64(FILE *out, const char *key, uint64_t v)
{
	fprintf(out, "\"%s\": %" PRIu64 ", ", key, v);
}

static void json_point(FILE *out, const struct bench_trace *t,
		       const struct bench_point *p, unsigned int policy_shift)
{
	const struct engine_result *e = &p->engine;

	fprintf(out, "    {\"quota_pct\": %u, ", p->quota_pct);
	json_u64(out, "quota", p->quota);
	fprintf(out, "\"feasible\": %s, ",
		bench_is_feasible(t, p) ? "true" : "false");
	json_u64(out, "waits", e->waits);
	json_u64(out, "requests", e->requests);
	json_u64(out, "refused", e->refused);
	json_u64(out, "unserved", e->unserved);
	json_u64(out, "evictions", e->evictions);
	json_u64(out, "mapped_bytes", e->mapped_bytes);
	json_u64(out, "bounced_bytes", e->bounced_bytes);
	json_u64(out, "pinned_peak", e->pinned_peak);
	json_u64(out, "prefetched", e->prefetched);
	json_u64(out, "prefetch_used", e->prefetch_used);
	fprintf(out, "\"cost_us\": %.0f, \"waited_us\": %.0f,\n     ",
		e->cost_us, e->waited_us);
	fputs("\"fixed\": [", out);
	for (unsigned int s = 0; s < BENCH_SIZES; s++)
		fprintf(out,
			"%s{\"granule\": %u, \"waits\": %" PRIu64
			", \"unserved\": %" PRIu64 ", \"cost_us\": %.0f}",
			s ? ", " : "", 1u << bench_shifts[s], p->fixed[s].waits,
			p->fixed[s].unserved, p->fixed[s].cost_us);
	fprintf(out,
		"],\n     \"best_fixed\": {\"granule\": %u, \"waits\": %" PRIu64
		", \"cost_us\": %.0f},\n",
		1u << bench_shifts[p->best], p->fixed[p->best].waits,
		p->fixed[p->best].cost_us);
	fprintf(out,
		"     \"policy_only\": {\"granule\": %u, \"misses\": %" PRIu64
		", \"opt_misses\": %" PRIu64 "}}",
		1u << policy_shift, p->policy.loads, p->opt.loads);
}

static void json_trace(FILE *out, const struct bench_trace *t,
		       const struct bench_options *options)
{
	fputs("  {\"name\": ", out);
	json_out_string(out, t->name);
	fputs(", \"kernel\": ", out);
	json_out_string(out, t->info.kernel);
	fputs(", \"workload\": ", out);
	json_out_string(out, t->info.workload);
	fputs(", \"devices\": [", out);
	for (uint32_t i = 0; i < t->info.n_devices; i++) {
		fputs(i ? ", " : "", out);
		json_out_string(out, t->info.devices[i]);
	}
	fputs("],\n   ", out);
	json_u64(out, "map_calls", t->map_calls);
	json_u64(out, "call_bytes", t->call_bytes);
	json_u64(out, "working_set", t->working_set);
	json_u64(out, "held_peak", t->held_peak);
	json_u64(out, "lost", t->info.lost);
	fputs("\"points\": [\n", out);
	for (unsigned int k = 0; k < t->n_points; k++) {
		json_point(out, t, &t->points[k], options->policy_shift);
		fputs(k + 1 < t->n_points ? ",\n" : "]}", out);
	}
}

static void json_summary(FILE *out, const char *key,
			 const struct bench_trace *traces, unsigned int n,
			 bool feasible_only)
{
	struct bench_summary s;

	bench_summarise(traces, n, feasible_only, &s);
	fprintf(out,
		" \"%s\": {\"points\": %u, \"cost_ratio\": %.4f, "
		"\"cost_ratio_max\": %.4f, \"wait_share\": %.6f, "
		"\"bounced_share\": %.6f, \"policy_ratio\": %.4f, "
		"\"policy_ratio_max\": %.4f, \"over_quota\": %u}",
		key, s.points, s.cost_ratio, s.cost_ratio_max, s.wait_share,
		s.bounced_share, s.policy_ratio, s.policy_ratio_max,
		s.over_quota);
}

void bench_print_json(FILE *out, const struct bench_trace *traces,
		      unsigned int n, const struct bench_options *options)
{
	fputs("{\"traces\": [\n", out);
	for (unsigned int i = 0; i < n; i++) {
		json_trace(out, &traces[i], options);
		fputs(i + 1 < n ? ",\n" : "\n", out);
	}
	fputs(" ],\n", out);
	json_summary(out, "summary", traces, n, false);
	fputs(",\n", out);
	json_summary(out, "summary_feasible", traces, n, true);
	fputs("}\n", out);
}
