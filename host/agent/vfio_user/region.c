// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * region.c: accesses to regions that the client cannot or does not map:
 * configuration space, port I/O, the ROM.
 *
 * Owns nothing. Invariant: no access is larger than what both sides said they
 * take; whether it is within its region is the device's to judge.
 *
 * Locks: none. In a request's way: not at all; a driver's doorbells and
 * registers are mapped (info.c).
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "device/device.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "vfio_user/session_impl.h"
#include "vfio_user/vfio_user.h"
#include "vm.h"

int vfu_region_read(struct vfu_session *session, struct vfu_message *msg,
		    struct vfu_reply *reply)
{
	struct vfio_user_region_access access;
	uint8_t *payload;
	ssize_t n;

	memcpy(&access, msg->body, sizeof(access));
	if (access.count == 0 || access.count > VFU_XFER_MAX ||
	    access.count > session->client.max_data_xfer_size)
		return EINVAL;
	payload = vfu_reply_payload(session, reply,
				    sizeof(access) + access.count);
	if (!payload)
		return -ENOMEM;
	session->stats->region_reads++;
	n = device_read(session->dev, access.region, payload + sizeof(access),
			access.count, access.offset);
	if (n < 0)
		return (int)n;
	access.count = (uint32_t)n;
	reply->size = sizeof(access) + access.count;
	memcpy(payload, &access, sizeof(access));
	return 0;
}

/*
 * Where the guest lets a device do DMA for which nothing is mapped, it sees a
 * dead device, and nobody on the host but this log says why.
 */
static void note_dma(struct vfu_session *session, uint64_t offset,
		     const uint8_t *data, size_t n)
{
	if (offset > PCI_COMMAND || PCI_COMMAND - offset >= n ||
	    !(data[PCI_COMMAND - offset] & PCI_COMMAND_MASTER) ||
	    session->told_denied ||
	    !vm_endpoint_denied(session->vm, session->endpoint))
		return;
	session->told_denied = true;
	log_ratelimited(
		LOG_INFO,
		"the guest lets %s do DMA, but no pvdma driver in it looks after that device: it reaches nothing until one does (fallback=deny); to boot from it takes fallback=direct, and a quota of all of the guest's memory",
		device_name(session->dev));
}

static ssize_t write_region(struct vfu_session *session, uint32_t region,
			    const uint8_t *data, size_t count, uint64_t offset)
{
	ssize_t n;

	session->stats->region_writes++;
	n = device_write(session->dev, region, data, count, offset);
	if (n > 0 && region == VFIO_PCI_CONFIG_REGION_INDEX)
		note_dma(session, offset, data, (size_t)n);
	return n;
}

int vfu_region_write(struct vfu_session *session, struct vfu_message *msg,
		     struct vfu_reply *reply)
{
	struct vfio_user_region_access access;
	uint8_t *payload;
	ssize_t n;

	memcpy(&access, msg->body, sizeof(access));
	if (access.count == 0 || access.count != msg->size - sizeof(access))
		return EINVAL;
	payload = vfu_reply_payload(session, reply, sizeof(access));
	if (!payload)
		return -ENOMEM;
	n = write_region(session, access.region, msg->body + sizeof(access),
			 access.count, access.offset);
	if (n < 0)
		return (int)n;
	access.count = (uint32_t)n;
	memcpy(payload, &access, sizeof(access));
	return 0;
}

static int write_one(struct vfu_session *session, const uint8_t *at)
{
	struct vfio_user_region_single_write wr;
	ssize_t n;

	memcpy(&wr, at, sizeof(wr));
	if (wr.count == 0 || wr.count > sizeof(wr.data))
		return EINVAL;
	n = write_region(session, wr.region, wr.data, wr.count, wr.offset);
	if (n < 0)
		return (int)n;
	return (size_t)n == wr.count ? 0 : -EIO;
}

/*
 * The writes are done in order up to the first that fails; the reply says how
 * many were done, or is an error if none was.
 */
int vfu_region_write_multi(struct vfu_session *session, struct vfu_message *msg,
			   struct vfu_reply *reply)
{
	const size_t size = sizeof(struct vfio_user_region_single_write);
	struct vfio_user_region_write_multi multi;
	const uint8_t *writes = msg->body + sizeof(multi);
	size_t rest = msg->size - sizeof(multi);
	uint8_t *payload;
	uint64_t done;
	int r = 0;

	if (!session->client.write_multiple)
		return EOPNOTSUPP;
	memcpy(&multi, msg->body, sizeof(multi));
	if (multi.count == 0 || rest % size != 0 || multi.count != rest / size)
		return EINVAL;
	payload = vfu_reply_payload(session, reply, sizeof(multi));
	if (!payload)
		return -ENOMEM;
	for (done = 0; done < multi.count; done++) {
		r = write_one(session, writes + done * size);
		if (r)
			break;
	}
	if (done == 0)
		return r;
	multi.count = done;
	memcpy(payload, &multi, sizeof(multi));
	return 0;
}
