// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of guest/pvdma/slots.c: who has which part of an area. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "slots.h"

int pvdma_env_check(u64 addr)
{
	(void)addr;
	return 0;
}

#define BASE  0x40000ull
#define SLOTS 200u /* more than three words of bits, not a multiple of 64 */
#define SLOT  PVDMA_SLOT_BYTES
#define PAGE  (PAGE_SIZE - 1)

static struct pvdma_slots slots;

static int setup(void **state)
{
	(void)state;
	env_allocations = -1;
	return pvdma_slots_init(&slots, BASE, SLOTS * SLOT, GFP_KERNEL);
}

static int teardown(void **state)
{
	(void)state;
	env_allocations = -1;
	pvdma_slots_done(&slots);
	return 0;
}

static u64 take(u64 phys, u64 size, u64 keep)
{
	u64 addr = 0;

	assert_true(pvdma_slots_take(&slots, phys, size, keep, U64_MAX,
				     PVDMA_SLOT_NEEDED, &addr));
	assert_int_equal(addr & keep, phys & keep);
	assert_true(pvdma_slots_has(&slots, addr));
	assert_true(pvdma_slots_has(&slots, addr + (size ? size - 1 : 0)));
	assert_int_equal(pvdma_slots_orig(&slots, addr), phys);
	return addr;
}

static bool is_full(u64 phys, u64 size, u64 keep)
{
	u64 addr = 0;

	if (pvdma_slots_take(&slots, phys, size, keep, U64_MAX,
			     PVDMA_SLOT_NEEDED, &addr))
		return false;
	assert_int_equal(addr, 0);
	return true;
}

static void test_life(void **state)
{
	struct pvdma_slots none = {};

	(void)state;
	assert_int_equal(slots.n, SLOTS);
	assert_false(pvdma_slots_has(&slots, BASE - 1));
	assert_true(pvdma_slots_has(&slots, BASE));
	assert_false(pvdma_slots_has(&slots, BASE + SLOTS * SLOT));
	pvdma_slots_done(&none);
	env_allocations = 0;
	assert_int_equal(pvdma_slots_init(&none, BASE, SLOT, GFP_KERNEL),
			 -ENOMEM);
	pvdma_slots_done(&none);
}

static void test_sizes(void **state)
{
	u64 a, b, c, d;

	(void)state;
	a = take(0x1234567, 1, 0);
	b = take(0x2000000, SLOT + 1, 0);
	c = take(0x3000abc, 0, 0);
	/* an offset that is kept makes it cross a border */
	d = take(0x4000000 + SLOT - 1, 2, PAGE);
	assert_int_equal(slots.used, 1 + 2 + 1 + 2);
	assert_int_equal(pvdma_slots_orig(&slots, b + SLOT), 0x2000000 + SLOT);
	assert_int_equal(pvdma_slots_orig(&slots, d + 1), 0x4000000 + SLOT);
	assert_true(pvdma_slots_give(&slots, b));
	assert_false(pvdma_slots_give(&slots, b));
	assert_false(pvdma_slots_give(&slots, b + SLOT));
	assert_true(pvdma_slots_give(&slots, d));
	assert_true(pvdma_slots_give(&slots, a));
	assert_true(pvdma_slots_give(&slots, c));
	assert_false(pvdma_slots_give(&slots, BASE - SLOT));
	assert_false(pvdma_slots_give(&slots, BASE + SLOTS * SLOT));
	assert_int_equal(slots.used, 0);
}

static void test_full(void **state)
{
	u64 first;
	u32 i;

	(void)state;
	assert_true(is_full(0, (SLOTS + 1) * SLOT, 0));
	assert_true(is_full(1, SLOTS * SLOT, PAGE));
	assert_true(is_full(0, ~0ull, 0));
	first = take(0, SLOTS * SLOT, 0);
	assert_int_equal(first, BASE);
	assert_true(is_full(0, 1, 0));
	assert_true(pvdma_slots_give(&slots, first));
	for (i = 0; i < SLOTS; i++)
		(void)take(0x1000000 + i * 0x1000, SLOT, 0);
	assert_true(is_full(0, 1, 0));
	/* one gap, wherever the next look begins */
	assert_true(pvdma_slots_give(&slots, BASE + 77 * SLOT));
	assert_true(is_full(0, SLOT + 1, 0));
	assert_int_equal(take(0x5000, 1, 0), BASE + 77 * SLOT);
	/* two, of which no page begins at the first */
	assert_true(pvdma_slots_give(&slots, BASE + 77 * SLOT));
	assert_true(pvdma_slots_give(&slots, BASE + 78 * SLOT));
	assert_true(is_full(0x6000, 2 * SLOT, PAGE));
	assert_int_equal(take(0x6000, 2 * SLOT, 0), BASE + 77 * SLOT);
}

/* How many slots @use can have, one by one; they are given back. */
static u32 room_for(enum pvdma_slot_use use)
{
	u64 addr[SLOTS];
	u32 n = 0, i;

	while (n < SLOTS && pvdma_slots_take(&slots, 0x1000, SLOT, 0, U64_MAX,
					     use, &addr[n]))
		n++;
	for (i = 0; i < n; i++)
		assert_true(pvdma_slots_give(&slots, addr[i]));
	return n;
}

/* Who posts buffers leaves room for who sends, and the other way round. */
static void test_uses(void **state)
{
	u64 addr;

	(void)state;
	assert_int_equal(room_for(PVDMA_SLOT_RECEIVE), SLOTS / 2);
	assert_int_equal(room_for(PVDMA_SLOT_SEND), SLOTS * 4 / 5);
	assert_int_equal(room_for(PVDMA_SLOT_NEEDED), SLOTS);
	assert_int_equal(slots.used, 0);
	while (pvdma_slots_take(&slots, 0x1000, SLOT, 0, U64_MAX,
				PVDMA_SLOT_RECEIVE, &addr))
		;
	assert_int_equal(slots.used, SLOTS / 2);
	assert_int_equal(room_for(PVDMA_SLOT_SEND), SLOTS / 2 * 4 / 5);
	while (pvdma_slots_take(&slots, 0x1000, SLOT, 0, U64_MAX,
				PVDMA_SLOT_SEND, &addr))
		;
	/* what ends makes room, for whoever has less */
	assert_false(pvdma_slots_take(&slots, 0x1000, SLOT, 0, U64_MAX,
				      PVDMA_SLOT_RECEIVE, &addr));
	assert_true(pvdma_slots_give(&slots, addr));
	assert_int_equal(room_for(PVDMA_SLOT_SEND), 1);
	/* it is by slots, not by copies */
	assert_false(pvdma_slots_take(&slots, 0x1000, 19 * SLOT, 0, U64_MAX,
				      PVDMA_SLOT_SEND, &addr));
}

static bool crosses(u64 first, u64 size, u64 boundary)
{
	return (first ^ (first + size - 1)) & ~boundary;
}

/* Whatever lies within a boundary has room in an empty area. */
static void test_boundary(void **state)
{
	static const u64 keeps[] = { 0, 255, PAGE, 4 * PAGE + 3 };
	u64 boundary, phys, size, addr = 0;
	u32 i;

	(void)state;
	for (boundary = 0xff; boundary < SLOTS * SLOT / 4;
	     boundary = 2 * boundary + 1) {
		for (i = 0; i < 4 * ARRAY_SIZE(keeps); i++) {
			phys = 0x7000000 + 997 * i % (boundary + 1);
			size = boundary + 1 - (phys & boundary);
			slots.next = i * 7;
			assert_true(pvdma_slots_take(&slots, phys, size,
						     keeps[i / 4], boundary,
						     PVDMA_SLOT_NEEDED, &addr));
			assert_false(crosses(addr, size, boundary));
			assert_int_equal((addr ^ phys) & keeps[i / 4], 0);
			assert_true(pvdma_slots_give(&slots, addr));
		}
		/* one that crosses it anyway goes anywhere */
		assert_true(pvdma_slots_take(&slots, boundary, boundary + 3, 0,
					     boundary, PVDMA_SLOT_NEEDED,
					     &addr));
		assert_true(pvdma_slots_give(&slots, addr));
	}
}

/* Against an array that says who has each slot. */
static void test_random(void **state)
{
	static const u64 boundaries[] = { U64_MAX, 0xffff, PAGE, 0x1ff };
	u64 boundary, phys, who[SLOTS] = {}, addr[64] = {}, keep[64] = {},
			    seed = 1;
	u32 taken = 0, refused = 0, n, i, k, s, at;

	(void)state;
	for (i = 0; i < 200000; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		k = seed >> 40 & 63;
		if (addr[k]) {
			assert_true(pvdma_slots_give(&slots, addr[k]));
			for (s = 0; s < SLOTS; s++)
				who[s] = who[s] == k + 1 ? 0 : who[s];
			addr[k] = 0;
			continue;
		}
		keep[k] = seed >> 50 & 1 ? PAGE : 0;
		n = 1 + (seed >> 44) % (10 * SLOT);
		phys = seed >> 20;
		boundary = boundaries[seed >> 33 & 3];
		if (!pvdma_slots_take(&slots, phys, n, keep[k], boundary,
				      PVDMA_SLOT_NEEDED, &addr[k])) {
			refused++;
			continue;
		}
		assert_true(crosses(phys, n, boundary) ||
			    !crosses(addr[k], n, boundary));
		taken++;
		at = (addr[k] - BASE) / SLOT;
		for (s = at; s <= (addr[k] + n - 1 - BASE) / SLOT; s++) {
			assert_int_equal(who[s], 0);
			who[s] = k + 1;
		}
	}
	assert_true(taken > 10000 && refused > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_life, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_uses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_boundary, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random, setup, teardown),
	};

	return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
