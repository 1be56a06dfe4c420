// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of guest/pvdma/request.c and queue.c: how long is waited for an
 * answer and what becomes of it then, and when hints are sent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue.h"

#define MEMORY	(64ull << 20)
#define SHIFT	12
#define US	NSEC_PER_USEC
#define MS	NSEC_PER_MSEC
#define NEVER	U64_MAX
#define HINT_MS 10

static struct pvdma pv;
static struct pvdma_traffic traffic;
static struct virtio_device vdev;
static struct virtqueue vq;

/* The host: when it answers, and what it was sent. */
static u64 answers_at;
static unsigned int maps, prefetches, prefetch_items;

int pvdma_env_check(u64 addr)
{
	return addr < MEMORY ? 0 : -EINVAL;
}

static void host(void)
{
	struct kernel_chain chain;

	while (kernel_now >= answers_at && kernel_pop(&vq, &chain)) {
		const struct virtio_pvdma_req_head *head = chain.out;
		struct virtio_pvdma_req_tail *tail = chain.in;

		maps += head->type == VIRTIO_PVDMA_T_MAP;
		if (head->type == VIRTIO_PVDMA_T_PREFETCH) {
			prefetches++;
			prefetch_items += le16_to_cpu(head->count);
		}
		*tail = (struct virtio_pvdma_req_tail){
			.status = VIRTIO_PVDMA_R_OK,
		};
		kernel_push(&vq, &chain, sizeof(*tail));
	}
}

static void start(u16 max_items)
{
	struct virtqueue *vqs[] = { &vq };

	kernel_start(MEMORY, MEMORY);
	kernel_host = host;
	memset(&pv, 0, sizeof(pv));
	memset(&traffic, 0, sizeof(traffic));
	vq = (struct virtqueue){ .size = 64, .kick = true };
	pv.vdev = &vdev;
	pv.traffic = &traffic;
	pv.nr_queues = 1;
	pv.max_items = max_items;
	pv.conf.max_ranges = max_items;
	pv.post_work.work.func = pvdma_request_post_all;
	KERNEL_SET(unsigned int, timeout_ms, 5000);
	answers_at = 0;
	maps = 0;
	prefetches = 0;
	prefetch_items = 0;
	assert_int_equal(pvdma_track_init(&pv.track, SHIFT, MEMORY), 0);
	assert_int_equal(pvdma_track_add_leaf(&pv.track, 0, GFP_KERNEL), 0);
	assert_int_equal(pvdma_queue_setup(&pv, vqs), 0);
	pvdma_queue_start(&pv);
}

static int setup(void **state)
{
	(void)state;
	start(64);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pvdma_queue_stop(&pv);
	pvdma_queue_reclaim(&pv);
	assert_false(pv.post_work.pending);
	for (u64 g = 0; g < VIRTIO_PVDMA_LEAF_WORDS; g++)
		assert_false(pvdma_track_held(&pv.track, g));
	pvdma_queue_free(&pv);
	pvdma_track_done(&pv.track);
	kernel_stop();
	return 0;
}

/* A MAP of granule @g, held while it is on its way, and what came of it. */
static int ask(u64 g, u32 patience_us)
{
	struct pvdma_slot *s = pvdma_request_get(&pv);
	int err;

	if (!s)
		return -ENODEV;
	pvdma_track_hold_words(&pv.track, PVDMA_GRANULES, g, 1);
	pvdma_encode_begin(s->leaf, VIRTIO_PVDMA_T_LEAF, 0);
	pvdma_encode_begin(s->main, VIRTIO_PVDMA_T_MAP, 3);
	pvdma_encode_word(s->main, s->max_items, &s->levels, false, g, 1);
	s->patience_us = patience_us;
	err = pvdma_request_run(s);
	pvdma_request_put(s);
	pvdma_track_drop_words(&pv.track, PVDMA_GRANULES, g, 1);
	assert_int_equal(kernel_preempt, 0);
	return err;
}

/* --- how long is waited --- */

/* Who has something better to do waits so long and no longer. */
static void test_patience(void **state)
{
	u64 start_ns = kernel_now;

	(void)state;
	answers_at = NEVER;
	assert_int_equal(ask(7, 2000), -EAGAIN);
	assert_in_range(kernel_now - start_ns, 2000 * US, 2010 * US);
	assert_int_equal(traffic.left, 1);
	assert_int_equal(traffic.timeouts, 0);
	/* the host may map it yet: it stays held (DRV-MAP-1) */
	assert_true(pvdma_track_held(&pv.track, 7));
	/* that is no host that does not answer */
	answers_at = 0;
	assert_int_equal(ask(8, 0), 0);
	assert_false(pvdma_track_held(&pv.track, 7));
	assert_int_equal(traffic.late, 1);
	assert_int_equal(kernel_messages, 0);
	/* and next time there is as much patience as before */
	answers_at = NEVER;
	assert_int_equal(ask(9, 2000), -EAGAIN);
	assert_int_equal(traffic.left, 2);
}

/* An answer that comes in time is taken, however short the patience. */
static void test_in_time(void **state)
{
	u64 start_ns = kernel_now;

	(void)state;
	answers_at = kernel_now + 1900 * US;
	assert_int_equal(ask(7, 2000), 0);
	assert_in_range(kernel_now - start_ns, 1900 * US, 1910 * US);
	assert_int_equal(ask(7, 1), 0);
	assert_int_equal(traffic.left, 0);
}

/* One at a time: slots must not run out because nobody waits. */
static void test_one_left(void **state)
{
	u64 start_ns;

	(void)state;
	answers_at = NEVER;
	assert_int_equal(ask(7, 2000), -EAGAIN);
	start_ns = kernel_now;
	answers_at = kernel_now + 8 * MS;
	assert_int_equal(ask(8, 2000), 0);
	assert_in_range(kernel_now - start_ns, 8 * MS, 8 * MS + 10 * US);
	assert_int_equal(traffic.left, 1);
}

/*
 * DRV-QUEUE-1: The driver MUST bound the time for which it waits for an answer.
 * Patience is no way around it.
 */
static void test_timeout(void **state)
{
	u64 start_ns = kernel_now;

	(void)state;
	KERNEL_SET(unsigned int, timeout_ms, 3);
	answers_at = NEVER;
	assert_int_equal(ask(7, 0), -EIO);
	assert_in_range(kernel_now - start_ns, 3 * MS, 3 * MS + 10 * US);
	assert_true(pvdma_track_held(&pv.track, 7));
	/* who comes now need not wait as well */
	start_ns = kernel_now;
	assert_int_equal(ask(8, 0), -ENODEV);
	assert_int_equal(kernel_now, start_ns);
	assert_int_equal(traffic.timeouts, 1);
	assert_int_equal(traffic.refused, 1);
	/* until an answer comes, late as it may be */
	answers_at = 0;
	host();
	assert_int_equal(ask(8, 0), 0);
	assert_false(pvdma_track_held(&pv.track, 7));
	answers_at = NEVER;
	assert_int_equal(ask(9, 100000), -EIO);
}

/* --- when hints go --- */

/* The host sleeps: a hint is not worth a kick, for a while. */
static void test_hint_waits(void **state)
{
	(void)state;
	pvdma_request_hint(&pv, 3, 0, 100, 101);
	assert_int_equal(vq.kicks, 0);
	kernel_now += HINT_MS * MS - 1;
	assert_false(kernel_work(&pv.post_work));
	/* another one makes it no later */
	pvdma_request_hint(&pv, 3, 0, 200, 200);
	assert_int_equal(vq.kicks, 0);
	assert_int_equal(vq.n_avail, 0);
	kernel_now += 1;
	assert_true(kernel_work(&pv.post_work));
	assert_int_equal(vq.kicks, 1);
	assert_int_equal(prefetches, 1);
	assert_int_equal(prefetch_items, 2);
	assert_false(kernel_work(&pv.post_work));
	assert_int_equal(traffic.prefetch_requests, 1);
}

/* A request takes them along, by the kick that it needs anyway. */
static void test_hint_rides(void **state)
{
	(void)state;
	pvdma_request_hint(&pv, 3, 0, 100, 101);
	kernel_now += 2 * MS;
	assert_int_equal(ask(7, 0), 0);
	assert_int_equal(vq.kicks, 1);
	assert_int_equal(prefetches, 1);
	/* so there is nothing left to be sent */
	kernel_now += HINT_MS * MS;
	(void)kernel_work(&pv.post_work);
	assert_int_equal(prefetches, 1);
	assert_int_equal(vq.n_avail, 0);
}

/* A host that is awake is told at once. */
static void test_hint_no_kick(void **state)
{
	(void)state;
	vq.kick = false;
	pvdma_request_hint(&pv, 3, 0, 100, 101);
	assert_int_equal(vq.n_avail, 1);
	assert_int_equal(vq.kicks, 0);
	/* one is under way: the next ones wait for its answer */
	pvdma_request_hint(&pv, 3, 0, 200, 200);
	pvdma_request_hint(&pv, 3, 0, 300, 300);
	assert_int_equal(vq.n_avail, 1);
	host();
	pvdma_request_hint(&pv, 3, 0, 400, 400);
	host();
	assert_int_equal(prefetches, 2);
	assert_int_equal(prefetch_items, 4);
	assert_int_equal(traffic.hints_lost, 0);
}

/* Many are worth a kick; more than go into two requests are lost. */
static void test_hint_many(void **state)
{
	u64 i;

	(void)state;
	for (i = 0; i < PVDMA_HINTS_MAX; i++)
		pvdma_request_hint(&pv, 3, 0, 10 * i, 10 * i);
	assert_int_equal(vq.kicks, 0);
	answers_at = NEVER;
	for (; i < 2 * PVDMA_HINTS_MAX; i++)
		pvdma_request_hint(&pv, 3, 0, 10 * i, 10 * i);
	assert_int_equal(vq.kicks, 1);
	assert_int_equal(traffic.hints_lost, 0);
	pvdma_request_hint(&pv, 3, 0, 10 * i, 10 * i);
	assert_int_equal(traffic.hints_lost, 1);
	answers_at = 0;
	host();
	assert_int_equal(prefetch_items, PVDMA_HINTS_MAX);
	assert_int_equal(ask(7, 0), 0);
	assert_int_equal(prefetch_items, 2 * PVDMA_HINTS_MAX);
}

/* A device that takes short requests only: none is longer than that. */
static void test_hint_max_ranges(void **state)
{
	u64 i;

	(void)teardown(state);
	start(4);
	for (i = 0; i < 4; i++)
		pvdma_request_hint(&pv, 3, 0, 10 * i, 10 * i);
	assert_int_equal(vq.kicks, 0);
	pvdma_request_hint(&pv, 3, 0, 10 * i, 10 * i);
	assert_int_equal(prefetches, 1);
	assert_int_equal(prefetch_items, 4);
	assert_int_equal(ask(7, 0), 0);
	assert_int_equal(prefetch_items, 5);
}

/* When it is over no hint is sent, nor kept. */
static void test_hint_stop(void **state)
{
	(void)state;
	pvdma_request_hint(&pv, 3, 0, 100, 101);
	pvdma_queue_stop(&pv);
	assert_false(pv.post_work.pending);
	pvdma_request_hint(&pv, 3, 0, 100, 101);
	assert_false(pv.post_work.pending);
	pvdma_queue_reclaim(&pv);
	pvdma_queue_start(&pv);
	assert_int_equal(ask(7, 0), 0);
	assert_int_equal(prefetches, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_patience),	    TEST(test_in_time),
		TEST(test_one_left),	    TEST(test_timeout),
		TEST(test_hint_waits),	    TEST(test_hint_rides),
		TEST(test_hint_no_kick),    TEST(test_hint_many),
		TEST(test_hint_max_ranges), TEST(test_hint_stop),
	};

	return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
