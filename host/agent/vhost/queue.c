// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * queue.c - runs one request queue
 *
 * Theory of operation. A kick (an eventfd that KVM signals) wakes the queue;
 * it then serves chains until the ring is empty, with kicks suppressed. A guest
 * that refills the ring all the time does not keep the event loop: after one
 * ring's worth of chains the others have a turn, and a deferred source goes on.
 * Where the next request is likely to come soon (poll.c), kicks stay suppressed
 * and the deferred source looks for it, between what else there is to do.
 *
 * Owns: the queue's descriptors and event sources, and the position in its
 * ring.
 *
 * Invariant: the VM's queues count as started exactly while at least one queue
 * is running; queue_update() is the only place where that changes.
 *
 * Locks: none; one event loop. In a request's way: step 6, between the ring and
 * vm_request().
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "trace.h"
#include "vhost/backend.h"
#include "vm.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/crash.h"
#include "lib/durable.h"
#include "lib/log.h"

/*
 * A turn of the event loop serves a queue this long, and at least one request:
 * others wait, deadlines and the watchdog among them.
 */
#define SLICE_NS 5000000

/*
 * Descriptors of the peer must not stop the event loop, whatever they are. The
 * flag is one of the open file that both sides share; QEMU's eventfds have it.
 */
static void set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0 && !(flags & O_NONBLOCK))
		(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

/*
 * Signals an eventfd. A full one is signalled already; others do not matter. The
 * peer may have taken the flag back, and filled it.
 */
static void signal_fd(int fd)
{
	uint64_t one = 1;

	if (fd < 0)
		return;
	set_nonblocking(fd);
	(void)!write(fd, &one, sizeof(one));
}

static uint32_t position(const struct virtq *ring)
{
	return ring->last_avail | (uint32_t)ring->used << 16;
}

void queue_note(struct queue *q)
{
	struct queue_state *s = q->s;

	s->desc_user = q->ring.desc_user;
	s->avail_user = q->ring.avail_user;
	s->used_user = q->ring.used_user;
	s->size = q->ring.size;
	durable_store(&s->position, position(&q->ring));
	s->enabled = q->enabled;
	s->broken = q->broken;
	durable_store(&s->started, (uint8_t)q->started);
}

/*
 * One descriptor of the queue becomes another one. After a kill, the first one is the
 * one that is noted, with its reference; it may come once more in a message, with one
 * more.
 */
static void replace_fd(const struct queue *q, int *fd, uint64_t *id, int new_fd,
		       uint64_t new_id)
{
	uint64_t old_id = *fd >= 0 ? *id : 0;

	durable_store(id, new_id);
	crash_point("queue-fd");
	close_fd(*fd);
	*fd = new_fd;
	keeper_drop(q->vhost->keeper, old_id);
}

static void queue_update(struct queue *q)
{
	bool running = q->started && q->enabled && !q->broken;
	struct vhost *vhost = q->vhost;

	queue_note(q);
	crash_point("queue-noted");
	if (running == q->running)
		return;
	q->running = running;
	if (running) {
		if (vhost->num_running++ == 0) {
			vm_queues_start(vhost->vm);
			unshared_arm(vhost);
		}
		backend_announce(vhost);
		/* What was made available before is served without a kick. */
		(void)sd_event_source_set_enabled(q->drain_source,
						  SD_EVENT_ONESHOT);
	} else {
		if (--vhost->num_running == 0) {
			vm_queues_stop(vhost->vm);
			backend_withdraw(vhost);
			unshared_stop(vhost);
		}
		(void)sd_event_source_set_enabled(q->drain_source,
						  SD_EVENT_OFF);
	}
}

/* DEV-QUEUE-2: no more service until the front-end starts the queue again. */
static void queue_break(struct queue *q, int verdict)
{
	log_ratelimited(LOG_ERR,
			"request queue %u stopped: the guest's ring is "
			"malformed (%s at entry %u)",
			q->index, virtq_strverdict(verdict),
			q->ring.last_avail);
	q->vhost->stats.broken_queues++;
	unshared_refute(q->vhost);
	q->broken = true;
	queue_update(q);
	signal_fd(q->err_fd);
}

/*
 * Serves one chain. The readable part is copied once. One byte more than the
 * longest request is enough to see that a request is too long.
 */
static void serve_chain(struct queue *q)
{
	struct vhost *vhost = q->vhost;
	struct virtio_pvdma_req_tail tail;
	uint32_t written = 0;
	size_t size;

	vhost->stats.requests++;
	trace_popped(vhost->trace);
	durable_store(&vhost->s->serving,
		      (q->index + 1u) |
			      (uint32_t)(uint16_t)(q->ring.last_avail - 1)
				      << 16);
	crash_point("popped");
	if (!vhost->seen_chain) /* so the memory is the guest's */
		unshared_refute(vhost);
	/* DEV-REQ-4: where the answer does not fit, nothing is done. */
	if (vhost->chain.writable >= sizeof(tail)) {
		size = virtq_read(&vhost->chain, &vhost->mem, vhost->request,
				  vhost->request_size);
		vm_request(vhost->vm, vhost->request, size, &tail);
		crash_point("served");
		virtq_write(&vhost->chain, &vhost->mem, &tail, sizeof(tail));
		written = sizeof(tail);
	}
	crash_point("answered");
	virtq_push(&q->ring, &vhost->chain, written);
	crash_point("published");
	durable_store(&q->s->position, position(&q->ring));
	crash_point("position");
	trace_answered(vhost->trace);
}

/*
 * Serves at most @budget chains, and begins none after @until but the first.
 * Returns how many; *@ret_verdict says why it ended: VIRTQ_OK (budget, time),
 * VIRTQ_EMPTY, or a malformed ring.
 */
static unsigned int serve_chains(struct queue *q, unsigned int budget,
				 uint64_t until, int *ret_verdict)
{
	unsigned int done = 0;

	*ret_verdict = VIRTQ_OK;
	while (done < budget && (done == 0 || clock_ns() < until)) {
		*ret_verdict =
			virtq_pop(&q->ring, &q->vhost->mem, &q->vhost->chain);
		if (*ret_verdict != VIRTQ_OK)
			break;
		serve_chain(q);
		done++;
	}
	return done;
}

/* The ring was empty after @done chains: is it to be looked at again? */
static bool queue_polls(struct queue *q, unsigned int done)
{
	uint64_t now;

	if (q->window.most == 0)
		return false;
	now = clock_ns();
	if (done > 0)
		poll_served(&q->window, now);
	return poll_goes_on(&q->window, now);
}

/* Returns how many chains were served. */
static unsigned int queue_drain(struct queue *q)
{
	unsigned int budget = q->ring.size, done = 0;
	uint64_t until = clock_ns() + SLICE_NS;
	bool again = false;
	int verdict;

	if (!q->running || !virtq_resolved(&q->ring))
		return 0;
	do {
		virtq_suppress_kicks(&q->ring, true);
		done += serve_chains(q, budget - done, until, &verdict);
		if (verdict != VIRTQ_EMPTY)
			break;
		again = queue_polls(q, done);
		if (again)
			break;
		virtq_suppress_kicks(&q->ring, false);
	} while (virtq_pending(&q->ring));
	if (done > 0 && q->call_fd >= 0 && virtq_wants_call(&q->ring))
		signal_fd(q->call_fd);
	if (verdict == VIRTQ_OK || again)
		(void)sd_event_source_set_enabled(q->drain_source,
						  SD_EVENT_ONESHOT);
	else if (verdict != VIRTQ_EMPTY)
		queue_break(q, verdict);
	return done;
}

static int on_drain(sd_event_source *s, void *userdata)
{
	struct queue *q = userdata;

	(void)s;
	if (queue_drain(q) > 0)
		q->vhost->stats.polled++;
	return 0;
}

static int on_kick(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct queue *q = userdata;
	uint64_t count;
	ssize_t n;

	n = read(fd, &count, sizeof(count));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0 || !(revents & EPOLLIN)) {
		/* Not an eventfd, and its other end is gone. */
		log_ratelimited(LOG_WARNING,
				"the kick descriptor of request queue %u is "
				"dead: the queue gets no more kicks",
				q->index);
		(void)sd_event_source_set_enabled(s, SD_EVENT_OFF);
		return 0;
	}
	q->vhost->stats.kicks++;
	if (q->window.most > 0)
		poll_kicked(&q->window, clock_ns());
	(void)queue_drain(q);
	return 0;
}

int queue_init(struct queue *q, struct vhost *vhost, uint16_t index)
{
	int r;

	*q = (struct queue){
		.vhost = vhost,
		.s = &vhost->s->queues[index],
		.index = index,
		.kick_fd = -EBADF,
		.call_fd = -EBADF,
		.err_fd = -EBADF,
	};
	r = sd_event_add_defer(vhost->event, &q->drain_source, on_drain, q);
	if (r < 0)
		return r;
	return sd_event_source_set_enabled(q->drain_source, SD_EVENT_OFF);
}

void queue_reset(struct queue *q)
{
	queue_stop(q);
	replace_fd(q, &q->call_fd, &q->s->call, -EBADF, 0);
	replace_fd(q, &q->err_fd, &q->s->err, -EBADF, 0);
	q->enabled = false;
	memset(&q->ring, 0, sizeof(q->ring));
	queue_note(q);
}

void queue_done(struct queue *q)
{
	if (!q->vhost)
		return;
	queue_reset(q);
	q->drain_source = sd_event_source_disable_unref(q->drain_source);
}

/* Waits for kicks at @kick_fd, in place of another one. */
static int listen_to(struct queue *q, int kick_fd, uint64_t id)
{
	sd_event_source *source = NULL;
	int r;

	set_nonblocking(kick_fd);
	r = sd_event_add_io(q->vhost->event, &source, kick_fd, EPOLLIN, on_kick,
			    q);
	if (r == -EPERM)
		return EINVAL;
	if (r < 0)
		return r;
	/* A kick descriptor may be replaced while the queue runs. */
	sd_event_source_disable_unref(q->kick_source);
	q->kick_source = source;
	replace_fd(q, &q->kick_fd, &q->s->kick, kick_fd, id);
	return 0;
}

int queue_start(struct queue *q, int kick_fd, uint64_t id)
{
	int r;

	if (!virtq_resolved(&q->ring))
		return EINVAL;
	r = listen_to(q, kick_fd, id);
	if (r)
		return r;
	if (!q->started) {
		virtq_load_used(&q->ring);
		poll_init(&q->window, q->vhost->poll_ns);
		q->started = true;
		q->broken = false;
	}
	queue_update(q);
	return 0;
}

void queue_stop(struct queue *q)
{
	q->started = false;
	queue_update(q);
	q->kick_source = sd_event_source_disable_unref(q->kick_source);
	replace_fd(q, &q->kick_fd, &q->s->kick, -EBADF, 0);
}

void queue_set_enabled(struct queue *q, bool enabled)
{
	q->enabled = enabled;
	queue_update(q);
}

void queue_set_call(struct queue *q, int fd, uint64_t id)
{
	if (fd >= 0)
		set_nonblocking(fd);
	replace_fd(q, &q->call_fd, &q->s->call, fd, id);
}

void queue_set_err(struct queue *q, int fd, uint64_t id)
{
	if (fd >= 0)
		set_nonblocking(fd);
	replace_fd(q, &q->err_fd, &q->s->err, fd, id);
}

void queue_memory_changed(struct queue *q)
{
	bool resolved = virtq_resolve(&q->ring, &q->vhost->mem);

	if (q->started && !resolved)
		log_ratelimited(LOG_WARNING,
				"the memory with the ring of request queue %u "
				"was taken away: the queue waits",
				q->index);
	/* It may have come back, with chains that were kicked in between. */
	if (q->running && resolved)
		(void)sd_event_source_set_enabled(q->drain_source,
						  SD_EVENT_ONESHOT);
}

/* One that was answered, and then we were killed: it is behind us. */
static void settle_position(struct queue *q)
{
	struct virtq found = q->ring;

	if (!virtq_resolved(&q->ring))
		return;
	virtq_load_used(&found);
	if ((uint16_t)(found.used - q->ring.used) != 1)
		return;
	q->ring.used++;
	q->ring.last_avail++;
	durable_store(&q->s->position, position(&q->ring));
}

/* 0, also where there was none; or -EBADF. */
static int claim(const struct queue *q, uint64_t id, int *ret)
{
	*ret = keeper_claim(q->vhost->keeper, id);
	return *ret < 0 && id != 0 ? -EBADF : 0;
}

int queue_resume(struct queue *q)
{
	const struct queue_state *s = q->s;
	int kick_fd = -EBADF, r;

	if (s->size != 0 && virtq_set_size(&q->ring, s->size) != 0)
		return -EUCLEAN;
	q->ring.desc_user = s->desc_user;
	q->ring.avail_user = s->avail_user;
	q->ring.used_user = s->used_user;
	q->ring.last_avail = (uint16_t)s->position;
	q->ring.used = (uint16_t)(s->position >> 16);
	if (s->size != 0)
		(void)virtq_resolve(&q->ring, &q->vhost->mem);
	r = claim(q, s->call, &q->call_fd);
	if (r == 0)
		r = claim(q, s->err, &q->err_fd);
	if (r == 0)
		r = claim(q, s->kick, &kick_fd);
	if (r < 0)
		return r;
	poll_init(&q->window, q->vhost->poll_ns);
	if (s->started)
		settle_position(q);
	if (kick_fd >= 0) {
		r = listen_to(q, kick_fd, s->kick);
		if (r != 0) {
			close_fd(kick_fd);
			return -EUCLEAN;
		}
	}
	q->enabled = s->enabled;
	q->broken = s->broken;
	q->started = s->started && kick_fd >= 0;
	queue_update(q);
	return 0;
}

void queue_go_on(struct queue *q)
{
	uint32_t serving = q->vhost->s->serving;
	int verdict;

	if (!q->running || !virtq_resolved(&q->ring))
		return;
	if (serving == ((q->index + 1u) | (uint32_t)q->ring.last_avail << 16)) {
		vm_request_again(q->vhost->vm);
		(void)serve_chains(q, 1, 0, &verdict);
	}
	/* Whoever was to be called may have been, or not. */
	if (q->call_fd >= 0 && virtq_wants_call(&q->ring))
		signal_fd(q->call_fd);
}
