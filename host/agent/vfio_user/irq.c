// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * irq.c: how interrupts become direct: the client's eventfds go into the
 * device, and from then on KVM hears of interrupts without us.
 *
 * Owns nothing: the device takes its own references to eventfds.
 *
 * Invariant: what the device gets is complete: one kind of data, one action,
 * vectors that exist, as many eventfds as vectors.
 *
 * Locks: none. In a request's way: not at all.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device/device.h"
#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/macros.h"
#include "vfio_user/session_impl.h"
#include "vfio_user/vfio_user.h"

/* 0 or a positive errno. */
static int check_set(const struct vfio_user_irq_set *set,
		     const struct vfio_irq_info *info, size_t data_size,
		     unsigned int nfds)
{
	uint32_t data = set->flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
	uint32_t action = set->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
	size_t data_expected = 0;

	if (set->flags &
	    ~(VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK))
		return EINVAL;
	if (!is_power_of_2(data) || !is_power_of_2(action))
		return EINVAL;
	if (set->start > info->count || set->count > info->count - set->start)
		return EINVAL;
	/* Without vectors it can only mean: switch all of them off. */
	if (set->count == 0 &&
	    (set->start != 0 || data != VFIO_IRQ_SET_DATA_NONE ||
	     action != VFIO_IRQ_SET_ACTION_TRIGGER))
		return EINVAL;
	if (data == VFIO_IRQ_SET_DATA_BOOL)
		data_expected = set->count;
	if (data_size != data_expected)
		return EINVAL;
	if (nfds != 0 &&
	    (data != VFIO_IRQ_SET_DATA_EVENTFD || nfds != set->count))
		return EINVAL;
	return set->argsz >= sizeof(*set) + data_expected ? 0 : EINVAL;
}

/* What follows the header in the device's struct; @count is checked. */
static size_t data_size(const struct vfio_user_irq_set *set)
{
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return set->count * sizeof(int32_t);
	return set->flags & VFIO_IRQ_SET_DATA_BOOL ? set->count : 0;
}

/*
 * A client without eventfds in a message of eventfds takes those back that
 * the vectors have.
 */
static void fill_eventfds(struct vfio_irq_set *set,
			  const struct vfu_message *msg)
{
	for (uint32_t i = 0; i < set->count; i++) {
		int32_t fd = msg->nfds ? msg->fds[i] : -1;

		memcpy(set->data + i * sizeof(fd), &fd, sizeof(fd));
	}
}

int vfu_set_irqs(struct vfu_session *session, struct vfu_message *msg,
		 struct vfu_reply *reply)
{
	_cleanup_free_ struct vfio_irq_set *set = NULL;
	struct vfio_irq_info info = { 0 };
	struct vfio_user_irq_set request;
	size_t size;
	int r;

	(void)reply;
	memcpy(&request, msg->body, sizeof(request));
	r = device_get_irq_info(session->dev, request.index, &info);
	if (r < 0)
		return r;
	r = check_set(&request, &info, msg->size - sizeof(request), msg->nfds);
	if (r)
		return r;

	size = sizeof(*set) + data_size(&request);
	set = calloc(1, size);
	if (!set)
		return -ENOMEM;
	set->argsz = (uint32_t)size;
	set->flags = request.flags;
	set->index = request.index;
	set->start = request.start;
	set->count = request.count;
	if (request.flags & VFIO_IRQ_SET_DATA_EVENTFD)
		fill_eventfds(set, msg);
	else
		memcpy(set->data, msg->body + sizeof(request),
		       data_size(&request));
	session->stats->set_irqs++;
	crash_point("irqs");
	r = device_set_irqs(session->dev, set);
	crash_point("irqs-set");
	/* What is off already cannot be switched off, as the kernel sees it. */
	return r < 0 && session->again && set->count == 0 ? 0 : r;
}
