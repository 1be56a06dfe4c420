/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * decode.h - the bytes of a request into a validated struct
 *
 * Knows the wire and no state: what it lets pass is well-formed, not
 * permitted. The bytes are a copy that the guest cannot change any longer.
 */
#ifndef PVDMA_AGENT_DECODE_H
#define PVDMA_AGENT_DECODE_H

#include <stddef.h>
#include <stdint.h>

/* Granules [first, last]; never empty. */
struct granules {
	uint64_t first;
	uint64_t last;
};

struct request_init {
	uint16_t version;
	uint64_t nonce_addr; /* guest-physical */
	uint64_t nonce;
};

struct request_attach {
	uint64_t dma_mask;
	uint8_t strategy;
};

struct request_leaf {
	uint64_t index;
	uint64_t addr; /* guest-physical */
};

struct request {
	uint8_t type;	/* VIRTIO_PVDMA_T_* */
	uint8_t sample; /* PREFETCH: log2 of the uses that it stands for */
	uint16_t count; /* items */
	uint32_t endpoint;
	uint16_t failed; /* the item that failed; 0: none or all */
	uint32_t mapped; /* MAP: granules newly mapped */
	struct request_init init;
	struct request_attach attach;
	struct request_leaf *leaves;
	struct granules *ranges;
};

struct decode_limits {
	uint16_t max_ranges;
	uint8_t granule_shift;
};

/* The longest request that is acceptable, in bytes. */
size_t decode_max(const struct decode_limits *limits);

/*
 * Fills @ret, whose arrays have max_ranges items each. 0 or a verdict; then
 * @ret->failed is the item at fault.
 */
int decode_request(const void *buf, size_t len,
		   const struct decode_limits *limits, struct request *ret);

#endif
