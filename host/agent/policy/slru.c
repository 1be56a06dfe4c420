// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * slru.c - segmented LRU: what was used again outlives what was not
 *
 * Owns one ring, from the extent that goes last to the one that goes first. It
 * begins with the protected extents, at most SLRU_SHARE of all, in the order in
 * which they were found used; those on probation follow. Victims come from the
 * end. One that was used since is not proposed, but protected; the protected
 * one that was found used longest ago goes back on probation for it.
 *
 * Invariants: the protected extents are the first n of the ring; the root has
 * n, and which the last of them is. Locks: none.
 */
#include "host/agent/policy/policy_impl.h"

/* Of the extents, as a fraction. */
#define SLRU_SHARE(n) ((n) - (n) / 4)

enum slru_words {
	SLRU_FIRST,	/* extent + 1; 0: the ring is empty */
	SLRU_BORDER,	/* the last protected one + 1; 0: none */
	SLRU_PROTECTED, /* how many are */
};

enum slru_data { ON_PROBATION, PROTECTED };

static uint32_t *word(const struct policy *policy, enum slru_words which)
{
	return &policy->env.root->words[which];
}

static int slru_init(struct policy *policy)
{
	(void)policy; /* an all-zero root is an empty ring */
	return 0;
}

/* Puts @extent before @next, or alone if that is POLICY_NONE. */
static void link_before(struct policy *policy, uint32_t extent, uint32_t next)
{
	struct policy_node *node = policy_node(policy, extent);

	if (next == POLICY_NONE)
		next = extent;
	node->next = next;
	node->prev = next == extent ? extent : policy_node(policy, next)->prev;
	policy_node(policy, node->prev)->next = extent;
	policy_node(policy, next)->prev = extent;
}

static void add_first(struct policy *policy, uint32_t extent)
{
	link_before(policy, extent, *word(policy, SLRU_FIRST) - 1);
	*word(policy, SLRU_FIRST) = extent + 1;
}

static void add_last(struct policy *policy, uint32_t extent)
{
	uint32_t first = *word(policy, SLRU_FIRST);

	link_before(policy, extent, first - 1);
	if (first == 0)
		*word(policy, SLRU_FIRST) = extent + 1;
	policy_node(policy, extent)->data = ON_PROBATION;
}

static void add_probation(struct policy *policy, uint32_t extent)
{
	uint32_t border = *word(policy, SLRU_BORDER);
	uint32_t next;

	policy_node(policy, extent)->data = ON_PROBATION;
	if (border == 0) {
		add_first(policy, extent);
		return;
	}
	next = policy_node(policy, border - 1)->next;
	link_before(policy, extent, next);
}

static void demote(struct policy *policy)
{
	uint32_t *border = word(policy, SLRU_BORDER);
	struct policy_node *node = policy_node(policy, *border - 1);

	node->data = ON_PROBATION;
	*border = --*word(policy, SLRU_PROTECTED) ? node->prev + 1 : 0;
}

static void add_protected(struct policy *policy, uint32_t extent)
{
	add_first(policy, extent);
	policy_node(policy, extent)->data = PROTECTED;
	if ((*word(policy, SLRU_PROTECTED))++ == 0)
		*word(policy, SLRU_BORDER) = extent + 1;
	while (*word(policy, SLRU_PROTECTED) > SLRU_SHARE(policy_count(policy)))
		demote(policy);
}

static void slru_removed(struct policy *policy, uint32_t extent)
{
	struct policy_node *node = policy_node(policy, extent);
	uint32_t *first = word(policy, SLRU_FIRST);
	uint32_t *border = word(policy, SLRU_BORDER);

	if (node->data == PROTECTED) {
		uint32_t left = --*word(policy, SLRU_PROTECTED);

		if (left == 0)
			*border = 0;
		else if (*border == extent + 1)
			*border = node->prev + 1;
	}
	if (node->next == extent) {
		*first = 0;
		return;
	}
	policy_node(policy, node->prev)->next = node->next;
	policy_node(policy, node->next)->prev = node->prev;
	if (*first == extent + 1)
		*first = node->next + 1;
}

static void slru_inserted(struct policy *policy, uint32_t extent,
			  enum policy_how how)
{
	add_probation(policy, extent);
	/* The use that it is mapped for is none again. */
	if (how != POLICY_RESTORED)
		(void)policy_referenced(policy, extent);
}

static void slru_cold(struct policy *policy, uint32_t extent)
{
	slru_removed(policy, extent);
	add_last(policy, extent);
	(void)policy_referenced(policy, extent);
}

/*
 * What is proposed is put on probation anew, so that it comes last if it is
 * held. When no more steps are left than there are extents, it is put before
 * all others: so each is proposed once, whatever segment it is in.
 */
static uint32_t slru_victim(struct policy *policy, uint32_t *steps)
{
	while (*steps > 0) {
		uint32_t first = *word(policy, SLRU_FIRST) - 1;
		uint32_t extent = policy_node(policy, first)->prev;
		bool any = --*steps < policy_count(policy);
		bool used = !any && policy_referenced(policy, extent);

		slru_removed(policy, extent);
		if (any || used)
			add_protected(policy, extent);
		else
			add_probation(policy, extent);
		if (!used)
			return extent;
	}
	return POLICY_NONE;
}

const struct policy_ops slru_policy = {
	.name = "slru",
	.init = slru_init,
	.inserted = slru_inserted,
	.removed = slru_removed,
	.cold = slru_cold,
	.victim = slru_victim,
};
