// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * For how long a queue is looked at: it pays where requests come in short
 * intervals, and costs nothing to speak of where they do not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vhost/poll.h"

#define US UINT64_C(1000)

/* What a run of requests, @gap ns apart, costs. */
struct cost {
	unsigned int kicks;
	uint64_t looked; /* ns */
};

static struct cost run(struct poll_window *w, unsigned int n, uint64_t gap)
{
	struct cost cost = { 0 };
	uint64_t now = w->served + gap;

	for (unsigned int i = 0; i < n; i++, now += gap) {
		bool awake = false;

		if (w->served != 0) {
			uint64_t at = w->served;

			while ((awake = poll_goes_on(w, at)) && at < now)
				at += US;
			cost.looked += at - w->served;
		}
		if (!awake) {
			cost.kicks++;
			poll_kicked(w, now);
		}
		poll_served(w, now);
	}
	return cost;
}

static void test_short_gaps_need_no_kicks(void **state)
{
	struct poll_window w;

	(void)state;
	poll_init(&w, 200 * US);
	(void)run(&w, 10, 50 * US);
	assert_int_equal(run(&w, 1000, 50 * US).kicks, 0);
	/* it learns what is longer, too, up to the longest window */
	(void)run(&w, 10, 150 * US);
	assert_int_equal(run(&w, 1000, 150 * US).kicks, 0);
}

static void test_long_gaps_cost_nothing(void **state)
{
	struct poll_window w;
	struct cost cost;

	(void)state;
	poll_init(&w, 200 * US);
	(void)run(&w, 100, 50 * US);
	(void)run(&w, 10, 5000 * US);
	cost = run(&w, 1000, 5000 * US);
	assert_int_equal(cost.kicks, 1000);
	assert_int_equal(cost.looked, 0);
}

static void test_an_end_costs_one_window(void **state)
{
	struct poll_window w;
	struct cost cost;

	(void)state;
	poll_init(&w, 200 * US);
	(void)run(&w, 100, 150 * US);
	cost = run(&w, 20, UINT64_C(1000000) * US);
	assert_int_equal(cost.kicks, 20);
	assert_true(cost.looked <= 200 * US);
}

static void test_off(void **state)
{
	struct poll_window w;
	struct cost cost;

	(void)state;
	poll_init(&w, 0);
	cost = run(&w, 100, US);
	assert_int_equal(cost.kicks, 100);
	assert_int_equal(cost.looked, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_short_gaps_need_no_kicks),
		cmocka_unit_test(test_long_gaps_cost_nothing),
		cmocka_unit_test(test_an_end_costs_one_window),
		cmocka_unit_test(test_off),
	};

	return cmocka_run_group_tests_name("poll", tests, NULL, NULL);
}
