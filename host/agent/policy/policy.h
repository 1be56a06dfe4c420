/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * policy.h - which extent goes when room is needed
 *
 * A policy orders extents; it neither maps nor unmaps, and it does not know
 * what is held. It is asked for victims one by one and told what became of
 * them. It names extents by their ledger index and keeps what it needs per
 * extent in struct policy_node, which lies in the ledger beside the extent, so
 * that all state stays in one place.
 */
#ifndef PVDMA_AGENT_POLICY_H
#define PVDMA_AGENT_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#define POLICY_NONE	UINT32_MAX

struct policy;

struct policy_node {
	uint32_t prev;		/* ledger index */
	uint32_t next;		/* ledger index */
	uint32_t data;		/* the policy's own */
};

/* What a policy may ask of the ledger and the table. */
struct policy_env {
	struct policy_node *(*node)(void *userdata, uint32_t extent);
	/* True if the guest used the extent since the last such question. */
	bool (*test_and_clear_referenced)(void *userdata, uint32_t extent);
	void *userdata;
};

struct policy_ops {
	const char *name;
	int (*init)(struct policy *policy);
	void (*done)(struct policy *policy);
	void (*inserted)(struct policy *policy, uint32_t extent);
	void (*removed)(struct policy *policy, uint32_t extent);
	/* The guest does not need it any longer (RELEASE). */
	void (*cold)(struct policy *policy, uint32_t extent);
	/*
	 * The next candidate, or POLICY_NONE when a whole round found none
	 * (the caller asks at most policy_scan_limit() times). A candidate that
	 * turns out to be held stays; the policy must not propose it again
	 * before it proposed the others.
	 */
	uint32_t (*victim)(struct policy *policy);
};

int policy_new(const char *name, const struct policy_env *env,
	       struct policy **ret);	/* -ENOENT: no such policy */
void policy_free(struct policy *policy);
void policy_inserted(struct policy *policy, uint32_t extent);
void policy_removed(struct policy *policy, uint32_t extent);
void policy_cold(struct policy *policy, uint32_t extent);
uint32_t policy_victim(struct policy *policy);

#endif
