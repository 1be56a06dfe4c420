// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * host_print.c - the results of --host as a table and as JSON
 *
 * Owns nothing. The JSON's names are an interface: see pvdma-sim(1).
 */
#include <inttypes.h>

#include "host/sim/host.h"

const char *host_way_name(enum host_way way)
{
	static const char *const names[HOST_WAYS] = {
		[HOST_EQUAL] = "equal",
		[HOST_WEIGHT] = "weight",
		[HOST_PVDMAD] = "pvdmad",
		[HOST_ORACLE] = "oracle",
	};

	return names[way];
}

static double gib(uint64_t bytes)
{
	return (double)bytes / 1073741824;
}

/* The part of @from that is saved, in percent. */
static double saved(double from, double to)
{
	return from > 0 ? 100 * (from - to) / from : 0;
}

static double part_of_oracle(const struct host_result *r)
{
	double all = r->weighted_us[HOST_EQUAL] - r->weighted_us[HOST_ORACLE];

	return saved(all, all - (r->weighted_us[HOST_EQUAL] -
				 r->weighted_us[HOST_PVDMAD]));
}

void host_print_table(FILE *out, const struct host_result *r)
{
	const struct profile_loss *equal = &r->loss[HOST_EQUAL];
	const struct profile_loss *pvdmad = &r->loss[HOST_PVDMAD];

	fprintf(out,
		"%u VMs, %.2f GiB for working sets of %.2f GiB, %u rounds of "
		"%u s\n\n"
		"%-8s %12s %12s %12s %14s\n",
		r->options.vms, gib(r->budget), gib(r->working_sets),
		r->options.rounds, HOST_ROUND_S, "", "waits/s", "unserved/s",
		"cost, ms/s", "by weight, ms/s");
	for (unsigned int way = 0; way < HOST_WAYS; way++)
		fprintf(out, "%-8s %12.0f %12.0f %12.0f %14.0f\n",
			host_way_name(way), r->loss[way].waits,
			r->loss[way].unserved, r->loss[way].cost_us / 1000,
			r->weighted_us[way] / 1000);
	fprintf(out,
		"\nAgainst equal shares pvdmad saves %.1f%% of the waits and "
		"%.1f%% of the cost\n(by weight %.1f%%, %.1f%% of what the "
		"oracle saves).\n",
		saved(equal->waits, pvdmad->waits),
		saved(equal->cost_us, pvdmad->cost_us),
		saved(r->weighted_us[HOST_EQUAL], r->weighted_us[HOST_PVDMAD]),
		part_of_oracle(r));
	fprintf(out,
		"With steady loads it settles in %u rounds; then %.2f%% of the "
		"budget moves in a\nround, and %.2f%% while loads move.\n",
		r->settled, 100 * r->moved_settled, 100 * r->moved);
	fprintf(out, "A round takes %.2f ms", r->round_us / 1000);
	if (r->round_instructions > 0)
		fprintf(out, ", %.1f million instructions",
			r->round_instructions / 1e6);
	fprintf(out, ".\n");
}

void host_print_json(FILE *out, const struct host_result *r)
{
	fprintf(out,
		"{\"vms\": %u, \"rounds\": %u, \"seed\": %" PRIu64
		", \"budget\": %" PRIu64 ", \"working_sets\": %" PRIu64
		",\n \"ways\": [",
		r->options.vms, r->options.rounds, r->options.seed, r->budget,
		r->working_sets);
	for (unsigned int way = 0; way < HOST_WAYS; way++)
		fprintf(out,
			"%s\n  {\"name\": \"%s\", \"waits_per_s\": %.3f, "
			"\"unserved_per_s\": %.3f, \"cost_us_per_s\": %.1f, "
			"\"weighted_us_per_s\": %.1f}",
			way == 0 ? "" : ",", host_way_name(way),
			r->loss[way].waits, r->loss[way].unserved,
			r->loss[way].cost_us, r->weighted_us[way]);
	fprintf(out,
		"],\n \"settled_rounds\": %u, \"moved_settled\": %.6f, "
		"\"moved\": %.6f, \"round_us\": %.1f, "
		"\"round_instructions\": %.0f}\n",
		r->settled, r->moved_settled, r->moved, r->round_us,
		r->round_instructions);
}
