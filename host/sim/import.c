// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * import.c - the text of the kernel's events/dma tracepoints into a trace
 *
 * Owns the state of one import. What a device sees of a mapping is its DMA
 * address, by which the text names it again when it ends; what pvdma will see
 * is the physical address, and that is what the trace gets. They differ only
 * where the recording kernel bounced. Locks: none.
 */
#include "host/sim/import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/lib/macros.h"
#include "host/sim/nvme_commands.h"
#include "host/sim/live.h"
#include "host/sim/trace_text.h"

/* Clocks of several CPUs may disagree by so much, in nanoseconds. */
#define BACK_MAX UINT64_C(1000000000)

struct import {
	const struct import_options *options;
	struct import_result *result;
	struct trace *trace;
	struct live *live;
	struct nvme_commands *commands;
	struct text_line line;
	char addresses[TRACE_DEVICES_MAX][TRACE_TEXT_MAX];
	struct trace_segment *segments; /* of the map at hand */
	size_t max_segments;
	uint64_t start_ns, now_ns;
	uint64_t top; /* the highest address, exclusive */
	uint32_t cpus;
	bool started;
};

static int wrong(struct import *imp, const char *error)
{
	imp->result->error_line = imp->result->lines;
	imp->result->error = error;
	return -EBADMSG;
}

/* The device's index; -ENOENT where it is not asked for, -EBADMSG. */
static int find_device(struct import *imp)
{
	uint32_t n = imp->trace->info.n_devices;
	int i;

	for (uint32_t d = 0; d < n; d++)
		if (!strcmp(imp->addresses[d], imp->line.device))
			return (int)d;
	if (imp->options->n_devices)
		return -ENOENT;
	i = trace_add_device(imp->trace, imp->line.device);
	if (i < 0)
		return wrong(imp, "there are more devices than a trace takes; "
				  "name those that matter");
	memcpy(imp->addresses[i], imp->line.device, TRACE_TEXT_MAX);
	return i;
}

/* Moves the time on; it stands still where the text goes back a little. */
static int set_time(struct import *imp)
{
	uint64_t t = imp->line.time_ns;

	if (!imp->started) {
		imp->started = true;
		imp->start_ns = imp->now_ns = t;
	}
	if (t < imp->now_ns && imp->now_ns - t > BACK_MAX)
		return wrong(imp, "the time goes back: is this one recording, "
				  "in order?");
	imp->now_ns = max(imp->now_ns, t);
	if ((imp->now_ns - imp->start_ns) / 1000 > TRACE_TIME_MAX)
		return wrong(imp, "the time is too far from the first one");
	if (imp->line.cpu >= TRACE_CPUS_MAX)
		return wrong(imp, "there are more CPUs than a trace takes");
	imp->cpus = max(imp->cpus, imp->line.cpu + 1);
	return 0;
}

static uint64_t time_us(const struct import *imp)
{
	return (imp->now_ns - imp->start_ns) / 1000;
}

/* The segments of the map at hand, in imp->segments; how many, or -ENOMEM. */
static int64_t get_segments(struct import *imp)
{
	const struct text_line *line = &imp->line;
	size_t n = 1;

	if (line->event == TEXT_MAP_SG)
		n = min(line->sizes.n, line->phys_addrs.n);
	if (n > imp->max_segments) {
		struct trace_segment *bigger =
			reallocarray(imp->segments, n, sizeof(*imp->segments));

		if (!bigger)
			return -ENOMEM;
		imp->segments = bigger;
		imp->max_segments = n;
	}
	if (line->event == TEXT_MAP_SG)
		for (size_t i = 0; i < n; i++)
			imp->segments[i] = (struct trace_segment){
				line->phys_addrs.items[i], line->sizes.items[i]
			};
	else if (n)
		imp->segments[0] =
			(struct trace_segment){ line->event == TEXT_MAP ?
							line->phys_addr :
							line->dma_addr,
						line->size };
	return (int64_t)n;
}

/* By what its end will name it. False: a list of nothing. */
static bool get_key(const struct import *imp, int device, struct live_key *ret)
{
	const struct text_line *line = &imp->line;
	bool sg = line->event == TEXT_MAP_SG || line->event == TEXT_UNMAP_SG;

	if (sg && line->phys_addrs.n == 0)
		return false;
	/* a map's event is even, its end is the odd one behind it */
	*ret = (struct live_key){
		.addr = sg ? line->phys_addrs.items[0] : line->dma_addr,
		.size = line->size,
		.class = (uint32_t)device << 4 | (uint32_t)line->event >> 1,
	};
	if (sg)
		ret->size = line->event == TEXT_MAP_SG ? line->nents :
							 line->phys_addrs.n;
	return true;
}

static uint8_t kind_of(const struct text_line *line)
{
	switch (line->event) {
	case TEXT_MAP_SG:
		return TRACE_SG;
	case TEXT_ALLOC:
		return TRACE_COHERENT;
	case TEXT_ALLOC_PAGES:
		return TRACE_PAGES;
	default:
		return line->pool ? TRACE_POOL : TRACE_SINGLE;
	}
}

/* Has the device other pieces than the driver's list has? */
static bool is_merged(const struct text_line *line)
{
	if (line->event != TEXT_MAP_SG)
		return false;
	if (line->ents != 0 && line->ents != line->nents)
		return true;
	return !line->truncated && line->sizes.n != line->phys_addrs.n;
}

static int add_map(struct import *imp, int device)
{
	struct trace_info *info = &imp->trace->info;
	struct trace_map map = {
		.time_us = time_us(imp),
		.cpu = (uint16_t)imp->line.cpu,
		.device = (uint8_t)device,
		.kind = kind_of(&imp->line),
		.dir = imp->line.dir,
	};
	struct live_key key;
	int64_t n = get_segments(imp);
	uint32_t id;
	int r;

	if (n < 0)
		return (int)n;
	if (imp->line.failed || imp->line.mmio || n == 0 ||
	    !get_key(imp, device, &key)) {
		info->skipped++;
		return 0;
	}
	/* pieces that an IOMMU has put together: which bytes are they? */
	if (is_merged(&imp->line))
		return wrong(imp, "a list has other pieces for the device than "
				  "in memory: record where no IOMMU translates "
				  "for the device's driver");
	imp->result->translated += imp->line.event == TEXT_MAP &&
				   imp->line.dma_addr != imp->line.phys_addr;
	info->truncated += imp->line.truncated;
	map.segments = imp->segments;
	map.n_segments = (uint32_t)n;
	r = trace_add_map(imp->trace, &map, &id);
	if (r == -EINVAL)
		return wrong(imp, "an address or a length is out of bounds");
	if (r)
		return r == -E2BIG ? wrong(imp, "there are too many maps") : r;
	for (uint32_t i = 0; i < map.n_segments; i++)
		imp->top = max(imp->top,
			       trace_segment_last(&imp->segments[i]) + 1);
	r = live_add(imp->live, &key, id);
	if (!r && (map.kind == TRACE_SG || map.kind == TRACE_SINGLE))
		r = nvme_commands_map(imp->commands, imp->line.pid,
				      (uint32_t)device, id);
	return r;
}

static int end_map(struct import *imp, uint32_t map)
{
	int r = trace_add_unmap(imp->trace, time_us(imp),
				(uint16_t)imp->line.cpu, map);

	return r == -E2BIG ? wrong(imp, "there are too many events") : r;
}

static int add_unmap(struct import *imp, int device)
{
	struct live_key key;
	uint32_t map;

	if (imp->line.mmio || !get_key(imp, device, &key))
		return 0;
	do {
		map = live_take(imp->live, &key);
	} while (map != LIVE_NONE && !trace_is_live(imp->trace, map));
	if (map == LIVE_NONE) {
		imp->trace->info.unmatched++;
		return 0;
	}
	return end_map(imp, map);
}

/* A command's end ends what the text does not say that it ended. */
static int take_command(struct import *imp)
{
	const uint32_t *maps = NULL;
	size_t n;
	int r;

	if (imp->line.event == TEXT_COMMAND)
		return nvme_commands_begin(imp->commands, &imp->line.command,
					   imp->line.pid);
	if (!imp->started)
		return 0;
	r = set_time(imp);
	n = nvme_commands_end(imp->commands, &imp->line.command, &maps);
	for (size_t i = 0; i < n && !r; i++)
		if (trace_is_live(imp->trace, maps[i]))
			r = end_map(imp, maps[i]);
	return r;
}

static int take_event(struct import *imp)
{
	int device, r;

	if (imp->line.event == TEXT_COMMAND ||
	    imp->line.event == TEXT_COMMAND_END)
		return take_command(imp);
	device = find_device(imp);
	if (device == -ENOENT)
		return 0;
	if (device < 0)
		return device;
	r = set_time(imp);
	if (r)
		return r;
	switch (imp->line.event) {
	case TEXT_MAP:
	case TEXT_MAP_SG:
	case TEXT_ALLOC:
	case TEXT_ALLOC_PAGES:
		return add_map(imp, device);
	default:
		return add_unmap(imp, device);
	}
}

static int take_line(struct import *imp, const char *text)
{
	const char *error = NULL;
	uint64_t lost = 0;

	switch (text_parse(text, &imp->line, &lost, &error)) {
	case TEXT_EVENT:
		return take_event(imp);
	case TEXT_LOST:
		imp->trace->info.lost += lost;
		return 0;
	case TEXT_WRONG:
		return wrong(imp, error);
	case TEXT_OTHER:
		imp->result->others++;
		return 0;
	default:
		return -ENOMEM;
	}
}

static int finish(struct import *imp)
{
	const struct import_options *opt = imp->options;
	struct trace_info *info = &imp->trace->info;

	imp->result->lines = 0;
	if (!imp->trace->n_events)
		return wrong(imp, "it has no events of the kernel's dma "
				  "tracepoints, or of the devices asked for");
	if (opt->cpus && opt->cpus < imp->cpus)
		return wrong(imp, "it has more CPUs than was said");
	if (opt->memory && opt->memory < imp->top)
		/* memory above the hole below 4 GiB */
		if (imp->top <= UINT64_C(1) << 32)
			return wrong(imp, "it has addresses above the memory "
					  "that was said");
	info->cpus = opt->cpus ? opt->cpus : imp->cpus;
	info->memory = opt->memory ? opt->memory :
				     min(imp->top, TRACE_ADDR_LAST);
	return 0;
}

static int read_lines(struct import *imp, FILE *in)
{
	char *text = NULL;
	size_t size = 0;
	ssize_t n;
	int r = 0;

	while (!r && (n = getline(&text, &size, in)) >= 0) {
		imp->result->lines++;
		text[strcspn(text, "\r\n")] = '\0';
		r = take_line(imp, text);
	}
	free(text);
	if (!r && ferror(in))
		r = -EIO;
	return r;
}

static int start(struct import *imp)
{
	const struct import_options *opt = imp->options;
	struct trace_info info = { .cpus = TRACE_CPUS_MAX };
	int r;

	if (opt->n_devices > TRACE_DEVICES_MAX)
		return wrong(imp, "more devices are asked for than a trace "
				  "takes");
	info.n_devices = opt->n_devices;
	for (uint32_t i = 0; i < opt->n_devices; i++) {
		trace_set_text(info.devices[i], opt->devices[i].name);
		trace_set_text(imp->addresses[i], opt->devices[i].address);
	}
	trace_set_text(info.kernel, opt->kernel);
	trace_set_text(info.workload, opt->workload);
	r = trace_new(&info, &imp->trace);
	if (!r)
		r = live_new(&imp->live);
	return r ? r : nvme_commands_new(&imp->commands);
}

int import_text(FILE *in, const struct import_options *options,
		struct import_result *ret)
{
	struct import imp = { .options = options, .result = ret };
	int r;

	static_assert(TEXT_MAP % 2 == 0 && TEXT_UNMAP == TEXT_MAP + 1 &&
			      TEXT_UNMAP_SG == TEXT_MAP_SG + 1 &&
			      TEXT_FREE == TEXT_ALLOC + 1 &&
			      TEXT_FREE_PAGES == TEXT_ALLOC_PAGES + 1,
		      "the end of a map follows it");
	*ret = (struct import_result){ 0 };
	r = start(&imp);
	if (!r)
		r = read_lines(&imp, in);
	if (!r)
		r = finish(&imp);
	if (!r)
		ret->trace = imp.trace;
	else
		trace_free(imp.trace);
	live_free(imp.live);
	nvme_commands_free(imp.commands);
	text_line_done(&imp.line);
	free(imp.segments);
	return r;
}
