// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A naive model of the device, and the device, side by side.
 *
 * A guest that keeps the rules of the specification does random things, a VMM
 * pauses it and takes memory away, and an operator its quota. The model knows no extents, policy or
 * arena: it looks at each page and each word. It predicts every status, and
 * checks after each step that the books balance, and again and again that no
 * live transfer lost its mapping, that no word says MAPPED without one, that
 * nothing outside of memory is mapped, and that nobody wrote to the table when
 * it was forbidden.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "host/lib/log.h"
#include "tests/unit/support/guest.h"

#define OK     VIRTIO_PVDMA_R_OK
#define RANGE  VIRTIO_PVDMA_R_RANGE
#define NOENT  VIRTIO_PVDMA_R_NOENT
#define STATE  VIRTIO_PVDMA_R_STATE
#define QUOTA  VIRTIO_PVDMA_R_QUOTA
#define LIMIT  VIRTIO_PVDMA_R_LIMIT
#define MAPPED VIRTIO_PVDMA_W_MAPPED
#define COUNT  VIRTIO_PVDMA_W_COUNT

#define STEPS	  100000
#define SWEEP	  8  /* steps from one look at all words to the next */
#define SLOTS	  8  /* pieces of memory that come and go */
#define TRANSFERS 16 /* DMA mappings of drivers that live */
#define PIECES	  4  /* of one of them */
#define PAGE	  4096u
/* From one time at which the agent maps ahead to the next. */
#define AHEAD_STEPS 4

/* A DMA mapping: it holds its granules. */
struct transfer {
	unsigned int n; /* 0: not in use */
	bool safe;	/* its mappings must not end */
	uint64_t first[PIECES];
	uint32_t count[PIECES];
};

static struct {
	struct guest g;
	uint64_t granules;
	uint64_t slot_bytes;
	uint64_t fixed;	  /* memory from here on never goes, bytes */
	bool slot[SLOTS]; /* is this piece of memory plugged? */
	bool *shown;	  /* MAPPED as it was when writing was forbidden */
	bool running, inited;
	bool alive; /* the device may write to the table */
	bool attached[2];
	bool revokes; /* enforce=revoke */
	struct transfer transfers[TRANSFERS];
	uint64_t answers[16]; /* by status, to see that all occur */
} m;

/* A generator of our own: the same numbers on every machine. */
static uint64_t seed;

static uint32_t pick(uint32_t n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)((seed >> 33) % n);
}

/* --- what is so --- */

static bool is_memory(uint64_t gpa)
{
	return gpa < m.g.size && (gpa >= m.fixed || m.slot[gpa / m.slot_bytes]);
}

static uint64_t granule_size(void)
{
	return (uint64_t)1 << m.g.shift;
}

/* Bytes of memory in a granule. */
static uint64_t bytes_of(uint64_t granule)
{
	uint64_t at = granule << m.g.shift, bytes = 0;

	for (uint64_t i = 0; i < granule_size(); i += PAGE)
		bytes += is_memory(at + i) ? PAGE : 0;
	return bytes;
}

/* Is all of the granule's memory mapped? */
static bool is_mapped(uint64_t granule)
{
	uint64_t at = granule << m.g.shift;
	bool all = true;

	for (uint64_t i = 0; i < granule_size(); i += PAGE) {
		bool mapped = null_iommu_mapped(m.g.iommu, at + i);

		assert_true(!mapped || is_memory(at + i));
		all &= mapped || !is_memory(at + i);
	}
	return all && bytes_of(granule) > 0;
}

static const struct ledger_extent *extent_of(uint64_t granule)
{
	uint32_t extent = ledger_find(m.g.vm->ledger, granule);

	return extent == LEDGER_NONE ? NULL :
				       ledger_get(m.g.vm->ledger, extent);
}

static bool is_held(uint64_t granule)
{
	return guest_look(&m.g, granule) & COUNT;
}

/* Bytes of extents of which a granule is held. */
static uint64_t busy_bytes(void)
{
	uint64_t bytes = 0, at = 0;
	uint32_t extent;

	while ((extent = ledger_seek(m.g.vm->ledger, at)) != LEDGER_NONE) {
		const struct ledger_extent *e =
			ledger_get(m.g.vm->ledger, extent);

		for (at = ledger_first(e); at < ledger_end(e); at++) {
			if (is_held(at)) {
				bytes += e->charge.bytes;
				break;
			}
		}
		at = ledger_end(e);
	}
	return bytes;
}

/* --- what must be so --- */

static void check_words(void)
{
	for (uint64_t i = 0; i < m.granules; i++) {
		bool shown = (guest_look(&m.g, i) & MAPPED) != 0;

		if (!m.alive)
			assert_int_equal(shown, m.shown[i]);
		else if (shown)
			assert_true(is_mapped(i));
	}
}

static void check_transfers(void)
{
	for (int t = 0; t < TRANSFERS; t++) {
		const struct transfer *x = &m.transfers[t];

		for (unsigned int i = 0; x->safe && i < x->n; i++) {
			for (uint32_t k = 0; k < x->count[i]; k++)
				assert_true(is_mapped(x->first[i] + k));
		}
	}
}

static void remember_words(void)
{
	for (uint64_t i = 0; i < m.granules; i++)
		m.shown[i] = (guest_look(&m.g, i) & MAPPED) != 0;
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

/* Is each granule of piece @i memory, and not more than could be mapped? */
static uint8_t expect_piece(const struct transfer *t, unsigned int i)
{
	struct vm_stats stats = guest_stats(&m.g);
	uint64_t bytes = 0;

	for (uint32_t k = 0; k < t->count[i]; k++) {
		if (bytes_of(t->first[i] + k) == 0)
			return RANGE;
		bytes += bytes_of(t->first[i] + k);
	}
	return bytes > stats.quota && bytes > stats.mapped_bytes ? QUOTA : OK;
}

/* Does what is missing fit beside all that must stay? */
static uint8_t expect_room(const struct transfer *t)
{
	bool *seen = calloc(m.granules, sizeof(*seen));
	uint64_t missing = 0, quota = guest_stats(&m.g).quota;
	bool partial = false;

	assert_non_null(seen);
	for (unsigned int i = 0; i < t->n; i++) {
		for (uint32_t k = 0; k < t->count[i]; k++) {
			uint64_t granule = t->first[i] + k;
			const struct ledger_extent *e = extent_of(granule);

			if (!seen[granule] && !e)
				missing += bytes_of(granule);
			partial |= e && (e->flags & LEDGER_PARTIAL);
			seen[granule] = true;
		}
	}
	free(seen);
	if (partial || (missing > 0 && missing + busy_bytes() > quota))
		return QUOTA;
	return OK;
}

/* The answer that the specification gives a MAP of @t. */
static uint8_t expect_map(const struct transfer *t, uint32_t endpoint)
{
	if (!m.running || !m.inited)
		return STATE;
	if (endpoint > 1)
		return NOENT;
	if (!m.attached[endpoint])
		return STATE;
	for (unsigned int i = 0; i < t->n; i++) {
		uint8_t status = expect_piece(t, i);

		if (status != OK)
			return status;
	}
	return expect_room(t);
}

static void do_map(void)
{
	struct virtio_pvdma_range ranges[PIECES];
	struct transfer *t = &m.transfers[pick(TRANSFERS)];
	uint32_t endpoint = pick(20) ? pick(2) : pick(3);
	uint8_t expected, status;

	if (t->n > 0)
		return;
	t->n = 1 + pick(PIECES);
	for (unsigned int i = 0; i < t->n; i++) {
		t->first[i] = pick((uint32_t)m.granules);
		t->count[i] = 1 + pick(pick(4) ? 4 : 48);
		if (t->first[i] + t->count[i] > m.granules)
			t->count[i] = (uint32_t)(m.granules - t->first[i]);
		ranges[i] = guest_range(t->first[i], t->count[i]);
	}
	hold(t, true);
	expected = expect_map(t, endpoint);
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
			assert_true(guest_look(&m.g, t->first[i] + k) & MAPPED);
	}
}

static void do_unmap(void)
{
	uint64_t first = pick((uint32_t)m.granules);
	uint32_t count = 1 + pick(64);
	bool ok = m.running && m.inited && m.attached[0];
	uint8_t status;

	if (pick(3) == 0) {
		status = answered(guest_release(&m.g, first, count));
		assert_int_equal(status, ok ? OK : STATE);
		return;
	}
	status = answered(guest_unmap(&m.g, first, count));
	assert_int_equal(status, ok ? OK : STATE);
	for (uint64_t i = first; ok && i < first + count && i < m.granules;
	     i++) {
		const struct ledger_extent *e = extent_of(i);
		bool shared = false;

		for (uint64_t k = 0; e && k < e->count; k++)
			shared |= is_held(ledger_first(e) + k);
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
	m.inited = true;
	m.alive = true;
	for (uint64_t i = 0; i < guest_leaf_count(&m.g); i++)
		assert_int_equal(guest_leaf(&m.g, i), OK);
}

static void do_attach(void)
{
	uint32_t endpoint = pick(2);
	bool was = m.attached[endpoint];

	if (!m.running || !m.inited)
		return;
	if (pick(8)) {
		assert_int_equal(answered(guest_attach(&m.g, endpoint)), OK);
		m.attached[endpoint] = true;
		return;
	}
	/* A driver ends its transfers before it goes. */
	for (int i = 0; was && !m.attached[1 - endpoint] && i < TRANSFERS; i++)
		end_transfer(&m.transfers[i]);
	m.attached[endpoint] = false;
	assert_int_equal(answered(guest_detach(&m.g, endpoint)),
			 was ? OK : STATE);
}

/* --- what others do --- */

static void do_pause(void)
{
	if (m.running)
		vm_queues_stop(m.g.vm);
	else
		vm_queues_start(m.g.vm);
	m.running = !m.running;
	m.alive = false;
	remember_words();
}

static void do_memory(void)
{
	uint32_t s = pick(SLOTS);
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
	for (int i = 0; i < TRANSFERS; i++)
		m.transfers[i].safe = false;
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
	for (int i = 0; guest_stats(&m.g).revocations > before && i < TRANSFERS;
	     i++)
		m.transfers[i].safe = false;
}

static void do_fault(void)
{
	static const int errors[] = { -ENOSPC, -ENOMEM };

	null_iommu_fail_map(m.g.iommu, pick(4), errors[pick(2)], 1 + pick(3));
}

static void do_step(void)
{
	uint32_t what = pick(1000);

	if (what < 450)
		do_map();
	else if (what < 870)
		end_transfer(&m.transfers[pick(TRANSFERS)]);
	else if (what < 930)
		do_unmap();
	else if (what < 960)
		do_attach();
	else if (what < 965)
		do_memory();
	else if (what < 975)
		do_quota();
	else if (what < 980)
		do_fault();
	else if (what < 985)
		do_deadline();
	else if (what < 990)
		(void)vm_work(m.g.vm);
	else if (what < 992 || (!m.running && pick(2)))
		do_pause();
	else if (what < 994)
		do_init();
}

struct game {
	uint64_t seed;
	uint8_t shift;
	enum vm_fallback fallback;
	bool revokes;
	bool ahead;
};

static void start(const struct game *game)
{
	memset(&m, 0, sizeof(m));
	m.revokes = game->revokes;
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
	m.granules = guest_granules(&m.g);
	m.shown = calloc(m.granules, sizeof(*m.shown));
	assert_non_null(m.shown);
	/* The leaves, and a page for the nonce; borders cut large granules. */
	m.fixed = guest_leaves(&m.g) - PAGE;
	m.slot_bytes = m.fixed / PAGE / SLOTS * PAGE;
	m.fixed = m.slot_bytes * SLOTS;
	assert_int_equal(
		guest_plug(&m.g, &m, m.fixed, m.g.size - m.fixed, GUEST_RW), 0);
	for (uint32_t s = 0; s < SLOTS; s++) {
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

/* PVDMA_MODEL_SEED=N plays another game than the one that is always played. */
static uint64_t other_seed(uint64_t usual)
{
	const char *text = getenv("PVDMA_MODEL_SEED");

	return text ? usual + 3 * strtoull(text, NULL, 0) : usual;
}

static void play(const struct game *game)
{
	seed = other_seed(game->seed);
	start(game);
	log_set_max_level(LOG_CRIT); /* faults are injected by the thousand */
	for (int i = 0; i < STEPS; i++) {
		do_step();
		if (game->ahead && i % AHEAD_STEPS == 0) {
			(void)vm_look(m.g.vm);
			guest_work(&m.g);
		}
		guest_check(&m.g, false);
		if (i % SWEEP == 0) {
			check_words();
			check_transfers();
		}
	}
	log_set_max_level(LOG_INFO);
	print_message(
		"answers: %llu OK, %llu RANGE, %llu NOENT, %llu STATE, %llu QUOTA, %llu LIMIT; %llu evictions\n",
		(unsigned long long)m.answers[OK],
		(unsigned long long)m.answers[RANGE],
		(unsigned long long)m.answers[NOENT],
		(unsigned long long)m.answers[STATE],
		(unsigned long long)m.answers[QUOTA],
		(unsigned long long)m.answers[LIMIT],
		(unsigned long long)guest_stats(&m.g).evictions);
	/* A run in which something never happened proves little. */
	assert_true(m.answers[OK] > 1000 && m.answers[RANGE] > 100);
	assert_true(m.answers[NOENT] > 10 && m.answers[STATE] > 100);
	assert_true(m.answers[QUOTA] > 100 && m.answers[LIMIT] > 10);
	assert_int_equal(guest_stats(&m.g).revocations > 10, game->revokes);
	assert_int_equal(guest_stats(&m.g).ahead_granules > 100, game->ahead);
	guest_stop(&m.g);
	free(m.shown);
}

static void test_small_granules(void **state)
{
	(void)state;
	play(&(struct game){ .seed = 1, .shift = 12 });
}

static void test_cut_granules(void **state)
{
	(void)state;
	play(&(struct game){ .seed = 2, .shift = 15, .revokes = true });
}

static void test_fallback_direct(void **state)
{
	(void)state;
	play(&(struct game){
		.seed = 3,
		.shift = 13,
		.fallback = VM_FALLBACK_DIRECT,
		.revokes = true,
	});
}

static void test_ahead(void **state)
{
	(void)state;
	play(&(struct game){ .seed = 4, .shift = 12, .ahead = true });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small_granules),
		cmocka_unit_test(test_cut_granules),
		cmocka_unit_test(test_fallback_direct),
		cmocka_unit_test(test_ahead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
