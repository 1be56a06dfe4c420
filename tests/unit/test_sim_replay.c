// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/sim/grid.c, replay.c and the replacers: the optimum against
 * trying everything, CLOCK against a naive twin, on small random traces.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "host/lib/macros.h"
#include "host/sim/grid.h"
#include "host/sim/replay.h"

#define PAGES 7 /* that small traces touch */

static uint64_t seed;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % n;
}

static struct trace *new_trace(void)
{
	struct trace_info info = { .cpus = 1, .n_devices = 1 };
	struct trace *trace = NULL;

	assert_int_equal(trace_new(&info, &trace), 0);
	return trace;
}

static uint32_t add(struct trace *trace, uint64_t page, uint64_t pages)
{
	struct trace_segment s = { page << 12, pages << 12 };
	struct trace_map map = { .segments = &s, .n_segments = 1 };
	uint32_t id;

	assert_int_equal(trace_add_map(trace, &map, &id), 0);
	return id;
}

static void end(struct trace *trace, uint32_t map)
{
	assert_int_equal(trace_add_unmap(trace, 0, 0, map), 0);
}

static struct trace *random_trace(size_t events)
{
	struct trace *trace = new_trace();

	while (trace->n_events < events) {
		uint32_t m = trace->n_maps ? rnd(trace->n_maps) : 0;
		uint32_t page = rnd(PAGES);

		if (rnd(5) < 3 && trace_is_live(trace, m))
			end(trace, m);
		else
			add(trace, page, 1 + rnd(4) / 3 * rnd(PAGES - page));
	}
	return trace;
}

static struct grid *new_grid(const struct trace *trace, unsigned int shift)
{
	struct grid *grid = NULL;

	assert_int_equal(grid_new(trace, shift, &grid), 0);
	return grid;
}

static void test_grid(void **state)
{
	struct trace *trace = new_trace();
	struct trace_segment s[] = {
		{ 0x5000, 0x1001 },
		{ 0x2fff, 2 },
		{ 0x5fff, 0 },
	};
	struct trace_map map = { .segments = s, .n_segments = 3 };
	struct grid *grid;
	uint64_t held;

	(void)state;
	assert_int_equal(trace_add_map(trace, &map, NULL), 0);
	add(trace, 3, 1);
	grid = new_grid(trace, 12);
	/* pages 2, 3, 5 and 6, each once in a map */
	assert_int_equal(grid->n_granules, 4);
	assert_int_equal(grid->first[1], 4);
	assert_int_equal(grid->first[2], 5);
	assert_int_equal(grid->granules[3], 6);
	assert_int_equal(grid->items[4], 1);
	assert_int_equal(grid->next[1], 1);
	assert_int_equal(grid->next[0], GRID_NEVER);
	assert_int_equal(grid_bytes(grid), 4 * 4096);
	assert_int_equal(grid_held_peak(grid, trace, &held), 0);
	assert_int_equal(held, 4 * 4096);
	grid_free(grid);
	grid = new_grid(trace, 21);
	assert_int_equal(grid->n_granules, 1);
	grid_free(grid);
	trace_free(trace);
	grid_free(NULL);
}

static void test_grid_too_large(void **state)
{
	struct trace *trace = new_trace();
	struct grid *grid = NULL;

	(void)state;
	add(trace, 0, TRACE_ADDR_LAST >> 12);
	assert_int_equal(grid_new(trace, 12, &grid), -E2BIG);
	assert_null(grid);
	trace_free(trace);
}

/* --- the optimum, by trying everything --- */

struct brute {
	const struct trace *trace;
	const struct grid *grid;
	unsigned int capacity;
	unsigned int held[64]; /* by event: the set in use after it */
	/* by event and set of resident granules: loads from there on, + 1 */
	uint16_t *memo;
};

static unsigned int set_of(const struct grid *grid, uint32_t map)
{
	unsigned int set = 0;

	for (uint32_t i = grid->first[map]; i < grid->first[map + 1]; i++)
		set |= 1u << grid->items[i];
	return set;
}

/* What is in use after each event; maps that overlap are counted. */
static void set_held(struct brute *b)
{
	unsigned int counts[PAGES] = { 0 };

	for (size_t i = 0; i < b->trace->n_events; i++) {
		const struct trace_event *e = &b->trace->events[i];
		unsigned int set = set_of(b->grid, e->map);

		b->held[i] = 0;
		for (unsigned int g = 0; g < PAGES; g++) {
			if (set & 1u << g)
				counts[g] += e->n_segments ? 1u : -1u;
			if (counts[g])
				b->held[i] |= 1u << g;
		}
	}
}

#define BRUTE_NEVER 10000u

static unsigned int brute(struct brute *b, size_t event, unsigned int resident)
{
	const struct trace_event *e = &b->trace->events[event];
	unsigned int best = BRUTE_NEVER, held, wanted, idle, after;
	uint16_t *memo;

	if (event == b->trace->n_events)
		return 0;
	if (!e->n_segments)
		return brute(b, event + 1, resident);
	memo = &b->memo[event << PAGES | resident];
	if (*memo)
		return *memo - 1u;
	held = b->held[event];
	wanted = set_of(b->grid, e->map);
	idle = resident & ~held;
	/* each set of idle ones that may stay */
	for (unsigned int keep = idle;; keep = (keep - 1) & idle) {
		after = (resident & held) | keep | wanted;
		if ((unsigned int)__builtin_popcount(after) <= b->capacity)
			best = min(best, (unsigned int)__builtin_popcount(
						 wanted & ~resident) +
						 brute(b, event + 1, after));
		if (!keep)
			break;
	}
	*memo = (uint16_t)(best + 1);
	return best;
}

static void test_opt_is_optimal(void **state)
{
	unsigned int tried = 0;

	(void)state;
	for (seed = 1; tried < 100;) {
		struct trace *trace = random_trace(16);
		struct grid *grid = new_grid(trace, 12);
		unsigned int capacity = 2 + rnd(4);
		struct brute b = { trace, grid, capacity, { 0 }, NULL };
		struct replay_result opt, clock, policy;

		b.memo = calloc(trace->n_events << PAGES, sizeof(*b.memo));
		assert_non_null(b.memo);
		set_held(&b);
		assert_int_equal(replay_run(trace, grid, capacity * 4096,
					    &replacer_opt, &cost_default, &opt),
				 0);
		assert_int_equal(replay_run(trace, grid, capacity * 4096,
					    &replacer_clock, &cost_default,
					    &clock),
				 0);
		assert_int_equal(replay_run(trace, grid, capacity * 4096,
					    &replacer_policy, &cost_default,
					    &policy),
				 0);
		/* what was refused makes it another problem */
		if (!opt.refused) {
			assert_int_equal(opt.loads, brute(&b, 0, 0));
			assert_true(opt.loads <= clock.loads);
			assert_true(opt.loads <= policy.loads);
			tried++;
		} else {
			assert_int_equal(brute(&b, 0, 0) >= BRUTE_NEVER, 1);
		}
		free(b.memo);
		grid_free(grid);
		trace_free(trace);
	}
}

/* --- CLOCK, as one would write it down first --- */

struct naive {
	uint32_t order[PAGES]; /* from the hand on */
	unsigned int n, capacity;
	bool referenced[PAGES];
	unsigned int counts[PAGES];
	uint64_t loads, waits;
};

static bool naive_has(const struct naive *c, uint32_t page)
{
	for (unsigned int i = 0; i < c->n; i++)
		if (c->order[i] == page)
			return true;
	return false;
}

static void rotate(struct naive *c)
{
	uint32_t first = c->order[0];

	memmove(c->order, c->order + 1, (c->n - 1) * sizeof(first));
	c->order[c->n - 1] = first;
}

static bool naive_evict(struct naive *c)
{
	for (unsigned int looked = 0; looked < 2 * PAGES + 1; looked++) {
		uint32_t page = c->order[0];

		if (!c->counts[page] && !c->referenced[page]) {
			memmove(c->order, c->order + 1, --c->n * sizeof(page));
			return true;
		}
		if (!c->counts[page])
			c->referenced[page] = false;
		rotate(c);
	}
	return false;
}

/* False: all is in use. */
static bool naive_map(struct naive *c, const uint32_t *pages, uint32_t n)
{
	unsigned int missing = 0;

	for (uint32_t i = 0; i < n; i++) {
		c->counts[pages[i]]++;
		c->referenced[pages[i]] = true;
		missing += !naive_has(c, pages[i]);
	}
	c->waits += missing != 0;
	while (c->n + missing > c->capacity)
		if (!c->n || !naive_evict(c))
			return false;
	for (uint32_t i = 0; i < n; i++)
		if (!naive_has(c, pages[i])) {
			c->order[c->n++] = pages[i];
			c->loads++;
		}
	return true;
}

static void test_clock_twin(void **state)
{
	unsigned int tried = 0;

	(void)state;
	for (seed = 99; tried < 200;) {
		struct trace *trace = random_trace(60);
		struct grid *grid = new_grid(trace, 12);
		struct naive c = { .capacity = 2 + rnd(5) };
		struct replay_result r;
		bool refused = false;

		assert_int_equal(replay_run(trace, grid, c.capacity * 4096,
					    &replacer_clock, &cost_default, &r),
				 0);
		for (size_t i = 0; i < trace->n_events && !refused; i++) {
			const struct trace_event *e = &trace->events[i];
			const uint32_t *pages =
				grid->items + grid->first[e->map];
			uint32_t n =
				grid->first[e->map + 1] - grid->first[e->map];

			if (e->n_segments)
				refused = !naive_map(&c, pages, n);
			for (uint32_t k = 0; k < n && !e->n_segments; k++)
				c.counts[pages[k]]--;
		}
		assert_int_equal(refused, r.refused != 0);
		if (!refused) {
			assert_int_equal(r.loads, c.loads);
			assert_int_equal(r.waits, c.waits);
			tried++;
		}
		grid_free(grid);
		trace_free(trace);
	}
}

/* --- the books --- */

static void run(const struct trace *trace, uint64_t quota,
		struct replay_result *ret)
{
	struct grid *grid = new_grid(trace, 12);

	assert_int_equal(replay_run(trace, grid, quota, &replacer_clock,
				    &cost_default, ret),
			 0);
	grid_free(grid);
}

static void test_refused(void **state)
{
	struct trace *trace = new_trace();
	struct replay_result r;
	uint32_t a, b;

	(void)state;
	a = add(trace, 0, 2);
	b = add(trace, 2, 1); /* waits until a ends */
	add(trace, 3, 3);     /* never fits */
	end(trace, a);
	end(trace, b);
	add(trace, 4, 2);
	b = add(trace, 2, 1); /* ends before there is room */
	end(trace, b);
	add(trace, 2, 1); /* waits at the end */
	run(trace, 2 * 4096, &r);
	assert_int_equal(r.map_calls, 6);
	assert_int_equal(r.waits, 6);
	assert_int_equal(r.refused, 4);
	assert_int_equal(r.unserved, 3);
	assert_int_equal(r.requests, 3 + 4);
	assert_int_equal(r.loads, 5);
	assert_int_equal(r.pinned_peak, 2 * 4096);
	assert_int_equal(r.evictions, 3);
	assert_true(r.cost_us >= 3 * cost_default.failure_us +
					 4 * cost_default.retry_us +
					 7 * cost_default.round_trip_us);
	run(trace, 4095, &r);
	assert_int_equal(r.unserved, 6);
	assert_int_equal(r.pinned_peak, 0);
	run(trace, 1u << 20, &r);
	assert_int_equal(r.refused, 0);
	assert_int_equal(r.loads, 6);
	trace_free(trace);
}

/* No quota is ever exceeded, and nothing that is in use goes. */
static void test_invariants(void **state)
{
	static const struct replacer_ops *const all[] = {
		&replacer_clock,
		&replacer_opt,
		&replacer_policy,
	};

	(void)state;
	seed = 7;
	for (int n = 0; n < 100; n++) {
		struct trace *trace = random_trace(200);
		struct grid *grid = new_grid(trace, 12);
		uint64_t quota = (1 + rnd(PAGES)) * 4096;

		for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
			struct replay_result r;

			assert_int_equal(replay_run(trace, grid, quota, all[i],
						    &cost_default, &r),
					 0);
			assert_true(r.pinned_peak <= quota);
			assert_true(r.waits <= r.map_calls);
			assert_true(r.unserved <= r.waits);
			assert_true(r.loads - r.evictions <= quota / 4096);
		}
		grid_free(grid);
		trace_free(trace);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grid),
		cmocka_unit_test(test_grid_too_large),
		cmocka_unit_test(test_opt_is_optimal),
		cmocka_unit_test(test_clock_twin),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_invariants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
