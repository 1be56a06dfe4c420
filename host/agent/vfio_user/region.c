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
#include "lib/crash.h"
#include "lib/durable.h"
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
	    access.count > session->s->client.max_data_xfer_size)
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
	    session->s->told_denied ||
	    !vm_endpoint_denied(session->vm, session->endpoint))
		return;
	session->s->told_denied = true;
	log_ratelimited(
		LOG_INFO,
		"the guest lets %s do DMA, but no pvdma driver in it looks after that device: it reaches nothing until one does (fallback=deny); to boot from it takes fallback=direct, and a quota of all of the guest's memory",
		device_name(session->dev));
}

/*
 * Write number @number of the message (from 1), which is executed at most once, or
 * for configuration space at least once: that a process was killed between a write
 * and its note of it cannot be told from a kill before the write. Registers of the
 * configuration space can be written again. Those of a device may act on each
 * write, and as a kill is not acted on within the call, it was most likely done:
 * so it counts as done.
 */
static ssize_t write_once(struct vfu_session *session, uint32_t number,
			  uint32_t region, const uint8_t *data, size_t count,
			  uint64_t offset)
{
	struct vfu_state *s = session->s;
	ssize_t n;

	if (number <= s->writes_done)
		return number == s->writes_done ? s->write_result :
						  (ssize_t)count;
	if (number <= s->writes_begun && region != VFIO_PCI_CONFIG_REGION_INDEX)
		return (ssize_t)count;
	crash_point("write");
	durable_store(&s->writes_begun, number);
	crash_point("write-begun");
	n = device_write(session->dev, region, data, count, offset);
	crash_point("write-done");
	s->write_result = n;
	durable_store(&s->writes_done, number);
	crash_point("write-noted");
	return n;
}

static ssize_t write_region(struct vfu_session *session, uint32_t number,
			    uint32_t region, const uint8_t *data, size_t count,
			    uint64_t offset)
{
	ssize_t n;

	session->stats->region_writes++;
	n = write_once(session, number, region, data, count, offset);
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
	n = write_region(session, 1, access.region, msg->body + sizeof(access),
			 access.count, access.offset);
	if (n < 0)
		return (int)n;
	access.count = (uint32_t)n;
	memcpy(payload, &access, sizeof(access));
	return 0;
}

static int write_one(struct vfu_session *session, uint32_t number,
		     const uint8_t *at)
{
	struct vfio_user_region_single_write wr;
	ssize_t n;

	memcpy(&wr, at, sizeof(wr));
	if (wr.count == 0 || wr.count > sizeof(wr.data))
		return EINVAL;
	n = write_region(session, number, wr.region, wr.data, wr.count,
			 wr.offset);
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

	if (!session->s->client.write_multiple)
		return EOPNOTSUPP;
	memcpy(&multi, msg->body, sizeof(multi));
	if (multi.count == 0 || rest % size != 0 || multi.count != rest / size)
		return EINVAL;
	payload = vfu_reply_payload(session, reply, sizeof(multi));
	if (!payload)
		return -ENOMEM;
	for (done = 0; done < multi.count; done++) {
		r = write_one(session, (uint32_t)done + 1,
			      writes + done * size);
		if (r)
			break;
	}
	if (done == 0)
		return r;
	multi.count = done;
	memcpy(payload, &multi, sizeof(multi));
	return 0;
}
