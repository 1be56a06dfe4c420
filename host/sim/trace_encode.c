// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * trace_encode.c - a trace into the bytes of its file
 *
 * Owns the growing buffer until it is done. The format is described in
 * trace_file.h. Locks: none.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "host/sim/crc32.h"
#include "host/sim/trace_file.h"

struct out {
	uint8_t *buf;
	size_t len, max;
	bool failed; /* out of memory: everything after is dropped */
};

static void put_bytes(struct out *out, const void *bytes, size_t n)
{
	if (out->failed)
		return;
	if (out->max - out->len < n) {
		size_t max = 2 * out->max + n + 4096;
		uint8_t *bigger = realloc(out->buf, max);

		if (!bigger) {
			out->failed = true;
			return;
		}
		out->buf = bigger;
		out->max = max;
	}
	memcpy(out->buf + out->len, bytes, n);
	out->len += n;
}

static void put_byte(struct out *out, uint8_t byte)
{
	put_bytes(out, &byte, 1);
}

static void put_number(struct out *out, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		put_byte(out, (uint8_t)(v | 0x80));
	put_byte(out, (uint8_t)v);
}

static void put_text(struct out *out, const char *text)
{
	put_number(out, strlen(text));
	put_bytes(out, text, strlen(text));
}

static void put_header(struct out *out, const struct trace *trace)
{
	const struct trace_info *info = &trace->info;

	put_bytes(out, TRACE_FILE_MAGIC, TRACE_FILE_MAGIC_SIZE);
	put_number(out, TRACE_FILE_VERSION);
	put_number(out, TRACE_FILE_PAGE_SHIFT);
	put_number(out, info->memory);
	put_number(out, info->cpus);
	put_number(out, info->n_devices);
	for (uint32_t i = 0; i < info->n_devices; i++)
		put_text(out, info->devices[i]);
	put_text(out, info->kernel);
	put_text(out, info->workload);
	put_number(out, info->lost);
	put_number(out, info->unmatched);
	put_number(out, info->truncated);
	put_number(out, info->skipped);
	put_number(out, trace->n_events);
}

static uint64_t to_signed(uint64_t v, bool negative)
{
	return negative ? (v - 1) << 1 | 1 : v << 1;
}

static void put_segment(struct out *out, const struct trace_segment *s,
			uint64_t *end)
{
	bool back = s->addr < *end;
	uint64_t by = back ? *end - s->addr : s->addr - *end;
	uint64_t page = UINT64_C(1) << TRACE_FILE_PAGE_SHIFT;

	if (by % page == 0)
		put_number(out, to_signed(by / page, back) << 1);
	else
		put_number(out, to_signed(by, back) << 1 | 1);
	if (s->len % 512 == 0)
		put_number(out, s->len / 512 << 1);
	else
		put_number(out, s->len << 1 | 1);
	*end = s->addr + s->len;
}

/* What one event tells the next one. */
struct context {
	uint64_t time_us;
	uint64_t end; /* of the last segment */
	uint32_t maps;
	uint16_t cpu;
};

static void put_event(struct out *out, const struct trace *trace,
		      const struct trace_event *e, struct context *ctx)
{
	unsigned int byte = e->cpu != ctx->cpu ? 1u << 1 : 0;

	if (e->n_segments)
		byte |= (unsigned int)e->dir << 2 | (unsigned int)e->kind << 4 |
			(e->n_segments > 1 ? 1u << 7 : 0);
	else
		byte |= 1;
	put_byte(out, (uint8_t)byte);
	put_number(out, e->time_us - ctx->time_us);
	ctx->time_us = e->time_us;
	if (e->cpu != ctx->cpu)
		put_number(out, e->cpu);
	ctx->cpu = e->cpu;
	if (!e->n_segments) {
		put_number(out, ctx->maps - 1 - e->map);
		return;
	}
	ctx->maps++;
	if (trace->info.n_devices > 1)
		put_number(out, e->device);
	if (e->n_segments > 1)
		put_number(out, e->n_segments);
	for (uint32_t i = 0; i < e->n_segments; i++)
		put_segment(out, &trace->segments[e->segment + i], &ctx->end);
}

int trace_encode(const struct trace *trace, uint8_t **ret, size_t *ret_size)
{
	struct out out = { 0 };
	struct context ctx = { 0 };
	uint32_t crc;

	put_header(&out, trace);
	for (size_t i = 0; i < trace->n_events; i++)
		put_event(&out, trace, &trace->events[i], &ctx);
	crc = out.failed ? 0 : crc32(out.buf, out.len);
	for (int shift = 0; shift < 32; shift += 8)
		put_byte(&out, (uint8_t)(crc >> shift));
	if (out.failed) {
		free(out.buf);
		return -ENOMEM;
	}
	*ret = out.buf;
	*ret_size = out.len;
	return 0;
}
