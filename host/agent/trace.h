/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * trace.h - the way of single requests, with times, for whoever looks
 *
 * Nothing is recorded unless it was asked for (trace_arm()); then the last
 * TRACE_RECORDS requests are kept. While nothing is recorded, a stage costs one
 * branch that is always taken the same way.
 */
#ifndef PVDMA_AGENT_TRACE_H
#define PVDMA_AGENT_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "host/lib/clock.h"

struct plan;
struct request;
struct vm_stats;

#define TRACE_RECORDS 64

/* In the order of a request's way. */
enum trace_stage {
	TRACE_POPPED,	/* taken from the queue */
	TRACE_DECODED,	/* copied and judged */
	TRACE_ROOM,	/* there is room in the quota: victims are unmapped */
	TRACE_MAPPED,	/* the IOMMU has it */
	TRACE_WORDS,	/* books and table say so */
	TRACE_ANSWERED, /* the answer is in the queue */
	TRACE_STAGES,
};

struct trace_record {
	uint64_t number;	   /* from 1 on, since the trace was armed */
	uint64_t at[TRACE_STAGES]; /* clock_ns(); 0: not on this one's way */
	uint8_t type;		   /* VIRTIO_PVDMA_T_*; 0: was not decoded */
	uint8_t status;		   /* VIRTIO_PVDMA_R_* */
	uint16_t items;
	uint32_t endpoint;
	uint64_t evictions; /* of extents, to make room */
	uint64_t evicted_bytes;
	uint64_t pieces; /* mappings of the IOMMU that were made */
	uint64_t bytes;	 /* mapped by them */
};

/* All zero: not armed. */
struct trace {
	struct trace_record *records; /* TRACE_RECORDS; NULL: not armed */
	struct trace_record *current; /* on its way; NULL: none */
	uint64_t total;		      /* requests answered since it was armed */
};

/* Begins to record; harmless if it does already. 0 or -ENOMEM. */
int trace_arm(struct trace *t);
/* Stops, and forgets. Also of one that is not armed. */
void trace_disarm(struct trace *t);

/*
 * Writes a JSON object with the last @num requests (at most TRACE_RECORDS) that
 * were answered, the oldest first; and nothing of them if it is not armed.
 */
void trace_write(const struct trace *t, size_t num, FILE *out);

/* What the inline functions below do where it is armed. */
void trace_begin(struct trace *t);
void trace_end(struct trace *t);
void trace_note_request(struct trace *t, const struct request *req);
void trace_note_plan(struct trace *t, const struct plan *plan);
void trace_note_evictions(struct trace *t, const struct vm_stats *stats,
			  bool before);

static inline bool trace_on(const struct trace *t)
{
	return __builtin_expect(t->current != NULL, 0);
}

/* A request was taken from a queue. */
static inline void trace_popped(struct trace *t)
{
	if (__builtin_expect(t->records != NULL, 0))
		trace_begin(t);
}

/* A stage was passed. */
static inline void trace_passed(struct trace *t, enum trace_stage stage)
{
	if (trace_on(t))
		t->current->at[stage] = clock_ns();
}

/* It was decoded, whatever came of it. */
static inline void trace_decoded(struct trace *t, const struct request *req)
{
	if (trace_on(t))
		trace_note_request(t, req);
}

/* To be called with the counters before room is made, and after. */
static inline void trace_evictions(struct trace *t,
				   const struct vm_stats *stats, bool before)
{
	if (trace_on(t))
		trace_note_evictions(t, stats, before);
}

/* What is planned was mapped. */
static inline void trace_mapped(struct trace *t, const struct plan *plan)
{
	if (trace_on(t))
		trace_note_plan(t, plan);
}

/* What it will be answered; VIRTIO_PVDMA_R_*. */
static inline void trace_status(struct trace *t, uint8_t status)
{
	if (trace_on(t))
		t->current->status = status;
}

/* The answer is the guest's: the record is complete. */
static inline void trace_answered(struct trace *t)
{
	if (trace_on(t))
		trace_end(t);
}

#endif
