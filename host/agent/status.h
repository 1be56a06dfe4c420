/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * status.h - what became of a request, inside and on the wire
 */
#ifndef PVDMA_AGENT_STATUS_H
#define PVDMA_AGENT_STATUS_H

#include <stdint.h>

/*
 * What a step of a request's way returns: 0, one of these for the guest's
 * fault or bad luck, or a negative errno for ours.
 */
enum verdict {
	VERDICT_OK,
	VERDICT_UNSUPP, /* type, version or feature */
	VERDICT_INVAL,	/* malformed */
	VERDICT_RANGE,	/* not guest memory */
	VERDICT_NOENT,	/* no such endpoint or leaf */
	VERDICT_STATE,	/* not now */
	VERDICT_QUOTA,	/* all of the quota is in use */
	VERDICT_LIMIT,	/* a limit of the host's system */
	VERDICT_BADMEM, /* the nonce is not there */
	VERDICTS,
};

/* VIRTIO_PVDMA_R_* for a verdict, or for a negative errno. */
uint8_t status_of(int result);

#endif
