/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * version.h - what client and server tell each other of themselves
 */
#ifndef PVDMA_AGENT_VFIO_USER_VERSION_H
#define PVDMA_AGENT_VFIO_USER_VERSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest text of ours, with its NUL. */
#define VFU_CAPABILITIES_TEXT_MAX 256

/* What a client can do. Values that it did not state are the protocol's. */
struct vfu_capabilities {
	uint64_t max_msg_fds;	     /* that it takes in one message */
	uint64_t max_data_xfer_size; /* bytes in one read or write */
	bool write_multiple;
};

/*
 * Reads the @size bytes of a VERSION's data. Returns 0 with *@ret filled; or,
 * with *@ret untouched, EINVAL (no terminated JSON text, or one of our names
 * with a value that cannot be).
 */
int vfu_capabilities_parse(const void *data, size_t size,
			   struct vfu_capabilities *ret);

/*
 * Writes the answer to a client that can do @client: our limits, and of the
 * optional capabilities those that both have. Returns its length with NUL.
 */
size_t vfu_capabilities_format(const struct vfu_capabilities *client,
			       char buf[static VFU_CAPABILITIES_TEXT_MAX]);

#endif
