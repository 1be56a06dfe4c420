// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/agent/enforce.c: a quota that is lowered below what the
 * guest holds, with guests that give up, that do not, and that lie. Time is
 * what the tests tell vm_tick(); the deadline is so long that none passes by
 * itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "host/lib/macros.h"
#include "tests/unit/support/assert_mapped.h"
#include "tests/unit/support/enforce.h"

#define OK     VIRTIO_PVDMA_R_OK
#define QUOTA  VIRTIO_PVDMA_R_QUOTA
#define MAPPED VIRTIO_PVDMA_W_MAPPED
#define COUNT  VIRTIO_PVDMA_W_COUNT
#define BLOCK  VIRTIO_PVDMA_BLOCK_GRANULES

static void assert_blocks_mapped(uint64_t first, uint64_t count, bool yes)
{
	assert_mapped(&g, first, count, yes);
	for (uint64_t i = first; i < first + count; i++)
		assert_int_equal(
			(guest_look_block(&g, i / BLOCK) & MAPPED) != 0, yes);
}

/* --- asking --- */

/*
 * DEV-QUOTA-1: When the quota is lowered below what is mapped, the device MUST
 * evict at once what is idle, and MUST put the bytes that stay mapped above the
 * quota into `excess`, and the time that it gives the driver into
 * `deadline_ms`, before it increments `quota_news`.
 */
static void test_asks(void **state)
{
	struct virtio_pvdma_config before = space(), after;
	unsigned int news = g.config_news;

	(void)state;
	fill(3);
	assert_int_equal(before.excess, 0);
	assert_int_equal(before.deadline_ms, 0);
	assert_int_equal(vm_set_quota(g.vm, MB(1)), 0);
	after = space();
	assert_int_equal(mapped(), KB(1536));
	assert_int_equal(le64toh(after.quota), MB(1));
	assert_int_equal(le64toh(after.excess), KB(512));
	assert_int_equal(le32toh(after.deadline_ms), DEADLINE / 1000);
	assert_int_equal(le32toh(after.quota_news),
			 le32toh(before.quota_news) + 1);
	assert_int_equal(g.config_news, news + 1);
	assert_int_equal(guest_stats(&g).over_quota_bytes, KB(512));
	assert_true(g.timer <= deadline());
}

/*
 * DEV-QUOTA-2: When the bytes mapped no longer exceed the quota, the device
 * MUST set `excess` to 0, and increment `quota_news` after that.
 */
static void test_given_up(void **state)
{
	unsigned int news;
	uint32_t count;

	(void)state;
	fill(3);
	assert_int_equal(vm_set_quota(g.vm, MB(1)), 0);
	count = le32toh(space().quota_news);
	news = g.config_news;
	guest_tick(&g, deadline() - 2);
	assert_int_equal(mapped(), KB(1536));
	assert_int_equal(g.config_news, news);
	guest_drop(&g, 128);
	guest_tick(&g, deadline() - 1);
	assert_int_equal(mapped(), MB(1));
	assert_blocks_mapped(128, 128, false);
	assert_blocks_mapped(0, 128, true);
	assert_int_equal(space().excess, 0);
	assert_int_equal(space().deadline_ms, 0);
	assert_int_equal(le32toh(space().quota_news), count + 1);
	assert_int_equal(g.config_news, news + 1);
	assert_int_equal(g.timer, VM_NEVER);
	assert_int_equal(guest_stats(&g).revocations, 0);
}

/* Nothing to ask for: nothing is said, and no timer runs. */
static void test_enough(void **state)
{
	(void)state;
	fill(2);
	assert_int_equal(vm_set_quota(g.vm, MB(1)), 0);
	assert_int_equal(mapped(), MB(1));
	assert_int_equal(space().excess, 0);
	assert_int_equal(g.timer, VM_NEVER);
	vm_tick(g.vm, 1); /* harmless */
	assert_int_equal(mapped(), MB(1));
}

/*
 * While a direct mapping shrinks, or much is idle, the quota's news come at once,
 * and those of what is held when that is known.
 */
static void test_asks_later(void **state)
{
	unsigned int news = g.config_news;

	(void)state;
	fill(3);
	/* As after a slice of vm_set_quota() that was over too soon. */
	enforce_begin(g.vm, DEADLINE);
	quota_set_limit(&g.vm->root->quota, MB(1));
	enforce_told(g.vm);
	assert_int_equal(space().excess, 0);
	assert_int_equal(mapped(), MB(4));
	guest_work(&g);
	assert_int_equal(le64toh(space().excess), KB(512));
	assert_int_equal(g.config_news, news + 1);
	assert_int_equal(mapped(), KB(1536));
	/* Where all goes, nothing is to be said. */
	guest_drop(&g, 0);
	guest_tick(&g, g.timer);
	news = g.config_news;
	enforce_begin(g.vm, DEADLINE);
	quota_set_limit(&g.vm->root->quota, MB(1));
	enforce_told(g.vm);
	guest_work(&g);
	assert_int_equal(g.config_news, news);
	assert_int_equal(g.timer, VM_NEVER);
}

/* Raised again in time: all is forgotten. Said again: a new deadline. */
static void test_raised(void **state)
{
	(void)state;
	fill(3);
	assert_int_equal(vm_set_quota(g.vm, MB(1)), 0);
	assert_int_equal(vm_set_quota(g.vm, MB(2)), 0);
	assert_int_equal(space().excess, 0);
	assert_int_equal(g.timer, VM_NEVER);
	vm_tick(g.vm, VM_NEVER - 1);
	assert_int_equal(mapped(), KB(1536));
	assert_int_equal(vm_set_quota(g.vm, MB(1)), 0);
	assert_int_equal(vm_set_quota_within(g.vm, MB(1), 7000), 0);
	assert_int_equal(le32toh(space().deadline_ms), 7);
	assert_int_equal(vm_set_quota_within(g.vm, MB(1), UINT64_MAX), 0);
	assert_int_equal(le32toh(space().deadline_ms), UINT32_MAX);
	assert_int_equal(deadline(), VM_NEVER - 1);
}

/* --- enforce=wait --- */

/*
 * DEV-QUOTA-3: While the bytes mapped exceed the quota, the device MUST NOT map
 * anything that is not mapped, and answers QUOTA; what is mapped already is OK.
 */
static void test_wait(void **state)
{
	(void)state;
	fill(3);
	assert_int_equal(vm_set_quota(g.vm, MB(1)), 0);
	guest_tick(&g, deadline());
	assert_int_equal(mapped(), KB(1536));
	assert_int_equal(guest_stats(&g).over_quota_bytes, KB(512));
	assert_int_equal(le64toh(space().excess), KB(512));
	assert_int_equal(guest_map(&g, 4096, 1), QUOTA);
	assert_int_equal(guest_map(&g, 0, 128), OK);
	/* It is looked at again, for as long as it takes. */
	assert_true(g.timer > deadline() && g.timer != VM_NEVER);
	guest_tick(&g, g.timer);
	assert_int_equal(mapped(), KB(1536));
	guest_drop(&g, 0);
	guest_tick(&g, g.timer);
	assert_int_equal(mapped(), MB(1));
	assert_int_equal(g.timer, VM_NEVER);
	assert_int_equal(space().excess, 0);
	assert_int_equal(guest_stats(&g).revocations, 0);
}

/* --- enforce=revoke --- */

/*
 * DEV-QUOTA-4: A device that takes what is held MUST NOT do so before
 * `deadline_ms` have passed since it announced them, and MUST clear `MAPPED` in
 * the words of the granules and of their blocks before it unmaps them.
 */
static void test_revoke(void **state)
{
	(void)state;
	fill(8);
	/* All but the third and the sixth are in use. */
	for (uint64_t i = 0; i < 8; i++)
		if (i != 2 && i != 5)
			guest_touch(&g, i * 128 + 1);
	assert_int_equal(vm_set_quota(g.vm, MB(3)), 0);
	guest_tick(&g, deadline() - 1);
	assert_int_equal(mapped(), MB(4));
	for (uint64_t i = 0; i < 8; i++)
		if (i != 2 && i != 5)
			guest_touch(&g, i * 128 + 1);
	guest_tick(&g, deadline());
	assert_int_equal(mapped(), MB(3));
	assert_blocks_mapped(2 * 128, 128, false);
	assert_blocks_mapped(5 * 128, 128, false);
	assert_blocks_mapped(0, 256, true);
	/* The counts are the guest's. */
	assert_int_equal(guest_look(&g, 2 * 128) & COUNT, 1);
	assert_int_equal(guest_stats(&g).revocations, 2);
	assert_int_equal(guest_stats(&g).revoked_bytes, MB(1));
	assert_int_equal(guest_stats(&g).evictions, 0);
	assert_int_equal(guest_stats(&g).over_quota_bytes, 0);
	assert_int_equal(space().excess, 0);
	assert_int_equal(g.timer, VM_NEVER);
	guest_check(&g, true);
}

/*
 * DEV-QUOTA-5: The device MUST answer a MAP of granules that it took while they
 * were held as any other MAP.
 */
static void test_revoked_again(void **state)
{
	(void)state;
	fill(8);
	assert_int_equal(vm_set_quota_within(g.vm, MB(2), 0), 0);
	guest_tick(&g, deadline());
	assert_int_equal(mapped(), MB(2));
	assert_blocks_mapped(0, 512, false);
	/* All that is mapped is held. */
	assert_int_equal(guest_map(&g, 0, 128), QUOTA);
	assert_blocks_mapped(0, 128, false);
	guest_drop(&g, 7 * 128);
	/* Held still from before, and a second time now. */
	assert_int_equal(guest_hold(&g, 0) & (MAPPED | COUNT), 1);
	assert_int_equal(guest_map(&g, 0, 128), OK);
	assert_int_equal(g.mapped, 128);
	assert_blocks_mapped(0, 128, true);
	assert_blocks_mapped(7 * 128, 128, false);
	guest_drop(&g, 0);
	guest_drop(&g, 0);
	/* Dropped while it is not mapped, and mapped again. */
	guest_drop(&g, 128);
	assert_int_equal(guest_look(&g, 128), 0);
	assert_int_equal(guest_hold(&g, 128), 0);
	assert_int_equal(guest_map(&g, 128, 128), OK);
	assert_blocks_mapped(128, 128, true);
	assert_blocks_mapped(0, 128, false);
	assert_int_equal(guest_stats(&g).revocations, 4);
	guest_check(&g, true);
}

/* What comes idle in time goes first, and is no revocation. */
static void test_idle_first(void **state)
{
	(void)state;
	fill(8);
	assert_int_equal(vm_set_quota(g.vm, MB(3)), 0);
	guest_drop(&g, 6 * 128);
	guest_tick(&g, deadline());
	assert_int_equal(mapped(), MB(3));
	assert_int_equal(guest_stats(&g).revocations, 1);
	assert_int_equal(guest_stats(&g).evictions, 1);
	assert_blocks_mapped(6 * 128, 128, false);
}

/* Larger than a step, held by blocks' words alone; down to nothing. */
static void test_all(void **state)
{
	(void)state;
	assert_int_equal(vm_set_quota(g.vm, MB(64)), 0);
	for (uint64_t i = 0; i < 12288; i += 512)
		assert_int_equal(guest_map(&g, i, 512), OK);
	for (uint64_t i = 0; i < 12288 / BLOCK; i++)
		guest_hold_block(&g, i);
	assert_int_equal(mapped(), MB(48));
	assert_int_equal(vm_set_quota(g.vm, 0), 0);
	assert_int_equal(mapped(), MB(48));
	guest_tick(&g, deadline());
	assert_int_equal(mapped(), 0);
	assert_blocks_mapped(0, 12288, false);
	assert_int_equal(guest_stats(&g).revoked_bytes, MB(48));
	guest_check(&g, true);
}

/* The IOMMU does not let go: the books say so, and it is tried again. */
static void test_unmap_fails(void **state)
{
	(void)state;
	fill(8);
	null_iommu_fail_unmap(g.iommu, 0, -EIO, 1);
	assert_int_equal(vm_set_quota_within(g.vm, MB(3), 0), 0);
	guest_tick(&g, deadline());
	assert_int_equal(mapped(), MB(4));
	assert_int_equal(guest_stats(&g).revocations, 0);
	guest_check(&g, true);
	assert_true(g.timer != VM_NEVER);
	guest_tick(&g, g.timer);
	assert_int_equal(mapped(), MB(3));
}

/* --- guests that stop, or lie --- */

/*
 * DEV-RESET-1 holds for revocations: a guest that stops its queues is held to
 * its quota all the same, and the words follow when it shows itself again.
 */
static void test_stopped(void **state)
{
	(void)state;
	fill(8);
	vm_queues_stop(g.vm);
	assert_int_equal(vm_set_quota(g.vm, MB(3)), 0);
	guest_tick(&g, deadline() - 1);
	assert_int_equal(mapped(), MB(4));
	guest_tick(&g, deadline());
	assert_int_equal(mapped(), MB(3));
	for (uint64_t i = 0; i < 1024; i++)
		assert_true(guest_look(&g, i) & MAPPED);
	vm_queues_start(g.vm);
	assert_int_equal(guest_release(&g, 0, 1), OK);
	guest_check(&g, true);
}

/* Every count bit is set, for good. */
static void lie(void)
{
	for (uint64_t i = 0; i < guest_granules(&g); i++)
		*guest_word(&g, i) = UINT32_MAX;
	for (uint64_t i = 0; i < guest_blocks(&g); i++)
		*guest_block_word(&g, i) = UINT32_MAX;
}

static void test_liar_revoked(void **state)
{
	(void)state;
	fill(0);
	lie();
	assert_int_equal(vm_set_quota(g.vm, MB(1)), 0);
	assert_int_equal(mapped(), MB(4));
	guest_tick(&g, deadline());
	assert_int_equal(mapped(), MB(1));
	/* It is answered: with no more than it has. */
	assert_int_equal(guest_map(&g, 4096, 1), QUOTA);
	assert_int_equal(mapped(), MB(1));
	/* What it says that it has is none. */
	assert_int_equal(guest_stats(&g).revoked_bytes, MB(3));
}

static void test_liar_waited_for(void **state)
{
	(void)state;
	fill(0);
	lie();
	assert_int_equal(vm_set_quota(g.vm, MB(1)), 0);
	guest_tick(&g, deadline());
	assert_int_equal(mapped(), MB(4));
	for (uint64_t i = 2048; i < 4096; i += 100)
		assert_int_equal(guest_map(&g, i, 1), QUOTA);
	assert_int_equal(mapped(), MB(4));
	/* INIT ends it. */
	assert_int_equal(guest_init(&g), OK);
	guest_tick(&g, g.timer);
	assert_int_equal(mapped(), 0);
	assert_int_equal(space().excess, 0);
}

/* --- at every instant --- */

static uint64_t seed;

static uint32_t pick(uint32_t n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)((seed >> 33) % n);
}

/* What a guest does that keeps no rule. */
static void scribble(void)
{
	uint32_t value = pick(4) ? pick(8) : (uint32_t)(seed >> 32);

	if (pick(2))
		*guest_word(&g, pick(2048)) = value;
	else
		*guest_block_word(&g, pick(2048 / BLOCK)) = value;
}

/*
 * DEV-MAP-4: the bytes mapped exceed the quota at no instant, but for what was
 * held when it was lowered; and, where held memory is taken, never after the
 * deadline.
 */
static void play(enum vm_enforce enforce, uint64_t steps)
{
	uint64_t bound = MB(4), now = vm_now(), taken = 0;

	for (uint64_t i = 0; i < steps; i++) {
		uint32_t what = pick(100);

		if (what < 40) {
			(void)guest_map(&g, pick(2000), 1 + pick(48));
		} else if (what < 80) {
			scribble();
		} else if (what < 85) {
			(void)guest_unmap(&g, pick(2000), pick(48) + 1);
		} else if (what < 90) {
			uint64_t quota = pick(9) * KB(512);

			bound = max(quota, mapped());
			(void)vm_set_quota(g.vm, quota);
		} else {
			now += pick(4) ? DEADLINE / 3 : DEADLINE * 2;
			guest_tick(&g, now);
			if (enforce == VM_ENFORCE_REVOKE && deadline() <= now)
				assert_int_equal(
					guest_stats(&g).over_quota_bytes, 0);
		}
		assert_true(mapped() <= bound);
		bound = max(mapped(), guest_stats(&g).quota);
		taken = guest_stats(&g).revoked_bytes;
		guest_check(&g, false);
	}
	assert_int_equal(taken > 0, enforce == VM_ENFORCE_REVOKE);
}

static void test_instants_wait(void **state)
{
	(void)state;
	seed = 4711;
	play(VM_ENFORCE_WAIT, 20000);
}

static void test_instants_revoke(void **state)
{
	(void)state;
	seed = 815;
	play(VM_ENFORCE_REVOKE, 20000);
}

#define WAIT(name) cmocka_unit_test_setup_teardown(name, setup_wait, teardown)
#define REVOKE(name) \
	cmocka_unit_test_setup_teardown(name, setup_revoke, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WAIT(test_asks),
		WAIT(test_given_up),
		REVOKE(test_given_up),
		WAIT(test_enough),
		WAIT(test_asks_later),
		WAIT(test_raised),
		WAIT(test_wait),
		REVOKE(test_revoke),
		REVOKE(test_revoked_again),
		REVOKE(test_idle_first),
		REVOKE(test_all),
		REVOKE(test_unmap_fails),
		REVOKE(test_stopped),
		REVOKE(test_liar_revoked),
		WAIT(test_liar_waited_for),
		WAIT(test_instants_wait),
		REVOKE(test_instants_revoke),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
