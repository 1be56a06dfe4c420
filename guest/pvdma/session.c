// SPDX-License-Identifier: GPL-2.0-only
/*
 * session.c - requests that are no mappings: INIT, ATTACH, DETACH
 *
 * Owns: pvdma.nonce. Locks: none; the callers' (pvdma_lock) put them in order.
 */
#include <linux/random.h>

#include "pvdma.h"

/* A slot with a request of no items, and no LEAF; or NULL. */
static struct pvdma_slot *pvdma_session_begin(struct pvdma *pv, u8 type,
					      u32 endpoint)
{
	struct pvdma_slot *s = pvdma_request_get(pv);

	if (!s)
		return NULL;
	pvdma_encode_begin(s->leaf, VIRTIO_PVDMA_T_LEAF, 0);
	pvdma_encode_begin(s->main, type, endpoint);
	return s;
}

static int pvdma_session_end(struct pvdma_slot *s)
{
	int err = pvdma_request_run(s);

	pvdma_request_put(s);
	return err;
}

int pvdma_session_init(struct pvdma *pv)
{
	struct pvdma_slot *s = pvdma_session_begin(pv, VIRTIO_PVDMA_T_INIT, 0);
	int err;

	if (!s)
		return -EIO;
	do {
		pv->nonce = get_random_u64();
	} while (!pv->nonce);
	pvdma_encode_init(s->main, virt_to_phys(&pv->nonce), pv->nonce);
	err = pvdma_session_end(s);
	if (err)
		dev_err(&pv->vdev->dev,
			"the host refuses to start (see above)\n");
	return err;
}

int pvdma_session_attach(struct pvdma *pv, u32 endpoint, u64 mask, u8 strategy)
{
	struct pvdma_slot *s =
		pvdma_session_begin(pv, VIRTIO_PVDMA_T_ATTACH, endpoint);

	if (!s)
		return -EIO;
	pvdma_encode_attach(s->main, mask, strategy);
	return pvdma_session_end(s);
}

int pvdma_session_detach(struct pvdma *pv, u32 endpoint)
{
	struct pvdma_slot *s =
		pvdma_session_begin(pv, VIRTIO_PVDMA_T_DETACH, endpoint);

	return s ? pvdma_session_end(s) : -EIO;
}
