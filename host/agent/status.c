// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * status.c - the one place that turns verdicts into the wire's statuses
 *
 * Owns the table below. Locks: none. In a request's way: the answer.
 */
#include "host/agent/status.h"

#include <assert.h>

#include "host/lib/macros.h"
#include "protocol/virtio_pvdma.h"

static const uint8_t statuses[] = {
	[VERDICT_OK] = VIRTIO_PVDMA_R_OK,
	[VERDICT_UNSUPP] = VIRTIO_PVDMA_R_UNSUPP,
	[VERDICT_INVAL] = VIRTIO_PVDMA_R_INVAL,
	[VERDICT_RANGE] = VIRTIO_PVDMA_R_RANGE,
	[VERDICT_NOENT] = VIRTIO_PVDMA_R_NOENT,
	[VERDICT_STATE] = VIRTIO_PVDMA_R_STATE,
	[VERDICT_QUOTA] = VIRTIO_PVDMA_R_QUOTA,
	[VERDICT_LIMIT] = VIRTIO_PVDMA_R_LIMIT,
	[VERDICT_BADMEM] = VIRTIO_PVDMA_R_BADMEM,
};

static_assert(ARRAY_SIZE(statuses) == VERDICTS, "a verdict has no status");

uint8_t status_of(int result)
{
	if (result < 0)
		return VIRTIO_PVDMA_R_IOERR;
	assert(result < VERDICTS);
	return statuses[result];
}
