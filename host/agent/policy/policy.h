/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * policy.h - which extent goes when room is needed
 *
 * A policy orders extents; it neither maps nor unmaps, and it does not know
 * what is held. It is asked for victims one by one and told what became of
 * them. It names extents by their ledger index and keeps what it needs per
 * extent in struct policy_node, which lies in the ledger beside the extent, so
 * that all state stays in one place. What it remembers of extents that are gone
 * is bounded by a multiple of those that are there, so by the quota.
 */
#ifndef PVDMA_AGENT_POLICY_H
#define PVDMA_AGENT_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "host/agent/policy/ghosts.h"

#define POLICY_NONE UINT32_MAX

struct policy;

struct policy_node {
	uint32_t prev; /* ledger index */
	uint32_t next; /* ledger index */
	uint32_t data; /* the policy's own */
	uint32_t time; /* the policy's own */
};

#define POLICY_ROOT_WORDS 1024

/* What a policy keeps besides; it lies in the state, zero at first. */
struct policy_root {
	struct ghosts_root ghosts;
	uint32_t count;			   /* extents that the policy knows */
	uint32_t words[POLICY_ROOT_WORDS]; /* the policy's own */
};

/* What a policy may ask of the ledger and the table. */
struct policy_env {
	struct policy_node *(*node)(void *userdata, uint32_t extent);
	/* True if the guest used the extent since the last such question. */
	bool (*test_and_clear_referenced)(void *userdata, uint32_t extent);
	/* By what an extent is known when it comes back: its first granule. */
	uint64_t (*key)(void *userdata, uint32_t extent);
	void *userdata;
	struct policy_root *root;
	struct state *state; /* where ghosts lie */
};

/* Why an extent is the policy's: policy_inserted(), _ahead(), _restored(). */
enum policy_how {
	POLICY_INSERTED,
	POLICY_AHEAD,
	POLICY_RESTORED,
};

struct policy_ops {
	const char *name;
	/* Makes what is derived from the root. 0 or -ENOMEM. */
	int (*init)(struct policy *policy);
	void (*inserted)(struct policy *policy, uint32_t extent,
			 enum policy_how how);
	void (*removed)(struct policy *policy, uint32_t extent);
	void (*cold)(struct policy *policy, uint32_t extent);
	uint32_t (*victim)(struct policy *policy, uint32_t *steps);
};

/*
 * @name: see policy_names(). @env is copied. 0, -ENOENT (no such policy) or
 * -ENOMEM.
 */
int policy_new(const char *name, const struct policy_env *env,
	       struct policy **ret);
/* Takes NULL. */
void policy_free(struct policy *policy);

/* The names of all policies, ended by NULL; the first is the default. */
const char *const *policy_names(void);

/* An extent was mapped; or it was unmapped, or picked to be. */
void policy_inserted(struct policy *policy, uint32_t extent);
/* An extent was mapped that nobody has used yet: ahead of its use, if any. */
void policy_ahead(struct policy *policy, uint32_t extent);
void policy_removed(struct policy *policy, uint32_t extent);

/* An extent that was picked stays mapped after all: it was not used for that. */
void policy_restored(struct policy *policy, uint32_t extent);

/* The guest does not need the extent any longer (RELEASE). */
void policy_cold(struct policy *policy, uint32_t extent);

/*
 * The next candidate. A candidate that turns out to be held stays where it
 * is, and is not proposed again before all others were. Each extent that the
 * policy looks at costs one of *@steps; POLICY_NONE when none is left (or no
 * extent at all). Whoever starts with policy_round() steps has been proposed
 * every extent at least once by the end, however often the guest sets
 * REFERENCED meanwhile.
 */
uint32_t policy_victim(struct policy *policy, uint32_t *steps);
uint32_t policy_round(const struct policy *policy);

#endif
