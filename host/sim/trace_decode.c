// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * trace_decode.c - the bytes of a file into a trace
 *
 * The file may be anything: each read is bounded, and what is read becomes
 * part of a trace only through trace_add_*(), which refuse what breaks the
 * rules. No amount of memory is asked for that the size of the file does not
 * justify. The format is described in trace_file.h. Locks: none.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "host/lib/macros.h"
#include "host/sim/crc32.h"
#include "host/sim/trace_file.h"

struct in {
	const uint8_t *buf;
	size_t at, end;
	int verdict; /* the first fault; after it everything reads as 0 */
};

static uint64_t fault(struct in *in, int verdict)
{
	if (!in->verdict)
		in->verdict = verdict;
	return 0;
}

static uint8_t get_byte(struct in *in)
{
	if (in->verdict)
		return 0;
	if (in->at == in->end)
		return (uint8_t)fault(in, TRACE_SHORT);
	return in->buf[in->at++];
}

static uint64_t get_number(struct in *in)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; shift < 64; shift += 7) {
		uint8_t byte = get_byte(in);

		if (in->verdict)
			return 0;
		if (shift == 63 && byte > 1)
			break;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (byte & 0x80)
			continue;
		if (byte == 0 && shift > 0)
			break;
		return v;
	}
	return fault(in, TRACE_BAD_NUMBER);
}

static uint64_t get_number_to(struct in *in, uint64_t max, int verdict)
{
	uint64_t v = get_number(in);

	return v <= max ? v : fault(in, verdict);
}

static void get_text(struct in *in, char text[static TRACE_TEXT_MAX])
{
	uint64_t n = get_number_to(in, TRACE_TEXT_MAX - 1, TRACE_BAD_HEADER);

	for (uint64_t i = 0; i < n && !in->verdict; i++) {
		uint8_t c = get_byte(in);

		if (c < 0x20 || c > 0x7e)
			fault(in, TRACE_BAD_HEADER);
		text[i] = (char)c;
	}
}

static void get_header(struct in *in, struct trace_info *info, uint64_t *events)
{
	if (get_number(in) != TRACE_FILE_VERSION ||
	    get_number(in) != TRACE_FILE_PAGE_SHIFT) {
		fault(in, TRACE_VERSION);
		return;
	}
	info->memory = get_number(in);
	info->cpus =
		(uint32_t)get_number_to(in, TRACE_CPUS_MAX, TRACE_BAD_HEADER);
	info->n_devices = (uint32_t)get_number_to(in, TRACE_DEVICES_MAX,
						  TRACE_BAD_HEADER);
	for (uint32_t i = 0; i < info->n_devices; i++)
		get_text(in, info->devices[i]);
	get_text(in, info->kernel);
	get_text(in, info->workload);
	info->lost = get_number(in);
	info->unmatched = get_number(in);
	info->truncated = get_number(in);
	info->skipped = get_number(in);
	*events = get_number(in);
}

static void get_segment(struct in *in, struct trace_segment *s, uint64_t *end)
{
	uint64_t place = get_number(in), length = get_number(in);
	uint64_t by = place >> 2;
	bool back = place & 2;

	/* by, and length below, leave room for a factor */
	if (by > TRACE_ADDR_LAST || length >> 1 > TRACE_ADDR_LAST) {
		fault(in, TRACE_BAD_EVENT);
		return;
	}
	by += back;
	if (!(place & 1))
		by <<= TRACE_FILE_PAGE_SHIFT;
	if (back && by > *end) {
		fault(in, TRACE_BAD_EVENT);
		return;
	}
	s->addr = back ? *end - by : *end + by;
	s->len = length >> 1;
	if (!(length & 1))
		s->len *= 512;
	*end = s->addr + s->len;
	/* keeps the next sum from wrapping; trace_add_map() says the rest */
	if (*end > TRACE_ADDR_LAST + 1)
		fault(in, TRACE_BAD_EVENT);
}

/* What one event tells the next one. */
struct context {
	uint64_t time_us;
	uint64_t end; /* of the last segment */
	uint16_t cpu;
	struct trace_segment *segments; /* room for one map's */
	size_t max_segments;
};

static int get_map(struct in *in, struct trace *trace, struct context *ctx,
		   unsigned int byte)
{
	struct trace_map map = {
		.time_us = ctx->time_us,
		.cpu = ctx->cpu,
		.kind = byte >> 4 & 7,
		.dir = byte >> 2 & 3,
		.n_segments = 1,
	};

	if (trace->info.n_devices > 1)
		map.device = (uint8_t)get_number_to(in, TRACE_DEVICES_MAX,
						    TRACE_BAD_EVENT);
	if (byte & 1u << 7)
		map.n_segments = (uint32_t)get_number_to(in, TRACE_SEGMENTS_MAX,
							 TRACE_BAD_EVENT);
	/* a segment takes two bytes at least */
	if (map.n_segments > (in->end - in->at) / 2)
		fault(in, TRACE_SHORT);
	if (!in->verdict && map.n_segments > ctx->max_segments) {
		struct trace_segment *bigger = reallocarray(
			ctx->segments, map.n_segments, sizeof(*ctx->segments));

		if (!bigger)
			return -ENOMEM;
		ctx->segments = bigger;
		ctx->max_segments = map.n_segments;
	}
	for (uint32_t i = 0; i < map.n_segments && !in->verdict; i++)
		get_segment(in, &ctx->segments[i], &ctx->end);
	map.segments = ctx->segments;
	return in->verdict ? 0 : trace_add_map(trace, &map, NULL);
}

static int get_event(struct in *in, struct trace *trace, struct context *ctx)
{
	unsigned int byte = get_byte(in);
	uint64_t back;
	int r = 0;

	ctx->time_us += get_number_to(in, TRACE_TIME_MAX, TRACE_BAD_EVENT);
	if (byte & 1u << 1)
		ctx->cpu = (uint16_t)get_number_to(in, TRACE_CPUS_MAX,
						   TRACE_BAD_EVENT);
	if (!(byte & 1)) {
		r = get_map(in, trace, ctx, byte);
	} else {
		back = get_number(in);
		if (byte >> 2 || back >= trace->n_maps)
			fault(in, TRACE_BAD_EVENT);
		if (!in->verdict)
			r = trace_add_unmap(trace, ctx->time_us, ctx->cpu,
					    trace->n_maps - 1 - (uint32_t)back);
	}
	if (r == -EINVAL || r == -E2BIG) {
		fault(in, TRACE_BAD_EVENT);
		r = 0;
	}
	return r;
}

static int get_trace(struct in *in, struct trace **ret)
{
	struct trace_info info = { 0 };
	struct context ctx = { 0 };
	struct trace *trace = NULL;
	uint64_t events = 0;
	int r;

	get_header(in, &info, &events);
	if (in->verdict)
		return 0;
	r = trace_new(&info, &trace);
	if (r == -EINVAL) {
		fault(in, TRACE_BAD_HEADER);
		return 0;
	}
	for (uint64_t i = 0; i < events && !r && !in->verdict; i++)
		r = get_event(in, trace, &ctx);
	free(ctx.segments);
	if (!r && in->at != in->end)
		fault(in, TRACE_TRAILING);
	if (!r && !in->verdict)
		*ret = trace;
	else
		trace_free(trace);
	return r;
}

int trace_decode(const void *buf, size_t size, struct trace **ret,
		 size_t *ret_offset)
{
	struct in in = { .buf = buf, .at = TRACE_FILE_MAGIC_SIZE };
	uint32_t crc = 0;
	int r = 0;

	if (size < TRACE_FILE_MAGIC_SIZE ||
	    memcmp(buf, TRACE_FILE_MAGIC, TRACE_FILE_MAGIC_SIZE)) {
		in.at = 0;
		fault(&in, TRACE_NOT_A_TRACE);
	} else if (size < TRACE_FILE_MAGIC_SIZE + sizeof(crc)) {
		fault(&in, TRACE_SHORT);
	} else {
		in.end = size - sizeof(crc);
		for (int i = 0; i < 4; i++)
			crc |= (uint32_t)in.buf[in.end + (size_t)i] << 8 * i;
		if (crc32(buf, in.end) != crc)
			fault(&in, TRACE_BAD_CHECKSUM);
	}
	if (!in.verdict)
		r = get_trace(&in, ret);
	if (ret_offset)
		*ret_offset = in.at;
	return r ? r : in.verdict;
}

const char *trace_verdict_text(int verdict)
{
	static const char *const texts[] = {
		[TRACE_OK] = "nothing is wrong",
		[TRACE_NOT_A_TRACE] = "it is not a pvdma trace",
		[TRACE_VERSION] = "its format version or page size is unknown",
		[TRACE_SHORT] = "it ends in the middle",
		[TRACE_BAD_CHECKSUM] = "its checksum is wrong: it is damaged",
		[TRACE_BAD_NUMBER] = "a number is malformed",
		[TRACE_BAD_HEADER] = "its header has a value out of bounds",
		[TRACE_BAD_EVENT] = "an event is not possible",
		[TRACE_TRAILING] = "it goes on behind its last event",
	};

	static_assert(ARRAY_SIZE(texts) == TRACE_VERDICTS, "a text for each");
	return verdict >= 0 && verdict < TRACE_VERDICTS ? texts[verdict] :
							  "unknown";
}
