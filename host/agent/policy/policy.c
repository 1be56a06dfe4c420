// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * policy.c - the list of policies, and the one way to call them
 *
 * Owns the choice of a policy by name and the count of extents that it knows.
 * Locks: none. In a request's way: between quota and reclaim.
 */
#include "host/agent/policy/policy_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/lib/macros.h"

static const struct policy_ops *const policies[] = {
	&reuse_policy,
	&clock_policy,
	&slru_policy,
};

const char *const *policy_names(void)
{
	static const char *names[ARRAY_SIZE(policies) + 1];

	for (size_t i = 0; i < ARRAY_SIZE(policies); i++)
		names[i] = policies[i]->name;
	return names;
}

static const struct policy_ops *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
		if (strcmp(policies[i]->name, name) == 0)
			return policies[i];
	}
	return NULL;
}

int policy_new(const char *name, const struct policy_env *env,
	       struct policy **ret)
{
	const struct policy_ops *ops = find(name);
	struct policy *policy;
	int r;

	if (!ops)
		return -ENOENT;
	policy = calloc(1, sizeof(*policy));
	if (!policy)
		return -ENOMEM;
	policy->ops = ops;
	policy->env = *env;
	ghosts_init(&policy->ghosts, env->state, &env->root->ghosts);
	r = ops->init(policy);
	if (r < 0) {
		policy_free(policy);
		return r;
	}
	*ret = policy;
	return 0;
}

void policy_free(struct policy *policy)
{
	if (policy)
		free(policy->derived);
	free(policy);
}

static void add(struct policy *policy, uint32_t extent, enum policy_how how)
{
	policy->ops->inserted(policy, extent, how);
	policy->env.root->count++;
}

void policy_inserted(struct policy *policy, uint32_t extent)
{
	add(policy, extent, POLICY_INSERTED);
}

void policy_ahead(struct policy *policy, uint32_t extent)
{
	add(policy, extent, POLICY_AHEAD);
}

void policy_restored(struct policy *policy, uint32_t extent)
{
	add(policy, extent, POLICY_RESTORED);
}

void policy_removed(struct policy *policy, uint32_t extent)
{
	assert(policy_count(policy) > 0);
	policy->ops->removed(policy, extent);
	policy->env.root->count--;
}

void policy_cold(struct policy *policy, uint32_t extent)
{
	policy->ops->cold(policy, extent);
}

uint32_t policy_victim(struct policy *policy, uint32_t *steps)
{
	if (policy_count(policy) == 0)
		return POLICY_NONE;
	return policy->ops->victim(policy, steps);
}

uint32_t policy_round(const struct policy *policy)
{
	return 3 * policy_count(policy);
}
