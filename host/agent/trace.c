// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * trace.c - the way of single requests, with times, for whoever looks
 *
 * Owns: a ring of TRACE_RECORDS records, from trace_arm() to trace_disarm().
 *
 * Invariant: a record is shown once it is complete; the one that is on its way
 * takes the place of the oldest. What a guest does costs no more memory.
 *
 * Locks: none; one event loop. In a request's way: beside each step, if armed.
 */
#include "host/agent/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "host/agent/decode.h"
#include "host/agent/plan.h"
#include "host/agent/vm.h"
#include "host/lib/macros.h"

static const char *const stages[] = {
	[TRACE_POPPED] = "popped", [TRACE_DECODED] = "decoded",
	[TRACE_ROOM] = "room",	   [TRACE_MAPPED] = "mapped",
	[TRACE_WORDS] = "words",   [TRACE_ANSWERED] = "answered",
};
_Static_assert(ARRAY_SIZE(stages) == TRACE_STAGES, "a stage has no name");

static const char *const types[] = {
	[0] = "malformed",
	[VIRTIO_PVDMA_T_INIT] = "init",
	[VIRTIO_PVDMA_T_LEAF] = "leaf",
	[VIRTIO_PVDMA_T_ATTACH] = "attach",
	[VIRTIO_PVDMA_T_DETACH] = "detach",
	[VIRTIO_PVDMA_T_MAP] = "map",
	[VIRTIO_PVDMA_T_UNMAP] = "unmap",
	[VIRTIO_PVDMA_T_RELEASE] = "release",
	[VIRTIO_PVDMA_T_PREFETCH] = "prefetch",
};

static const char *const statuses[] = {
	[VIRTIO_PVDMA_R_OK] = "ok",	    [VIRTIO_PVDMA_R_IOERR] = "ioerr",
	[VIRTIO_PVDMA_R_UNSUPP] = "unsupp", [VIRTIO_PVDMA_R_INVAL] = "inval",
	[VIRTIO_PVDMA_R_RANGE] = "range",   [VIRTIO_PVDMA_R_NOENT] = "noent",
	[VIRTIO_PVDMA_R_STATE] = "state",   [VIRTIO_PVDMA_R_QUOTA] = "quota",
	[VIRTIO_PVDMA_R_LIMIT] = "limit",   [VIRTIO_PVDMA_R_BADMEM] = "badmem",
};

int trace_arm(struct trace *t)
{
	if (!t->records)
		t->records = calloc(TRACE_RECORDS, sizeof(*t->records));
	return t->records ? 0 : -ENOMEM;
}

void trace_disarm(struct trace *t)
{
	free(t->records);
	*t = (struct trace){ 0 };
}

void trace_begin(struct trace *t)
{
	t->current = &t->records[t->total % TRACE_RECORDS];
	*t->current = (struct trace_record){
		.number = t->total + 1,
		.status = VIRTIO_PVDMA_R_PENDING,
		.at = { [TRACE_POPPED] = clock_ns() },
	};
}

void trace_end(struct trace *t)
{
	t->current->at[TRACE_ANSWERED] = clock_ns();
	t->current = NULL;
	t->total++;
}

void trace_note_request(struct trace *t, const struct request *req)
{
	struct trace_record *r = t->current;

	r->at[TRACE_DECODED] = clock_ns();
	if (req->type == 0 || req->type >= ARRAY_SIZE(types))
		return; /* malformed: the rest means nothing */
	r->type = req->type;
	r->items = req->count;
	r->endpoint = req->endpoint;
}

void trace_note_plan(struct trace *t, const struct plan *plan)
{
	t->current->at[TRACE_MAPPED] = clock_ns();
	t->current->pieces = plan->pieces;
	t->current->bytes = plan->bytes;
}

void trace_note_evictions(struct trace *t, const struct vm_stats *stats,
			  bool before)
{
	struct trace_record *r = t->current;

	/* Differences of counters, which may wrap in between. */
	r->evictions = stats->evictions - r->evictions;
	r->evicted_bytes = stats->evicted_bytes - r->evicted_bytes;
	if (!before)
		r->at[TRACE_ROOM] = clock_ns();
}

static const char *status_text(uint8_t status)
{
	return status < ARRAY_SIZE(statuses) ? statuses[status] : "none";
}

static void write_stages(const struct trace_record *r, FILE *out)
{
	uint64_t start = r->at[TRACE_POPPED];

	fprintf(out, ", \"stages\": {");
	for (size_t i = 0; i < TRACE_STAGES; i++) {
		uint64_t ns = r->at[i] - start;

		if (r->at[i] == 0)
			continue;
		fprintf(out, "%s\"%s\": %" PRIu64 ".%03u", i == 0 ? "" : ", ",
			stages[i], ns / 1000, (unsigned int)(ns % 1000));
	}
	fprintf(out, "}");
}

static void write_record(const struct trace_record *r, FILE *out)
{
	fprintf(out,
		"{\"number\": %" PRIu64 ", \"time_us\": %" PRIu64
		", \"type\": \"%s\", \"endpoint\": %" PRIu32
		", \"items\": %u, \"status\": \"%s\"",
		r->number, r->at[TRACE_POPPED] / 1000, types[r->type],
		r->endpoint, r->items, status_text(r->status));
	fprintf(out,
		", \"evictions\": %" PRIu64 ", \"evicted_bytes\": %" PRIu64
		", \"pieces\": %" PRIu64 ", \"bytes\": %" PRIu64,
		r->evictions, r->evicted_bytes, r->pieces, r->bytes);
	write_stages(r, out);
	fprintf(out, "}");
}

void trace_write(const struct trace *t, size_t num, FILE *out)
{
	uint64_t have = t->records ? min(t->total, (uint64_t)TRACE_RECORDS) : 0;
	uint64_t want = min(have, (uint64_t)num);

	/* The oldest one's place may be taken by one that is on its way. */
	if (t->current && want == TRACE_RECORDS)
		want--;
	fprintf(out,
		"{\"recording\": %s, \"recorded\": %" PRIu64
		", \"requests\": [",
		t->records ? "true" : "false", t->total);
	for (uint64_t i = t->total - want; i < t->total; i++) {
		if (i > t->total - want)
			fprintf(out, ", ");
		write_record(&t->records[i % TRACE_RECORDS], out);
	}
	fprintf(out, "]}");
}
