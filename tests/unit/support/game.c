// SPDX-License-Identifier: GPL-2.0-or-later
/* game.c - see game.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "tests/unit/support/game.h"

#define OK    VIRTIO_PVDMA_R_OK
#define INVAL VIRTIO_PVDMA_R_INVAL
#define RANGE VIRTIO_PVDMA_R_RANGE
#define NOENT VIRTIO_PVDMA_R_NOENT
#define STATE VIRTIO_PVDMA_R_STATE
#define LIMIT VIRTIO_PVDMA_R_LIMIT

#define SWEEP 8 /* steps from one look at all words to the next */
/* From one time at which the agent maps ahead to the next. */
#define AHEAD_STEPS 4

static struct model m;
static struct game rules;
static uint64_t steps; /* that were made */

static uint32_t pick(uint32_t n)
{
	return rules.pick(n);
}

/* --- what the guest does --- */

/* Any request but INIT shows that the driver lives. */
static uint8_t answered(uint8_t status)
{
	m.answers[status & 15]++;
	if (m.running && m.inited)
		m.alive = true;
	return status;
}

static void hold(const struct transfer *t, bool take)
{
	for (unsigned int i = 0; i < t->n; i++) {
		for (uint32_t k = 0; k < t->count[i]; k++) {
			if (!take)
				guest_drop(&m.g, t->first[i] + k);
			else
				guest_hold(&m.g, t->first[i] + k);
			if (take && pick(2))
				guest_touch(&m.g, t->first[i] + k);
		}
	}
}

static void end_transfer(struct transfer *t)
{
	hold(t, false);
	t->n = 0;
	t->safe = false;
}

/* Some pieces of memory, and the ranges that name them. */
static void choose(struct transfer *t, struct virtio_pvdma_range *ranges)
{
	t->n = 1 + pick(MODEL_PIECES);
	for (unsigned int i = 0; i < t->n; i++) {
		t->first[i] = pick((uint32_t)m.granules);
		t->count[i] = 1 + pick(pick(4) ? 4 : 48);
		if (t->first[i] + t->count[i] > m.granules)
			t->count[i] = (uint32_t)(m.granules - t->first[i]);
		ranges[i] = guest_range(t->first[i], t->count[i]);
	}
}

static void do_map(void)
{
	struct virtio_pvdma_range ranges[MODEL_PIECES];
	struct transfer *t = &m.transfers[pick(MODEL_TRANSFERS)];
	uint32_t endpoint = pick(20) ? pick(2) : pick(3);
	uint8_t expected, status;

	if (t->n > 0)
		return;
	choose(t, ranges);
	hold(t, true);
	expected = model_expect_map(&m, t, endpoint);
	status = answered(guest_ask(&m.g, VIRTIO_PVDMA_T_MAP, endpoint, ranges,
				    (uint16_t)t->n, sizeof(ranges[0])));
	if (status != LIMIT) /* of an injected fault */
		assert_int_equal(status, expected);
	if (status != OK) {
		end_transfer(t);
		return;
	}
	t->safe = true;
	for (unsigned int i = 0; i < t->n; i++) {
		for (uint32_t k = 0; k < t->count[i]; k++)
			assert_true(model_shows(&m, t->first[i] + k));
	}
}

/*
 * DEV-PREFETCH-1: a hint is advice, and nobody waits for what becomes of it. So
 * it is not a transfer's: nothing is held for it.
 */
static void do_prefetch(void)
{
	uint64_t mapped = guest_stats(&m.g).mapped_bytes;
	struct virtio_pvdma_range ranges[MODEL_PIECES];
	uint32_t endpoint = pick(20) ? pick(2) : pick(3);
	struct transfer t;
	uint8_t status;

	choose(&t, ranges);
	status = answered(guest_ask(&m.g, VIRTIO_PVDMA_T_PREFETCH, endpoint,
				    ranges, (uint16_t)t.n, sizeof(ranges[0])));
	assert_int_equal(status, model_expect_attached(&m, endpoint));
	assert_int_equal(m.g.mapped, 0);
	assert_int_equal(guest_stats(&m.g).mapped_bytes, mapped);
	for (unsigned int i = 0; status == OK && i < t.n; i++) {
		for (uint32_t k = 0; k < t.count[i]; k++)
			m.hinted[t.first[i] + k] = true;
	}
}

static void do_unmap(void)
{
	uint64_t first = pick((uint32_t)m.granules);
	uint32_t count = 1 + pick(64);
	uint8_t expected = model_expect_attached(&m, 0), status;
	bool ok = expected == OK;

	if (pick(3) == 0) {
		status = answered(guest_release(&m.g, first, count));
		assert_int_equal(status, expected);
		return;
	}
	status = answered(guest_unmap(&m.g, first, count));
	assert_int_equal(status, expected);
	for (uint64_t i = first; ok && i < first + count && i < m.granules;
	     i++) {
		const struct ledger_extent *e = model_extent(&m, i);
		bool shared = false;

		for (uint64_t k = 0; e && k < e->count; k++)
			shared |= model_held(&m, ledger_first(e) + k);
		assert_true(!e || shared || mode_active(m.g.vm));
	}
}

/* A new driver: the memory of the leaves had other uses. */
static void do_init(void)
{
	uint64_t nonce = htole64(GUEST_NONCE);

	if (!m.running)
		return;
	memset(m.g.mem + guest_leaves(&m.g), 0, m.g.size - guest_leaves(&m.g));
	memset(m.transfers, 0, sizeof(m.transfers));
	memset(m.attached, 0, sizeof(m.attached));
	memcpy(m.g.mem + m.fixed, &nonce, sizeof(nonce));
	assert_int_equal(guest_init_at(&m.g, 1, m.fixed, GUEST_NONCE), OK);
	memset(m.hinted, 0, m.granules * sizeof(*m.hinted));
	m.inited = true;
	m.alive = true;
	for (uint64_t i = 0; i < guest_leaf_count(&m.g); i++)
		assert_int_equal(guest_leaf(&m.g, i), OK);
}

/* DEV-DETACH-1: without a driver nothing is mapped but for the fallback. */
static void check_detached(void)
{
	if (!m.attached[0] && !m.attached[1] &&
	    rules.fallback == VM_FALLBACK_DENY)
		assert_int_equal(guest_stats(&m.g).mapped_bytes, 0);
}

static void do_attach(void)
{
	uint32_t endpoint = pick(2);
	bool was = m.attached[endpoint];

	if (m.absent[endpoint] && pick(4)) {
		assert_int_equal(vm_endpoint_add(m.g.vm, endpoint), 0);
		m.absent[endpoint] = false;
	}
	if (!m.running || !m.inited)
		return;
	if (pick(8)) {
		assert_int_equal(answered(guest_attach(&m.g, endpoint)),
				 m.absent[endpoint] ? NOENT : OK);
		m.attached[endpoint] = !m.absent[endpoint];
		return;
	}
	/* A driver ends its transfers before it goes. */
	for (int i = 0; was && !m.attached[1 - endpoint] && i < MODEL_TRANSFERS;
	     i++)
		end_transfer(&m.transfers[i]);
	m.attached[endpoint] = false;
	assert_int_equal(answered(guest_detach(&m.g, endpoint)),
			 m.absent[endpoint] ? NOENT :
			 was		    ? OK :
					      STATE);
	check_detached();
}

/* A leaf once more, and what is none: DEV-LEAF-1, DEV-LEAF-2. */
static void do_leaf(void)
{
	uint64_t at = guest_leaves(&m.g), index = 0;
	uint8_t expected = OK;

	switch (pick(4)) {
	case 0:
		at -= MODEL_PAGE;
		expected = INVAL;
		break;
	case 1:
		at += 8;
		expected = INVAL;
		break;
	case 2:
		index = m.granules;
		expected = RANGE;
		break;
	default:
		break;
	}
	if (!m.running || !m.inited)
		expected = STATE;
	assert_int_equal(answered(guest_leaf_at(&m.g, index, at)), expected);
}

/* --- what others do --- */

/* Mappings may have ended that are held. */
static void none_is_safe(void)
{
	for (int i = 0; i < MODEL_TRANSFERS; i++)
		m.transfers[i].safe = false;
}

/* The VMM unplugs a device; do_attach() brings it back. */
static void do_unplug(void)
{
	uint32_t endpoint = pick(2);
	bool was = m.attached[endpoint];

	vm_endpoint_remove(m.g.vm, endpoint);
	m.absent[endpoint] = true;
	m.attached[endpoint] = false;
	if (was && !m.attached[1 - endpoint])
		none_is_safe();
	check_detached();
}

static void do_pause(void)
{
	if (m.running)
		vm_queues_stop(m.g.vm);
	else
		vm_queues_start(m.g.vm);
	m.running = !m.running;
	model_forbid(&m);
}

/* The VM is reset: a paused one, of which nothing is left. */
static void do_reset(void)
{
	if (m.running)
		do_pause();
	vm_device_reset(m.g.vm);
	memset(m.g.mem, 0, m.g.size);
	memset(m.transfers, 0, sizeof(m.transfers));
	memset(m.attached, 0, sizeof(m.attached));
	memset(m.hinted, 0, m.granules * sizeof(*m.hinted));
	m.inited = false;
	model_forbid(&m);
}

static void do_memory(void)
{
	uint32_t s = pick(MODEL_SLOTS);
	uint64_t at = s * m.slot_bytes;
	int r;

	if (m.slot[s] && pick(6) > 0)
		return; /* most of memory is there at most times */
	if (m.slot[s])
		r = vm_memory_remove(m.g.vm, &m, at, m.slot_bytes);
	else
		r = guest_plug(&m.g, &m, at, m.slot_bytes, GUEST_RW);
	assert_int_equal(r, 0);
	m.slot[s] = !m.slot[s];
	/* It took mappings with it, or came to ones that are held. */
	none_is_safe();
}

static void do_quota(void)
{
	uint64_t quota = KB(128) + (pick(4) ? pick(8) * KB(64) : MB(2));

	assert_int_equal(vm_set_quota(m.g.vm, quota), 0);
}

/* The deadline for what is held above the quota is over. */
static void do_deadline(void)
{
	uint64_t before = guest_stats(&m.g).revocations;

	guest_tick(&m.g, GUEST_LATE);
	assert_true(!m.revokes || guest_stats(&m.g).over_quota_bytes == 0);
	assert_true(m.revokes || guest_stats(&m.g).revocations == 0);
	/* It may have taken mappings from any of them. */
	if (guest_stats(&m.g).revocations > before)
		none_is_safe();
}

static void do_fault(void)
{
	static const int errors[] = { -ENOSPC, -ENOMEM };

	null_iommu_fail_map(m.g.iommu, pick(4), errors[pick(2)], 1 + pick(3));
}

/* What the agent does when there is nothing else to do: some of it, or all. */
static void do_work(bool all)
{
	bool more;

	model_before_work(&m);
	do
		more = vm_work(m.g.vm);
	while (all && more);
	model_check_work(&m);
	if (!more)
		memset(m.hinted, 0, m.granules * sizeof(*m.hinted));
}

static void do_step(void)
{
	uint32_t what = pick(1000);

	if (what < 420)
		do_map();
	else if (what < 450)
		do_prefetch();
	else if (what < 870)
		end_transfer(&m.transfers[pick(MODEL_TRANSFERS)]);
	else if (what < 920)
		do_unmap();
	else if (what < 950)
		do_attach();
	else if (what < 955)
		do_memory();
	else if (what < 965)
		do_quota();
	else if (what < 970)
		do_fault();
	else if (what < 975)
		do_deadline();
	else if (what < 990)
		do_work(pick(2));
	else if (what < 992 || (!m.running && pick(2)))
		do_pause();
	else if (what < 994 || (!m.inited && pick(2)))
		do_init();
	else if (what < 997)
		do_leaf();
	else if (what < 999)
		do_unplug();
	else if (pick(4) == 0)
		do_reset();
}

void game_start(const struct game *game)
{
	memset(&m, 0, sizeof(m));
	rules = *game;
	steps = 0;
	m.revokes = game->revokes;
	m.hints_only = !game->ahead && game->fallback == VM_FALLBACK_DENY;
	guest_start(&m.g, &(struct guest_options){
				  .size = MB(2),
				  .quota = MB(1),
				  .shift = game->shift,
				  .fallback = game->fallback,
				  .enforce = game->revokes ? VM_ENFORCE_REVOKE :
							     VM_ENFORCE_WAIT,
				  .no_memory = true,
				  .ahead = game->ahead,
			  });
	model_init(&m);
	/* The leaves, and a page for the nonce; borders cut large granules. */
	m.fixed = guest_leaves(&m.g) - MODEL_PAGE;
	m.slot_bytes = m.fixed / MODEL_PAGE / MODEL_SLOTS * MODEL_PAGE;
	m.fixed = m.slot_bytes * MODEL_SLOTS;
	assert_int_equal(
		guest_plug(&m.g, &m, m.fixed, m.g.size - m.fixed, GUEST_RW), 0);
	for (uint32_t s = 0; s < MODEL_SLOTS; s++) {
		assert_int_equal(guest_plug(&m.g, &m, s * m.slot_bytes,
					    m.slot_bytes, GUEST_RW),
				 0);
		m.slot[s] = true;
	}
	assert_int_equal(vm_endpoint_add(m.g.vm, 0), 0);
	assert_int_equal(vm_endpoint_add(m.g.vm, 1), 0);
	vm_set_features(m.g.vm, vm_features(m.g.vm));
	do_pause();
	do_init();
}

void game_step(void)
{
	do_step();
	if (rules.ahead && steps % AHEAD_STEPS == 0) {
		(void)vm_look(m.g.vm);
		(void)vm_observe(m.g.vm, steps * 10000);
		do_work(true);
	}
	guest_check(&m.g, false);
	if (steps++ % SWEEP == 0) {
		model_check_words(&m);
		model_check_transfers(&m);
	}
}

const struct model *game_model(void)
{
	return &m;
}

void game_end(void)
{
	guest_stop(&m.g);
	model_done(&m);
}
