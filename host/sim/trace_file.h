/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * trace_file.h - the compact file format of traces (.pvt)
 *
 * A file is: the 8 bytes of TRACE_FILE_MAGIC; the header; the events; four
 * bytes, little-endian, with the CRC-32 (IEEE 802.3) of all that stands before
 * them. "number" is an unsigned LEB128 of at most 10 bytes, in its shortest
 * form; "signed" is a number whose lowest bit is the sign (0, -1, 1, -2, ...);
 * "text" is a number of bytes below TRACE_TEXT_MAX and as many printable ASCII
 * characters.
 *
 * Header:
 *   number version (TRACE_FILE_VERSION), number log2 of the page size (12),
 *   number memory in bytes, number CPUs,
 *   number devices, then a text each; text kernel; text workload,
 *   number lost, number unmatched, number truncated, number skipped,
 *   number events
 *
 * Event: a byte, then what the byte says.
 *   bit 0     0: a map, 1: an unmap
 *   bit 1     the CPU is another than that of the event before (0 at first)
 *   bits 2-3  map: direction; unmap: 0
 *   bits 4-6  map: kind; unmap: 0
 *   bit 7     map: more than one segment; unmap: 0
 * then: number of microseconds since the event before (the first: since 0);
 * with bit 1, number of the CPU; then
 *   map:   with several devices in the header, number of the device; with bit
 *          7, number of segments; for each segment, place and length
 *   unmap: number of maps that began after the one that ends
 * place: number P. The distance from the end of the segment before it in the
 *   file (0 at first) is the signed P >> 1, in bytes, or in pages where the
 *   lowest bit of P is 0.
 * length: number L. L >> 1 is the length in bytes, or in units of 512 bytes
 *   where the lowest bit of L is 0.
 */
#ifndef PVDMA_SIM_TRACE_FILE_H
#define PVDMA_SIM_TRACE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "host/sim/trace.h"

#define TRACE_FILE_MAGIC      "PVDMATRC"
#define TRACE_FILE_MAGIC_SIZE 8u
#define TRACE_FILE_VERSION    1u
#define TRACE_FILE_PAGE_SHIFT 12u
#define TRACE_FILE_MAX	      (UINT64_C(1) << 30) /* bytes */

/* Positive verdicts: what is wrong with a file. */
enum trace_verdict {
	TRACE_OK,
	TRACE_NOT_A_TRACE,  /* no magic */
	TRACE_VERSION,	    /* of a version, or page size, we do not know */
	TRACE_SHORT,	    /* ends in the middle */
	TRACE_BAD_CHECKSUM, /* damaged */
	TRACE_BAD_NUMBER,   /* too large, or not in the shortest form */
	TRACE_BAD_HEADER,   /* a value or text that is not allowed */
	TRACE_BAD_EVENT,    /* an event that breaks a rule of trace.h */
	TRACE_TRAILING,	    /* bytes behind the last event */
	TRACE_VERDICTS,
};

const char *trace_verdict_text(int verdict);

/*
 * The trace in @size bytes at @buf. 0; a verdict, with the place of the fault
 * in *@ret_offset (may be NULL); or -ENOMEM. *@ret is set on success only.
 */
int trace_decode(const void *buf, size_t size, struct trace **ret,
		 size_t *ret_offset);

/* The file for @trace in *@ret, which the caller frees. 0 or -ENOMEM. */
int trace_encode(const struct trace *trace, uint8_t **ret, size_t *ret_size);

/*
 * As above, from and to a file. What is wrong is logged, with @path; a verdict
 * becomes -EBADMSG. Writing replaces the file whole or not at all.
 */
int trace_load(const char *path, struct trace **ret);
int trace_save(const struct trace *trace, const char *path);

#endif
