/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * input.h - an input of the fuzzer, taken byte by byte
 *
 * What is taken from an input that is at its end is zero, so that each input
 * means something. Numbers are little-endian.
 */
#ifndef PVDMA_TESTS_FUZZ_INPUT_H
#define PVDMA_TESTS_FUZZ_INPUT_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/lib/macros.h"

struct fuzz_input {
	const uint8_t *at, *end;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline bool fuzz_more(const struct fuzz_input *in)
{
	return in->at < in->end;
}

static inline uint8_t fuzz_u8(struct fuzz_input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static inline uint16_t fuzz_u16(struct fuzz_input *in)
{
	uint16_t low = fuzz_u8(in);

	return (uint16_t)(low | fuzz_u8(in) << 8);
}

static inline uint32_t fuzz_u32(struct fuzz_input *in)
{
	uint32_t low = fuzz_u16(in);

	return low | (uint32_t)fuzz_u16(in) << 16;
}

static inline uint64_t fuzz_u64(struct fuzz_input *in)
{
	uint64_t low = fuzz_u32(in);

	return low | (uint64_t)fuzz_u32(in) << 32;
}

/* Up to *@size bytes; *@size gets how many there are. */
static inline const uint8_t *fuzz_bytes(struct fuzz_input *in, size_t *size)
{
	const uint8_t *p = in->at;

	*size = min(*size, (size_t)(in->end - in->at));
	in->at += *size;
	return p;
}

/* All that is left, as a string; the caller frees it. */
static inline char *fuzz_string(struct fuzz_input *in)
{
	size_t size = (size_t)(in->end - in->at);
	char *text = malloc(size + 1);

	if (!text)
		abort();
	memcpy(text, in->at, size);
	text[size] = '\0';
	in->at = in->end;
	return text;
}

/* What is not so is a finding. */
static inline void fuzz_must(bool ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
	abort();
}

#endif
