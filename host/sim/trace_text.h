/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * trace_text.h - one line of what the kernel's events/dma tracepoints print
 *
 * And of two of nvme's, see nvme_commands.h. Reads what /sys/kernel/tracing/trace (and trace_pipe), trace-cmd report and
 * perf script make of these events. Stateless; what a line means together with
 * the others is up to import.c.
 */
#ifndef PVDMA_SIM_TRACE_TEXT_H
#define PVDMA_SIM_TRACE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/sim/nvme_commands.h"
#include "host/sim/trace.h"

enum text_event {
	TEXT_MAP,   /* dma_map_page, dma_map_phys, dma_map_resource */
	TEXT_UNMAP, /* dma_unmap_... */
	TEXT_MAP_SG,
	TEXT_UNMAP_SG,
	TEXT_ALLOC,
	TEXT_FREE,
	TEXT_ALLOC_PAGES, /* dma_alloc_pages, dma_alloc_sgt */
	TEXT_FREE_PAGES,
	TEXT_COMMAND,	  /* nvme_setup_cmd, of a command with data */
	TEXT_COMMAND_END, /* nvme_complete_rq */
};

/* Numbers in braces. The array grows, and is the line's owner's. */
struct text_array {
	uint64_t *items;
	size_t n, max;
};

struct text_line {
	enum text_event event;
	uint32_t cpu;
	uint64_t pid; /* of the task that ran; 0: idle, or not said */
	uint64_t time_ns;
	struct nvme_command_id command; /* COMMAND: the following are not set */
	char device[TRACE_TEXT_MAX];	/* cut to what fits */
	uint8_t dir;			/* enum trace_dir */
	uint64_t dma_addr;		/* all but sg */
	uint64_t phys_addr;		/* TEXT_MAP */
	uint64_t size;			/* all but sg */
	uint64_t nents;			/* MAP_SG: of the driver's whole list */
	uint64_t ents;	/* ... and as the device sees it; 0: not said */
	bool failed;	/* the mapping was refused */
	bool mmio;	/* not memory */
	bool truncated; /* the arrays lack the end of the list */
	bool pool;	/* the driver syncs it itself */
	struct text_array sizes;      /* MAP_SG: of the mapped segments */
	struct text_array phys_addrs; /* sg: of the driver's list */
};

/* What the next line is. */
enum text_class {
	TEXT_OTHER, /* none of the events above */
	TEXT_EVENT,
	TEXT_LOST,  /* events were lost */
	TEXT_WRONG, /* an event above, that does not make sense */
};

/*
 * Reads @text (NUL-terminated, without its newline). TEXT_EVENT fills *@line;
 * TEXT_LOST gives the number of lost events in *@ret_lost, 1 where the line
 * does not say; TEXT_WRONG gives the reason in *@ret_error. -ENOMEM. The arrays
 * of *@line, all zero at first, are used again from line to line.
 */
int text_parse(const char *text, struct text_line *line, uint64_t *ret_lost,
	       const char **ret_error);

void text_line_done(struct text_line *line);

#endif
