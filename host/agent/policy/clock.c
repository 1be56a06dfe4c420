// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * clock.c - second chance: a ring of extents and a hand that goes round
 *
 * Owns the ring's links and the hand. Invariant: the hand points to an extent
 * of the ring, or the ring is empty. An extent that was used since the hand
 * passed it is spared once; a new one is the last that the hand comes to; one
 * that the guest released is the next. Locks: none.
 */
#include "host/agent/policy/policy_impl.h"

#define CLOCK_HAND 0 /* word of the root: extent + 1; 0: none */

static uint32_t hand(const struct policy *policy)
{
	return policy->env.root->words[CLOCK_HAND] - 1;
}

static void set_hand(struct policy *policy, uint32_t extent)
{
	policy->env.root->words[CLOCK_HAND] = extent + 1;
}

static int clock_init(struct policy *policy)
{
	(void)policy; /* an all-zero root is an empty ring */
	return 0;
}

/* Puts @extent where the hand comes last. */
static void add(struct policy *policy, uint32_t extent)
{
	struct policy_node *node = policy_node(policy, extent);
	uint32_t next = hand(policy);

	if (next == POLICY_NONE) {
		node->prev = extent;
		node->next = extent;
		set_hand(policy, extent);
		return;
	}
	node->next = next;
	node->prev = policy_node(policy, next)->prev;
	policy_node(policy, node->prev)->next = extent;
	policy_node(policy, next)->prev = extent;
}

static void clock_inserted(struct policy *policy, uint32_t extent,
			   enum policy_how how)
{
	(void)how; /* its place is lost in any case */
	add(policy, extent);
}

static void clock_removed(struct policy *policy, uint32_t extent)
{
	struct policy_node *node = policy_node(policy, extent);

	if (node->next == extent) {
		set_hand(policy, POLICY_NONE);
		return;
	}
	policy_node(policy, node->prev)->next = node->next;
	policy_node(policy, node->next)->prev = node->prev;
	if (hand(policy) == extent)
		set_hand(policy, node->next);
}

static void clock_cold(struct policy *policy, uint32_t extent)
{
	clock_removed(policy, extent);
	add(policy, extent);
	set_hand(policy, extent);
	(void)policy_referenced(policy, extent);
}

/*
 * Spares what was used as long as enough steps are left to propose each
 * extent once after that; then proposes whatever comes.
 */
static uint32_t clock_victim(struct policy *policy, uint32_t *steps)
{
	while (*steps > 0) {
		uint32_t extent = hand(policy);

		set_hand(policy, policy_node(policy, extent)->next);
		if (--*steps >= policy_count(policy) &&
		    policy_referenced(policy, extent))
			continue;
		return extent;
	}
	return POLICY_NONE;
}

const struct policy_ops clock_policy = {
	.name = "clock",
	.init = clock_init,
	.inserted = clock_inserted,
	.removed = clock_removed,
	.cold = clock_cold,
	.victim = clock_victim,
};
