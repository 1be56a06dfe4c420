// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * replacer_policy.c - the agent's own replacement policy, in granules of one size
 *
 * The default policy of host/agent/policy, asked as reclaim.c asks it, with
 * granules in the place of extents: this is what the policy alone is worth,
 * without extents and prefetch. Owns the policy, its nodes and its state.
 */
#include <errno.h>
#include <stdlib.h>

#include "host/agent/policy/policy.h"
#include "host/agent/state.h"
#include "host/sim/replay.h"

struct agent_policy {
	const struct replay *replay;
	struct policy *policy;
	struct policy_node *nodes; /* by granule */
	uint8_t *referenced;	   /* by granule */
	struct state *state;	   /* its root is the policy's */
};

static struct policy_node *node_of(void *userdata, uint32_t granule)
{
	struct agent_policy *ap = userdata;

	return &ap->nodes[granule];
}

static uint64_t key_of(void *userdata, uint32_t granule)
{
	const struct agent_policy *ap = userdata;

	return replay_grid(ap->replay)->granules[granule];
}

static bool test_and_clear(void *userdata, uint32_t granule)
{
	struct agent_policy *ap = userdata;
	bool was = ap->referenced[granule];

	ap->referenced[granule] = 0;
	return was;
}

static void ap_done(void *self)
{
	struct agent_policy *ap = self;

	policy_free(ap->policy);
	free(ap->nodes);
	free(ap->referenced);
	state_free(ap->state);
	free(ap);
}

static int ap_init(const struct replay *replay, void **ret)
{
	static const uint32_t slots[STATE_POOLS] = {
		[STATE_EXTENTS] = 8, /* none */
		[STATE_LEAVES] = 8,  /* none */
		[STATE_GHOSTS] = GHOSTS_SLOT_SIZE,
	};
	size_t n = (size_t)replay_grid(replay)->n_granules + 1;
	struct agent_policy *ap = calloc(1, sizeof(*ap));
	struct policy_env env = {
		.node = node_of,
		.test_and_clear_referenced = test_and_clear,
		.key = key_of,
		.userdata = ap,
	};

	if (!ap)
		return -ENOMEM;
	ap->replay = replay;
	ap->nodes = calloc(n, sizeof(*ap->nodes));
	ap->referenced = calloc(n, 1);
	if (!ap->nodes || !ap->referenced ||
	    state_new(sizeof(*env.root), slots, &ap->state)) {
		ap_done(ap);
		return -ENOMEM;
	}
	env.root = state_root(ap->state);
	env.state = ap->state;
	if (policy_new(policy_names()[0], &env, &ap->policy)) {
		ap_done(ap);
		return -ENOMEM;
	}
	*ret = ap;
	return 0;
}

static void ap_used(void *self, uint32_t granule, uint32_t item)
{
	struct agent_policy *ap = self;

	(void)item;
	ap->referenced[granule] = 1;
}

static void ap_loaded(void *self, uint32_t granule)
{
	struct agent_policy *ap = self;

	policy_inserted(ap->policy, granule);
}

static void ap_idle(void *self, uint32_t granule)
{
	(void)self;
	(void)granule;
}

static uint32_t ap_victim(void *self)
{
	struct agent_policy *ap = self;
	uint32_t steps = policy_round(ap->policy), granule;

	/* as long as one is idle, a round of steps proposes it */
	do {
		granule = policy_victim(ap->policy, &steps);
	} while (replay_is_held(ap->replay, granule));
	policy_removed(ap->policy, granule);
	return granule;
}

const struct replacer_ops replacer_policy = {
	.name = "policy",
	.init = ap_init,
	.done = ap_done,
	.used = ap_used,
	.loaded = ap_loaded,
	.idle = ap_idle,
	.victim = ap_victim,
};
