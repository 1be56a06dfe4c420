/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * policy_impl.h - what the policies share with policy.c; nobody else's
 */
#ifndef PVDMA_AGENT_POLICY_IMPL_H
#define PVDMA_AGENT_POLICY_IMPL_H

#include "host/agent/policy/policy.h"

struct policy {
	const struct policy_ops *ops;
	struct policy_env env;
	struct ghosts ghosts;
	void *derived; /* by init() from the root; freed with the policy */
};

static inline uint32_t policy_count(const struct policy *policy)
{
	return policy->env.root->count;
}

static inline struct policy_node *policy_node(const struct policy *policy,
					      uint32_t extent)
{
	return policy->env.node(policy->env.userdata, extent);
}

static inline bool policy_referenced(const struct policy *policy,
				     uint32_t extent)
{
	return policy->env.test_and_clear_referenced(policy->env.userdata,
						     extent);
}

extern const struct policy_ops clock_policy; /* second chance */
extern const struct policy_ops reuse_policy; /* by ages at reuse, learnt */
extern const struct policy_ops slru_policy;  /* segmented LRU */

#endif
