// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes what pvdma-sim reads: host/sim/trace_decode.c and import.c. With a
 * first byte below 128 the rest is a trace's file but for magic and checksum,
 * which are put there; else it is text. What comes out must be encoded and read
 * back as it is, and be replayed within its quota.
 */
#include "host/lib/log.h"
#include "host/sim/crc32.h"
#include "host/sim/grid.h"
#include "host/sim/import.h"
#include "host/sim/replay.h"
#include "host/sim/trace_file.h"
#include "tests/fuzz/support/input.h"

static struct trace *from_file(const uint8_t *data, size_t size)
{
	size_t n = TRACE_FILE_MAGIC_SIZE + size;
	uint8_t *buf = malloc(n + 4);
	struct trace *trace = NULL;
	size_t offset = 0;
	uint32_t crc;
	int r;

	if (!buf)
		return NULL;
	memcpy(buf, TRACE_FILE_MAGIC, TRACE_FILE_MAGIC_SIZE);
	memcpy(buf + TRACE_FILE_MAGIC_SIZE, data, size);
	crc = crc32(buf, n);
	for (int i = 0; i < 4; i++)
		buf[n + (size_t)i] = (uint8_t)(crc >> 8 * i);
	r = trace_decode(buf, n + 4, &trace, &offset);
	fuzz_must(!r == (trace != NULL), "a verdict and a trace");
	fuzz_must(offset <= n + 4, "an offset outside");
	fuzz_must(r <= 0 || trace_verdict_text(r), "no words");
	free(buf);
	return trace;
}

static struct trace *from_text(const uint8_t *data, size_t size)
{
	struct import_options options = { 0 };
	struct import_result result;
	FILE *in = size ? fmemopen((void *)data, size, "r") : NULL;
	int r;

	if (!in)
		return NULL;
	r = import_text(in, &options, &result);
	(void)fclose(in);
	fuzz_must(!r == (result.trace != NULL), "an error and a trace");
	fuzz_must(!r || result.error || r != -EBADMSG, "no reason");
	return result.trace;
}

static void check_round_trip(const struct trace *trace)
{
	struct trace *back = NULL;
	uint8_t *buf = NULL, *again = NULL;
	size_t size, size_again;

	fuzz_must(!trace_encode(trace, &buf, &size), "encode");
	fuzz_must(!trace_decode(buf, size, &back, NULL), "decode");
	fuzz_must(!trace_encode(back, &again, &size_again), "encode again");
	fuzz_must(size == size_again && !memcmp(buf, again, size),
		  "another trace");
	free(buf);
	free(again);
	trace_free(back);
}

static void check_replay(const struct trace *trace)
{
	static const struct replacer_ops *const all[] = {
		&replacer_clock,
		&replacer_opt,
		&replacer_policy,
	};
	struct grid *grid = NULL;

	/* large ones take long, and tell no more */
	for (size_t i = 0; i < trace->n_segments; i++)
		if (trace->segments[i].len > 64u << 20)
			return;
	if (trace->n_segments > 2000 || grid_new(trace, 16, &grid))
		return;
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		uint64_t quota = grid_bytes(grid) / 3;
		struct replay_result r;

		if (replay_run(trace, grid, quota, all[i], &cost_default, &r))
			break;
		fuzz_must(r.pinned_peak <= quota, "over its quota");
		fuzz_must(r.unserved <= r.waits && r.waits <= r.map_calls,
			  "books");
	}
	grid_free(grid);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct trace *trace;

	log_set_max_level(-1);
	if (!size)
		return 0;
	trace = data[0] < 128 ? from_file(data + 1, size - 1) :
				from_text(data + 1, size - 1);
	if (!trace)
		return 0;
	check_round_trip(trace);
	check_replay(trace);
	trace_free(trace);
	return 0;
}
