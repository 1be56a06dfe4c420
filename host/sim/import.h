/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * import.h - the text of the kernel's events/dma tracepoints into a trace
 */
#ifndef PVDMA_SIM_IMPORT_H
#define PVDMA_SIM_IMPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "host/sim/trace.h"

struct import_device {
	const char *address; /* as the kernel prints it, "0000:01:00.0" */
	const char *name;    /* for the trace */
};

struct import_options {
	/* Only these; with none all devices, each named by its address. */
	const struct import_device *devices;
	uint32_t n_devices;
	const char *kernel;   /* NULL: not known */
	const char *workload; /* NULL: not known */
	uint64_t memory;      /* bytes; 0: as far as addresses are seen */
	uint32_t cpus;	      /* 0: as many as are seen */
};

struct import_result {
	struct trace *trace;
	uint64_t lines;
	uint64_t others; /* lines that are none of our events */
	/* Single maps whose address for the device is another one than theirs. */
	uint64_t translated;
	/* After an error: which line, and what is wrong; 0: none at all. */
	uint64_t error_line;
	const char *error;
};

/*
 * Reads @in to its end. 0 with a trace that the caller frees; or, with
 * ret->trace NULL, -EBADMSG (see error_line and error), -EIO (@in cannot be
 * read), -ENOMEM.
 *
 * Unmaps of what was mapped before the text begins are left out, and so is
 * what failed, and device memory: the trace's info counts them.
 */
int import_text(FILE *in, const struct import_options *options,
		struct import_result *ret);

#endif
