/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * trace.h - a recording of a guest's DMA mappings, in memory
 *
 * Events stand in the order of time. A map event has segments; an unmap event
 * names the map that it ends. Whoever builds a trace, be it the reader of a
 * file or the importer of a text, does so through trace_add_*(), which let
 * nothing in that breaks the rules below:
 *
 *   - time never goes back;
 *   - a map has at least one segment, each of which ends at or below
 *     TRACE_ADDR_LAST;
 *   - a map is ended at most once, by a later event, for the same device.
 */
#ifndef PVDMA_SIM_TRACE_H
#define PVDMA_SIM_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_ADDR_LAST	   ((UINT64_C(1) << 46) - 1)
#define TRACE_TIME_MAX	   (UINT64_C(1) << 50) /* microseconds: 35 years */
#define TRACE_DEVICES_MAX  16u
#define TRACE_CPUS_MAX	   4096u
#define TRACE_SEGMENTS_MAX 65536u /* of one map */
#define TRACE_TEXT_MAX	   64u	  /* bytes, with NUL */

/* How the driver asked for the mapping. */
enum trace_kind {
	TRACE_SINGLE,	/* one piece: dma_map_single, _page, _phys */
	TRACE_SG,	/* a scatter list */
	TRACE_COHERENT, /* dma_alloc_coherent */
	TRACE_PAGES,	/* dma_alloc_pages and the like */
	TRACE_POOL,	/* one piece that the driver keeps mapped and reuses */
	TRACE_KINDS,
};

enum trace_dir {
	TRACE_BIDIRECTIONAL,
	TRACE_TO_DEVICE,
	TRACE_FROM_DEVICE,
	TRACE_DIRS,
};

struct trace_segment {
	uint64_t addr; /* guest-physical, bytes */
	uint64_t len;  /* bytes; 0 counts as one */
};

struct trace_event {
	uint64_t time_us;    /* since the start of the trace */
	uint32_t map;	     /* which map this is, or ends */
	uint32_t segment;    /* of a map: the first one */
	uint32_t n_segments; /* of a map; 0: this is an unmap */
	uint16_t cpu;
	uint8_t device; /* index into the names */
	uint8_t kind;	/* enum trace_kind; of a map */
	uint8_t dir;	/* enum trace_dir; of a map */
};

/* Where a trace comes from, and what is known to be wrong with it. */
struct trace_info {
	uint64_t memory; /* bytes of the guest's memory */
	uint32_t cpus;
	uint32_t n_devices;
	char devices[TRACE_DEVICES_MAX][TRACE_TEXT_MAX];
	char kernel[TRACE_TEXT_MAX];
	char workload[TRACE_TEXT_MAX];
	uint64_t lost;	    /* events that the recorder dropped */
	uint64_t unmatched; /* unmaps without a map, left out */
	uint64_t truncated; /* scatter lists of which only a part is known */
	uint64_t skipped;   /* mappings that failed, or of device memory */
};

struct trace {
	struct trace_info info;
	struct trace_event *events;
	size_t n_events, max_events;
	struct trace_segment *segments;
	size_t n_segments, max_segments;
	uint32_t *map_event; /* by map: its event */
	uint8_t *ended;	     /* by map */
	uint32_t n_maps, max_maps;
};

struct trace_map {
	uint64_t time_us;
	uint16_t cpu;
	uint8_t device;
	uint8_t kind;
	uint8_t dir;
	const struct trace_segment *segments;
	uint32_t n_segments;
};

/*
 * An empty trace; @info is copied. 0, -EINVAL (more devices or CPUs than
 * allowed, no CPU, or a text without end), -ENOMEM.
 */
int trace_new(const struct trace_info *info, struct trace **ret);
/* Takes NULL. */
void trace_free(struct trace *trace);

/*
 * Puts a text into a trace's info: cut to what fits, with "?" for all that is
 * not printable ASCII. NULL is an empty text.
 */
void trace_set_text(char to[static TRACE_TEXT_MAX], const char *from);

/* Appends a device, named by trace_set_text(). Its index, or -E2BIG. */
int trace_add_device(struct trace *trace, const char *name);

/*
 * Append an event. 0; -EINVAL for what breaks a rule, -E2BIG for more than
 * 2^31 of anything, -ENOMEM; nothing is changed then. *@ret_map (may be NULL)
 * gets the new map's number.
 */
int trace_add_map(struct trace *trace, const struct trace_map *map,
		  uint32_t *ret_map);
int trace_add_unmap(struct trace *trace, uint64_t time_us, uint16_t cpu,
		    uint32_t map);

/* Is there such a map, and has it not ended yet? */
bool trace_is_live(const struct trace *trace, uint32_t map);

static inline const struct trace_event *trace_map_of(const struct trace *trace,
						     uint32_t map)
{
	return &trace->events[trace->map_event[map]];
}

/* The last byte of a segment. */
static inline uint64_t trace_segment_last(const struct trace_segment *s)
{
	return s->addr + (s->len ? s->len : 1) - 1;
}

const char *trace_kind_name(unsigned int kind);
const char *trace_dir_name(unsigned int dir);

#endif
