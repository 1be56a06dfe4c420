// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * info.c: what the device is: its regions and its interrupts.
 *
 * Owns nothing. Answers are the kernel's, as the device keeps them, cut to
 * what the client has room for.
 *
 * Invariant: a reply is never longer than the argsz of its request; clients
 * receive into a buffer of that size. A reply that was cut says how much there
 * is, keeps its flags, and still has a capability offset beyond the fixed
 * part: clients check that before they ask again.
 *
 * This is where MMIO becomes direct: the reply for a region that can be mapped
 * carries the file to map it from, and no access to it comes by here again.
 *
 * Locks: none. In a request's way: not at all.
 */
#include <errno.h>
#include <string.h>

#include "device/device.h"
#include "lib/macros.h"
#include "vfio_user/session_impl.h"

int vfu_get_info(struct vfu_session *session, struct vfu_message *msg,
		 struct vfu_reply *reply)
{
	struct vfio_device_info info = { 0 };
	struct vfio_user_device_info request, *answer;

	memcpy(&request, msg->body, sizeof(request));
	if (request.argsz < sizeof(request))
		return EINVAL;
	answer = vfu_reply_payload(session, reply, sizeof(*answer));
	if (!answer)
		return -ENOMEM;
	device_get_info(session->dev, &info);
	answer->argsz = sizeof(*answer);
	answer->flags = info.flags &
			(VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI);
	answer->num_regions = info.num_regions;
	answer->num_irqs = info.num_irqs;
	return 0;
}

int vfu_get_region_info(struct vfu_session *session, struct vfu_message *msg,
			struct vfu_reply *reply)
{
	struct vfio_region_info request, info;
	struct vfio_region_info *answer;
	size_t size;
	int r;

	memcpy(&request, msg->body, sizeof(request));
	if (request.argsz < sizeof(request))
		return EINVAL;
	r = device_get_region_info(session->dev, request.index, &info,
				   sizeof(info));
	if (r < 0)
		return r;
	size = request.argsz < info.argsz ? sizeof(info) : info.argsz;
	answer = vfu_reply_payload(session, reply, size);
	if (!answer)
		return -ENOMEM;
	r = device_get_region_info(session->dev, request.index, answer, size);
	if (r < 0)
		return r;
	if (!(answer->flags & VFIO_REGION_INFO_FLAG_MMAP))
		return 0;
	reply->fd = device_mmap_fd(session->dev, request.index);
	reply->region = request.index;
	if (reply->fd < 0 || session->s->client.max_msg_fds == 0) {
		answer->flags &= ~VFIO_REGION_INFO_FLAG_MMAP;
		reply->fd = -1;
	}
	return 0;
}

/*
 * No part of a region is served by way of an eventfd: what can be direct is
 * mapped, the rest comes as messages.
 */
int vfu_get_region_io_fds(struct vfu_session *session, struct vfu_message *msg,
			  struct vfu_reply *reply)
{
	struct vfio_user_region_io_fds request, *answer;
	struct vfio_device_info info = { 0 };

	memcpy(&request, msg->body, sizeof(request));
	device_get_info(session->dev, &info);
	if (request.argsz < sizeof(request) || request.flags != 0 ||
	    request.count != 0 || request.index >= info.num_regions)
		return EINVAL;
	answer = vfu_reply_payload(session, reply, sizeof(*answer));
	if (!answer)
		return -ENOMEM;
	answer->argsz = sizeof(*answer);
	answer->index = request.index;
	return 0;
}

int vfu_get_irq_info(struct vfu_session *session, struct vfu_message *msg,
		     struct vfu_reply *reply)
{
	struct vfio_irq_info request, *answer;

	memcpy(&request, msg->body, sizeof(request));
	if (request.argsz < sizeof(request))
		return EINVAL;
	answer = vfu_reply_payload(session, reply, sizeof(*answer));
	if (!answer)
		return -ENOMEM;
	return device_get_irq_info(session->dev, request.index, answer);
}
