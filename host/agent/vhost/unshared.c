// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * unshared.c - tells an operator that guest memory is not shared
 *
 * With share=off some VMMs hand the same descriptors over, but their guest
 * writes to private copies: we would look at rings that stay empty for ever.
 * Kicks prove nothing, since QEMU signals kick descriptors itself when it sets
 * them up. But a driver sends INIT as soon as its queues run; a session in which
 * queues run and no chain ever comes is not right. QEMU 11 hands over no memory
 * at all then, so that the rings lie in none.
 *
 * Owns: the timer that waits for the first chain of a session. It is armed once
 * a start, and only until a chain came.
 *
 * Locks: none; one event loop. In a request's way: not.
 */
#include "lib/log.h"
#include "vhost/backend.h"

#define PATIENCE_USEC 3000000

static void judge(struct vhost *vhost)
{
	if (vhost->seen_chain || vhost->told_unshared)
		return;
	for (unsigned int i = 0; i < vhost->num_queues; i++) {
		const struct virtq *ring = &vhost->queues[i].ring;

		if (virtq_resolved(ring) && !virtq_untouched(ring))
			return;
	}
	vhost->told_unshared = true;
	log_ratelimited(
		LOG_ERR,
		"the guest started its request queues, but their rings stay "
		"empty: most likely guest memory is not shared with the agent; "
		"give QEMU's memory backend share=on");
}

void unshared_no_memory(struct vhost *vhost)
{
	if (vhost->told_unshared)
		return;
	vhost->told_unshared = true;
	log_ratelimited(
		LOG_ERR,
		"the VMM shares no guest memory with the agent: give QEMU's "
		"memory backend share=on");
}

static int on_patience(sd_event_source *s, uint64_t usec, void *userdata)
{
	(void)s;
	(void)usec;
	judge(userdata);
	return 0;
}

static int disarm(struct vhost *vhost)
{
	return sd_event_source_set_enabled(vhost->unshared_source,
					   SD_EVENT_OFF);
}

int unshared_init(struct vhost *vhost)
{
	int r;

	r = sd_event_add_time(vhost->event, &vhost->unshared_source,
			      CLOCK_MONOTONIC, 0, 0, on_patience, vhost);
	return r < 0 ? r : disarm(vhost);
}

void unshared_arm(struct vhost *vhost)
{
	if (vhost->seen_chain || vhost->told_unshared)
		return;
	(void)sd_event_source_set_time_relative(vhost->unshared_source,
						PATIENCE_USEC);
	(void)sd_event_source_set_enabled(vhost->unshared_source,
					  SD_EVENT_ONESHOT);
}

/* A driver that gave up before our patience ended tells the same. */
void unshared_stop(struct vhost *vhost)
{
	judge(vhost);
	(void)disarm(vhost);
}

void unshared_refute(struct vhost *vhost)
{
	vhost->seen_chain = true;
	(void)disarm(vhost);
}
